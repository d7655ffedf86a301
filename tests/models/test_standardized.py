"""Models in standard units: what goes in and comes out is in those of the data."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from seq2seq.batched import train_all
from seq2seq.build import load_model
from seq2seq.evaluate import evaluate
from seq2seq.models import RNN, TCN
from seq2seq.models.standardized import Standardized
from seq2seq.runs import Run, identity
from seq2seq.tasks import Arrays
from seq2seq.training import configure, run

X_UNITS = (torch.tensor([2e3, -0.5]), torch.tensor([10.0, 1e-3]))
Y_UNITS = (torch.tensor([1.0, 0.0]), torch.tensor([1e2, 1e-2]))


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def standardized(model):
    return Standardized(model, *X_UNITS, *Y_UNITS).double()


def in_units(part, units):
    return part * units[1].double() + units[0].double()


def test_it_learns_as_in_standard_units():
    x, y = random(2, 4, 9, 2)
    with torch.random.fork_rng():
        inner = TCN(2, 2, 5, 2).double()
    outer = standardized(copy.deepcopy(inner))
    answer = inner(x)
    mse_loss(answer, y).backward()
    torch.testing.assert_close(outer(in_units(x, X_UNITS)), in_units(answer, Y_UNITS))
    mse_loss(outer(in_units(x, X_UNITS)), in_units(y, Y_UNITS)).backward()
    for own, other in zip(inner.parameters(), outer.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_in_evaluation_mode_gradients_are_those_of_the_outputs():
    x, outer = in_units(random(1, 5, 2), X_UNITS), standardized(RNN(2, 2, hidden_size=3)).eval()
    assert torch.autograd.gradcheck(lambda z: outer(x + z), random(1, 5, 2).requires_grad_() / 1e3)


@pytest.mark.parametrize("inner", [RNN(2, 2, "lstm", 4), TCN(2, 2, 4, 2)])
def test_steps_equal_the_parallel_pass(inner):
    outer, x = standardized(inner).eval(), in_units(random(3, 8, 2), X_UNITS)
    state, outputs = outer.initial_state(3, torch.device("cpu"), torch.float64), []
    for x_t in x.unbind(1):
        y_t, state = outer.step(x_t, state)
        outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs, 1), outer(x))
    assert outer.receptive_field == inner.receptive_field
    assert outer.state_size == inner.state_size


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """y_t = x_{t−1}, in units that no network learns in."""
    x = np.random.default_rng(0).standard_normal((200, 8, 1))
    y = np.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    path = tmp_path_factory.mktemp("data") / "pairs.npz"
    np.savez(path, x=1e4 + 1e3 * x, y=1e-6 + 1e-6 * y)
    return path


def config(pairs, folder, *overrides):
    return configure(
        [
            "task=arrays",
            f"task.path={pairs}",
            "task.standardize=true",
            "task.batch_size=32",
            "model=rnn",
            "model.hidden_size=8",
            "optimizer.lr=0.01",
            "trainer=cpu",
            "trainer.max_steps=100",
            "logger=none",
            "callbacks.figures=null",
            "callbacks.progress=null",
            f"paths.outputs={folder}",
            *overrides,
        ]
    )


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory):
    return run(config(pairs, tmp_path_factory.mktemp("runs")))


def test_results_are_in_the_units_of_the_file(pairs, trained):
    x, y = Arrays(str(pairs)).split("test")
    with torch.no_grad():
        loss = float(mse_loss(load_model(trained)(x), y))
    result = trained.result
    assert loss == pytest.approx(result["test/loss"], rel=1e-4)
    assert result["test/nmse"] == pytest.approx(loss / float(y.double().square().mean()), rel=1e-4)
    assert result["test/nmse"] < 0.1 < 0.4 < result["reference_nmse/memoryless"]
    assert trained.history["loss"][-1] == pytest.approx(loss, rel=1)


def test_the_scaling_is_stored_with_the_run(pairs, trained, tmp_path):
    assert evaluate(trained)["test/nmse"] == pytest.approx(trained.result["test/nmse"], rel=1e-5)
    arrays = np.load(pairs)
    np.savez(tmp_path / "doubled.npz", x=arrays["x"], y=2 * arrays["y"])
    other = evaluate(trained, [f"task.path={tmp_path}/doubled.npz"])
    assert other["test/nmse"] == pytest.approx(0.25, abs=0.1)


def test_runs_trained_together_keep_their_own_scaling(pairs, trained, tmp_path):
    configs = [config(pairs, tmp_path, f"seed={seed}") for seed in (1, 0)]
    together = train_all(configs, workers=1)
    assert together[1].result["test/loss"] == pytest.approx(trained.result["test/loss"], rel=1e-3)
    means = [load_model(Run(one.folder, allow=[str(pairs)])).x_mean.item() for one in together]
    assert means[0] != means[1]


def test_runs_without_it_are_what_they_were(pairs, tmp_path):
    without, plain = config(pairs, tmp_path, "task.standardize=false"), config(pairs, tmp_path)
    assert "standardize" not in identity(without)["task"]
    assert identity(plain)["task"]["standardize"]
