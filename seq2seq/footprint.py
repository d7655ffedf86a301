"""What a job takes of the memory, told from its config before any of it is spent."""

import copy
import functools
import math
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
    node = copy.deepcopy(cfg.model)
    layers = node.get("num_layers", 1)
    batch = task.batch_size if _uses_samples(cfg) else task.input_dim + 1

    @functools.cache
    def measured(layers: int, batch: int, length: int) -> tuple[float, float]:
        if "num_layers" in node:
            node.num_layers = layers
        return _measured(node, task, batch, length)

    def parameters(layers: int) -> float:
        return measured(layers, 1, 1)[0]

    def kept(layers: int, batch: int) -> float:
        return _extended(lambda steps: measured(layers, batch, steps)[1], STEPS, task.length)

    numbers = _extended(parameters, LAYERS, layers)
    if 4 * numbers > memory.available():  # a step of such a model is not tried out
        return Footprint(data, 4 * numbers, 0.0)
    step = _extended(
        lambda some: _extended(lambda n: kept(some, n), SEQUENCES, batch), LAYERS, layers
    )
    return Footprint(data, 4 * numbers, step)


def _uses_samples(cfg: DictConfig) -> bool:
    return bool(schema.class_attribute(cfg.objective._target_, "uses_samples", True))


def _extended(function: Callable[[int], float], known: Sequence[int], x: int) -> float:
    """A function of a size beyond `known` ones: the polynomial through them, or a steeper line."""
    if x <= known[-1]:
        return function(x)
    values = [function(size) for size in known]

    def through(some: Sequence[int]) -> float:
        return sum(
            values[known.index(a)] * math.prod((x - b) / (a - b) for b in some if b != a)
            for a in some
        )

    return max(through(known), through(known[-2:]))


def _measured(node: DictConfig, task: Any, batch: int, length: int) -> tuple[float, float]:
    """Bytes of a model's parameters, and of what its forward pass keeps."""
    with refusing("model"):
        try:
            return _on_device("meta", node, task, batch, length)
        except (NotImplementedError, RuntimeError):  # it asks for values, and gets a few
            return _on_device("cpu", node, task, batch, length)


def _on_device(
    device: str, node: DictConfig, task: Any, batch: int, length: int
) -> tuple[float, float]:
    with torch.device(device), torch.random.fork_rng(devices=[]):
        model = build_model(node, task)
        if task.vocabulary_size is None:
            x = torch.zeros(batch, length, task.input_dim)
        else:
            x = torch.zeros(batch, length, dtype=torch.int64)
        kept, output = kept_bytes(lambda: model(x))
    numbers = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return float(numbers), float(kept + 2 * output.numel() * output.element_size())


def kept_bytes(forward: Callable[[], Any]) -> tuple[int, Any]:
    """How many bytes a forward pass keeps for its backward pass, parameters included; its value."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = forward()
    return sum(sizes.values()), value
