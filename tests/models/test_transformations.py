"""What else PyTorch does with a model: copies, compilation, export; every registered model."""

import copy
import functools

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.export import Dim, export

from seq2seq import schema
from seq2seq.training import configure

MODELS = schema.choices()["model"]
#: As docs/extending.md says.
MATRIX_STATES = ("linear_attention", "retnet", "gla", "mamba2", "mlstm")
DELTA_RULES = ("deltanet", "gated_deltanet", "deltaproduct")
GATED = ("mamba", "mingru", "minlstm", "rg_lru", "slstm")
OTHERS = ("diagonal_rnn", "lru", "lru_smooth", "s5", "linoss", "orthogonal_rnn")
NOT_COMPILED = (*OTHERS, *MATRIX_STATES, *DELTA_RULES, *GATED)
ANY_LENGTH = "transformer"
D, LENGTH = 2, 12


@functools.cache
def config(name: str) -> DictConfig:
    return configure([f"model={name}", "task.length=16"]).model


def build(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return instantiate(config(name), input_dim=D, output_dim=D).eval()


def inputs(length: int = LENGTH) -> Tensor:
    return torch.randn(2, length, D, generator=torch.Generator().manual_seed(0))


#: Large ones, of classes that smaller ones stand for, and loops over time take long to be traced.
LONG = {"tcn_7x10", "tcn_7x30", "transformer_5x32", "lstm_256", "cornn", "esn", "hyena"}
COMPILED = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in LONG))
    for name in MODELS
    if name not in NOT_COMPILED
]


@pytest.mark.parametrize("name", MODELS)
def test_copies_are_equal_and_independent(name):
    model, x = build(name), inputs()
    model(x).square().sum().backward()
    other = copy.deepcopy(model)
    before = model(x)
    assert torch.equal(other(x), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 1
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_models_give_the_same_outputs_and_gradients(name):
    model, other, x = build(name), build(name), inputs()
    torch._dynamo.reset()
    compiled = torch.compile(other, backend="eager")
    outputs = compiled(x), model(x)
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for one, two in zip(other.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


@pytest.mark.filterwarnings("ignore:.*assigned during export")
@pytest.mark.parametrize("name", COMPILED)
def test_exported_models_give_the_same_outputs(name):
    """Those with `ANY_LENGTH` for all lengths, the others for the length that they were given."""
    model = build(name)
    free = name.startswith(ANY_LENGTH)
    time = {1: Dim("time", min=4, max=64)} if free else {}
    exported = export(model, (inputs(),), dynamic_shapes=(time,)).module()
    for length in (LENGTH, 40) if free else (LENGTH,):
        torch.testing.assert_close(exported(inputs(length)), model(inputs(length)))
