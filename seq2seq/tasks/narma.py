"""NARMA: a nonlinear autoregressive moving average."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.seeds import generator
from seq2seq.tasks.task import GeneratedTask, log

#: Published coefficients α, β, γ, δ by the order.
PUBLISHED = {10: (0.3, 0.05, 1.5, 0.1), 30: (0.2, 0.04, 1.5, 0.001)}

#: A sequence that gets larger has diverged; others stay below 2.
LARGEST = 10.0


@dataclass(eq=False)
class Narma(GeneratedTask):
    """y_t = α y_{t−1} + β y_{t−1} Σ_{i=1}^{n} y_{t−i} + γ x_t x_{t−n+1} + δ, x_t uniform on [0, ½].

    All is zero before the first step. That is y(t + 1) of Atiya and Parlos, IEEE Transactions on
    Neural Networks 11 (2000), asked when its last input is there. A sequence whose y exceeds 10 has
    diverged and is drawn again; `redrawn` counts them, and a warning tells.

    Args:
        n: the order.
        length: time steps per sequence.
        coefficients: α, β, γ, δ; null for the published ones of n = 10 or 30.
        train_size, val_size, test_size, batch_size, online, seed: see `SequenceTask`.
    """

    n: int = 10
    length: int = 100
    coefficients: list[float] | None = None
    affine = True
    redrawn = 0

    def __post_init__(self) -> None:
        checks.integer("task.n", self.n)
        super().__post_init__()
        given = PUBLISHED.get(self.n, ()) if self.coefficients is None else self.coefficients
        self._coefficients = tuple(given)
        if len(self._coefficients) != 4:
            raise ValueError(
                f"coefficients must be four numbers where n is not 10 or 30, got n={self.n}, "
                f"coefficients={self.coefficients}; set task.coefficients=[0.3,0.05,1.5,0.1]"
            )
        trial = self.targets(self._inputs(64, generator(0, "trial")))
        if (share := float(_diverged(trial).double().mean())) > 0.5:
            raise ValueError(
                f"coefficients must keep most sequences bounded, got {[*self._coefficients]}, with "
                f"which {share:.0%} diverge; lower task.coefficients or task.length"
            )

    def _inputs(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, self.length, 1, generator=generator) / 2

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = self._inputs(n, generator)
        y = self.targets(x)
        count = 0
        while number := int((wrong := _diverged(y)).sum()):
            count += number
            x[wrong] = self._inputs(number, generator)
            y[wrong] = self.targets(x[wrong])
        if count:
            self.redrawn += count
            log.warning("%d of %d sequences of NARMA diverged and were drawn again", count, n)
        return x, y

    def targets(self, x: Tensor) -> Tensor:
        """The recursion in float64: (B, T, 1) -> (B, T, 1)."""
        alpha, beta, gamma, delta = self._coefficients
        now = x[:, :, 0].double().T
        past = torch.cat([now.new_zeros(self.n - 1, len(x)), now])[: len(now)]
        drive = gamma * now * past + delta
        y = [now.new_zeros(len(x))] * self.n
        total = now.new_zeros(len(x))
        for given in drive:
            y.append(y[-1] * (alpha + beta * total) + given)
            total = total + y[-1] - y[-1 - self.n]
        return torch.stack(y[self.n :], 1)[:, :, None].to(x.dtype)


def _diverged(y: Tensor) -> Tensor:
    return ~(y.abs().amax((1, 2)) <= LARGEST)  # NaN too
