"""The adding problem: two marked numbers among many."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.task import AskedLast, GeneratedTask
from seq2seq.theory.machines import MarkedSum


@dataclass(eq=False)
class Adding(AskedLast, GeneratedTask):
    """The sum of the two marked numbers of a sequence, asked at its last step.

        x_t = (u_t, m_t), u_t uniform on [0, 1], m_t = 1 at two steps and else 0; y = Σ_t m_t u_t

    x is (batch, time, 2), y (batch, 1, 1), and the loss looks at the last output only. The best
    constant, 1, has the error Var(u + u') = 1/6, which is `memoryless` here: the last step tells of
    y only when it is itself marked. Hochreiter and Schmidhuber 1997; marked `anywhere` as by Bai,
    Kolter and Koltun, arXiv:1803.01271 (2018), or in `halves`, one in each, as by Rusch and Mishra,
    "coRNN", arXiv:2010.00951 (2021).

    Args:
        length: time steps, 2 or more.
        marks: `anywhere`, two different steps, or `halves`, one in each half.
        online: draw a fresh batch each step; false passes over `train_size` sequences.
        train_size, val_size, test_size, batch_size, seed: see `SequenceTask`.
    """

    length: int = 100
    marks: Literal["anywhere", "halves"] = "anywhere"
    online: bool = True
    input_dim = 2

    reference_names = ("zero", "memoryless", "floor")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("task.length", self.length, 2)
        checks.one_of("task.marks", self.marks, ("anywhere", "halves"))

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        values = torch.rand(n, self.length, generator=generator)
        half = self.length // 2
        if self.marks == "halves":
            first = torch.randint(half, (n, 1), generator=generator)
            second = torch.randint(half, self.length, (n, 1), generator=generator)
        else:
            first = torch.randint(self.length, (n, 1), generator=generator)
            second = torch.randint(self.length - 1, (n, 1), generator=generator)
            second += second >= first
        marks = torch.zeros_like(values).scatter(1, first, 1.0).scatter(1, second, 1.0)
        x = torch.stack([values, marks], -1)
        return x, self.targets(x)

    def targets(self, x: Tensor) -> Tensor:
        """The sum of what is marked: (batch, time, 2) -> (batch, 1, 1)."""
        return x.prod(-1).sum(1)[:, None, None]

    def reference_losses(self) -> dict[str, float]:
        """Exact mean squared errors of 0, of 1, and of the sum itself."""
        return {"zero": 7 / 6, "memoryless": 1 / 6, "floor": 0.0}

    @property
    def memory(self) -> int:
        return self.length - 1

    @property
    def machine(self) -> MarkedSum:
        return MarkedSum()
