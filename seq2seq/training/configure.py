"""From overrides to a config that can be run."""

import functools
import json
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import torch
from hydra import initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.utils import instantiate
from lightning.pytorch import callbacks as stock
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from seq2seq import checks, schema
from seq2seq.build import build, build_task, refusing
from seq2seq.callbacks import Checkpoints, Generalisation, StopAtTarget
from seq2seq.compose import compose
from seq2seq.errors import nearest
from seq2seq.footprint import check_memory
from seq2seq.module import SequenceModule
from seq2seq.runs import comparable, comparable_values, own, resolved
from seq2seq.schema import ConfigError
from seq2seq.schema.criteria import COMPARISONS
from seq2seq.seeds import generator

#: Held while a thread composes, trains or sweeps, the others wait: Hydra's state, torch's global
#: random numbers and the handlers of signals belong to the whole process.
ALONE = threading.RLock()


@contextmanager
def composing(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Hydra with this project's configs, whatever Hydra the caller is at; gives the overrides.

    Raises:
        ConfigError: they are no list of texts, or what is done within fails.
    """
    with ALONE:
        kinds: tuple[Any, ...] = (ConfigStore, Plugins, SourcesRegistry)
        shared = {kind: kind.instance() for kind in kinds}
        before, Singleton._instances = Singleton._instances, shared
        arguments: list[str] = []
        try:
            arguments = checks.texts("overrides", overrides)
            for flag in (text for text in arguments if text.startswith("-")):
                sweep = "call seq2seq.multirun" if flag in ("-m", "--multirun") else "leave it out"
                raise ConfigError(f"{flag} is a flag, which only the command line takes; {sweep}")
            schema.register(arguments)
            with initialize_config_dir(str(schema.CONFIGS), "train", version_base="1.3"):
                yield arguments
        except Exception as error:
            raise ConfigError(schema.explain(error, arguments)) from None
        finally:
            Singleton._instances = before


def configure(overrides: Sequence[str] = ()) -> DictConfig:
    """The config of the run that `python train.py <overrides>` would train.

    Raises:
        ConfigError: the overrides do not make a config that can be run.
    """
    with composing(overrides) as arguments:
        cfg = compose(arguments)
        schema.check_folders(cfg.hydra)
    cfg = own(cfg)
    try:
        check(cfg)
    except Exception as error:
        raise ConfigError(schema.explain(error, overrides)) from None
    return cfg


def check(cfg: DictConfig) -> None:
    """Refuse a config that cannot be run: keys and types, then the constructors' own rules.

    Raises:
        ConfigError: with one line that names the key, the value and the remedy.
    """
    task = build_task(cfg)
    check_memory(cfg, task)
    _, module = build(cfg, task=task)
    if not any(parameter.requires_grad for parameter in module.model.parameters()):
        raise ConfigError(
            f"model={cfg.model._target_} has no parameters to train; give it some, as nn.Parameter"
        )
    if getattr(module.objective, "horizon", "") == "last" and not task.asks_at_end:
        raise ConfigError(
            "objective.horizon=last needs a task that asks for an answer at the last step of every "
            f"sequence, which {type(task).__name__} does not; set objective.horizon=average"
        )
    if getattr(module.objective, "takes_whole_steps", False):
        _check_whole_steps(cfg)
    _check_parts_from_elsewhere(cfg, task, module.model)
    schema.check_training(cfg)
    shared = ("trainer", "callbacks", "logger")
    plain = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in shared}
    trainer, callbacks = _shared(json.dumps(plain))
    _check_course(cfg, module)
    _check_callbacks(callbacks, task)
    if cfg.get("refuted_if"):
        _check_criteria(resolved(cfg), callbacks, task)
    if trainer.precision != "32-true":
        _check_precision(trainer, str(cfg.trainer.precision), task, module)
    with refusing("task"):
        task.share(trainer.world_size)
        if module.restarts is not None:
            module.restarts(0)


#: Steps of the sequences on which a model shows that it is causal, at most.
FEW_STEPS = 256

#: Callbacks that need Lightning's automatic optimisation.
AUTOMATIC = (
    stock.BatchSizeFinder,
    stock.GradientAccumulationScheduler,
    stock.LearningRateFinder,
    stock.StochasticWeightAveraging,
)


@functools.lru_cache(maxsize=64)
def _shared(nodes: str) -> tuple[lightning.Trainer, dict[str, lightning.Callback]]:
    """The trainer and the callbacks, built once for all jobs of a sweep that share them."""
    cfg = OmegaConf.create(json.loads(nodes))
    callbacks = {}
    for name in _chosen(cfg.callbacks):
        with refusing(f"callbacks.{name}", cfg.callbacks[name]):
            callbacks[name] = instantiate(cfg.callbacks[name])
            if isinstance(callbacks[name], AUTOMATIC):
                raise ValueError("it needs Lightning's own optimisation steps, which no run takes")
    with quiet(), refusing("trainer", cfg.trainer):
        trainer = instantiate(cfg.trainer, logger=False, callbacks=[*callbacks.values()])
    cores = os.cpu_count() or 1
    launcher = trainer.strategy.launcher
    if launcher is not None and not isinstance(launcher, _MultiProcessingLauncher):
        raise ConfigError(
            f"trainer.devices={cfg.trainer.devices} and trainer.strategy={cfg.trainer.strategy} "
            "start the whole command again for each device; set trainer=ddp, or trainer.devices=1"
        )
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > cores:
        checks.refuse("trainer.devices", trainer.num_devices, f"be at most the {cores} cores", 1)
    max_time = cfg.trainer.get("max_time")
    if max_time is not None:
        checks.positive(
            "trainer.max_time", stock.Timer(max_time).time_remaining() or 0, "00:01:00:00"
        )
        if trainer.world_size > 1:
            raise ConfigError("trainer.max_time is for one device; set trainer.devices=1")
    if not any(isinstance(callback, Checkpoints) for callback in callbacks.values()):
        raise ConfigError(
            "callbacks.checkpoints must not be null, as it also writes the history of a run; "
            "raise callbacks.checkpoints.every_n_steps for fewer"
        )
    for name in _chosen(cfg.logger):
        with refusing(f"logger.{name}"), TemporaryDirectory() as folder:
            _check_logger(f"logger.{name}", cfg.logger[name], Path(folder))
    return trainer, callbacks


def _check_logger(key: str, node: DictConfig, folder: Path) -> None:
    """Build a logger of a run in `folder`, which writes nothing yet and may write nowhere else."""
    # MLflow 3 keeps runs in files only where it is told so; a store of one file is no place for
    # processes on several machines.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    checks.integer(f"{key}.flush_logs_every_n_steps", node.get("flush_logs_every_n_steps", 1))
    logger = instantiate(node, save_dir=str(folder))
    place = Path(getattr(logger, "log_dir", None) or folder)
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{key}.name and {key}.version must lead to a place in the run's folder, got "
            f"{node.get('name')!r} and {node.get('version')!r}; leave them out"
        )


def _check_course(cfg: DictConfig, module: SequenceModule) -> None:
    """Let the optimizer take a step, and the scheduler the first and the last of the run."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    with refusing("optimizer", cfg.optimizer):
        optimizer = module.optimizer([weight])
        optimizer.step()
    if module.scheduler is None:
        return
    with refusing("scheduler", cfg.scheduler):
        scheduler: Any = module.scheduler(optimizer)
        for step in (0, cfg.trainer.max_steps - 1):
            optimizer.step()
            scheduler.last_epoch = step
            scheduler.step(*[1.0] if isinstance(scheduler, ReduceLROnPlateau) else [])
            if not math.isfinite(rate := optimizer.param_groups[0]["lr"]):
                raise ValueError(f"the learning rate must stay finite, but becomes {rate}")


def _check_callbacks(callbacks: Mapping[str, lightning.Callback], task: Any) -> None:
    """Refuse names of metrics and reference predictors that the task does not have.

    What a callback's own `check` refuses of the task is refused, too.
    """
    known = {
        "monitor": [f"val/{name}" for name in task.metric_names],
        "reference": task.reference_names,
    }
    for key, callback in callbacks.items():
        for name, names in known.items():
            value = getattr(callback, name, None)
            if isinstance(value, str):
                checks.one_of(f"callbacks.{key}.{name}", value, names)
        if isinstance(callback, StopAtTarget | Generalisation):
            with refusing(f"callbacks.{key}"):
                callback.check(task)


def _check_criteria(
    nodes: Mapping[str, Any], callbacks: Mapping[str, lightning.Callback], task: Any
) -> None:
    """Refuse metrics that neither the task has nor a callback tests.

    A criterion that selects other runs, as of another task, is left to these.
    """
    known = [f"{stage}/{name}" for stage in ("test", "val") for name in task.metric_names]
    for callback in callbacks.values():
        if isinstance(callback, Generalisation):
            known += callback.names(task.metric_names)
    stages, values = {name.partition("/")[0] for name in known}, comparable_values(nodes)
    for index, condition in enumerate(nodes.get("refuted_if") or ()):
        for key, wanted in (condition.get("where") or {}).items():
            names = map(comparable, wanted if isinstance(wanted, list) else [wanted])
            if key in values and values[key].isdisjoint(names):
                break
        else:
            for part in ("quantity", *COMPARISONS):
                name = str(condition.get(part))
                if "/" in name and name.partition("/")[0] in stages and name not in known:
                    raise ConfigError(
                        f"refuted_if[{index}].{part} is {name}, which these runs do not have"
                        f"{nearest(name, known)}"
                    )


def _check_parts_from_elsewhere(cfg: DictConfig, task: Any, model: torch.nn.Module) -> None:
    """Let a task and a model that the project's tests do not know show what they do, on two pairs.

    A task that draws none fails by itself.
    """
    task_is, model_is = (not node._target_.startswith("seq2seq.") for node in (cfg.task, cfg.model))
    pairs = _two_pairs(task) if task_is or model_is else None
    if task_is:
        _check_seed(cfg.task)
        _check_pairs(task, pairs)
    if model_is and pairs:
        _check_causality(cfg.model, model, pairs[0][:, :FEW_STEPS], task.vocabulary_size)


def _check_seed(node: DictConfig) -> None:
    if "seed" not in node and any(one.name == "seed" for one in schema.signature(node._target_)):
        raise ConfigError(
            "task.seed is not set, so that all seeds would have the same data; add to the task's "
            "YAML seed: ${seed}, or list <its name>_schema in its defaults"
        )


def _check_pairs(task: Any, pairs: tuple[Tensor, Tensor] | None) -> None:
    """Let a task look at two of its pairs, and draw them again."""
    name = type(task).__name__
    if task.lacks_targets:
        raise ConfigError(f"task: {name} has no targets; define targets(self, x), which answers x")
    task.release()
    again = _two_pairs(task)
    if pairs is None or again is None:
        return
    with refusing("task"):
        task.check_pairs(*pairs)
    if not all(map(torch.equal, pairs, again)):
        raise ConfigError(
            f"task: {name} draws other pairs each time, so that no run could be repeated; draw "
            "from the generator that sample gets, and nothing in targets"
        )


def _two_pairs(task: Any) -> tuple[Tensor, Tensor] | None:
    """Two pairs of a task from elsewhere, where it draws any."""
    try:
        return example(task, 2)
    except Exception:
        return None


def _check_causality(
    node: DictConfig, model: torch.nn.Module, x: Tensor, vocabulary_size: int | None
) -> None:
    """Let a model from elsewhere show that it looks neither ahead nor at other sequences.

    Args:
        node: its config.
        model: what it is.
        x: two inputs, (2, time, channels), or tokens (2, time).
        vocabulary_size: of tokens.
    """
    x = torch.cat([x, x])[:2]
    half, changed = x.shape[1] // 2, x.clone()
    if vocabulary_size is None:
        changed[0, half:] += 1 + x.abs().max()
    else:
        changed[0, half:] = (x[0, half:] + 1) % vocabulary_size
    was_training = model.training
    with refusing("model", node), torch.no_grad(), torch.random.fork_rng(devices=[]):
        model.eval()
        answers, again, others = model(x), model(x), model(changed)
        model.train(was_training)
    if not answers.isfinite().all():
        raise ConfigError(f"model={node._target_} answers finite inputs by NaN; correct it")
    near = 1e-4 * float(torch.maximum(answers.abs(), others.abs()).max()) + 1e-7
    if not torch.allclose(answers, again, rtol=0, atol=near):
        return  # its answers are drawn, and tell nothing
    apart = (answers - others).abs() > near
    if apart[0, :half].any():
        raise ConfigError(
            f"model={node._target_} answers with inputs that come later, as a bidirectional layer "
            "or a mean over all steps does; let the output at a step depend on inputs up to it"
        )
    if apart[1].any():
        raise ConfigError(
            f"model={node._target_} answers a sequence with others of its batch; its layers must "
            "take (batch, time, channels), as recurrent ones of torch do with batch_first=True"
        )


def _check_whole_steps(cfg: DictConfig) -> None:
    """Of an objective whose gradient is the way to its minimum."""
    given = cfg.optimizer
    bent = [key for key in ("momentum", "weight_decay") if given.get(key)]
    if given._target_ == "torch.optim.SGD" and not bent and given.lr <= 1:
        if cfg.gradient_clip_val is None:
            return
        found = f"gradient_clip_val={cfg.gradient_clip_val}"
    else:
        found = f"{given._target_.rpartition('.')[2]} with lr={given.lr}" + "".join(
            f", {key}={given[key]}" for key in bent
        )
    raise ConfigError(
        f"objective=ridge needs plain steps along its gradient, of size 1 at most, got {found}; "
        "set optimizer=sgd optimizer.lr=1 gradient_clip_val=null trainer.max_steps=1"
    )


def _check_precision(
    trainer: lightning.Trainer, precision: str, task: Any, module: SequenceModule
) -> None:
    """Take a step on two sequences in the trainer's precision, on its device."""
    plugin, device = trainer.precision_plugin, trainer.strategy.root_device
    if trainer.precision != precision:  # Lightning takes another, where a device has it not
        raise ConfigError(
            f"trainer.precision={precision} is none of {device.type}; set "
            f"trainer.precision={trainer.precision}"
        )
    try:
        plugin.convert_module(module.to(device))
        batch = plugin.convert_input(tuple(part.to(device) for part in example(task, 2)))
        with plugin.forward_context():
            loss = module.objective(module.model, batch, module.loss)
        loss.backward()
        module.optimizer([p for p in module.parameters() if p.requires_grad]).step()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"trainer.precision={trainer.precision} cannot train this on {device.type}: {reason}; "
            "set trainer.precision=32-true"
        ) from None


def example(task: Any, n: int) -> tuple[Tensor, Tensor]:
    """A few pairs, without drawing the task's data where it can do so."""
    try:
        x, y = task.sample(n, generator(0, "example"))
    except ValueError:
        x, y = (part[:n] for part in task.split("val"))
    return x, y


def _chosen(group: DictConfig) -> list[str]:
    """The names in a group of several that are not null."""
    return [str(name) for name, node in group.items() if node is not None]


def build_callbacks(cfg: DictConfig) -> list[lightning.Callback]:
    return [instantiate(cfg.callbacks[name]) for name in _chosen(cfg.callbacks)]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's notices and tips out of the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
            warnings.filterwarnings("ignore", message=r".*No `val_dataloader`.*")
            # `_check_precision` refuses it.
            warnings.filterwarnings("ignore", message=r".*AMP with fp16 is not supported on CPU.*")
            yield
    finally:
        logger.setLevel(level)
