"""Oscillators against their equations of motion."""

import pytest
import torch
from torch import Tensor

from seq2seq.models import LinOSS
from seq2seq.models.linoss import DISCRETISATIONS, LinOSSMixer

T, B, D, N = 60, 2, 4, 5


def mixer(kind: str) -> LinOSSMixer:
    first = LinOSS(1, 1, D, 1, N, kind).double().layers[0].mixer
    assert isinstance(first, LinOSSMixer)
    return first


@pytest.mark.parametrize("kind", DISCRETISATIONS)
def test_the_states_solve_the_equations(kind: str) -> None:
    """(z_t − z_{t−1})/Δ = −A y + B u with y at the new time or the old, (y_t − y_{t−1})/Δ = z_t."""
    layer, x = mixer(kind), torch.randn(T, B, D, dtype=torch.float64)
    A, step = layer.stiffness.relu(), layer.step.sigmoid()
    A, step = (z.detach().repeat_interleave(2) for z in (A, step))
    s: Tensor | None = None
    z = y = torch.zeros(B, 2 * N, dtype=torch.float64)
    for t in range(T):
        _, s = layer(x[t : t + 1], s)
        z_next, y_next = s.detach()
        force = (x[t] @ layer.B.T).detach() - A * (y_next if kind == "implicit" else y)
        torch.testing.assert_close((z_next - z) / step, force, rtol=0, atol=1e-10)
        torch.testing.assert_close((y_next - y) / step, z_next, rtol=0, atol=1e-10)
        z, y = z_next, y_next


def test_eigenvalues() -> None:
    for kind in DISCRETISATIONS:
        layer = mixer(kind)
        A, step = layer.stiffness.relu(), layer.step.sigmoid()
        S = 1 / (1 + step**2 * A) if kind == "implicit" else torch.ones_like(A)
        found = layer.spectrum(torch.zeros(1, 1, D)).view(N, 2).detach()
        expected = S.sqrt().detach()[:, None].expand(-1, 2)
        torch.testing.assert_close(found.abs(), expected, rtol=0, atol=1e-7)


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    layer = LinOSS(1, 1, 100, 1, 400).layers[0].mixer
    assert isinstance(layer, LinOSSMixer)
    for part, low, high in (
        *((z, 0.0, 1.0) for z in (layer.stiffness, layer.step)),
        *((z, -(n**-0.5), n**-0.5) for z, n in ((layer.B, 100), (layer.C, 400))),
    ):
        width = high - low
        assert low <= part.min() < low + 0.02 * width
        assert high - 0.02 * width < part.max() <= high
        assert part.std().item() == pytest.approx(width / 12**0.5, rel=0.06)
    assert layer.D.std().item() == pytest.approx(1, rel=0.2)


def test_unknown_discretisations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model.discretisation must be one of implicit, symp"):
        LinOSS(1, 1, discretisation="explicit")
