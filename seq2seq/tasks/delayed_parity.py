"""Products of past signs: delayed exclusive or, and parity."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from seq2seq import checks
from seq2seq.tasks.inputs import Signs
from seq2seq.tasks.task import DrivenTask


@dataclass(eq=False)
class DelayedParity(DrivenTask):
    """y_t = x_{t−k} x_{t−k−1} … x_{t−k−n+1}, and 0 before there are as many inputs.

    With signs for bits, the usual input, n = 2 is the delayed exclusive or, and y is uncorrelated
    with every past input for n ≥ 2: no linear predictor is better than 0. PARITY_n(k) of reservoir
    computing: Bertschinger and Natschläger, Neural Computation 16 (2004).

    Args:
        k: delay, in steps.
        n: how many signs are multiplied; k + n ≤ length.
        length: time steps per sequence.
        input: the process of the signs.
    """

    k: int = 4
    n: int = 2
    length: int = 32
    default_input = Signs()

    def __post_init__(self) -> None:
        checks.integer("task.k", self.k, 0)
        checks.integer("task.n", self.n)
        super().__post_init__()
        if self.k + self.n > self.length:
            raise ValueError(
                f"k + n must be at most length, got k={self.k}, n={self.n}, length={self.length}; "
                "lower task.k or raise task.length"
            )

    def targets(self, x: Tensor) -> Tensor:
        """The delayed products: (B, T, 1) -> (B, T, 1)."""
        late = F.pad(x, (0, 0, self.memory, 0))[:, : x.shape[1] + self.n - 1]
        return late.unfold(1, self.n, 1).prod(-1)

    @property
    def memory(self) -> int:
        return self.k + self.n - 1

    def reference_losses(self) -> dict[str, float]:
        """Of signs exactly: all linear predictors have the error of `zero`, the share of y ≠ 0."""
        if not isinstance(self.input, Signs) or self.n == 1:
            return super().reference_losses()
        power = self.input.scale ** (2 * self.n) * (self.length - self.memory) / self.length
        return dict.fromkeys(self.reference_names, power)
