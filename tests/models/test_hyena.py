"""Hyena against sums over all pairs of times, and its filters against their formula."""

import math

import pytest
import torch

from seq2seq.models import Hyena
from seq2seq.models.hyena import HyenaMixer
from seq2seq.models.mixer import MixerBlock

B, T, D = 2, 30, 4


def mixer(*sizes: int, **options: float) -> HyenaMixer:
    block = Hyena(1, 1, D, 1, *sizes, **options).double().layers[0]
    assert isinstance(block, MixerBlock)
    assert isinstance(block.mixer, HyenaMixer)
    return block.mixer


@pytest.mark.parametrize("order", [2, 3])
def test_it_is_its_formula(order: int) -> None:
    layer, x = mixer(order, max_length=20), torch.randn(T, B, D, dtype=torch.float64)
    joint, _ = layer.convolution(layer.project(x), None)
    first, *gates, v = joint.detach().split(D, -1)
    filters = layer.filters(T).detach().split(D, 1)
    for i in range(order - 1):
        v = gates[order - 2 - i] * v
        spread = torch.stack(
            [sum(filters[i][t - s] * v[s] for s in range(t + 1)) for t in range(T)]
        )
        v = spread + layer.skip.detach()[i] * v
    expected = layer.mixing(first * v)
    torch.testing.assert_close(layer(x, None)[0], expected, rtol=0, atol=1e-12)


def test_filters_are_a_windowed_network_of_the_lag() -> None:
    filters = mixer(2, 8, 1, 3, 5.0, 100).filters
    p, lag = filters.state_dict(), 37
    waves = [2 * math.pi * lag / 100 * f for f in (1e-4, 1.00005, 2.0)]
    z = torch.tensor([lag / 100, *map(math.cos, waves), *(-math.sin(w) for w in waves)]).double()
    for part in (0, 2):
        z = (5 * (p[f"network.{part}.weight"] @ z + p[f"network.{part}.bias"])).sin()
    window = torch.tensor([0.01 ** (lag / 100 / r) for r in (1.5, 0.3)]).double()
    expected = (p["network.4.weight"] @ z)[[0, -1]] * window
    torch.testing.assert_close(filters(50)[lag, [0, -1]].detach(), expected, rtol=1e-5, atol=1e-7)


def test_filters_go_on_beyond_their_length() -> None:
    filters = mixer(2, max_length=10).filters
    torch.testing.assert_close(filters(40)[:10], filters(10))
    assert filters(40)[10:].abs().max() > 0


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.order must be at least 2, got order=1"):
        Hyena(1, 1, order=1)
    with pytest.raises(ValueError, match=r"model\.bands must be at least 1"):
        Hyena(1, 1, bands=0)
