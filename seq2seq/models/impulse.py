"""What a model answers to an impulse: for a linear model its kernel."""

import torch
from torch import Tensor

from seq2seq.models.model import SequenceModel
from seq2seq.models.rnn import RNN
from seq2seq.models.ssm import DiagonalRNN


def impulse_response(model: SequenceModel, length: int) -> Tensor:
    """ρ̂_s for s < length: (length, output_dim, input_dim), differentiable in the parameters.

    Column i is the response to x_0 = e_i, x_t = 0 for t > 0, minus the response to zero input,
    which removes biases. For a linear time-invariant model it is the kernel ρ̂ in
    y_t = Σ_s ρ̂_s x_{t−s} + y(0)_t; for any other, its reaction to a unit impulse.
    """
    if isinstance(model, RNN | DiagonalRNN) and model.has_kernel:
        return model.kernel(length)  # the same, several times faster
    parameter = next(model.parameters())
    x = torch.zeros(
        model.input_dim + 1,
        length,
        model.input_dim,
        device=parameter.device,
        dtype=parameter.dtype,
    )
    x[:-1, 0] = torch.eye(model.input_dim, device=parameter.device, dtype=parameter.dtype)
    y = model(x)
    return (y[:-1] - y[-1]).permute(1, 2, 0)


def rest_response(model: SequenceModel, length: int) -> Tensor:
    """What `impulse_response` leaves out, y(0)_t for t < length: (length, output_dim)."""
    if isinstance(model, DiagonalRNN) and model.has_kernel:
        return model.readout.bias.expand(length, -1)  # its state stays at zero
    parameter = next(model.parameters())
    x = torch.zeros(1, length, model.input_dim, device=parameter.device, dtype=parameter.dtype)
    rest: Tensor = model(x)[0]
    return rest
