"""State-space models against loops, explicit powers and matrix exponentials."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from seq2seq.models.convolution import causal_convolution
from seq2seq.models.diagonal_rnn import DiagonalRNN
from seq2seq.models.impulse import impulse_response
from seq2seq.models.lru import LRU, LRULayer
from seq2seq.models.s4d import S4D, S4DLayer
from seq2seq.models.s5 import S5, S5Layer, hippo
from seq2seq.models.state_space import (
    PARAMETERISATIONS,
    Block,
    StateSpaceModel,
    geometric_sums,
    run_diagonal,
)

IN, OUT, T, B = 2, 3, 70, 2


def interleaved(h: Tensor) -> Tensor:
    return torch.stack([h.real, h.imag], -1).flatten(-2) if h.is_complex() else h


@pytest.mark.parametrize("length", [1, 2, 9, 10, 50])
def test_geometric_sums(length: int) -> None:
    c, z = (torch.randn(3, 4, dtype=torch.complex128) for _ in range(2))
    z = torch.complex(-z.real.abs(), z.imag)
    for coefficients, logarithms in ((c, z), (c.real.clone(), z.real.clone())):
        terms = [(coefficients * logarithms.exp() ** s).sum(-1).real for s in range(length)]
        ours = geometric_sums(coefficients, logarithms, length)
        torch.testing.assert_close(ours, torch.stack(terms, -1), rtol=0, atol=1e-12)


def test_causal_convolution() -> None:
    x = torch.randn(3, 5, 17, dtype=torch.float64)
    kernel = torch.randn(5, 17, dtype=torch.float64)
    expected = [[np.convolve(a, b)[:17] for a, b in zip(row, kernel, strict=True)] for row in x]
    expected = torch.tensor(np.array(expected))
    torch.testing.assert_close(causal_convolution(x, kernel), expected, rtol=0, atol=1e-12)


RATES = {
    "direct": lambda w: -w,
    "exp": math.exp,
    "softplus": lambda w: math.log(1 + math.exp(w)),
    "stable": lambda w: 1 / (w * w + 0.5),
}


@pytest.mark.parametrize("kind", PARAMETERISATIONS)
@pytest.mark.parametrize("spectrum", ["real", "complex"])
def test_diagonal_rnn_is_its_recurrence(kind: str, spectrum: str) -> None:
    dt = 0.3
    model = DiagonalRNN(IN, OUT, 6, 2, spectrum, kind, dt, activation="tanh").double()
    p = model.state_dict()
    x = torch.randn(B, T, IN, dtype=torch.float64)
    z = x
    for layer in range(2):
        weights = p[f"layers.{layer}.decay"]
        rates = torch.tensor([RATES[kind](w.item()) for w in weights], dtype=torch.float64)
        exponent = -rates * dt
        if spectrum == "complex":
            exponent = torch.complex(exponent, p[f"layers.{layer}.frequency"] * dt)
        U = p[f"layers.{layer}.input.weight"]
        if spectrum == "complex":
            U = torch.complex(U[0::2], U[1::2])
        h = torch.zeros(B, len(exponent), dtype=U.dtype)
        visited = []
        for t in range(T):
            h = exponent.exp() * h + dt * z[:, t].to(U.dtype) @ U.T
            visited.append(interleaved(h).tanh())
        z = torch.stack(visited, 1)
    expected = z @ p["readout.weight"].T + p["readout.bias"]
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


def test_kernel_is_a_sum_of_exponentials() -> None:
    """dt Σ c U e^{λ s dt}; halving dt samples the same kernel twice as finely."""
    model = DiagonalRNN(1, 1, 4, spectrum="real", parameterisation="direct", dt=0.5).double()
    p = model.state_dict()
    weights = p["readout.weight"][0] * p["layers.0.input.weight"][:, 0]
    s = torch.arange(T, dtype=torch.float64)[:, None] * 0.5
    expected = 0.5 * (weights * (p["layers.0.decay"] * s).exp()).sum(1)
    torch.testing.assert_close(impulse_response(model, T)[:, 0, 0], expected, rtol=0, atol=1e-13)
    finer = DiagonalRNN(1, 1, 4, spectrum="real", parameterisation="direct", dt=0.25).double()
    finer.load_state_dict(p)
    kernel = impulse_response(finer, 2 * T)[::2, 0, 0] / 0.25
    torch.testing.assert_close(kernel, expected / 0.5, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", PARAMETERISATIONS)
def test_decay_rates_start_in_their_range(kind: str) -> None:
    model = DiagonalRNN(1, 1, 4000, 1, "complex", kind, 1.0, 0.05, 1.5, 2.0)
    (spectrum,) = model.eigenvalues()
    assert len(spectrum) == 4000
    rates, phases = -spectrum.abs().log(), spectrum.angle().abs()
    assert rates.min() > 0.05 - 1e-4
    assert rates.max() < 1.5 + 1e-4
    assert (rates < math.sqrt(0.05 * 1.5)).double().mean().sub(0.5).abs() < 0.1  # log-uniform
    assert 1.8 < phases.max() < 2.0
    assert phases.min() < 0.1


def lru_loop(layer: LRULayer, x: Tensor) -> Tensor:
    p = layer.state_dict()
    eigenvalues = (-p["nu"].exp() + 1j * p["theta"].exp()).exp()
    B_, C = (
        torch.complex(p["B"][0::2], p["B"][1::2]),
        torch.complex(p["C"][:, 0::2], -p["C"][:, 1::2]),
    )
    h = torch.zeros(len(x), len(eigenvalues), dtype=B_.dtype)
    outputs = []
    for x_t in x.unbind(1):
        h = eigenvalues * h + p["gamma"].exp() * (x_t.to(B_.dtype) @ B_.T)
        outputs.append((h @ C.T).real + p["D"] * x_t)
    return torch.stack(outputs, 1)


def s4d_loop(layer: S4DLayer, x: Tensor) -> Tensor:
    """Zero-order hold by the exponential of [[A, 1], [0, 0]]·Δ, one number at a time."""
    p = layer.state_dict()
    A = -p["decay"].exp().numpy()
    C = p["C"].numpy()
    factor = 1
    if "frequency" in p:
        A = A + 1j * p["frequency"].numpy()
        C = C[..., 0] + 1j * C[..., 1]
        factor = 2  # the conjugates
    y = np.zeros(tuple(x.shape))
    for channel, n in np.ndindex(*A.shape):
        generator = np.array([[A[channel, n], 1], [0, 0]]) * p["dt"][channel].exp().item()
        held = scipy.linalg.expm(generator)
        h = np.zeros(len(x), dtype=A.dtype)
        for t in range(x.shape[1]):
            h = held[0, 0] * h + held[0, 1] * x[:, t, channel].numpy()
            y[:, t, channel] += factor * (C[channel, n] * h).real
    return torch.tensor(y) + p["D"] * x


@pytest.mark.parametrize(
    ("model", "loop"),
    [
        (LRU(IN, OUT, 5, 2, 6), lru_loop),
        *[(S4D(IN, OUT, 5, 2, 6, initialisation=i), s4d_loop) for i in ("lin", "inv", "real")],
    ],
)
def test_blocks_are_their_formula(model: StateSpaceModel, loop: object) -> None:
    assert callable(loop)
    model = model.double()
    x = torch.randn(B, T, IN, dtype=torch.float64)
    z = model.embedding(x)
    for block in model.layers:
        assert isinstance(block, Block)
        y = loop(block.core, block.norm(z).detach())
        y = y * (1 + torch.erf(y / math.sqrt(2))) / 2
        weight, bias = (block.state_dict()[f"mixing.1.{key}"] for key in ("weight", "bias"))
        y = y @ weight.T + bias
        if isinstance(model, LRU):
            value, gate = y.chunk(2, -1)
            y = value * gate.sigmoid()
        z = z + y
    torch.testing.assert_close(model(x), model.readout(z), rtol=0, atol=1e-12)


def test_lru_starts_on_its_ring() -> None:
    spectrum = LRU(1, 1, 4, 1, 2000, 0.5, 0.9, 1.0).eigenvalues()[0]
    assert len(spectrum) == 2000
    radius = spectrum.abs()
    assert radius.min() > 0.5 - 1e-5
    assert radius.max() < 0.9 + 1e-5
    inner = math.sqrt((0.5**2 + 0.9**2) / 2)  # halves the area
    assert abs((radius < inner).double().mean() - 0.5) < 0.06
    assert 0.95 < spectrum.angle().max() <= 1.0
    # γ keeps h of order one under white input.
    layer = LRU(1, 1, 4, 1, 64).layers[0].core
    assert isinstance(layer, LRULayer)
    torch.testing.assert_close(
        layer.gamma.double().exp() ** 2, 1 - layer.logarithms().exp().abs() ** 2, rtol=1e-4, atol=0
    )


def test_lru_at_the_rim_is_finite() -> None:
    model = LRU(IN, OUT, 4, 1, 64, 1.0, 1.0)
    assert model(torch.randn(1, 1000, IN)).isfinite().all()
    assert (model.eigenvalues()[0].abs() < 1).all()


def test_hippo_is_the_normal_part_of_legs() -> None:
    """Σ over the eigenvalues and their conjugates of λ v vᴴ is the real matrix A + P Pᵀ."""
    n = torch.arange(8).double()
    legs = -torch.sqrt((2 * n[:, None] + 1) * (2 * n + 1)).tril(-1) - (n + 1).diag()
    normal = legs + torch.sqrt((n[:, None] + 0.5) * (n + 0.5))
    frequencies, V = hippo(8)
    assert frequencies.min() > 0
    half = (V * torch.complex(torch.full_like(frequencies, -0.5), frequencies)) @ V.mH
    torch.testing.assert_close(2 * half.real, normal, rtol=0, atol=1e-12)


@pytest.mark.parametrize("blocks", [1, 2])
def test_s5_is_a_dense_system_in_other_coordinates(blocks: int) -> None:
    """x' = (A + P Pᵀ) x + B u, held over steps, by a matrix exponential; B real."""
    layer = S5Layer(IN, 8, blocks, 0.1, 0.1, "exp").double()
    frequencies, V = hippo(8 // blocks)
    half = (V * torch.complex(torch.full_like(frequencies, -0.5), frequencies)) @ V.mH
    A = torch.block_diag(*[2 * half.real] * blocks)
    V = torch.block_diag(*[V] * blocks)
    B = 2 * (V @ torch.view_as_complex(layer.B.detach())).real
    whole = torch.linalg.matrix_exp(
        0.1
        * torch.cat([A, B], 1)
        .new_zeros(8 + IN, 8 + IN)
        .index_put((torch.arange(8)[:, None], torch.arange(8 + IN)), torch.cat([A, B], 1))
    )
    u = torch.randn(1, T, IN, dtype=torch.float64)
    x, expected = torch.zeros(8, dtype=torch.float64), []
    for u_t in u[0]:
        x = whole[:8, :8] @ x + whole[:8, 8:] @ u_t
        expected.append(V.mH @ x.to(V.dtype))
    with torch.no_grad():
        states, _ = run_diagonal(layer.logarithms(), u @ layer.input_map().T, None)
    torch.testing.assert_close(
        torch.view_as_complex(states[0].unflatten(1, (-1, 2))),
        torch.stack(expected),
        rtol=0,
        atol=1e-6,
    )


def test_s5_reads_twice_the_real_part_and_starts_as_published() -> None:
    torch.manual_seed(0)
    layer = S5Layer(200, 64, 1, 0.001, 0.1, "exp").double()
    assert 0.001 < layer.dt.exp().min() < 0.0013
    assert 0.08 < layer.dt.exp().max() < 0.1
    # The vectors of half the eigenvalues keep half of the variances 1/64 and 2/64; C counts twice.
    assert torch.view_as_complex(layer.B).abs().square().mean().item() == pytest.approx(
        1 / 64, rel=0.1
    )
    C = torch.view_as_complex(layer.C.unflatten(1, (-1, 2)).contiguous())
    assert C.abs().square().mean().item() == pytest.approx(8 / 64, rel=0.1)
    assert layer.D.std().item() == pytest.approx(1, rel=0.15)
    torch.testing.assert_close(
        layer.logarithms().real / layer.dt.exp(), torch.full((32,), -0.5).double()
    )


@pytest.mark.parametrize("kind", PARAMETERISATIONS)
@pytest.mark.parametrize("build", [LRU, S4D, S5])
def test_every_parameterisation_starts_alike(kind: str, build: type[StateSpaceModel]) -> None:
    spectra = []
    for own in ("exp", kind):
        torch.manual_seed(0)
        model = build(1, 1, 4, 1, 8, parameterisation=own).double()  # type: ignore[call-arg]
        spectra.append(model.eigenvalues()[0])
    torch.testing.assert_close(*spectra, rtol=0, atol=1e-6)
    rate = model.layers[0].core.rate  # type: ignore[union-attr]
    assert RATES[kind](0.7) == pytest.approx(float(rate(torch.tensor(0.7).double())))


def test_s4d_initialisations() -> None:
    N, n = 8, torch.arange(4, dtype=torch.float64)
    expected = {
        "lin": -0.5 + 1j * math.pi * n,
        "inv": -0.5 + 1j * N / math.pi * (N / (2 * n + 1) - 1),
        "real": -(torch.arange(8, dtype=torch.float64) + 1),
    }
    for initialisation, A in expected.items():
        model = S4D(1, 1, 3, 1, N, initialisation, dt_min=0.01, dt_max=0.02).double()
        layer = model.layers[0]
        assert isinstance(layer, Block)
        dt = layer.core.get_parameter("dt").exp()[:, None]
        assert dt.min() >= 0.01
        assert dt.max() <= 0.02
        torch.testing.assert_close(layer.logarithms() / dt, A.expand(3, -1), rtol=1e-6, atol=1e-6)
        assert len(model.eigenvalues()[0]) == 3 * N


@pytest.mark.parametrize("build", [lambda: LRU(1, 1, 16), lambda: S4D(1, 1, 16)])
def test_long_sequences_keep_their_phase(build: object) -> None:
    """In float32, 1000 steps one by one end where the parallel pass does."""
    assert callable(build)
    model = build()
    x = torch.randn(1, 1000, 1)
    with torch.no_grad():
        state = model.initial_state(1, x.device, x.dtype)
        for t in range(1000):
            y_t, state = model.step(x[:, t], state)
        torch.testing.assert_close(y_t, model(x)[:, -1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DiagonalRNN(1, 1, 5), "model.hidden_size must be even here, got hidden_size=5"),
        (lambda: DiagonalRNN(1, 1, spectrum="imaginary"), "model.spectrum must be one of"),
        (
            lambda: DiagonalRNN(1, 1, parameterisation="log"),
            "model.parameterisation must be one of",
        ),
        (lambda: DiagonalRNN(1, 1, activation="gelu"), "model.activation must be one of"),
        (lambda: DiagonalRNN(1, 1, dt=0.0), "model.dt must be positive, got dt=0.0"),
        (
            lambda: DiagonalRNN(1, 1, min_decay=2.0),
            "model.min_decay must not exceed model.max_decay, got 2.0 and 1.0",
        ),
        (
            lambda: DiagonalRNN(1, 1, parameterisation="stable", max_decay=2.0),
            "rates must be below 2.0 for model.parameterisation=stable, got 2; set model.max_decay",
        ),
        (
            lambda: LRU(1, 1, min_radius=0.1, parameterisation="stable"),
            "rates must be below 2.0 for model.parameterisation=stable, got 2.303; set model.min",
        ),
        (
            lambda: S4D(1, 1, initialisation="real", parameterisation="stable"),
            "rates must be below 2.0 for model.parameterisation=stable, got 64; set model.initial",
        ),
        (
            lambda: S5(1, 1, state_dim=6, blocks=2),
            "model.state_dim must be a multiple of 4, got state_dim=6; set model.state_dim=8",
        ),
        (lambda: DiagonalRNN(1, 1, max_frequency=-1.0), "model.max_frequency must not be negative"),
        (lambda: LRU(1, 1, state_dim=7), "model.state_dim must be even here, got state_dim=7"),
        (lambda: LRU(1, 1, min_radius=0.9, max_radius=0.5), "model.min_radius <= model.max_radius"),
        (lambda: LRU(1, 1, max_phase=0.0), "model.max_phase must be positive, got max_phase=0.0"),
        (lambda: S4D(1, 1, state_dim=7), "model.state_dim must be even here, got state_dim=7"),
        (
            lambda: S4D(1, 1, initialisation="legs"),
            "model.initialisation must be one of lin",
        ),
        (lambda: S4D(1, 1, dt_min=0.2), "model.dt_min must not exceed model.dt_max, got 0.2 and"),
    ],
)
def test_bad_values_are_refused(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=message):
        build()
