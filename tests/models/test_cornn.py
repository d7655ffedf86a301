"""Coupled oscillators against the authors' cell, the free oscillator and finite differences."""

import pytest
import torch
from torch import Tensor

from seq2seq.models import CoRNN
from seq2seq.models.cornn import CoupledCell

B, T, N = 2, 40, 4


def cell(*sizes: float) -> CoupledCell:
    first = CoRNN(3, 1, N, 1, *sizes).double().layers[0]
    assert isinstance(first, CoupledCell)
    return first


def test_it_is_its_formula() -> None:
    """One map of (x, z, y), as the authors have it."""
    own, x = cell(), torch.randn(T, B, 3, dtype=torch.float64)
    joint = torch.cat([own.input.weight, own.recurrent], 1).detach()
    y = z = torch.zeros(B, N, dtype=torch.float64)
    for x_t, found in zip(x, own(x, None)[0].detach(), strict=True):
        force = (torch.cat([x_t, z, y], 1) @ joint.T + own.input.bias.detach()).tanh()
        z = z + 0.06 * (force - 66 * y - 15 * z)
        y = y + 0.06 * z
        torch.testing.assert_close(found, y, rtol=0, atol=1e-14)


def by_formula(own: CoupledCell, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Time by time, for autograd to differentiate."""
    y, z = state.chunk(2, -1)
    visited = []
    for x_t in x.unbind(0):
        force = (own.input(x_t) + torch.cat([z, y], 1) @ own.recurrent.T).tanh()
        z = z + own.dt * (force - own.gamma * y - own.epsilon * z)
        y = y + own.dt * z
        visited.append(y)
    return torch.stack(visited), torch.cat([y, z], 1)


def test_its_derivative_is_that_of_the_formula() -> None:
    """By inputs, parameters and the state before, through all outputs and the last state."""
    own, random = cell(0.1, 9.0, 2.0), torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64).requires_grad_()

    x, state = draw(T, B, 3), draw(B, 2 * N)
    weights = [draw(T, B, N).detach(), draw(B, 2 * N).detach()]
    wanted = [x, state, *own.parameters()]
    slopes = []
    for run in (own.forward, lambda x, state: by_formula(own, x, state)):
        found = run(x, state)
        total = sum((part * weight).sum() for part, weight in zip(found, weights, strict=True))
        slopes.append(torch.autograd.grad(total, wanted))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def test_it_starts_as_one_map_of_inputs_and_state() -> None:
    torch.manual_seed(0)
    first = CoRNN(50, 1, 100).layers[0]
    assert isinstance(first, CoupledCell)
    for part in (first.input.weight, first.recurrent, first.input.bias):
        assert 0.9 * 250**-0.5 < part.abs().max() <= 250**-0.5


def test_a_free_oscillator_keeps_its_energy() -> None:
    """Symplectic steps without damping or coupling: γ y² + z² − Δ γ y z is the same for ever."""
    own = cell(0.1, 4.0, 1e-12)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.zero_()
    start = torch.randn(B, 2 * N, dtype=torch.float64)

    def energy(state: Tensor) -> Tensor:
        y, z = state.detach().chunk(2, -1)
        return 4 * y**2 + z**2 - 0.1 * 4 * y * z

    _, state = own(torch.zeros(1000, B, 3, dtype=torch.float64), start)
    torch.testing.assert_close(energy(state), energy(start), rtol=1e-8, atol=0)


def test_eigenvalues_are_those_of_small_states() -> None:
    model = CoRNN(3, 1, N).double()
    own = model.layers[0]
    assert isinstance(own, CoupledCell)
    with torch.no_grad():
        own.input.bias.zero_()
    nothing = torch.zeros(1, 1, 3, dtype=torch.float64)
    (slope,) = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
        lambda s: own(nothing, s[None])[1][0], (torch.zeros(2 * N, dtype=torch.float64),)
    )
    torch.testing.assert_close(own.linearised().detach(), slope, rtol=0, atol=1e-14)
    assert len(model.eigenvalues()[0]) == 2 * N


def test_bad_values_are_refused() -> None:
    for key in ("dt", "gamma", "epsilon"):
        with pytest.raises(ValueError, match=f"model.{key} must be positive, got {key}=0.0"):
            CoRNN(1, 1, **{key: 0.0})
