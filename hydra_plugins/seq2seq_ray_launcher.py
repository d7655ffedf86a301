"""`hydra/launcher=ray`: the jobs of a sweep on a Ray cluster."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RayLauncher(Launcher):
    """Spreads jobs over the nodes of a cluster; a job that dies with its node starts on another.

    There it goes on from its last checkpoint, so all nodes must see the folder of the runs.

    Args:
        address: of a running cluster; None starts Ray on this machine alone.
        num_cpus, num_gpus: what a worker takes of its node.
        max_retries: how often a job is started again after its process or node died.
        group_size: jobs that a worker runs, in the order of the sweep.
        inner: the launcher it runs them with; None for Hydra's own, one after another.
    """

    def __init__(
        self,
        address: str | None,
        num_cpus: float,
        num_gpus: float,
        max_retries: int,
        group_size: int = 1,
        inner: Launcher | None = None,
    ) -> None:
        self.address = address
        self.options = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_retries": max_retries}
        self.inner = inner or BasicLauncher()
        self.group_size = group_size

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `launch`."""
        self.work = {
            "hydra_context": hydra_context,
            "task_function": task_function,
            "config": config,
        }

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; one whose worker died too often is returned as failed."""
        import ray

        setup_globals()
        ray.init(
            self.address or "local",
            logging_level=logging.WARNING,
            include_dashboard=None if self.address else False,
            object_store_memory=None if self.address else 100_000_000,  # it holds configs only
        )
        try:
            run = ray.remote(run_group).options(scheduling_strategy="SPREAD", **self.options)
            shared = ray.put((os.getcwd(), self.inner, self.work, Singleton.get_state()))
            size = self.group_size
            groups = [job_overrides[i : i + size] for i in range(0, len(job_overrides), size)]
            waiting = [
                run.remote(shared, group, initial_job_idx + number * size)
                for number, group in enumerate(groups)
            ]
            returns: list[JobReturn] = []
            for group, one in zip(groups, waiting, strict=True):
                try:
                    returns += ray.get(one)  # type: ignore[arg-type]
                except ray.exceptions.RayError as error:
                    failure = JobReturn(status=JobStatus.FAILED)
                    failure.return_value = RuntimeError(f"worker died: {error}")
                    returns += [failure] * len(group)
            return returns
        finally:
            ray.shutdown()


def run_group(
    shared: tuple[str, Launcher, dict[str, Any], Any], jobs: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """What a worker does: restore Hydra's state and run the jobs with the inner launcher."""
    folder, inner, work, state = shared
    os.chdir(folder)  # paths.outputs may be relative
    setup_globals()
    Singleton.set_state(state)
    inner.setup(**work)
    return list(inner.launch(jobs, first))
