"""The next state of a chaotic system, from the states before it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.inputs import GP
from seq2seq.tasks.lorenz96_system import Lorenz96System

#: Added to the forcing during the burn-in, in its units.
KICKS = GP()


@dataclass(eq=False)
class Lorenz96Forecast(Lorenz96System):
    """x_t is the slow state of Lorenz 96 under constant forcing and y_t = x_{t+1}.

    The system is a `Lorenz96System` with the same forcing on every slow variable at all times; x is
    y(t·dt) divided by the forcing. The fast variables are not seen, so a longer past tells more.
    `seq2seq.generate.rollout` runs a trained model freely.

    Each sequence has its own start: random forcing, of the scale of the forcing, is added during
    the `burn_in` steps before it, and chaos does the rest.

    Args:
        forcing: the constant F > 0; chaotic above about 8.
        dt: time per step.
        burn_in: steps before a sequence begins.
        K, J, epsilon, h_x, h_y: see `Lorenz96System`.

    Raises:
        ValueError: a parameter out of range.
    """

    K: int = 8
    J: int = 8
    epsilon: float = 0.5
    forcing: float = 10.0
    dt: float = 0.05
    length: int = 128
    burn_in: int = 200
    train_size: int = 2000
    val_size: int = 200
    test_size: int = 200
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("task.forcing", self.forcing, 10.0)
        checks.integer("task.burn_in", self.burn_in)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n stretches of `length` states and of those that follow them."""
        kicks = KICKS.sample(n, self.burn_in, self.K, generator, torch.float64)
        calm = kicks.new_zeros(n, self.length + 1, self.K)
        x = self.forcing * (1 + torch.cat([kicks, calm], 1))
        states = self._integrate(x, self.y0, self.z0)[0][:, self.burn_in :] / self.forcing
        return states[:, :-1].float(), states[:, 1:].float()
