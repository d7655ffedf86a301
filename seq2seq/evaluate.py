"""Test a trained model on its own task, or on that task changed, once or over a grid of changes."""

import itertools
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from torch import nn

from seq2seq import checks
from seq2seq.build import build_task, load_model, refusing, threads
from seq2seq.module import weight
from seq2seq.runs import Run, by_unit, flatten
from seq2seq.schema import ConfigError


class Evaluation(NamedTuple):
    """What a model achieves on a task.

    Attributes:
        setting: what was changed of the task, by `task.<key>`; only what takes several values.
        measured: as from `evaluate`.
        chance: the accuracy that counts as none; None where a task has no accuracy.
    """

    setting: dict[str, Any]
    measured: dict[str, float]
    chance: float | None


def evaluate(run: Run | str | Path, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Test a trained model on its own task, changed by `overrides` such as `task.length=512`.

    A run with classes or data from outside needs `allow=[their package, their folder]` again.

    Returns `test/loss` and what follows from it (`test/nmse`), each before the reference
    predictors' values in the same unit (`reference/zero`, `reference_nmse/zero`).

    Raises:
        ConfigError: there is no such run, or an override changes more than the task, or takes
            several values.
        ValueError: the run has no readable checkpoint.
    """
    found = evaluations(run, overrides)
    if len(found) > 1:
        raise ConfigError(
            f"evaluate takes one value of each key, got {len(found)} settings; call evaluations"
        )
    return found[0].measured


def evaluations(
    run: Run | str | Path, overrides: Sequence[str] = (), progress: bool = False
) -> list[Evaluation]:
    """Test a trained model once for each combination of the values that `overrides` list.

    Values are listed as in a sweep, `task.length=10,20` and `task.length=range(10,50,10)`. With
    `progress` several of them draw a bar where stderr is a terminal.

    Raises:
        ConfigError, ValueError: as for `evaluate`; nothing has been tested then.
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.status == "new":
        raise ConfigError(f"no run in {run.folder}; give the folder that holds config.yaml")
    jobs = [OmegaConf.from_dotlist(job) for job in combinations(overrides)]
    run = Run(run.folder, jobs[0].get("allow", run.allow))
    model, config = load_model(run), run.config
    told = run.plain_config["task"].get("path")
    own = [config.task.path for job in jobs if told and "path" not in (job.get("task") or {})]
    if not all(Path(path).exists() for path in own):
        raise ConfigError(
            f"task.path={told} lies outside the run's folder; give task.path=<file> to test it on, "
            f"or if you trust the run, add allow=[{Path(told).absolute()}]"
        )
    tasks = [build_task(_changed(config, job), run.folder) for job in jobs]
    if overrides:
        trained = build_task(config, run.folder)
        with refusing("task"):
            for task in tasks:
                task.admit(trained)
    found = []
    pairs = [*zip(settings(overrides), tasks, strict=True)]
    drawn = progress and len(pairs) > 1 and sys.stderr.isatty()
    console = Console(stderr=True)
    with torch.inference_mode(), threads(config.threads):
        for setting, task in track(pairs, "", disable=not drawn, transient=True, console=console):
            measured = by_unit(measure(model, task, "test") | task.references())
            unseen = task.unseen("test") if overrides and hasattr(task, "unseen") else 0.0
            if unseen:
                warnings.warn(f"not seen in training: {unseen:.2%} of the tokens", stacklevel=2)
            found.append(Evaluation(setting, measured, getattr(task, "chance", None)))
            task.release()
    return found


def settings(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Of each combination of values those of the keys that take several, by `task.<key>`.

    Raises:
        ConfigError: as `combinations` does.
    """
    told = [dict(flatten(_plain(OmegaConf.from_dotlist(job)))) for job in combinations(overrides)]
    varied = [key for key in told[0] if len({str(one[key]) for one in told}) > 1]
    return [{key: one[key] for key in varied} for one in told]


def combinations(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of each combination of values, one of each; what is listed twice counts once.

    Raises:
        ConfigError: one changes more than the task, or lists no value.
    """
    listed = []
    for override in checks.texts("overrides", overrides):
        if not override.startswith(("task.", "allow=")) or "=" not in override:
            raise ConfigError(f"only task.<key>=<value> may be changed, got {override}")
        try:
            parsed = OverridesParser.create().parse_override(override)
        except Exception:  # a value that Hydra would want quoted, such as a path with a sign
            listed.append([override])
            continue
        several = parsed.is_choice_sweep() or parsed.is_range_sweep()
        values = dict.fromkeys(parsed.sweep_string_iterator() if several else ())
        key = override.partition("=")[0]
        if several and not values:
            raise ConfigError(
                f"{override} has no values; a range is range(first,end,step), as "
                f"{key}=range(10,50,10)"
            )
        listed.append([f"{key}={value}" for value in values] if several else [override])
    return map(list, itertools.product(*listed))


def measure(model: nn.Module, task: Any, split: str) -> dict[str, float]:
    """What a model achieves on the `val` or `test` split of a task."""
    parameter = next(model.parameters())
    total = count = 0.0
    counts: list[list[float]] = []
    for x, y in getattr(task, f"{split}_dataloader")():
        x, y = (part.to(parameter) if part.is_floating_point() else part for part in (x, y))
        output = model(x)
        total += float(task.loss(output, y)) * weight(y)
        count += weight(y)
        counts.append(task.counts(output, y).tolist())
    scores = task.scores([*map(sum, zip(*counts, strict=True))])
    measured = {"loss": total / count} | task.metrics(split, total / count) | scores
    return {f"{split}/{key}": value for key, value in measured.items()}


def _changed(config: DictConfig, job: DictConfig) -> DictConfig:
    # what training began with may not lie below a smaller value, and no test depends on it
    without = {"task": {"curriculum": None}} if config.task.get("curriculum") else {}
    merged = OmegaConf.merge(config, without, job)
    assert isinstance(merged, DictConfig)
    return merged


def _plain(job: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(job)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
