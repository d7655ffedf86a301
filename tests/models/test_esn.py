"""Reservoirs: what is drawn, their formula, and the readout that one step solves for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from seq2seq import load_model, train
from seq2seq.models import ESN
from seq2seq.models.esn import Reservoir
from seq2seq.models.standardized import Standardized
from seq2seq.objective import Ridge
from seq2seq.schema import ConfigError


def reservoir(model: ESN) -> Reservoir:
    first = model.double().layers[0]
    assert isinstance(first, Reservoir)
    return first


def test_it_is_its_formula_and_only_the_readout_is_trained() -> None:
    model = ESN(2, 3, 7, leak=0.3, density=0.6, bias_scale=0.5).double()
    assert {name for name, _ in model.named_parameters()} == {"readout.weight", "readout.bias"}
    own, x = reservoir(model), torch.randn(1, 30, 2, dtype=torch.float64)
    h = np.zeros(7)
    W, V = own.weight.numpy(), own.input.numpy()
    for x_t, found in zip(x[0].numpy(), model.states(x)[0].numpy(), strict=True):
        h = 0.7 * h + 0.3 * np.tanh(W @ h + V @ np.append(x_t, 1))
        np.testing.assert_allclose(found, h, atol=1e-14)


def test_what_is_drawn() -> None:
    torch.manual_seed(0)
    model = ESN(3, 1, 300, radius=0.8, leak=0.5, density=0.2, input_scale=2.0, bias_scale=0.1)
    own = reservoir(model)
    assert np.abs(np.linalg.eigvals(own.weight.numpy())).max() == pytest.approx(0.8, rel=1e-5)
    drawn = own.weight[own.weight != 0]
    assert len(drawn) / 300**2 == pytest.approx(0.2, rel=0.03)
    kurtosis = (drawn**4).mean() / (drawn**2).mean() ** 2
    assert kurtosis == pytest.approx(3, rel=0.1)  # normal
    assert 1.9 < own.input[:, :3].abs().max() <= 2
    assert 0.09 < own.input[:, 3].abs().max() <= 0.1
    (spectrum,) = model.eigenvalues()
    expected = 0.5 + 0.5 * np.linalg.eigvals(own.weight.numpy())
    assert spectrum.abs().max() == pytest.approx(np.abs(expected).max())


def test_small_states_die_out_at_the_rate_of_the_eigenvalues() -> None:
    """The echo state property where tanh(z) = z: ‖h_t‖^{1/t} tends to the spectral radius."""
    model = ESN(1, 1, 20, radius=0.7, density=1.0, bias_scale=0.0).double()
    h = 1e-30 * torch.randn(1, 20, dtype=torch.float64)
    x = torch.zeros(1, 400, 1, dtype=torch.float64)
    _, (last,) = model(x, (h,), return_state=True)
    assert (last.norm() / h.norm()) ** (1 / 400) == pytest.approx(0.7, rel=0.02)


def solve(states: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Ridge regression with a free constant, as least squares of more rows: (n + 1, outputs)."""
    n = states.shape[1]
    rows = np.vstack([np.c_[states, np.ones(len(states))], ridge**0.5 * np.eye(n, n + 1)])
    return np.linalg.lstsq(rows, np.vstack([y, np.zeros((n, y.shape[1]))]))[0]


def last(output: Tensor, y: Tensor) -> Tensor:
    return (output[:, -1:] - y[:, -1:]).square().mean()


def later(output: Tensor, y: Tensor) -> Tensor:
    return (output[:, 5:] - y[:, 5:]).square().mean()


@pytest.mark.parametrize("loss", [torch.nn.functional.mse_loss, last, later])
@pytest.mark.parametrize("standard", [False, True])
def test_one_step_solves_the_regression_on_what_the_loss_counts(loss, standard: bool) -> None:
    model = ESN(2, 3, 6, density=1.0).double()
    x, y = (torch.randn(40, 12, d, dtype=torch.float64) for d in (2, 3))
    whole, mean, deviation = model, torch.tensor([1.0, 0.0, -2.0]), torch.tensor([3.0, 1.0, 0.5])
    if standard:
        whole = Standardized(model, torch.zeros(2), torch.ones(2), mean, deviation)
        y = mean + deviation * y
    optimizer = torch.optim.SGD(whole.parameters(), lr=1.0)
    value = Ridge(0.5)(whole, (x, y), loss)
    assert value.item() == pytest.approx(loss(whole(x), y).item())
    value.backward()
    optimizer.step()
    times = {last: slice(-1, None), later: slice(5, None)}.get(loss, slice(None))
    states, target = model.states(x)[:, times].flatten(0, 1), y[:, times].flatten(0, 1)
    if standard:
        target = (target - mean) / deviation
    expected = solve(states.numpy(), target.numpy(), 0.5)
    np.testing.assert_allclose(model.readout.weight.detach().T, expected[:-1], atol=1e-9)
    np.testing.assert_allclose(model.readout.bias.detach(), expected[-1], atol=1e-9)


class Loss(nn.Module):
    """What a member of many minimises, so that all its tensors can be replaced."""

    def __init__(self, model: ESN) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return Ridge(0.1)(self.model, (x, y), later)


def test_members_are_solved_as_each_is_alone() -> None:
    models = [Loss(ESN(1, 1, 5, density=1.0).double()) for _ in range(3)]
    parameters, buffers = stack_module_state(models)
    x, y = torch.randn(2, 3, 8, 9, 1, dtype=torch.float64)
    together = vmap(lambda p, b, x, y: functional_call(models[0], {**p, **b}, (x, y)))
    slopes = torch.autograd.grad(
        together(parameters, buffers, x, y).sum(), list(parameters.values())
    )
    for m, model in enumerate(models):
        alone = torch.autograd.grad(model(x[m], y[m]), list(model.parameters()))
        torch.testing.assert_close([slope[m] for slope in slopes], list(alone))


SMALL = [
    *("model=esn", "model.hidden_size=60", "model.input_scale=0.1", "task=shift", "task.k=5"),
    *("task/input=white", "task.length=60", "task.train_size=50", "task.batch_size=50"),
    *("task.val_size=8", "task.test_size=8", "objective=ridge", "optimizer=sgd", "optimizer.lr=1"),
    *("gradient_clip_val=null", "logger=none", "callbacks.progress=null", "trainer.max_steps=1"),
    "trainer.accelerator=cpu",
]


def test_one_step_of_a_run_remembers_what_a_reservoir_can(tmp_path: Path) -> None:
    run = train([*SMALL, f"paths.outputs={tmp_path}"])
    assert run.result["status"] == "finished"
    assert run.result["test/nmse"] < 0.02
    assert run.result["state_size"] == 60
    assert [*load_model(run).state_dict()][:2] == ["layers.0.weight", "layers.0.input"]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("model=gru", "objective=ridge needs a model with fixed states, got RNN; choose model=esn"),
        ("task=parity", "objective=ridge needs targets that are numbers, got Parity"),
        ("objective.ridge=0", "objective.ridge must be positive, got ridge=0"),
        ("optimizer=adam", r"ridge needs plain steps .* got Adam with lr=0.001; set optimizer=sgd"),
        ("optimizer=momentum", "got SGD with lr=0.005, momentum=0.9"),
        ("optimizer=sgd", "got gradient_clip_val=1.0; set optimizer=sgd optimizer.lr=1"),
    ],
)
def test_what_it_cannot_solve_is_refused(tmp_path: Path, override: str, complaint: str) -> None:
    given = [one for one in SMALL if one.startswith(("objective=", "logger", "trainer.acc"))]
    group = override.partition("=")[0]
    given += [one for one in ("model=esn", "task=shift") if not one.startswith(group)]
    with pytest.raises(ConfigError, match=complaint):
        train([*given, override, f"paths.outputs={tmp_path}"])
    assert not [*tmp_path.iterdir()]
