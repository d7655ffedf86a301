"""A sweep from Python."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from seq2seq.processes import importing, serve_parent
from seq2seq.runs import Run, own, score
from seq2seq.schema import one_device


def multirun(overrides: Sequence[str] = (), launcher: str | None = None) -> list[Run]:
    """Train the runs of a sweep as `python train.py -m <overrides>` would, and return them.

    Every job is checked before the first starts, what is complete is not trained again, and a run
    that failed or was stopped says so itself: its `status`. Called from several threads, one
    sweep is run after another.

    Args:
        overrides: as in `["task.k=4,8", "seed=range(3)"]`.
        launcher: "auto" (each in the way that is fastest for it; also what None means where the
            overrides name none), "basic" (one after another), "joblib", "vmap" (those of one shape
            as one tensor program), or another of `hydra/launcher`.

    Raises:
        ConfigError: a job cannot be run; nothing was written.
        KeyboardInterrupt: the user interrupted; the same call goes on from the last checkpoints.
    """
    from seq2seq.training.configure import composing

    with composing(overrides) as arguments:
        # The caller's logging stays as it is: Hydra would close its handlers.
        arguments += ["hydra/job_logging=none"] + [f"hydra/launcher={launcher}"] * bool(launcher)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config("train", arguments, RunMode.MULTIRUN)
        one_device(config, "a run started from Python")
        context = HydraContext(hydra.config_loader, Callbacks(config))
        sweeper: Any = Plugins.instance().instantiate_sweeper(
            hydra_context=context, task_function=run_job, config=config
        )
        return sweeper.sweep(list(config.hydra.overrides.task), shell=False)


def run_job(cfg: DictConfig) -> float | None:
    """One job: the data, the model, the fit, the test; returns the validation error."""
    serve_parent()  # before the imports that take seconds
    with importing():
        from seq2seq.training import run

    return score(run(own(cfg, HydraConfig.get())).result)
