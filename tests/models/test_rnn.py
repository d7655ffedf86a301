"""RNN against the loops printed in textbooks."""

import math

import pytest
import torch
from torch import Tensor

from seq2seq.models.rnn import CELLS, RNN

IN, OUT, H, T, B = 2, 3, 4, 9, 2


def textbook(model: RNN, x: Tensor) -> Tensor:
    """Each formula as it is printed, one vector at a time, read from the model's state_dict."""
    p = model.state_dict()
    outputs = torch.zeros(len(x), x.shape[1], model.output_dim, dtype=x.dtype)
    for n, sequence in enumerate(x):
        h = [torch.zeros(H, dtype=x.dtype) for _ in range(model.num_layers)]
        c = [torch.zeros(H, dtype=x.dtype) for _ in range(model.num_layers)]
        for t, z in enumerate(sequence):
            for layer in range(model.num_layers):
                weight_in = p[f"layers.{layer}.weight_ih_l0"]
                W = p[f"layers.{layer}.weight_hh_l0"]
                if model.cell in ("lstm", "gru"):
                    a = weight_in @ z + p[f"layers.{layer}.bias_ih_l0"]
                    r = W @ h[layer] + p[f"layers.{layer}.bias_hh_l0"]
                if model.cell == "lstm":
                    i, f, g, o = (a + r).reshape(4, H)
                    c[layer] = f.sigmoid() * c[layer] + i.sigmoid() * g.tanh()
                    h[layer] = o.sigmoid() * c[layer].tanh()
                elif model.cell == "gru":
                    reset, update = ((a + r)[:H]).sigmoid(), ((a + r)[H : 2 * H]).sigmoid()
                    proposal = (a[2 * H :] + reset * r[2 * H :]).tanh()
                    h[layer] = (1 - update) * proposal + update * h[layer]
                else:
                    U, b = weight_in[:, :-1], weight_in[:, -1]
                    sigma = {"tanh": torch.tanh, "relu": torch.relu, "linear": lambda v: v}
                    h[layer] = sigma[model.cell](W @ h[layer] + U @ z + b)
                z = h[layer]
            outputs[n, t] = p["readout.weight"] @ z + p["readout.bias"]
    return outputs


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_textbook_loop(cell: str, num_layers: int) -> None:
    model = RNN(IN, OUT, cell, H, num_layers).double()
    x = torch.randn(B, T, IN, dtype=torch.float64)
    torch.testing.assert_close(model(x), textbook(model, x), rtol=0, atol=1e-13)


def count(model: RNN) -> int:
    return sum(p.numel() for p in model.parameters())


def test_parameter_counts() -> None:
    assert count(RNN(1, 1, "tanh", 16)) == 16 * 16 + 16 + 16 + 16 + 1  # W, U, one b, c, d
    assert count(RNN(1, 1, "linear", 16)) == count(RNN(1, 1, "tanh", 16))
    assert count(RNN(1, 1, "lstm", 256, 2)) == 791_809  # the published one


def test_initial_state_is_used() -> None:
    model = RNN(IN, OUT, "linear", H).double()
    h = torch.randn(1, B, H, dtype=torch.float64)
    x = torch.zeros(B, 1, IN, dtype=torch.float64)
    W, b = model.state_dict()["layers.0.weight_hh_l0"], model.state_dict()["layers.0.weight_ih_l0"]
    expected = model.readout(h[0] @ W.T + b[:, -1])
    torch.testing.assert_close(model(x, h)[:, 0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", CELLS)
def test_initialisations(cell: str) -> None:
    eye = torch.eye(H)
    gates = {"lstm": 4, "gru": 3}.get(cell, 1)
    orthogonal = RNN(IN, OUT, cell, H, initialisation="orthogonal", gain=0.5)
    blocks = orthogonal.layers[0].get_parameter("weight_hh_l0").split(H)
    assert len(blocks) == gates
    for block in blocks:
        torch.testing.assert_close(block @ block.T, 0.25 * eye)
        assert (block - block.diag().diag()).abs().max() > 1e-3
    identity = RNN(IN, OUT, cell, H, initialisation="identity", gain=0.9)
    for block in identity.layers[0].get_parameter("weight_hh_l0").split(H):
        torch.testing.assert_close(block, 0.9 * eye)
    default = RNN(IN, OUT, cell, 64).layers[0].get_parameter("weight_hh_l0")
    bound = 1 / math.sqrt(64)
    assert 0.95 * bound < default.abs().max() <= bound


def test_a_forget_bias_opens_the_forget_gates_and_nothing_else() -> None:
    states = []
    for forget_bias in (0.0, 1.5):
        torch.manual_seed(0)
        model = RNN(IN, OUT, "lstm", H, num_layers=2, forget_bias=forget_bias)
        states.append(model.state_dict())
        last = model
    for name, before in states[0].items():
        change = states[1][name] - before
        rows = slice(H, 2 * H) if name.endswith("bias_ih_l0") else slice(0)
        torch.testing.assert_close(change[rows], torch.full_like(change[rows], 1.5))
        change[rows] = 0
        assert not change.any(), name
    with torch.no_grad():  # c_1 = σ(1.5) c_0 where nothing else is
        for name, value in last.named_parameters():
            value.copy_(torch.where(states[1][name] - states[0][name] > 1, 1.5, 0.0))
        h, c = torch.zeros(2, 1, H), torch.ones(2, 1, H)
        _, (_, c) = last(torch.zeros(1, 1, IN), (h, c), return_state=True)
    torch.testing.assert_close(c, torch.full_like(c, 1 / (1 + math.exp(-1.5))))


def test_eigenvalues_are_those_of_the_recurrent_matrix() -> None:
    (spectrum,) = RNN(IN, OUT, "tanh", H, initialisation="identity", gain=0.7).eigenvalues()
    torch.testing.assert_close(spectrum.real, torch.full((H,), 0.7))
    lstm = RNN(IN, OUT, "lstm", H)
    candidate = lstm.layers[0].get_parameter("weight_hh_l0")[2 * H : 3 * H].detach()
    torch.testing.assert_close(lstm.eigenvalues()[0], torch.linalg.eigvals(candidate))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"cell": "elman"},
            "model.cell must be one of tanh, relu, linear, lstm, gru, got cell='",
        ),
        ({"initialisation": "zero"}, "model.initialisation must be one of"),
        ({"forget_bias": 1.0}, "model.forget_bias must be 0 for cell=tanh"),
        ({"cell": "lstm", "forget_bias": float("nan")}, "model.forget_bias must lie in"),
        ({"gain": 0.0}, "model.gain must be positive, got gain=0.0"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, str | float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RNN(1, 1, **arguments)
