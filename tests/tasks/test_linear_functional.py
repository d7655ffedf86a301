import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from seq2seq.tasks import AR1, Convolution, LinearFunctional, Shift, White
from seq2seq.theory import kernels

BELL = [0.002, 0.022, 0.097, 0.159, 0.097, 0.022, 0.002]


def noise(n=4, length=64, channels=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, length, channels, generator=generator, dtype=torch.float64)


def filtered(taps, x):
    return torch.from_numpy(lfilter(taps, [1.0], x.numpy(), axis=1))


@pytest.mark.parametrize(
    "taps", [BELL, [1.0], [0.0, 0.0, 2.0], list(np.linspace(-1, 1, 64)), (0.5, -0.5)]
)
def test_convolution_filters_like_scipy(taps):
    x = noise()
    task = Convolution(filter=taps, length=64, channels=2)
    expected = filtered(taps, x)
    torch.testing.assert_close(task.targets(x), expected, rtol=1e-12, atol=1e-12)
    scale = expected.abs().max()
    assert (task.targets(x.float()) - expected.float()).abs().max() < 1e-6 * scale


def test_default_filter_is_the_bell():
    task = Convolution(length=16)
    assert task.kernel().tolist() == BELL + [0.0] * 9
    assert task.memory == 6


@pytest.mark.parametrize("family", kernels.FAMILIES)
@pytest.mark.parametrize("dt", [1.0, 0.1])
def test_families_filter_like_scipy(family, dt):
    x = noise()
    kernel = kernels.build(family)
    by_name = LinearFunctional(family, length=64, dt=dt, channels=2)
    built = LinearFunctional(kernel, length=64, dt=dt, channels=2)
    taps = kernel.sample(64, dt) * dt
    np.testing.assert_allclose(by_name.kernel().numpy(), taps, rtol=1e-15)
    torch.testing.assert_close(by_name.targets(x), filtered(taps, x), rtol=1e-12, atol=1e-12)
    assert torch.equal(built.targets(x), by_name.targets(x))


def test_longer_inputs_meet_the_whole_kernel():
    x = noise()
    task = LinearFunctional("power_law", length=8, channels=2)
    taps = 0.1 * kernels.PowerLaw().sample(64, 0.1)
    torch.testing.assert_close(task.targets(x), filtered(taps, x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(task.targets(x[:, :5]), filtered(taps, x[:, :5]))


@pytest.mark.parametrize("k", [0, 1, 63])
def test_shift_copies_exactly(k):
    x = noise()
    y = Shift(k=k, length=64, channels=2).targets(x)
    assert not y[:, :k].any()
    assert torch.equal(y[:, k:], x[:, : 64 - k])
    impulse = LinearFunctional(kernels.Impulse(k), length=64, dt=0.1, channels=2)
    torch.testing.assert_close(impulse.targets(x), y, rtol=0, atol=1e-12)


def test_kernel_is_the_response_to_an_impulse():
    x = torch.zeros(1, 20, 1, dtype=torch.float64)
    x[0, 4] = 1
    for task in (Shift(k=5, length=20), LinearFunctional("airy", length=20)):
        torch.testing.assert_close(task.targets(x)[0, 4:, 0], task.kernel()[:16])


def test_memory_is_where_the_kernel_ends():
    assert Shift(k=8, length=32).memory == 8
    assert Shift(k=0, length=32).memory == 0
    assert Convolution(filter=[1, 0.5, 0, 0], length=32).memory == 1
    # Σ_{s≥m} e^{−2s} falls below 1e-6 of its whole first at m = 7.
    assert Convolution(filter="exponential", length=64).memory == 6


def test_references_follow_the_input():
    white = LinearFunctional("exponential", length=32, input=White(scale=2.0))
    response = 0.1 * np.exp(-0.1 * np.arange(32))
    lags = np.arange(32)
    terms = 4 * response**2 * (32 - lags) / 32
    losses = white.reference_losses()
    assert losses["zero"] == pytest.approx(terms.sum())
    assert losses["memoryless"] == pytest.approx(terms[1:].sum())
    assert losses["taps_8"] == pytest.approx(terms[8:].sum())
    correlated = LinearFunctional("exponential", length=32, input=AR1(scale=2.0))
    more = correlated.reference_losses()
    assert more["memoryless"] / more["zero"] < 0.8 * losses["memoryless"] / losses["zero"]
    x = torch.ones(1, 4, 1)
    assert white.memoryless_prediction(x).flatten().tolist() == pytest.approx([0.1] * 4)


LONG = """
import resource, time
import torch
from seq2seq.models import DiagonalRNN
from seq2seq.objective import Population
from seq2seq.tasks import AR1, GP, Convolution, LinearFunctional, Shift, Uniform, White

torch.set_num_threads(1)
with open("/proc/self/statm") as statm:
    mapped = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 10**9, mapped + 10**9))
length = 50_000
for build in (
    lambda: LinearFunctional("power_law", length, input=White(2.0)),
    lambda: Convolution(length=length, input=Uniform()),
    lambda: LinearFunctional("exponential", length, input=AR1()),
    lambda: Shift(30_000, length, input=GP()),
    lambda: Shift(8, length, input=GP(1.0, 1e4)),
):
    start = time.process_time()
    task = build()
    x, y = task.sample(8, torch.Generator().manual_seed(0))
    losses = task.reference_losses()
    task.memoryless_prediction(x)
    population = Population()
    population.bind(model := DiagonalRNN(1, 1, 4), task)
    loss = population(model, None, None)
    loss.backward()
    seconds = time.process_time() - start
    assert x.shape == y.shape == (8, length, 1) and len(losses) == 12
    print(seconds, float(y.square().mean()), losses["zero"], losses["memoryless"], loss.item())
"""


@pytest.mark.slow
def test_50000_steps_take_less_than_a_gigabyte_and_20_seconds():
    """Building, drawing, the references and the population loss, for each input process."""
    command = [sys.executable, "-c", LONG]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[float(value) for value in line.split()] for line in done.stdout.splitlines()]
    assert len(rows) == 5
    for seconds, _, zero, memoryless, loss in rows:
        assert seconds < 20
        assert 0 <= memoryless <= zero
        assert loss > 0
    for _, drawn, zero, *_ in rows[:4]:  # the last one's paths are half a length scale each
        assert drawn == pytest.approx(zero, rel=0.05)
    shift, smooth = rows[3:]
    assert shift[2:4] == pytest.approx([0.4, 0.4])
    assert smooth[2:4] == pytest.approx([1 - 8 / 50_000, 0], abs=2e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Shift(k=40, length=32), "k must be smaller than length, got k=40, length=32"),
        (lambda: Shift(k=32, length=32), "raise task.length or lower task.k"),
        (lambda: Shift(k=-1), "k must be at least 0, got k=-1"),
        (lambda: Shift(k=8, length=-2), "length must be at least 1, got length=-2"),
        (lambda: Shift(channels=0), "channels must be at least 1"),
        (lambda: Convolution(filter=[]), "at least one number"),
        (lambda: Convolution(filter="exponentail"), "did you mean 'exponential'"),
        (lambda: Convolution(filter=["a"]), "numbers only"),
        (lambda: Convolution(filter=[1.0, float("nan")]), "must be finite and not zero"),
        (lambda: Convolution(filter=[0.0, 0.0]), "must be finite and not zero"),
        (lambda: Convolution(filter=[1e200]), "what float32 can square"),
        (lambda: Convolution(filter=[1e-9], input=White(1e-9)), "what float32 can square"),
        (lambda: Convolution(filter=3), "a list of numbers, a kernel family or a kernel"),
        (lambda: LinearFunctional("impulse", length=8), "raise task.length"),
        (lambda: LinearFunctional(dt=0.0), "dt must be positive, got dt=0.0"),
    ],
)
def test_bad_relations_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
