"""From a config to the task and the module, and from a run's folder to its trained model."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from seq2seq import schema
from seq2seq.models.standardized import Standardized
from seq2seq.models.token import TokenModel
from seq2seq.module import SequenceModule
from seq2seq.runs import Run, load_checkpoint, load_weights
from seq2seq.runs.start import CONSTRUCTION, source, weights
from seq2seq.schema import ConfigError
from seq2seq.seeds import stream_seed


def build_task(cfg: DictConfig, folder: Path | None = None) -> Any:
    """The task alone, with what it has stored in `folder`; see `build`."""
    schema.check(cfg)
    with refusing("task"):
        task = instantiate(cfg.task)
        if folder is not None:
            task.restore(folder)
    return task


def build_model(node: DictConfig, task: Any) -> nn.Module:
    """The model of a config's node for a task, around it what turns tokens into channels."""
    with refusing("task"):
        input_dim, output_dim = task.model_dims(node.get("hidden_size"))
    built = instantiate(node, input_dim=input_dim, output_dim=output_dim)
    if not isinstance(built, nn.Module):
        raise ConfigError(
            f"model._target_={node._target_} is no torch.nn.Module; derive the class from it"
        )
    model: Any = built
    if not hasattr(model, "input_dim"):  # any module may stand here; ours know their channels
        model.input_dim, model.output_dim = input_dim, output_dim
    if task.vocabulary_size is not None:
        return TokenModel(model, task.vocabulary_size, task.tied)
    scaling = task.scaling()
    return model if scaling is None else Standardized(model, *scaling)


def build(
    cfg: DictConfig, folder: Path | None = None, task: Any = None
) -> tuple[Any, SequenceModule]:
    """The task (as given, or built) and the module with its freshly initialised model.

    No data are drawn.

    The parameters come from their own stream of `seed`, whatever else has drawn before, or, without
    a `folder`, from what `init_from` names. A model of text needs the size of its
    vocabulary: what the task has stored in `folder`, that of a run, or else that of the corpus,
    which is read for it.

    Raises:
        ConfigError: a constructor refused its arguments, or the weights of that run do not fit.
    """
    task = task or build_task(cfg, folder)
    with refusing("model", cfg.model), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(cfg.seed, "initialisation"))
        model = build_model(cfg.model, task)
    if folder is None and cfg.get("init_from"):
        _start(model, cfg, task)
    task.contiguous = task.reads_on and getattr(model, "carries_state", False) is True
    with refusing("objective"):
        objective = instantiate(cfg.objective)
        if hasattr(objective, "bind"):
            objective.bind(model, task)
        if not objective.uses_samples:
            task.uses_samples = False
    module = SequenceModule(
        model,
        objective,
        task.loss,
        task.metrics,
        instantiate(cfg.optimizer, _convert_="all"),
        instantiate(cfg.scheduler, _convert_="all") if cfg.get("scheduler") is not None else None,
        gradient_clip_val=cfg.gradient_clip_val,
        seed=cfg.seed,
        restarts=task.restarts if task.contiguous else None,
        counts=task.counts,
        scores=task.scores,
        ignorance=task.ignorance,
    )
    return task, module


def _start(model: nn.Module, cfg: DictConfig, task: Any) -> None:
    """Take over the weights of the run that `init_from` names, or those set by hand."""
    if cfg.init_from == CONSTRUCTION:
        from seq2seq.models.constructions import NoConstruction, construct

        try:
            construct(model, task.machine)
        except NoConstruction as error:
            raise ConfigError(f"init_from={CONSTRUCTION}: {error}; or leave it out") from None
        return
    found = source(str(cfg.init_from), cfg.paths.outputs)
    try:
        _fill(model, weights(found), found.folder)
    except ValueError as error:
        raise ConfigError(
            f"init_from={cfg.init_from}: {error}; name a run of the same model, on a task of the "
            "same channels or symbols"
        ) from None


@contextmanager
def refusing(key: str, node: Any = None) -> Iterator[None]:
    """Turn what a constructor says of its arguments into one line that names the config node.

    A class from elsewhere does not know its keys: those of `node` that it may mean are named too.
    """
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if error.__cause__ is not None else error
        text = str(cause)
        if isinstance(cause, TypeError):
            text += "; give values of the kinds that its constructor names"
        if node is not None and f"{key}." not in text and (given := _given(key, node, text)):
            text += f"; look at {', '.join(given)}"
        text = " ".join(text.split())
        raise ConfigError(text if text.startswith(f"{key}.") else f"{key}: {text}") from None


def _given(key: str, node: Any, text: str) -> list[str]:
    """The given values that a text names, or else quotes, or else all of them."""
    usual = {p.name: p.default for p in schema.signature(node._target_)}
    given = [name for name in usual if name in node and node[name] != usual[name]]
    words = set(re.findall(r"[\w.]+", text))
    named = [name for name in given if name in words]
    quoted = [
        name for name in given if not isinstance(node[name], bool) and str(node[name]) in words
    ]
    return [f"{key}.{name}={node[name]}" for name in named or quoted or given]


def load_model(run: Run | str | Path) -> nn.Module:
    """The trained model of a run, in evaluation mode, built from its config and last checkpoint.

    Raises:
        ValueError: the run has no readable checkpoint, or one of another model.
        ConfigError: its config names a class that the project does not register.
    """
    run = run if isinstance(run, Run) else Run(run)
    _, module = build(run.config, run.folder)
    if run.weights.exists():
        _fill(module.model, load_weights(run.weights), run.weights)
        return module.model.eval()
    errors = []
    for path in run.checkpoints:
        try:
            _fill(module, load_checkpoint(path)["state_dict"], path)
        except ValueError as error:
            errors.append(str(error))
            continue
        return module.model.eval()
    raise ValueError(errors[0] if errors else f"no checkpoint in {run.folder}; train it first")


def _fill(module: nn.Module, parameters: dict[str, Any], path: Path) -> None:
    given, wanted = _shapes(parameters), _shapes(module.state_dict())
    for name in (*wanted, *given):
        if given.get(name) != wanted.get(name):
            raise ValueError(
                f"{path} does not fit the model of its config: {name} has the shape "
                f"{given.get(name)} there, where {wanted.get(name)} is wanted"
            )
    module.load_state_dict(parameters)


def _shapes(parameters: Mapping[str, Any]) -> dict[str, tuple[int, ...] | str]:
    """By their names; of what is no tensor, its kind."""
    return {
        name: tuple(one.shape) if isinstance(one, torch.Tensor) else type(one).__name__
        for name, one in parameters.items()
    }


@contextmanager
def threads(number: int) -> Iterator[None]:
    """The last bit of a gradient depends on the number of threads, so it belongs to the run."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
