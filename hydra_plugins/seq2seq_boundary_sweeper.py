"""`hydra/sweeper=boundary`: runs where success begins to fail, in place of a whole grid."""

from hydra.core.override_parser.types import Override

from hydra_plugins.seq2seq_sweeper import RunSweeper
from seq2seq.runs import Run


class BoundarySweeper(RunSweeper):
    """Spends runs near the contour on which half of them succeed, round by round.

    Args:
        params: the grid, as of any sweep; `seed` among it.
        memory: the key that success falls with, such as `task.k`.
        size: the key that success rises with, such as `model.hidden_size`.
        n_runs: most runs in all; None for a third of the grid.
        per_round: runs that are chosen and launched at once.
        half_width: half of the contour's 95% interval, the mean over the sizes in the unit of the
            memory, at which it ends before `n_runs`; None to spend them all.
        as_json: print the runs as JSON in place of a table.
    """

    def __init__(
        self,
        params: dict[str, str] | None = None,
        memory: str | None = None,
        size: str | None = None,
        n_runs: int | None = None,
        per_round: int = 64,
        half_width: float | None = None,
        as_json: bool = False,
    ) -> None:
        super().__init__(params, as_json)
        self.axes = memory, size
        self.options = n_runs, per_round, half_width

    def _run(self, overrides: list[Override], shell: bool) -> tuple[list[Run], int]:
        from seq2seq.sweep.boundary import Boundary

        boundary = Boundary(self.config, overrides, self._compose.plain, self._launch, *self.axes)
        return boundary.run(*self.options, shell, self.as_json)
