"""`hydra/launcher=submitit_vmap`: a Slurm array of which each task trains a group of runs."""

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.seq2seq_ray_launcher import run_group
from hydra_plugins.seq2seq_vmap_launcher import VmapLauncher
from seq2seq import checks
from seq2seq.runs import Run, own, run_folder


class SubmititVmapLauncher(VmapLauncher):
    """Jobs of one shape as one task of an array, which is queued again when its time is up.

    Args:
        cluster: `slurm`, or `local` for processes of this machine.
        group_size: most jobs of a task.
        folder: where submitit keeps its files, seen by all nodes.
        max_num_timeout: how often a task that has run out of time is queued again.
        parameters: of submitit's executor; those that begin with `slurm_` are for Slurm alone.
        inner: the launcher that runs the jobs of a task.
    """

    def __init__(
        self,
        cluster: str,
        group_size: int,
        folder: str,
        max_num_timeout: int,
        parameters: dict[str, Any],
        inner: Launcher,
    ) -> None:
        super().__init__()
        self.cluster, self.group_size, self.inner = cluster, group_size, inner
        self.folder, self.max_num_timeout, self.parameters = folder, max_num_timeout, parameters

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `launch`.

        Raises:
            ValueError: the cluster is not known, or a group would be empty.
        """
        checks.one_of("hydra.launcher.cluster", self.cluster, ["slurm", "local"])
        checks.integer("hydra.launcher.group_size", self.group_size)
        self.work = {
            "hydra_context": hydra_context,
            "task_function": task_function,
            "config": config,
        }
        super().setup(**self.work)  # type: ignore[arg-type]

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Queue the tasks and wait for them; the jobs of one that died are returned as failed."""
        import cloudpickle  # which submitit needs itself
        import submitit

        from seq2seq.batched import alike

        jobs = [list(overrides) for overrides in job_overrides]
        configs = [self.compose(overrides) for overrides in jobs]
        groups = alike(configs, self.group_size)
        folders = [Run(run_folder(own(cfg))).folder.absolute() for cfg in configs]
        # As bytes, so that a task that is queued again is what it was before it began.
        shared = cloudpickle.dumps((os.getcwd(), self.inner, self.work, Singleton.get_state()))
        executor = submitit.AutoExecutor(
            self.folder, cluster=self.cluster, slurm_max_num_timeout=self.max_num_timeout
        )
        executor.update_parameters(**self.parameters)
        tasks = executor.submit_array(
            [
                GroupTask(shared, [jobs[i] for i in group], [folders[i] for i in group])
                for group in groups
            ]
        )
        returns: dict[int, JobReturn] = {}
        for group, task in zip(groups, tasks, strict=True):
            try:
                returns.update(zip(group, task.result(), strict=True))
            except Exception as error:
                failure = JobReturn(status=JobStatus.FAILED)
                failure.return_value = RuntimeError(f"task {task.job_id} died: {error}")
                returns.update(dict.fromkeys(group, failure))
        return [returns[number] for number in range(len(jobs))]


class GroupTask:
    """What a task of the array does, from wherever it was killed or told to end.

    A signal that asks it to end is passed on to submitit once all runs have a checkpoint: that for
    the end of its time lets it queue the task again. On SIGTERM it just ends: Slurm itself queues a
    task again that had to make room, and who cancels one wants it gone.

    Args:
        shared: what `run_group` wants, pickled.
        jobs: the overrides of each.
        folders: of their runs.
    """

    def __init__(
        self, shared: bytes, jobs: Sequence[Sequence[str]], folders: Sequence[Path]
    ) -> None:
        self.shared, self.jobs, self.folders = shared, jobs, folders

    def __call__(self) -> list[JobReturn]:
        """Train what is missing of the jobs."""
        from seq2seq.training import stopping_workers

        with stopping_workers(self.folders):
            return run_group(pickle.loads(self.shared), self.jobs, 0)

    def checkpoint(self) -> Any:
        """What submitit queues again: the same, which goes on from the checkpoints."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)
