"""Test a trained model on its own task, or on that task changed."""

from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from seq2seq import checks
from seq2seq.build import build, load_model, threads
from seq2seq.module import weight
from seq2seq.runs import Run, by_unit
from seq2seq.schema import ConfigError


def evaluate(run: Run | str | Path, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Test a trained model on its own task, changed by `overrides` such as `task.length=512`.

    A run with classes or data from outside needs `allow=[their package, their folder]` again.

    Returns `test/loss` and what follows from it (`test/nmse`), each before the reference
    predictors' values in the same unit (`reference/zero`, `reference_nmse/zero`).

    Raises:
        ConfigError: there is no such run, or an override changes more than the task.
        ValueError: the run has no readable checkpoint.
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.status == "new":
        raise ConfigError(f"no run in {run.folder}; give the folder that holds config.yaml")
    overrides = checks.texts("overrides", overrides)
    for override in overrides:
        if not override.startswith(("task.", "allow=")) or "=" not in override:
            raise ConfigError(f"only task.<key>=<value> may be changed, got {override}")
    given = OmegaConf.from_dotlist(overrides)
    run = Run(run.folder, given.get("allow", run.allow))
    model = load_model(run)
    cfg = OmegaConf.merge(run.config, given)
    assert isinstance(cfg, DictConfig)
    task, _ = build(cfg, run.folder)
    parameter = next(model.parameters())
    total = count = 0.0
    counts: list[list[float]] = []
    with torch.inference_mode(), threads(cfg.threads):
        for x, y in task.test_dataloader():
            x, y = (part.to(parameter) if part.is_floating_point() else part for part in (x, y))
            output = model(x)
            total += float(task.loss(output, y)) * weight(y)
            count += weight(y)
            counts.append(task.counts(output, y).tolist())
    scores = task.scores([*map(sum, zip(*counts, strict=True))])
    measured = {"loss": total / count} | task.metrics("test", total / count) | scores
    return by_unit({f"test/{key}": value for key, value in measured.items()} | task.references())
