"""`hydra/sweeper=optuna`: search for the hyperparameters with the lowest validation error."""

from hydra.core.override_parser.types import Override

from hydra_plugins.seq2seq_sweeper import RunSweeper
from seq2seq.runs import Run


class OptunaSweeper(RunSweeper):
    """Lets Optuna's TPE choose each run's values, and ends runs that fall behind.

    Args:
        params: what is searched and where, in Hydra's terms: `choice(16, 32)`, `range(1, 5)`,
            `interval(0.1, 0.5)`, `int(interval(8, 64))` for whole numbers, and a `tag(log, ...)`
            around an interval for a logarithmic scale.
        n_trials: runs in all; a study that was stopped goes on to this number.
        parallel: runs given to the launcher at once, for one that runs them side by side.
        startup_trials: runs with random values before the search, and before any is ended early.
        prune_after: steps before a run may be ended, when its `val/nmse` is worse than the median
            of earlier runs at that step; None lets every run go to its end.
        as_json: print the trials as JSON in place of a table.
    """

    def __init__(
        self,
        params: dict[str, str] | None = None,
        n_trials: int = 30,
        parallel: int = 1,
        startup_trials: int = 8,
        prune_after: int | None = 0,
        as_json: bool = False,
    ) -> None:
        super().__init__(params, as_json)
        self.options = n_trials, parallel, startup_trials, prune_after

    def _run(self, overrides: list[Override], shell: bool) -> tuple[list[Run], int]:
        from seq2seq.sweep.search import Search

        search = Search(self.config, overrides, self._compose, self._launch)
        return search.run(*self.options, self.as_json)
