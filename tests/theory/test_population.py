"""The expected loss against sums over time, against samples, and as something to train on."""

import pytest
import torch

from seq2seq.theory import population
from seq2seq.theory.population import PopulationLoss, weights

L = 24
RHO = torch.exp(-0.3 * torch.arange(L, dtype=torch.float64)) * 0.5
LEARNED = torch.cos(torch.arange(L, dtype=torch.float64)) * 0.2


def gp(length: int = L) -> torch.Tensor:
    time = torch.arange(length, dtype=torch.float64)
    return 1.7 * torch.exp(-0.5 * ((time[:, None] - time) / 3) ** 2)


def growing() -> torch.Tensor:
    """The covariance of an input that is not stationary."""
    size = torch.linspace(1, 2, L, dtype=torch.float64)
    return gp() * size * size[:, None]


def operator(kernel: torch.Tensor) -> torch.Tensor:
    """The causal Toeplitz matrix A of y = A x."""
    lag = torch.arange(L)[:, None] - torch.arange(L)
    return torch.where(lag >= 0, kernel[lag.clamp(min=0)], 0.0)


@pytest.mark.parametrize(
    "covariance", [1.0, 0.25, 2 * torch.eye(L, dtype=torch.float64), gp(), growing()]
)
def test_it_is_the_sum_over_times(covariance):
    """E[(A x)_t²] = (A C Aᵀ)_tt for A the operator of the difference."""
    matrix = covariance if isinstance(covariance, torch.Tensor) else covariance * torch.eye(L)
    a = operator(RHO - LEARNED)
    per_time = (a @ matrix.double() @ a.T).diagonal()
    average = PopulationLoss(RHO, covariance, "average")(LEARNED)
    last = PopulationLoss(RHO, covariance, "last")(LEARNED)
    assert average.item() == pytest.approx(per_time.mean().item(), rel=1e-12)
    assert last.item() == pytest.approx(per_time[-1].item(), rel=1e-12)


@pytest.mark.parametrize("most_dense", [0, L])
@pytest.mark.parametrize("horizon", ["average", "last"])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_autocovariance_stands_for_its_matrix(monkeypatch, most_dense, horizon, channels):
    monkeypatch.setattr(population, "MOST_DENSE", most_dense)
    random = torch.Generator().manual_seed(2)
    learned = torch.randn(L, channels, channels, generator=random, dtype=torch.float64)
    by_lag = PopulationLoss(RHO, gp()[0], horizon)
    expected = PopulationLoss(RHO, gp(), horizon)(learned)
    assert by_lag(learned).item() == pytest.approx(expected.item(), rel=1e-12)
    assert (by_lag.weights.ndim == 1) == (most_dense == 0)
    assert torch.autograd.gradcheck(by_lag, learned.requires_grad_())


def test_a_white_autocovariance_is_a_variance():
    by_lag = PopulationLoss(RHO, torch.eye(L, dtype=torch.float64)[0] * 3)
    assert torch.equal(by_lag.weights, weights(L, 3.0))
    assert torch.equal(by_lag(LEARNED), PopulationLoss(RHO, 3.0)(LEARNED))


def test_white_weights_are_those_of_the_formula():
    assert torch.allclose(weights(4, 2.0), torch.tensor([2.0, 1.5, 1.0, 0.5]).double())
    assert torch.equal(weights(4, 2.0, "last"), torch.full((4,), 2.0).double())
    assert torch.equal(weights(4, 2 * torch.eye(4), "average"), weights(4, 2.0))


@pytest.mark.parametrize("horizon", ["average", "last"])
@pytest.mark.parametrize("covariance", [torch.eye(L, dtype=torch.float64), gp()])
def test_the_sampled_loss_converges_to_it(covariance, horizon):
    random = torch.Generator().manual_seed(0)
    values, vectors = torch.linalg.eigh(covariance)
    factor = vectors * values.clamp(min=0).sqrt()
    x = torch.randn(20_000, L, generator=random, dtype=torch.float64) @ factor.T
    errors = (x @ operator(RHO - LEARNED).T).square()
    losses = errors.mean(1) if horizon == "average" else errors[:, -1]
    standard_error = losses.std().item() / len(losses) ** 0.5
    expected = PopulationLoss(RHO, covariance, horizon)(LEARNED).item()
    assert losses.mean().item() == pytest.approx(expected, abs=4 * standard_error)
    assert standard_error < 0.05 * expected


def test_channels_mixed_by_the_model():
    """Two channels: y = A x_o, ŷ_o = Σ_i B_oi x_i, summed by hand over independent inputs."""
    random = torch.Generator().manual_seed(1)
    learned = torch.randn(L, 2, 2, generator=random, dtype=torch.float64)
    expected = 0.0
    for o in range(2):
        for i in range(2):
            error = (RHO if o == i else 0 * RHO) - learned[:, o, i]
            expected += PopulationLoss(0 * RHO, gp())(-error).item() / 2
    assert PopulationLoss(RHO, gp())(learned).item() == pytest.approx(expected, rel=1e-12)
    one = PopulationLoss(RHO, gp())(LEARNED[:, None, None])
    assert one.item() == pytest.approx(PopulationLoss(RHO, gp())(LEARNED).item(), rel=1e-12)


@pytest.mark.parametrize("covariance", [1.0, gp()])
def test_gradients_are_those_of_finite_differences(covariance):
    loss = PopulationLoss(RHO, covariance)
    assert torch.autograd.gradcheck(loss, LEARNED.clone().requires_grad_())


def test_descending_it_finds_the_kernel():
    loss = PopulationLoss(RHO)
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    lags = torch.arange(L, dtype=torch.float64)
    optimizer = torch.optim.Adam([rate], 0.02)
    for _ in range(400):
        value = loss(0.5 * torch.exp(-rate * lags))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert rate.item() == pytest.approx(0.3, abs=1e-3)
    assert value.item() < 1e-6
    assert loss(RHO).item() == 0


def test_a_float32_kernel_is_judged_in_float64():
    value = PopulationLoss(RHO)(LEARNED.float())
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(PopulationLoss(RHO)(LEARNED).item(), rel=1e-6)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="average or last"):
        PopulationLoss(RHO, 1.0, "first")
    with pytest.raises(ValueError, match="positive variance"):
        PopulationLoss(RHO, -1.0)
    with pytest.raises(ValueError, match=r"matrix \(24, 24\)"):
        PopulationLoss(RHO, gp(12))
    with pytest.raises(ValueError, match="must cover"):
        PopulationLoss(RHO)(LEARNED[:10])
