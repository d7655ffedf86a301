"""`hydra/launcher=auto`, the default: each job in the way that is fastest for it."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.seq2seq_vmap_launcher import VmapLauncher


class AutoLauncher(VmapLauncher):
    """Jobs of one shape as one program where that gains, others side by side, a single one here.

    `seq2seq.batched.grouping.divided` says which gain.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `launch`.

        Raises:
            ValueError: there are no workers.
        """
        work: dict[str, Any] = {"hydra_context": hydra_context, "task_function": task_function}
        super().setup(**work, config=config)
        self.basic = BasicLauncher()
        self.basic.setup(**work, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        """Train all jobs; a JobReturn for each."""
        if len(job_overrides) == 1:
            return self.basic.launch(job_overrides, initial_job_idx)
        from seq2seq.batched import launch

        def launch_one(overrides: list[str], number: int) -> JobReturn:
            return self.basic.launch([overrides], number)[0]

        assert self.hydra_context is not None
        jobs = [list(overrides) for overrides in job_overrides]
        compose, context, workers = self.compose, self.hydra_context, self.workers
        return launch(compose, context, jobs, initial_job_idx, workers, launch_one)
