"""Gated recurrences against their formulas, closed forms and published initialisations."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.models import RGLRU, Mamba, MatrixState, MinimalRNN
from seq2seq.models.mamba import SelectiveScan
from seq2seq.models.matrix_state import MatrixMixer, features, stabilise
from seq2seq.models.mixer import Mixer, MixerBlock, MixerModel, ShortConvolution
from seq2seq.models.slstm import SLSTM

T, B, D = 50, 2, 6


def mixer(model: MixerModel) -> Any:
    """The first, in float64."""
    block = model.double().layers[0]
    assert isinstance(block, MixerBlock)
    return block.mixer


def draw(width: int = D, time: int = T) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(time, B, width, dtype=torch.float64, generator=draws)


def run(model: Mixer, x: Tensor) -> Tensor:
    y, _ = model(x, None)
    return y.detach()


# ------------------------------------------------------------------------------ diagonal states


def test_mingru_with_constant_gates_is_an_exponential_average() -> None:
    layer = mixer(MinimalRNN(1, 1, D, 1))
    with torch.no_grad():
        layer.gates.weight.zero_()
        layer.gates.bias.fill_(math.log(1 / 3))  # z = 1/4
        layer.mixing.weight.copy_(torch.eye(D))
        layer.mixing.bias.zero_()
    x = draw()
    candidate = layer.input(x).detach()
    ages = torch.arange(T, dtype=torch.float64)
    weights = (0.25 * 0.75 ** (ages[:, None] - ages)).tril()
    expected = torch.einsum("ts,sbd->tbd", weights, candidate)
    torch.testing.assert_close(run(layer, x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("signed", [False, True])
def test_minimal_networks_are_their_formula(cell: str, signed: bool) -> None:
    ends = [-1, 1] if signed else [0, 1]
    layer = mixer(MinimalRNN(1, 1, D, 1, cell, 5, "positive", ends, forget_bias=1.5))
    p, x = layer.state_dict(), draw()
    h = torch.zeros(B, 5, dtype=torch.float64)
    outputs = []
    for x_t in x:
        gates = (x_t @ p["gates.weight"].T + p["gates.bias"]).sigmoid()
        z = x_t @ p["input.weight"].T + p["input.bias"]
        candidate = torch.where(z >= 0, z + 0.5, z.sigmoid())
        if cell == "gru":
            keep, write = 1 - gates, gates
        else:
            f, i = gates[:, :5], gates[:, 5:]
            keep, write = f / (f + i), i / (f + i)
        h = (2 * keep - 1 if signed else keep) * h + write * candidate
        outputs.append(h @ p["mixing.weight"].T + p["mixing.bias"])
    torch.testing.assert_close(run(layer, x), torch.stack(outputs), rtol=0, atol=1e-12)


def test_a_forget_bias_keeps() -> None:
    for cell in ("gru", "lstm"):
        means = []
        for bias in (0.0, 3.0):
            torch.manual_seed(0)
            layer = mixer(MinimalRNN(1, 1, D, 1, cell, forget_bias=bias))
            means.append(layer.spectrum(draw()).real.mean())
        assert means[1] > means[0] + 0.1


def test_minlstm_survives_gates_that_vanish() -> None:
    layer = mixer(MinimalRNN(1, 1, D, 1, "lstm"))
    with torch.no_grad():
        layer.gates.bias.fill_(-1000.0)
    torch.testing.assert_close(
        layer.spectrum(0 * draw()).real, torch.full((T, B, D), 0.5, dtype=torch.float64)
    )


@pytest.mark.parametrize("signed", [False, True])
def test_mamba_is_its_formula(signed: bool) -> None:
    N = 3
    model = Mamba(1, 1, D, 1, state_dim=N, eigenvalues=[-1, 1] if signed else [0, 1])
    layer = mixer(model)
    p, x = layer.state_dict(), draw()
    z, gate = (x @ p["project.weight"].T).chunk(2, -1)
    padded = F.pad(z, (0, 0, 0, 0, 3, 0))
    u = sum(p["convolution.weight"][s] * padded[s : s + T] for s in range(4))
    u = F.silu(u + p["convolution.bias"])
    low, In, Out = (u @ p["select.weight"].T).split([1, N, N], -1)
    step = F.softplus(low @ p["step.weight"].T + p["step.bias"])
    A = -p["rate"].exp()
    y = torch.zeros_like(u)
    for b in range(B):
        for d in range(2 * D):
            h = torch.zeros(N, dtype=torch.float64)
            for t in range(T):
                a = (step[t, b, d] * A[d]).exp()
                h = (2 * a - 1 if signed else a) * h + step[t, b, d] * In[t, b] * u[t, b, d]
                y[t, b, d] = Out[t, b] @ h + p["skip"][d] * u[t, b, d]
    expected = (y * F.silu(gate)) @ p["mixing.weight"].T
    torch.testing.assert_close(run(layer, x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("negative", [False, True])
def test_selective_scan_has_the_derivatives_of_its_formula(negative: bool) -> None:
    """Those by the states that it gives out, too."""
    T, D, N = 7, 3, 2

    def loop(*parts: Any) -> tuple[Tensor, Tensor]:
        steps, A, u, write, read, h, negative = parts
        states = []
        for t in range(T):
            a = (steps[t][..., None] * A).exp()
            h = (2 * a - 1 if negative else a) * h + u[t][..., None] * write[t][..., None, :]
            states.append(h)
        y = [(h * c[..., None, :]).sum(-1) for h, c in zip(states, read, strict=True)]
        return torch.stack(y), torch.stack(states)

    shapes = [(T, B, D), (1, D, N), (T, B, D), (T, B, N), (T, B, N), (B, D, N)]
    leaves = [torch.rand(shape, dtype=torch.float64) for shape in shapes]
    leaves[1] = -leaves[1]
    leaves = [z.requires_grad_() for z in leaves]
    found = []
    for scan in (SelectiveScan.apply, loop):
        y, h = scan(*leaves, negative)
        slopes = torch.autograd.grad(y.sin().sum() + h[-1].cos().sum(), leaves)
        found.append((y, h, *slopes))
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)


def test_mamba_starts_as_published() -> None:
    layer = mixer(Mamba(1, 1, 64, 1))
    torch.testing.assert_close(layer.rate.exp()[5], torch.arange(1.0, 17.0).double())
    steps = F.softplus(layer.step.bias)
    assert 1e-3 * 0.99 < steps.min() < 2e-3
    assert 5e-2 < steps.max() < 0.1 * 1.01
    assert abs((steps < 1e-2).double().mean() - 0.5) < 0.15  # log-uniform
    assert layer.step.weight.abs().max() <= 4**-0.5
    assert layer.select.weight.shape == (4 + 32, 128)


def test_rg_lru_is_its_formula() -> None:
    layer = mixer(RGLRU(1, 1, D, 1))
    p, x = layer.state_dict(), draw()
    gate, z = (x @ p["project.weight"].T + p["project.bias"]).chunk(2, -1)
    padded = F.pad(z, (0, 0, 0, 0, 3, 0))
    z = sum(p["convolution.weight"][s] * padded[s : s + T] for s in range(4))
    z = z + p["convolution.bias"]
    h = torch.zeros(B, D, dtype=torch.float64)
    states = []
    for z_t in z:
        r, i = (z_t @ p["gates.weight"].T + p["gates.bias"]).sigmoid().chunk(2, -1)
        a = (-8 * F.softplus(p["rate"]) * r).exp()
        h = a * h + (1 - a**2).sqrt() * i * z_t
        states.append(h)
    expected = (F.gelu(gate) * torch.stack(states)) @ p["mixing.weight"].T + p["mixing.bias"]
    torch.testing.assert_close(run(layer, x), expected, rtol=0, atol=1e-12)


def test_rg_lru_starts_on_its_ring() -> None:
    radius = (
        -F.softplus(mixer(RGLRU(1, 1, 4, 1, 2000, min_radius=0.5, max_radius=0.9)).rate)
    ).exp()
    assert radius.min() > 0.5 - 1e-5
    assert radius.max() < 0.9 + 1e-5
    inner = math.sqrt((0.5**2 + 0.9**2) / 2)  # halves the area
    assert abs((radius < inner).double().mean() - 0.5) < 0.06
    gates = mixer(RGLRU(1, 1, 4, 1, 100)).gates
    assert gates.weight.std().item() == pytest.approx(0.1, rel=0.03)
    assert gates.bias.abs().max() == 0


# -------------------------------------------------------------------------------- matrix states


def heads(layer: MatrixMixer, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v of a layer without a convolution, (time, batch, heads, ·)."""
    joint = (x @ layer.state_dict()["project.weight"].T).split(layer.widths, -1)
    return tuple(z.unflatten(-1, (2, -1)) for z in joint)  # type: ignore[return-value]


def test_linear_attention_is_a_normalised_sum() -> None:
    """Σ_s φ(q_t)ᵀφ(k_s) v_s / Σ_s φ(q_t)ᵀφ(k_s), over all pairs of times."""
    model = MatrixState(1, 1, D, 1, feature_map="elu", normaliser="sum", norm=False)
    layer, x = mixer(model), draw()
    q, k, v = heads(layer, x)
    weights = torch.einsum("tbhk,sbhk->bhts", F.elu(q) + 1, F.elu(k) + 1).tril()
    weights = weights / weights.sum(-1, keepdim=True)
    o = torch.einsum("bhts,sbhv->tbhv", weights, v).flatten(2)
    expected = o @ layer.state_dict()["mixing.weight"].T
    torch.testing.assert_close(run(layer, x), expected, rtol=0, atol=1e-5)


def test_retention_turns_and_fades() -> None:
    """Σ_s γ^{t−s} Re(q_t e^{i(t−s)θ} conj k_s) v_s/√K, on pairs as complex numbers."""
    layer, x = mixer(MatrixState(1, 1, 8, 1, gate="fixed", rotation=True, norm=False)), draw(8)
    q, k, v = heads(layer, x)
    q, k = (torch.complex(*z.chunk(2, -1)) for z in (q, k))
    theta = 10000.0 ** -(torch.arange(0, 4, 2, dtype=torch.float64) / 4)
    ages = (torch.arange(T)[:, None] - torch.arange(T)).double()
    gammas = 1 - 2.0 ** -torch.tensor([5.0, 6.0], dtype=torch.float64)
    turns = torch.polar(torch.ones(1, dtype=torch.float64), ages[..., None] * theta)
    scores = torch.einsum("tbhk,tsk,sbhk->bhts", q, turns, k.conj()).real / 2
    scores = scores * (gammas[:, None, None] ** ages).tril()
    o = torch.einsum("bhts,sbhv->tbhv", scores, v).flatten(2)
    expected = o @ layer.state_dict()["mixing.weight"].T
    torch.testing.assert_close(run(layer, x), expected, rtol=0, atol=1e-12)
    modulus = layer.spectrum(x)[0, 0].abs()
    assert modulus.sort().values.tolist() == pytest.approx([1 - 2**-5] * 4 + [1 - 2**-6] * 4)


@pytest.mark.parametrize("signed", [False, True])
def test_mlstm_is_its_formula_without_a_scale(signed: bool) -> None:
    """C = f C + i v kᵀ, n = f n + i k, h = C q / max(|nᵀq|, 1), where that does not overflow."""
    model = MatrixState(
        *(1, 1, D, 1),
        gate="exponential",
        normaliser="bounded",
        norm=False,
        eigenvalues=[-1, 1] if signed else [0, 1],
    )
    layer, x = mixer(model), draw()
    with torch.no_grad():
        for gate in (layer.forget, layer.input):
            gate.weight.normal_(std=2.0)
    q, k, v = heads(layer, x)
    i, f = layer.input(x).exp(), layer.forget(x).sigmoid()
    f = 2 * f - 1 if signed else f
    C = torch.zeros(B, 2, 3, 3, dtype=torch.float64)
    n = torch.zeros(B, 2, 3, dtype=torch.float64)
    outputs = []
    for t in range(T):
        C = f[t][..., None, None] * C + i[t][..., None, None] * k[t][..., None] * v[t][..., None, :]
        n = f[t][..., None] * n + i[t][..., None] * k[t]
        scaled = q[t] / math.sqrt(3)
        total = (n * scaled).sum(-1, keepdim=True).abs().clamp(min=1)
        outputs.append((C.mT @ scaled[..., None]).squeeze(-1) / total)
    expected = torch.stack(outputs).flatten(2) @ layer.mixing.weight.T
    torch.testing.assert_close(run(layer, x), expected.detach(), rtol=1e-11, atol=1e-11)


def test_mlstm_survives_gates_beyond_floats() -> None:
    """In float32 exp(200) is infinite; the outputs and the gradient are not."""
    f, i = torch.full((40, 1, 1), 0.5), torch.linspace(-300, 300, 40)[:, None, None]
    gates, strengths, scale = stabilise(f, i, None)
    assert max(gates.max(), strengths.max()) <= 1 + 1e-4
    assert scale.min() >= 0
    model = MatrixState(1, 1, D, 1, gate="exponential", normaliser="bounded")
    with torch.no_grad():
        model.layers[0].mixer.input.bias.fill_(200.0)  # type: ignore[union-attr]
    model(torch.randn(1, 40, 1)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_features() -> None:
    x, y = draw(4)[0]
    taylor = features(x, "taylor") @ features(y, "taylor")
    product = x @ y / 2
    torch.testing.assert_close(taylor, 1 + product + product**2 / 2)
    torch.testing.assert_close(features(x, "unit"), x / x.norm(), rtol=1e-5, atol=0)
    assert features(0 * x, "unit").abs().max() == 0


def test_deltaproduct_reads_after_its_last_write() -> None:
    """Two writes of a token are two tokens of a delta rule, the second of which is read."""
    options = {"delta": True, "feature_map": "unit", "gate": "head", "eigenvalues": [-1, 1]}
    layer, x = mixer(MatrixState(1, 1, D, 1, householders=2, norm=False, **options)), draw()
    q, k, v, _ = layer._read(x, None)
    gates, strengths = layer._gates(x)
    S = torch.zeros(B, 2, 3, 3, dtype=torch.float64)
    unit = torch.eye(3, dtype=torch.float64)
    outputs = []
    for t in range(T):
        S = gates[2 * t][..., None, None] * S
        assert (gates[2 * t + 1] == 1).all()
        for j in (2 * t, 2 * t + 1):
            beta = strengths[j][..., None, None]
            S = (unit - beta * k[j][..., None] * k[j][..., None, :]) @ S
            S = S + beta * k[j][..., None] * v[j][..., None, :]
        outputs.append((q[t][..., None, :] @ S).squeeze(-2))
    expected = torch.stack(outputs).flatten(2) @ layer.mixing.weight.T
    torch.testing.assert_close(run(layer, x), expected.detach(), rtol=0, atol=1e-12)


def test_gates_start_as_published() -> None:
    layer = mixer(MatrixState(1, 1, 4, 1, num_heads=500, key_dim=2, value_dim=2, gate="head"))
    rates, steps = layer.rate.exp(), F.softplus(layer.step_bias)
    assert 1 < rates.min() < 1.3
    assert 15.7 < rates.max() < 16
    delta = mixer(MatrixState(1, 1, 4, 1, 500, 2, 2, "head", delta=True, feature_map="unit"))
    assert delta.rate.exp().min() < 0.3
    assert steps.min() > 1e-3 * 0.99
    assert steps.max() < 0.1 * 1.01
    layer = mixer(MatrixState(1, 1, 6, 1, num_heads=3, gate="exponential"))
    assert layer.forget.bias.tolist() == [3, 4.5, 6]
    assert layer.forget.weight.abs().max() == layer.input.weight.abs().max() == 0


# ---------------------------------------------------------------------------------------- sLSTM


def test_slstm_is_its_formula_without_a_scale() -> None:
    """And its derivatives are, also those by the first state and through the last one."""
    layer = mixer(SLSTM(1, 1, D, 1))
    with torch.no_grad():
        layer.recurrent.normal_(std=0.5)
    x, shape = draw(), (2, B, 3)
    h, c, n = (torch.rand(shape, dtype=torch.float64).requires_grad_() for _ in range(3))
    leaves = [h, c, n, layer.recurrent, *layer.gates.parameters()]
    y, (*last, _) = layer(x, (h, c, n, torch.zeros(shape, dtype=torch.float64)))
    outputs = []
    for raw in layer.gates(x).view(T, B, 2, 12).transpose(1, 2):
        i, f, z, o = (raw + h @ layer.recurrent).chunk(4, -1)
        c = f.sigmoid() * c + i.exp() * z.tanh()
        n = f.sigmoid() * n + i.exp()
        h = o.sigmoid() * c / n
        outputs.append(h * (h.square().mean(-1, keepdim=True) + 1e-5).rsqrt())
    expected = torch.stack(outputs).transpose(1, 2).flatten(2)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-10)
    found = [z.sin().sum() for z in (y, last[0], last[1] / last[2])]
    theirs = [z.sin().sum() for z in (expected, h, c / n)]
    slopes = [torch.autograd.grad(sum(z), leaves) for z in (found, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-10)


def test_slstm_starts_as_published() -> None:
    model = SLSTM(1, 1, 16, 2)
    for block, power in zip(model.layers, (0.3, 1.6), strict=True):
        bias = block.mixer.gates.bias.view(2, 4, 8)  # type: ignore[union-attr]
        expected = 5 - 12 * (torch.arange(8) / 7) ** power
        torch.testing.assert_close(bias[:, 1], expected.expand(2, 8))
        assert bias[:, [0, 2, 3]].abs().max() == 0
    torch.manual_seed(0)
    weight = mixer(SLSTM(1, 1, 100, 1)).gates.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.02)


# ------------------------------------------------------------------------------ what they share


def test_short_convolution_is_torchs() -> None:
    layer = ShortConvolution(D, 4, bias=True).double()
    x = draw()
    p = layer.state_dict()
    weight = p["weight"].T[:, None]
    expected = F.conv1d(F.pad(x.permute(1, 2, 0), (3, 0)), weight, p["bias"], groups=D)
    torch.testing.assert_close(layer(x, None)[0].detach(), F.silu(expected.permute(2, 0, 1)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: MinimalRNN(1, 1, eigenvalues=[0, 2]),
            r"model.eigenvalues must be one of \[0, 1\]",
        ),
        (lambda: MinimalRNN(1, 1, cell="tanh"), "model.cell must be one of gru, lstm"),
        (lambda: Mamba(1, 1, mlp=-1), "model.mlp must be at least 0"),
        (lambda: RGLRU(1, 1, max_radius=1.0), r"model.max_radius must lie in \(0, 1\)"),
        (lambda: SLSTM(1, 1, num_heads=3), "model.num_heads must divide model.hidden_size"),
        (lambda: MatrixState(1, 1, num_heads=3), "set model.num_heads=2, or model.key_dim and"),
        (lambda: MatrixState(1, 1, gate="soft"), "model.gate must be one of none, fixed"),
        (
            lambda: MatrixState(1, 1, eigenvalues=[-1, 1]),
            r"model.eigenvalues must be \[0, 1\] for gate=none",
        ),
        (lambda: MatrixState(1, 1, householders=2), "model.householders must be 1 for delta=false"),
        (
            lambda: MatrixState(1, 1, delta=True, feature_map="unit", householders=99),
            "model.householders must be at most key_dim",
        ),
        (lambda: MatrixState(1, 1, delta=True), "model.feature_map must be unit for delta=true"),
        (lambda: MatrixState(1, 1, conv=65), "model.conv must be at most 64"),
        (
            lambda: MatrixState(1, 1, delta=True, feature_map="unit", gate="exponential"),
            "model.gate must have strengths below 1 for delta=true",
        ),
    ],
)
def test_bad_values_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
