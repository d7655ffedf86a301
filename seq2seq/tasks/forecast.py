"""The next state of a chaotic system, from the states before it."""

import torch
from torch import Tensor

from seq2seq.tasks.lorenz96 import Lorenz96
from seq2seq.tasks.task import Pairs, SequenceTask


class Lorenz96Forecast(Lorenz96):
    """x_t is the slow state of Lorenz 96 under constant forcing and y_t = x_{t+1}.

    The system is that of `Lorenz96` with the same forcing on every slow variable at all times; x is
    y(t·dt) divided by the forcing. The fast variables are not seen, so a longer past tells more.
    `seq2seq.generate.rollout` runs a trained model freely.

    Each sequence has its own start: random forcing (`input`, of the scale of the forcing) is added
    during the `burn_in` steps before it, and chaos does the rest.

    Args:
        forcing: the constant F > 0; chaotic above about 8.
        dt: time per step.
        burn_in: steps before a sequence begins.
        K, J, epsilon, h_x, h_y: see `Lorenz96`.

    Raises:
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        K: int = 8,
        J: int = 8,
        epsilon: float = 0.5,
        h_x: float = -1.0,
        h_y: float = 1.0,
        forcing: float = 10.0,
        dt: float = 0.05,
        length: int = 128,
        burn_in: int = 200,
        train_size: int = 2000,
        val_size: int = 200,
        test_size: int = 200,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(
            K,
            J,
            epsilon,
            h_x,
            h_y,
            dt,
            length,
            burn_in=burn_in,
            train_size=train_size,
            val_size=val_size,
            test_size=test_size,
            batch_size=batch_size,
            seed=seed,
        )
        if not forcing > 0:
            raise ValueError(f"forcing must be positive, got forcing={forcing}; set task.forcing")
        self.forcing = forcing

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n stretches of `length` states and of those that follow them."""
        kicks = self._process.sample(n, self.burn_in, self.K, generator, torch.float64)
        calm = kicks.new_zeros(n, self.length + 1, self.K)
        x = self.forcing * (1 + torch.cat([kicks, calm], 1))
        states = self._integrate(x, self.y0, self.z0)[0][:, self.burn_in :] / self.forcing
        return states[:, :-1].float(), states[:, 1:].float()

    def targets(self, x: Tensor) -> Tensor:
        # The fast variables behind x are not known.
        return SequenceTask.targets(self, x)

    def draw(self, split: str) -> Pairs:
        return SequenceTask.draw(self, split)
