"""Memory of models whose kernels are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seq2seq import models
from seq2seq.analysis import memory


class Kernel(nn.Module):
    """y_t = Σ_s ρ_s f(x_{t−s}) with matrices ρ_s, (lags, outputs, inputs)."""

    def __init__(self, rho: Tensor, power: int = 1) -> None:
        super().__init__()
        self.rho = rho
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape[0], x.shape[1], self.rho.shape[1], dtype=x.dtype)
        for s in range(min(len(self.rho), x.shape[1])):
            past = x[:, : x.shape[1] - s] ** self.power
            y = y + nn.functional.pad(past @ self.rho[s].T, (0, 0, s, 0))
        return y


def test_gradients_of_a_linear_model_are_its_impulse_response():
    random = torch.Generator().manual_seed(0)
    rho = torch.randn(8, 3, 2, generator=random, dtype=torch.float64)
    x = torch.randn(5, 12, 2, generator=random, dtype=torch.float64)
    profile = memory.gradient_profile(Kernel(rho), x)
    assert profile[:8] == pytest.approx(memory.impulse_profile(rho.numpy()))
    assert profile[8:] == pytest.approx(0)
    assert profile[2] == pytest.approx(float(rho[2].norm()))


def test_gradients_of_a_nonlinear_model_are_averaged_over_inputs():
    """y_t = ½ x_{t−3}²: |∂y_t/∂x_{t−3}| = |x|, √(2/π) on average over normal inputs."""
    rho = torch.zeros(6, 1, 1, dtype=torch.float64)
    rho[3] = 0.5
    x = torch.randn(20_000, 6, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    profile = memory.gradient_profile(Kernel(rho, power=2), x)
    assert profile[3] == pytest.approx(math.sqrt(2 / math.pi), rel=0.03)
    assert np.delete(profile, 3) == pytest.approx(0)


def test_a_model_keeps_its_mode_and_its_gradients():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(1, 1)).train()
    memory.gradient_profile(model, torch.ones(2, 3, 1))
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="must be real"):
        memory.gradient_profile(model, torch.zeros(2, 3, dtype=torch.int64))


def test_used_memory_holds_its_share():
    assert memory.used(np.eye(20)[7]) == 8
    assert memory.used(np.zeros(5)) == 0
    # Of e^{−s}, squared, the first m lags hold 1 − e^{−2m}.
    profile = np.exp(-np.arange(50.0))
    assert memory.used(profile, 0.99) == math.ceil(math.log(100) / 2)
    assert memory.used(profile, 0.5) == 1


def test_effective_memory_of_a_result():
    result = {
        "status": "finished",
        "test/loss": 0.3,
        "val/loss": 0.02,
        "reference/zero": 1.0,
        "reference/memoryless": 0.8,
        "reference/taps_2": 0.5,
        "reference/taps_4": 0.1,
    }
    assert memory.effective(result) == (2, 4)
    assert memory.effective(result, "val/loss") == (4, math.inf)
    assert memory.effective(result | {"test/loss": None}) is None
    assert memory.effective({"test/loss": 0.3}) is None
    flat = result | {"reference/memoryless": 1.0, "test/loss": 1.0}
    assert memory.effective(flat) is None


def test_the_radius_is_that_of_the_whole_state():
    """Of a GRU without weights half of the state is kept; the quarter of W comes on top."""
    network = models.RNN(2, 1, "tanh", 6, initialisation="identity", gain=0.7)
    with torch.no_grad():
        network.layers[0].weight_ih_l0.zero_()
    assert memory.radius(network) == pytest.approx(0.7)
    for cell in ("gru", "lstm"):
        gated = models.RNN(2, 1, cell, 6, initialisation="identity", gain=0.7)
        with torch.no_grad():
            for name, part in gated.layers[0].named_parameters():
                if name != "weight_hh_l0":
                    part.zero_()
        assert memory.radius(gated) == pytest.approx(0.5 + 0.7 / 4)
    assert math.isnan(memory.radius(models.Transformer(2, 1)))
