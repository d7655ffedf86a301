"""Hydra's view of `seq2seq.batched`: `hydra/launcher=vmap`."""

from collections.abc import Sequence
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seq2seq import checks


class VmapLauncher(Launcher):
    """Jobs of one shape as one tensor program.

    Args:
        workers: processes that train side by side; None for one per core.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `launch`.

        Raises:
            ValueError: there are no workers.
        """
        if self.workers is not None:
            checks.integer("hydra.launcher.workers", self.workers)
        from seq2seq.compose import Composer

        self.config = config
        self.hydra_context = hydra_context
        loader: Any = hydra_context.config_loader
        self.compose = loader if isinstance(loader, Composer) else Composer(loader, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        """Train all jobs; a JobReturn for each, as Hydra's own launchers give."""
        from seq2seq.batched import launch

        assert self.hydra_context is not None
        jobs = [list(overrides) for overrides in job_overrides]
        return launch(self.compose, self.hydra_context, jobs, initial_job_idx, self.workers)
