"""Impulse responses against convolutions and closed forms."""

import pytest
import torch

from seq2seq.models.diagonal_rnn import DiagonalRNN
from seq2seq.models.impulse import impulse_response
from seq2seq.models.model import SequenceModel
from seq2seq.models.rnn import RNN
from seq2seq.models.tcn import TCN

IN, OUT, T = 2, 3, 40

LINEAR: list[SequenceModel] = [
    RNN(IN, OUT, "linear", 5),
    RNN(IN, OUT, "linear", 5, 2),
    TCN(IN, OUT, 5, 4, 2, variant="plain", activation="linear"),
    DiagonalRNN(IN, OUT, 6),
    DiagonalRNN(IN, OUT, 6, 1, "real", "direct", dt=0.3),
    DiagonalRNN(IN, OUT, 6, 2, "real", "stable", dt=0.3),
]


@pytest.mark.parametrize("model", LINEAR)
def test_a_linear_model_is_its_kernel(model: SequenceModel) -> None:
    model = model.double()
    kernel = impulse_response(model, T)
    x = torch.randn(2, T, IN, dtype=torch.float64)
    y = model(torch.zeros_like(x))
    for t in range(T):
        for s in range(t + 1):
            y[:, t] += x[:, t - s] @ kernel[s].T
    torch.testing.assert_close(model(x), y, rtol=0, atol=1e-12)


def test_dense_kernel_is_a_power_of_the_recurrent_matrix() -> None:
    model = RNN(IN, OUT, "linear", 5).double()
    p = model.state_dict()
    U, W = p["layers.0.weight_ih_l0"][:, :-1], p["layers.0.weight_hh_l0"]
    expected = [p["readout.weight"] @ torch.linalg.matrix_power(W, s) @ U for s in range(T)]
    kernel = impulse_response(model, T)
    torch.testing.assert_close(kernel, torch.stack(expected), rtol=0, atol=1e-13)


def test_response_of_a_nonlinear_model_starts_at_its_readout() -> None:
    model = RNN(1, 1, "tanh", 4).double()
    p = model.state_dict()
    U, b = p["layers.0.weight_ih_l0"].T
    expected = p["readout.weight"] @ (torch.tanh(U + b) - torch.tanh(b))
    torch.testing.assert_close(impulse_response(model, 3)[0, 0], expected)


def test_gradient_reaches_the_parameters() -> None:
    model = DiagonalRNN(1, 1, 4)
    impulse_response(model, 5).square().sum().backward()
    assert model.readout.weight.grad is not None
    assert model.readout.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    "model",
    [
        DiagonalRNN(1, 1, 4, 2),
        DiagonalRNN(1, 1, 4, activation="tanh"),
        RNN(1, 1, "tanh", 4),
        RNN(1, 1, "linear", 4, 2),
    ],
)
def test_only_one_linear_layer_has_a_closed_kernel(model: RNN | DiagonalRNN) -> None:
    assert impulse_response(model, 5).shape == (5, 1, 1)
    with pytest.raises(ValueError, match=r"a kernel needs model.* and model.num_layers=1, got"):
        model.kernel(5)
