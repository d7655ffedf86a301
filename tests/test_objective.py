"""The expected loss as something to train on: exact, legal only where it is, and without data."""

import numpy as np
import pytest
import torch

from seq2seq import train
from seq2seq.models import LRU, RNN, S4D, TCN, DiagonalRNN
from seq2seq.models.impulse import impulse_response, responses
from seq2seq.objective import Population, Sampled
from seq2seq.schema import ConfigError
from seq2seq.seeds import generator
from seq2seq.tasks import Convolution, LinearFunctional, Lorenz96, Shift
from seq2seq.tasks.inputs import AR1, GP, White
from seq2seq.theory.kernels import Plateau

LENGTH = 20


def built(make, *arguments):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return make(*arguments).double()


MODELS = {
    "diagonal real": lambda: built(DiagonalRNN, 1, 1, 4, 1, "real", "direct", 0.1),
    "diagonal complex": lambda: built(DiagonalRNN, 1, 1, 4, 2, "complex"),
    "dense": lambda: built(RNN, 1, 1, "linear", 5),
    "two layers": lambda: built(RNN, 1, 1, "linear", 5, 2),
    "convolution": lambda: built(TCN, 1, 1, 4, 3, 2, 2, "plain", "linear"),
}


@pytest.mark.parametrize("horizon", ["average", "last"])
@pytest.mark.parametrize("name", MODELS)
def test_the_sampled_loss_converges_to_the_population_loss(name, horizon):
    model, task = MODELS[name](), Shift(3, LENGTH, input=AR1(0.7))
    population = Population(horizon)
    population.bind(model, task)
    with torch.no_grad():
        expected = population(model, (), None).item()
        x = task.input.sample(20_000, LENGTH, 1, generator(3, "x"), torch.float64)
        losses = (model(x) - task.targets(x)).square()[:, :, 0]
        losses = losses.mean(1) if horizon == "average" else losses[:, -1]
        sampled = Sampled(horizon)(model, (x, task.targets(x)), task.loss).item()
    standard_error = losses.std().item() / len(x) ** 0.5
    assert sampled == pytest.approx(losses.mean().item(), rel=1e-12)
    assert sampled == pytest.approx(expected, abs=4 * standard_error)
    assert standard_error < 0.02 * expected


def test_biases_count():
    model, task = MODELS["dense"](), Shift(3, LENGTH, input=White())
    population = Population("last")
    population.bind(model, task)
    before, rest = population(model, (), None).item(), responses(model, LENGTH)[1][-1].item()
    with torch.no_grad():
        model.readout.bias += 1
    assert population(model, (), None).item() - before == pytest.approx((rest + 1) ** 2 - rest**2)


def test_several_channels():
    model = built(DiagonalRNN, 2, 2, 4)
    task = LinearFunctional("exponential", LENGTH, 0.3, 2, input=GP())
    population = Population()
    population.bind(model, task)
    with torch.no_grad():
        x = task.input.sample(5000, LENGTH, 2, generator(5, "x"), torch.float64)
        losses = (model(x) - task.targets(x)).square().mean((1, 2))
        expected = population(model, (), None).item()
    assert losses.mean().item() == pytest.approx(expected, abs=4 * losses.std().item() / 5000**0.5)


@pytest.mark.parametrize("name", MODELS)
def test_its_gradient_is_that_of_finite_differences(name):
    model, task = MODELS[name](), Convolution([0.5, 0.0, 0.25], LENGTH, input=GP())
    population = Population()
    population.bind(model, task)
    population(model, (), None).backward()
    for parameter in model.parameters():
        index = (0,) * parameter.ndim
        slope, step = parameter.grad[index].item(), 1e-6
        with torch.no_grad():
            parameter[index] += step
            above = population(model, (), None).item()
            parameter[index] -= 2 * step
            below = population(model, (), None).item()
            parameter[index] += step
        assert slope == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_rest_and_impulse_response_make_up_the_output(name):
    model = MODELS[name]()
    x = torch.randn(1, LENGTH, 1, generator=generator(0, "x"), dtype=torch.float64)
    kernel, rest = (part.flatten() for part in responses(model, LENGTH))
    lags = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
    operator = torch.where(lags >= 0, kernel[lags.clamp(min=0)], 0.0)
    assert torch.allclose(model(x)[0, :, 0], operator @ x[0, :, 0] + rest, atol=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        lambda: RNN(1, 1, "tanh", 4),
        lambda: RNN(1, 1, "lstm", 4),
        lambda: TCN(1, 1, 4, 2, variant="plain", activation="relu"),
        lambda: DiagonalRNN(1, 1, 4, activation="tanh"),
        lambda: LRU(1, 1, 4, 1),
        lambda: S4D(1, 1, 4, 1),
    ],
)
def test_a_nonlinear_model_is_refused(model):
    with pytest.raises(ValueError, match=r"objective=population needs a linear model, got"):
        Population().bind(built(model), Shift(3, LENGTH))


def test_a_task_without_a_kernel_is_refused():
    with pytest.raises(ValueError, match=r"convolves its input with a kernel, got Lorenz96"):
        Population().bind(MODELS["dense"](), Lorenz96(length=LENGTH))


def test_a_kernel_that_the_first_input_does_not_obey_is_refused():
    task = Lorenz96(1, 4, length=LENGTH, initial_state="zero", input=White())
    assert task.kernel() is not None
    with pytest.raises(ValueError, match="convolves its input with a kernel, got Lorenz96"):
        Population().bind(MODELS["dense"](), task)


@pytest.mark.parametrize("objective", [Sampled, Population])
def test_an_unknown_horizon_is_refused(objective):
    with pytest.raises(ValueError, match="average, last, got horizon='first'"):
        objective("first")


POPULATION = [
    "task=linear_functional",
    "task/filter=plateau",
    "task.length=40",
    "task.val_size=400",
    "task.test_size=400",
    "model=diagonal_rnn",
    "model.hidden_size=4",
    "model.spectrum=real",
    "model.dt=0.1",
    "objective=population",
    "optimizer.lr=0.02",
    "trainer.precision=64-true",
    "trainer.max_steps=300",
    "callbacks.figures=null",
    "logger=none",
]


def test_training_on_it_draws_no_training_data(tmp_path, monkeypatch):
    drawn = []
    draw = LinearFunctional.draw
    monkeypatch.setattr(
        LinearFunctional, "draw", lambda task, split: drawn.append(split) or draw(task, split)
    )
    run = train([*POPULATION, f"paths.outputs={tmp_path}"])
    assert run.result["status"] == "finished"
    assert set(drawn) == {"val", "test"}
    losses = run.history["loss"]
    assert len(losses) == 300
    assert losses[-1] < 0.5 * losses[0]
    # What it minimised is what the test samples show, within their error.
    assert run.result["test/loss"] == pytest.approx(losses[-1], rel=0.2)


@pytest.mark.slow
def test_it_finds_the_kernel_that_samples_find():
    """The same model from the same start: kernels differ by the sampling error, not more."""
    task = Convolution([0.0, 0.6, 0.3], 12, input=White(), online=True, batch_size=256, seed=4)
    kernels = []
    for objective in (Population(), Sampled()):
        model = MODELS["convolution"]()
        if isinstance(objective, Population):
            objective.bind(model, task)
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for step in range(300):
            x, y = (part.double() for part in task.batch(step))
            loss = objective(model, (x, y), task.loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        kernels.append(impulse_response(model, 12)[:, 0, 0].detach().numpy())
    true = task.kernel().numpy()
    assert np.abs(kernels[0][:8] - true[:8]).max() < 0.02
    assert np.abs(kernels[1] - kernels[0]).max() < 0.02


def test_a_nonlinear_model_is_refused_before_a_run_starts(tmp_path):
    with pytest.raises(ConfigError, match=r"objective: .*needs a linear model, got RNN"):
        train([*POPULATION[:5], "model=rnn", "objective=population", f"paths.outputs={tmp_path}"])
    assert not any(tmp_path.iterdir())


def test_the_plateau_of_the_paper_is_there():
    """The learned kernel is ρ̄ for a while, at the loss Σρ₀², before it finds ρ₀."""
    task = LinearFunctional(Plateau(delay=5.0, width=0.5), 100, 0.1, input=White(10**0.5))
    model = built(DiagonalRNN, 1, 1, 4, 1, "real", "direct", 0.1, 1.0, 1.0)
    population = Population("last")
    population.bind(model, task)
    optimizer = torch.optim.SGD(model.parameters(), 0.2)
    losses = []
    for _ in range(400):
        loss = population(model, (), None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    bump = float((torch.exp(-((torch.arange(100) * 0.1 - 5) ** 2) / 0.25).double()).sum()) * 0.1
    on_plateau = [step for step, loss in enumerate(losses) if abs(loss / bump - 1) < 0.05]
    assert len(on_plateau) > 30
    assert losses[-1] < 0.9 * bump
