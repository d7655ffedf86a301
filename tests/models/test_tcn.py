"""TCN against convolutions written out tap by tap."""

import pytest
import torch
from torch import Tensor

from seq2seq.models.tcn import ACTIVATIONS, TCN, CausalConvolution

IN, OUT, H, B = 2, 3, 5, 2


def tap_by_tap(convolution: CausalConvolution, x: Tensor) -> Tensor:
    """y_t = b + Σ_s W_s x_{t−s·dilation}, one product at a time."""
    p = convolution.state_dict()
    y = p["bias"].expand(len(x), x.shape[1], -1).clone()
    for t in range(x.shape[1]):
        for s in range(convolution.kernel_size):
            weight = p["weight"].clone()
            if "gain" in p:
                for channel, gain in enumerate(p["gain"]):
                    weight[channel] *= gain / weight[channel].square().sum().sqrt()
            past = t - s * convolution.dilation
            if past >= 0:
                y[:, t] += x[:, past] @ weight[:, :, convolution.kernel_size - 1 - s].T
    return y


def by_definition(model: TCN, x: Tensor) -> Tensor:
    sigma = {"relu": torch.relu, "tanh": torch.tanh, "linear": lambda v: v}
    activation = sigma[next(n for n, kind in ACTIVATIONS.items() if kind is type(model.activation))]
    for layer in model.layers:
        z = x
        for convolution in layer.children():
            assert isinstance(convolution, CausalConvolution)
            z = activation(tap_by_tap(convolution, z))
        if model.residual:
            if x.shape[-1] != z.shape[-1]:
                x = model.adapt(x)
            z = activation(z + x)
        x = z
    return model.readout(x)


@pytest.mark.parametrize("variant", ["residual", "plain"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
@pytest.mark.parametrize(("kernel_size", "dilation_base"), [(1, 2), (2, 2), (3, 3), (4, 1)])
def test_definition(variant: str, activation: str, kernel_size: int, dilation_base: int) -> None:
    model = TCN(IN, OUT, H, 3, kernel_size, dilation_base, variant, activation).double()
    with torch.no_grad():  # away from the initial values, where the gain cancels the norm
        for name, parameter in model.named_parameters():
            if name.endswith("gain"):
                parameter.mul_(torch.rand_like(parameter) + 1)
    x = torch.randn(B, 11, IN, dtype=torch.float64)
    torch.testing.assert_close(model(x), by_definition(model, x), rtol=0, atol=1e-12)


def test_receptive_fields() -> None:
    assert TCN(1, 1, 4, 4, 2, variant="plain").receptive_field == 16
    assert TCN(1, 1, 4, 3, 3, 3, "plain").receptive_field == 27
    assert TCN(1, 1, 10, 7, 4).receptive_field == 1 + 2 * 3 * 127
    assert TCN(1, 1, 4, 5, 1).receptive_field == 1


def test_plain_linear_path_has_eight_weights() -> None:
    """Jiang, Li and Li 2021: one weight per tap and layer, 4 layers of 2, reach 16 steps."""
    model = TCN(1, 1, 1, 4, 2, variant="plain", activation="linear")
    assert sum(m.weight.numel() for m in model.modules() if isinstance(m, CausalConvolution)) == 8


def test_weight_normalisation_starts_neutral() -> None:
    convolution = CausalConvolution(3, 4, 2, 1, normalised=True)
    torch.testing.assert_close(convolution.filter(), convolution.weight)
    with torch.no_grad():
        convolution.weight.mul_(7)
    torch.testing.assert_close(convolution.filter(), convolution.weight / 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "dense"}, "model.variant must be one of residual, plain, got variant='dense'"),
        (
            {"activation": "gelu"},
            "model.activation must be one of relu, tanh, linear, got activation=",
        ),
        ({"kernel_size": 0}, "model.kernel_size must be at least 1, got kernel_size=0"),
        ({"dilation_base": -1}, "model.dilation_base must be at least 1, got dilation_base=-1"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, str | int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TCN(1, 1, **arguments)
