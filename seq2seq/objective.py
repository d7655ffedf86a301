"""What is minimised: the loss on samples, or its exact expectation."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


class Sampled:
    """The task's loss on the batch of each step, averaged over the horizon or at its last time.

    Args:
        horizon: `average`, (1/L) Σ_t of the loss at t, or `last`, the loss at t = L−1 only.
    """

    uses_samples = True

    def __init__(self, horizon: Literal["average", "last"] = "average") -> None:
        if horizon not in ("average", "last"):
            raise ValueError(f"objective.horizon must be average or last, got {horizon!r}")
        self.horizon = horizon

    def __call__(
        self, model: nn.Module, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The loss of `model` on `batch` = (x, y), both `(batch, time, channels)`."""
        x, y = batch
        output = model(x)
        if self.horizon == "last":
            output, y = output[:, -1:], y[:, -1:]
        return loss(output, y)
