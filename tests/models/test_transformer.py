"""Transformer against attention written out query by query."""

import math

import pytest
import torch
from torch import Tensor

from seq2seq.models.transformer import POSITIONAL, Transformer

IN, OUT, T, B = 2, 3, 9, 2


def layer_norm(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)
    return weight * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() + bias


def turned(z: Tensor, t: int) -> Tensor:
    """Rotary positions (Su et al. 2021) as complex numbers."""
    half = len(z) // 2
    theta = torch.tensor([t * 10000 ** (-2 * j / len(z)) for j in range(half)], dtype=z.dtype)
    spun = torch.complex(z[:half], z[half:]) * torch.polar(torch.ones_like(theta), theta)
    return torch.cat([spun.real, spun.imag])


def naive(model: Transformer, x: Tensor) -> Tensor:
    p = model.state_dict()
    C, H = model.hidden_size, model.num_heads
    D = C // H
    outputs = []
    for sequence in x:
        h = sequence @ p["embedding.weight"].T + p["embedding.bias"]
        if model.positional == "learned":
            h = h + p["positions"][: len(h)]
        if model.positional == "sinusoidal":
            wave = [math.sin, math.cos]
            h = h + torch.tensor(
                [
                    [wave[c % 2](t * 10000 ** (-(c - c % 2) / C)) for c in range(C)]
                    for t in range(len(h))
                ],
                dtype=h.dtype,
            )
        for layer in range(model.num_layers):
            w = {k.removeprefix(f"layers.{layer}."): v for k, v in p.items()}
            z = layer_norm(h, w["attention_norm.weight"], w["attention_norm.bias"])
            joint = z @ w["query_key_value.weight"].T + w["query_key_value.bias"]
            attended = torch.zeros_like(h)
            for head in range(H):
                own = slice(head * D, (head + 1) * D)
                q, k, v = (part[:, own] for part in joint.split(C, -1))
                if model.positional == "rotary":
                    q = torch.stack([turned(z_t, t) for t, z_t in enumerate(q)])
                    k = torch.stack([turned(z_t, t) for t, z_t in enumerate(k)])
                for t in range(len(h)):
                    first = 0 if model.window is None else max(0, t - model.window + 1)
                    scores = k[first : t + 1] @ q[t] / math.sqrt(D)
                    if model.positional == "alibi":
                        slope = 2 ** (-8 * (head + 1) / H)
                        scores = scores - slope * torch.arange(t - first, -1, -1).double()
                    weights = scores.exp() / scores.exp().sum()
                    attended[t, own] = weights @ v[first : t + 1]
            h = h + attended @ w["mixing.weight"].T + w["mixing.bias"]
            z = layer_norm(h, w["mlp_norm.weight"], w["mlp_norm.bias"])
            z = z @ w["mlp.0.weight"].T + w["mlp.0.bias"]
            z = z * (1 + torch.erf(z / math.sqrt(2))) / 2
            h = h + z @ w["mlp.2.weight"].T + w["mlp.2.bias"]
        h = layer_norm(h, p["norm.weight"], p["norm.bias"])
        outputs.append(h @ p["readout.weight"].T + p["readout.bias"])
    return torch.stack(outputs)


@pytest.mark.parametrize("positional", POSITIONAL)
@pytest.mark.parametrize("window", [None, 1, 4, T, 50])
def test_definition(positional: str, window: int | None) -> None:
    model = Transformer(IN, OUT, 12, 2, 3, positional, T, window).double()
    x = torch.randn(B, T, IN, dtype=torch.float64)
    torch.testing.assert_close(model(x), naive(model, x), rtol=0, atol=1e-12)


def test_rotary_attention_sees_differences_only() -> None:
    """With rotary positions and a window, a shifted input gives the shifted output."""
    model = Transformer(IN, OUT, 12, 1, 3, "rotary", window=4).double()
    x = torch.randn(1, 30, IN, dtype=torch.float64)
    torch.testing.assert_close(model(x)[:, 13:], model(x[:, 10:])[:, 3:], rtol=0, atol=1e-12)


def test_generation_goes_on_past_the_training_length() -> None:
    model = Transformer(IN, OUT, 8, 2, 2, "rotary", max_length=8, window=8).double()
    x = torch.randn(1, 60, IN, dtype=torch.float64)
    state = model.initial_state(1, x.device, x.dtype)
    for t in range(60):
        y_t, state = model.step(x[:, t], state)
    torch.testing.assert_close(y_t, model(x)[:, -1], rtol=0, atol=1e-12)
    assert all(k.shape[2] == 7 for k, _ in state[1])


def test_learned_positions_run_out() -> None:
    model = Transformer(IN, OUT, 8, 1, 2, "learned", max_length=5)
    message = "must not exceed model.max_length .* got length=6, max_length=5"
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(1, 6, IN))
    state = model.initial_state(1, torch.device("cpu"), torch.float32)
    for _ in range(5):
        _, state = model.step(torch.zeros(1, IN), state)
    with pytest.raises(ValueError, match=message):
        model.step(torch.zeros(1, IN), state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 5}, "model.num_heads must divide model.hidden_size, got num_heads=5, hidd"),
        ({"positional": "relative"}, "model.positional must be one of sinusoidal, learned,"),
        (
            {"positional": "rotary", "hidden_size": 6, "num_heads": 2},
            "model.positional=rotary needs an even model.hidden_size / model.num_heads, got 6 / 2",
        ),
        ({"window": 0}, "model.window must be at least 1, got window=0"),
        ({"max_length": 0}, "model.max_length must be at least 1, got max_length=0"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, str | int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Transformer(1, 1, **arguments)
