import pytest
import torch
import yaml

from seq2seq.schema import CONFIGS
from seq2seq.tasks import AR1, GP, Uniform, White, inputs

PROCESSES = [
    White(),
    White(scale=2.0),
    Uniform(scale=3.0),
    GP(),
    GP(scale=0.2, length_scale=0.5, dt=0.2),
    AR1(),
    AR1(scale=2.0, coefficient=-0.5),
]
NAMES = {"white": White, "uniform": Uniform, "gp": GP, "ar1": AR1}


def draw(process, n, length, channels=1, seed=0, dtype=torch.float64):
    return process.sample(n, length, channels, torch.Generator().manual_seed(seed), dtype)


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_samples_have_the_stated_covariance(process):
    n, length = 20_000, 12
    x = draw(process, n, length, channels=2)
    assert x.shape == (n, length, 2)
    joint = x.transpose(1, 2).reshape(n, 2 * length)
    stated = torch.block_diag(*[process.covariance(length)] * 2)  # channels are independent
    # The standard error of a covariance estimate is at most √2 variance/√n.
    variance = float(stated.diagonal().max())
    error = (joint.T @ joint / n - stated).abs().max()
    assert error < 5 * 1.5 * variance / n**0.5
    assert joint.mean(0).abs().max() < 5 * (variance / n) ** 0.5


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_samples_depend_on_the_generator_alone(process):
    assert torch.equal(draw(process, 3, 9), draw(process, 3, 9))
    assert not torch.equal(draw(process, 3, 9), draw(process, 3, 9, seed=1))
    assert draw(process, 3, 9, dtype=torch.float32).dtype == torch.float32


def test_uniform_stays_within_its_bounds():
    x = draw(Uniform(scale=3.0), 2000, 4)
    assert x.abs().max() <= 3
    assert x.max() > 2.9
    assert x.min() < -2.9


@pytest.mark.parametrize("length", [1, 7, 128])
def test_gp_factor_reproduces_the_kernel(length):
    from seq2seq.tasks.inputs import _factor

    factor = _factor(length, 0.1)
    torch.testing.assert_close(factor.T @ factor, GP().covariance(length), rtol=0, atol=1e-12)
    lag = torch.arange(length, dtype=torch.float64) * 0.1
    torch.testing.assert_close(GP().covariance(length)[0], torch.exp(-(lag**2) / 2))


#: Smooth, rough and nearly constant on the steps below, and dt beyond the length scale.
LONG = [GP(), GP(2.0, 0.3), GP(1.0, 5.0), GP(1.0, 0.05), GP(0.5, 1e3), GP(1.0, 1e300)]


@pytest.mark.parametrize("process", LONG, ids=repr)
@pytest.mark.parametrize("length", [1, 100, 129])
def test_long_gp_paths_have_the_stated_covariance(process, length, monkeypatch):
    """Exactly: E[x xᵀ] summed over the components of the noise that the path is linear in."""
    monkeypatch.setattr(inputs, "MOST_FACTORED", 0)

    def unit(rows, width, generator, dtype):
        """Row by row one component of the noise; those of complex noise have the variance 1/2."""
        noise = torch.zeros(rows, width, dtype=dtype)
        noise[:width] = torch.eye(width)
        if dtype.is_complex:
            noise[width : 2 * width] = 1j * torch.eye(width)
            noise *= 0.5**0.5
        return noise

    monkeypatch.setattr(torch, "randn", unit)
    x = draw(process, 600, length)[..., 0]
    torch.testing.assert_close(x.T @ x, process.covariance(length), rtol=0, atol=1e-12)


@pytest.mark.parametrize("process", LONG, ids=repr)
def test_samples_of_long_gp_paths_have_the_stated_covariance(process, monkeypatch):
    monkeypatch.setattr(inputs, "MOST_FACTORED", 0)
    monkeypatch.setattr(inputs, "BLOCK", 10_000)
    test_samples_have_the_stated_covariance(process)
    test_samples_depend_on_the_generator_alone(process)


@pytest.mark.parametrize("length_scale", [0.05, 1.0, 30.0, 500.0])
def test_the_embedding_is_nonnegative_to_rounding(length_scale):
    length, step = 50_000, 0.1 / length_scale
    amplitude, period = inputs._spectrum(length, step)
    assert length <= period <= 4 * length
    lag = torch.arange(period, dtype=torch.float64)
    lag = step * torch.minimum(lag, period - lag)
    values = torch.fft.rfft(torch.exp(-(lag**2) / 2)).real
    assert values.min() > -1e-14 * values.max()
    assert values[len(amplitude) :].abs().sum() < 1e-9 * values.sum()


def test_gp_paths_are_smooth():
    x = draw(GP(), 100, 128)
    assert x.diff(dim=1).abs().max() < 0.6
    assert draw(White(), 100, 128).diff(dim=1).abs().max() > 3


@pytest.mark.parametrize("name", NAMES)
def test_config_states_the_defaults(name):
    written = yaml.safe_load((CONFIGS / "task" / "input" / f"{name}.yaml").read_text())
    assert written.pop("_target_") == f"seq2seq.tasks.{NAMES[name].__name__}"
    assert written.pop("defaults") == [f"{name}_schema", "_self_"]
    assert NAMES[name](**written) == NAMES[name]()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: White(scale=0.0), "scale must be positive, got scale=0.0"),
        (lambda: Uniform(scale=-1.0), "task.input.scale"),
        (lambda: White(scale=1e-30), r"task.input.scale must lie in \[1e-15, 1e\+15\]"),
        (lambda: GP(length_scale=0.0), "length_scale must be positive"),
        (lambda: GP(dt=float("inf")), "dt must be positive"),
        (lambda: AR1(coefficient=1.0), "coefficient must lie in"),
        (lambda: AR1(scale=float("nan")), "scale must be positive"),
    ],
)
def test_bad_parameters_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
