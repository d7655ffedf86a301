"""What a job takes of the memory, told from its config before any of it is spent."""

import copy
import functools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import Tensor

from seq2seq import memory, schema
from seq2seq.build import build_model, refusing

#: Layers, sequences and steps up to which a step is tried out; beyond them it is extrapolated.
LAYERS, SEQUENCES, STEPS = (2, 3), (1, 2), (32, 64, 128)


class Footprint(NamedTuple):
    """Bytes: of all data, of parameters and what goes with them, of what a step keeps."""

    data: float
    parameters: float
    step: float


def check_memory(cfg: DictConfig, task: Any) -> None:
    """Refuse a job whose data, parameters or steps cannot fit into the memory that is there.

    Raises:
        ConfigError: names the estimate and the key to lower.
    """
    needed = footprint(cfg, task)
    shape = {k: v for k, v in cfg.task.items() if k not in ("train_size", "val_size", "test_size")}
    sizes = {"data": [("task", cfg.task)], "parameters": [("model", cfg.model)]}
    sizes["step"] = [("task", shape), *sizes["parameters"]]
    total = 0.0
    for name, value in needed._asdict().items():
        total += value
        found = [
            (number, f"{node}.{key}")
            for node, values in sizes[name]
            for key, number in values.items()
            if key != "seed" and isinstance(number, int)
        ]
        number, key = max(found, default=(0, name))
        what = "the step" if name == "step" else f"the {name}"
        memory.fit(f"{what} of this job", total, f"lower {key}={number}")


def footprint(cfg: DictConfig, task: Any) -> Footprint:
    """The estimate for a job and its task, nothing of it being drawn or allocated.

    Data: 4 bytes a number (a token: 8) of all splits, the largest of them counted three times more,
    as what it is worked out from. Parameters: four of each, with the gradient and two moments of an
    optimizer. A step: what its forward pass keeps for the backward one.
    """
    drawn = cfg.task.get("online", False) or not _uses_samples(cfg)
    sizes = task.sizes | ({"train": task.batch_size} if drawn else {})
    tokens = task.vocabulary_size is not None
    sequence = task.length * (16 if tokens else 4 * (task.input_dim + task.output_dim))
    data = sequence * (sum(sizes.values()) + 3 * max(sizes.values()))
    node, layers = copy.deepcopy(cfg.model), cfg.model.get("num_layers", 1)
    batch = task.batch_size if _uses_samples(cfg) else task.input_dim + 1

    def parameters(layers: int) -> float:
        return _parameter_bytes(_deep(node, layers), task)

    @functools.cache
    def kept(layers: int, batch: int, length: int) -> float:
        return _step_bytes(_deep(node, layers), task, batch, length)

    def of_layers(layers: int) -> float:
        return _extended(lambda batch: of_sequences(layers, batch), SEQUENCES, batch)

    def of_sequences(layers: int, batch: int) -> float:
        return _extended(lambda length: kept(layers, batch, length), STEPS, task.length)

    taken = Footprint(data, 4 * _extended(parameters, LAYERS, layers), 0.0)
    if sum(taken) > memory.available():  # nothing of that size is tried out
        return taken
    return taken._replace(step=_extended(of_layers, LAYERS, layers))


def _deep(node: DictConfig, layers: int) -> DictConfig:
    if "num_layers" in node:
        node.num_layers = layers
    return node


def _uses_samples(cfg: DictConfig) -> bool:
    return bool(schema.class_attribute(cfg.objective._target_, "uses_samples", True))


def _extended(function: Callable[[int], float], known: Sequence[int], x: int) -> float:
    """A function of a size beyond `known` ones: the polynomial through them, or a steeper line."""
    if x <= known[-1]:
        return function(x)
    values = [function(size) for size in known]
    if math.inf in values:
        return math.inf

    def through(some: Sequence[int]) -> float:
        return sum(
            values[known.index(a)] * math.prod((x - b) / (a - b) for b in some if b != a)
            for a in some
        )

    return max(through(known), through(known[-2:]))


def _parameter_bytes(node: DictConfig, task: Any) -> float:
    with refusing("model", node), torch.random.fork_rng(devices=[]):
        try:
            task.scaling()  # which may need values: kept before nothing has any
            try:
                with torch.device("meta"):  # where nothing is stored
                    model = build_model(node, task)
            except (NotImplementedError, RuntimeError):  # it asks for values
                model = build_model(node, task)
        except Exception as error:
            if re.search("overflow|allocate memory", str(error)):
                return math.inf
            raise
    return float(sum(one.numel() * one.element_size() for one in model.parameters()))


def _step_bytes(node: DictConfig, task: Any, batch: int, length: int) -> float:
    with refusing("model", node), torch.random.fork_rng(devices=[]):
        model = build_model(node, task)
        if task.vocabulary_size is None:
            x = torch.zeros(batch, length, task.input_dim)
        else:
            x = torch.zeros(batch, length, dtype=torch.int64)
        try:
            kept, output = kept_by(lambda: model(x))
        except RuntimeError as error:
            if "allocate" in str(error):
                return math.inf
            raise
        _check_shape(output, (batch, length, task.vocabulary_size or task.output_dim))
    return float(kept + 2 * output.numel() * output.element_size())


def _check_shape(output: Any, wanted: tuple[int, int, int]) -> None:
    given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if given != wanted:
        raise ValueError(
            f"forward must return (batch, time, output_dim), here {wanted}, got {given}; correct it"
        )


def kept_by(forward: Callable[[], Any]) -> tuple[int, Any]:
    """How many bytes a forward pass keeps for its backward pass, parameters included; its value."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = forward()
    return sum(sizes.values()), value
