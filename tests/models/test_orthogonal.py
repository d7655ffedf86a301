"""Orthogonal recurrent networks keep norms, and start as rotations."""

import math

import pytest
import torch
from scipy import stats

from seq2seq.models import OrthogonalRNN
from seq2seq.models.orthogonal import ACTIVATIONS, MAPS, OrthogonalCell


def layer(model: OrthogonalRNN) -> OrthogonalCell:
    first = model.double().layers[0]
    assert isinstance(first, OrthogonalCell)
    return first


@pytest.mark.parametrize("kind", MAPS)
def test_the_matrix_is_orthogonal_whatever_its_parameters(kind: str) -> None:
    own = layer(OrthogonalRNN(1, 1, 7, parameterisation=kind))
    with torch.no_grad():
        own.skew.normal_(std=2.0)
    Q = own.linearised().detach()
    torch.testing.assert_close(Q @ Q.T, torch.eye(7).double(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", MAPS)
def test_a_linear_one_keeps_norms(kind: str) -> None:
    """For ever, and with a radius below 1 they fall as its powers."""
    for radius in (1.0, 0.99):
        model = OrthogonalRNN(1, 1, 6, 1, kind, "linear", radius).double()
        h = torch.randn(2, 6, dtype=torch.float64)
        _, (last,) = model(torch.zeros(2, 1000, 1, dtype=torch.float64), (h,), return_state=True)
        torch.testing.assert_close(last.norm(dim=1), radius**1000 * h.norm(dim=1))
        (spectrum,) = model.eigenvalues()
        torch.testing.assert_close(spectrum.abs(), torch.full((6,), radius).double())


@pytest.mark.parametrize("kind", MAPS)
def test_it_starts_as_plane_rotations(kind: str) -> None:
    """Both maps at the same angles, uniform up to max_phase."""
    torch.manual_seed(0)
    (spectrum,) = OrthogonalRNN(1, 1, 400, 1, kind, max_phase=1.0).double().eigenvalues()
    phases = spectrum.angle()
    assert 0.95 < phases.max() < 1 + 1e-6
    assert abs((phases.abs() < 0.5).double().mean() - 0.5) < 0.1
    torch.manual_seed(0)
    Q = layer(OrthogonalRNN(1, 1, 4, 1, kind, max_phase=1.0)).linearised().detach()
    torch.manual_seed(0)
    turn = (2 * torch.rand(2) - 1)[0].double()
    expected = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()]).view(2, 2)
    torch.testing.assert_close(Q[:2, :2], expected, rtol=0, atol=1e-6)
    assert Q[:2, 2:].abs().max() < 1e-12


def test_its_input_map_starts_as_the_authors_do() -> None:
    """Normal, of variance 2/inputs (He et al. 2015), without a bias; thresholds within ±0.01."""
    torch.manual_seed(0)
    own = layer(OrthogonalRNN(40, 1, 1500))
    entries = own.input.weight.detach().flatten() * math.sqrt(40 / 2)
    _, p = stats.kstest(entries.numpy(), "norm")
    assert p > 0.01
    assert own.input.bias is None
    assert own.threshold is not None
    _, p = stats.kstest(own.threshold.detach().numpy(), stats.uniform(-0.01, 0.02).cdf)
    assert p > 0.01


def test_modrelu() -> None:
    own = layer(OrthogonalRNN(1, 1, 2))
    assert own.threshold is not None
    with torch.no_grad():
        own.threshold.copy_(torch.tensor([0.5, -0.5]))
        own.input.weight.fill_(1.0)
    x = torch.tensor([-2.0, -0.25, 0.25, 2.0], dtype=torch.float64)[None, :, None]
    h, _ = own(x, None)
    expected = [[-2.5, -1.5], [-0.75, 0.0], [0.75, 0.0], [2.5, 1.5]]
    torch.testing.assert_close(h[0].detach(), torch.tensor(expected).double())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_its_derivatives_are_those_of_the_formula(activation: str) -> None:
    """Those by the first state, and through the last one, too."""
    own = layer(OrthogonalRNN(2, 1, 5, activation=activation))
    if own.threshold is not None:
        with torch.no_grad():
            own.threshold.normal_(std=0.3)
    x, h = torch.randn(9, 3, 2).double(), torch.randn(3, 5).double().requires_grad_()
    leaves = [h, *own.parameters()]
    states, last = own(x, h)
    found = torch.autograd.grad(states.sin().sum() + last.square().sum(), leaves)
    visited, z = [], h
    for x_t in x:
        z = z @ own.linearised().T + own.input(x_t)
        if own.threshold is not None:
            z = z.sign() * (z.abs() + own.threshold).relu()
        visited.append(z)
    torch.testing.assert_close(states, torch.stack(visited), rtol=0, atol=1e-13)
    expected = torch.autograd.grad(torch.stack(visited).sin().sum() + z.square().sum(), leaves)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.hidden_size must be at least 2"):
        OrthogonalRNN(1, 1, 1)
    with pytest.raises(ValueError, match=r"model\.parameterisation must be one of exponential"):
        OrthogonalRNN(1, 1, parameterisation="householder")
    with pytest.raises(ValueError, match=r"model\.radius must be positive"):
        OrthogonalRNN(1, 1, radius=0.0)
    with pytest.raises(ValueError, match=r"model\.max_phase must lie in"):
        OrthogonalRNN(1, 1, max_phase=2 * math.pi)
