"""Bits that hand-made models recall, where they are known, and states of few bits."""

import math

import numpy as np
import pytest
import torch
from composed import composed
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from seq2seq.analysis.capacity import best_scale, capacity, recalled
from seq2seq.analysis.quantisation import quantise, quantiser
from seq2seq.analysis.stepping import numbers, stepwise
from seq2seq.build import build
from seq2seq.tasks.copy_memory import CopyMemory
from seq2seq.tasks.inputs import Signs, White
from seq2seq.tasks.mqar import MQAR
from seq2seq.tasks.reconstruct import Reconstruct
from seq2seq.tasks.selective_copy import SelectiveCopy

SMALL = {"val_size": 200, "test_size": 200}


class Register(nn.Module):
    """The token of n steps ago, from a shift register of n cells; sure of itself."""

    def __init__(self, cells: int, symbols: int) -> None:
        super().__init__()
        self.cells, self.symbols = cells, symbols
        self.sure = nn.Parameter(torch.tensor(60.0))

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        return torch.zeros(batch_size, self.cells, device=device, dtype=dtype)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        oldest = state[:, -1].round().long().clamp(0, self.symbols - 1)
        later = torch.cat([x_t[:, None].to(state.dtype), state[:, :-1]], 1)
        return self.sure * nn.functional.one_hot(oldest, self.symbols), later

    def forward(self, x: Tensor) -> Tensor:
        return stepwise(self, x, lambda state: state)


@pytest.fixture
def copying() -> CopyMemory:
    """Four symbols of 1 … 7, seven steps ago."""
    return CopyMemory(S=4, A=7, T=3, supervise="answer", **SMALL)


def test_a_shift_register_recalls_all_bits_and_needs_those_of_its_symbols(copying):
    cells = copying.T + copying.S
    found = capacity(Register(cells, 9), copying, bits=[1, 3, 4, 5])
    assert found.numbers == cells
    assert found.recall.bits == pytest.approx(4 * math.log2(7), abs=1e-4)
    assert found.source == pytest.approx(4 * math.log2(7))
    assert found.recall.accuracy == 1
    # Symbols up to 8 lie on the levels −7 … 7 of 4 bits but for the marker, which none asks for.
    assert found.quantised[5].bits == pytest.approx(found.recall.bits, abs=1e-2)
    assert found.quantised[3].bits < 0.9 * found.recall.bits
    assert found.quantised[1].bits < found.quantised[3].bits
    assert found.used in (4, 5)
    assert found.per_number == found.recall.bits / cells


def test_a_register_that_is_too_short_recalls_nothing(copying):
    found = capacity(Register(copying.T + copying.S - 1, 9), copying)
    assert found.recall.bits < 0
    assert found.used is None


def test_bits_of_a_perfect_and_of_an_ignorant_predictor_are_those_of_the_source_and_none():
    task = MQAR(V=32, K=4, length=16, distinct=False, **SMALL)
    _, y = task.split("test")
    perfect = 100 * nn.functional.one_hot(y.clamp(min=0), 32).float()
    assert recalled(task, perfect, y).bits == pytest.approx(4 * 4, abs=1e-4)
    ignorant = torch.where(torch.arange(32) >= 16, 0.0, -100.0).expand(*y.shape, 32)
    assert recalled(task, ignorant, y).bits == pytest.approx(0, abs=1e-4)


def test_the_shortcut_is_what_knowing_the_values_of_the_context_earns():
    task = MQAR(V=32, K=4, length=16, distinct=False, val_size=10, test_size=20_000)
    x, y = task.split("test")
    values = nn.functional.one_hot(x[:, 1:8:2], 32).float().mean(1)  # how often each occurs
    scores = values.clamp(min=1e-30).log()[:, None].expand(*y.shape, 32)
    found = capacity(_Fixed(), MQAR(V=32, K=4, length=16, distinct=False, **SMALL))
    assert recalled(task, scores, y).bits == pytest.approx(found.shortcut, abs=0.03)
    assert found.shortcut > 4 * (4 - math.log2(4))  # some values agree
    assert found.source == pytest.approx(16)


class _Fixed(Register):
    """Always the same scores, from no state."""

    def __init__(self) -> None:
        super().__init__(0, 32)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.sure.new_zeros(len(x_t), self.symbols), state


def test_bits_of_real_inputs_are_those_of_their_errors():
    task = Reconstruct(m=4, length=8, **SMALL)
    y = task.split("test").y
    shares = torch.tensor([0.5, 0.25, 0.1, 2.0])  # the last is worse than 0
    found = recalled(task, y * (1 - shares), y)
    expected = sum(math.log2(1 / share) for share in (0.5, 0.25, 0.1))
    assert found.bits == pytest.approx(expected, rel=1e-5)
    assert found.accuracy is None
    assert best_scale(y / 3, y) == pytest.approx(3)


def test_a_state_of_reals_loses_bits_as_it_is_rounded():
    task_keys = ("task=reconstruct", "task.m=3", "task.length=6")
    cfg = composed(*task_keys, "model=rnn", "model.cell=linear")
    task, module = build(cfg)
    assert isinstance(task.input, White)
    register = module.model
    with torch.no_grad():  # the first three units hold the latest three inputs
        inputs, recurrent = register.layers[0].parameters()
        inputs.zero_()[0, 0] = 1
        recurrent.zero_()[1, 0] = recurrent[2, 1] = 1
        register.readout.bias.zero_()
        register.readout.weight.zero_()[[0, 1, 2], [0, 1, 2]] = 1 - 2.0**-12
    found = capacity(register.eval(), task, bits=[1, 2, 3, 4, 6, 8])
    assert found.recall.bits == pytest.approx(3 * 12, abs=1e-2)
    assert found.source == math.inf
    bits = [found.quantised[b].bits for b in (1, 2, 3, 4, 6, 8)]
    assert bits == sorted(bits)
    # The newest input is read before it is rounded; a scalar of b bits tells at most b of another.
    assert bits[3] - 12 < 2 * 4


def test_one_temperature_is_the_best_one():
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(4000, 1, 5, generator=generator)
    y = torch.distributions.Categorical(logits=true).sample()
    assert best_scale(true * 20, y) == pytest.approx(1 / 20, rel=0.1)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_what_lies_on_the_levels_stays(bits):
    generator = torch.Generator().manual_seed(bits)
    most = 2 ** (bits - 1) - 1
    levels = torch.randint(-most, most + 1, (40, 3, 5), generator=generator).float()
    levels[0] = most
    scales = torch.tensor([0.1, 3.0, 700.0])[:, None]  # of each head its own
    torch.testing.assert_close(quantise(levels * scales, bits), levels * scales)


def test_one_bit_is_the_sign():
    x = torch.tensor([[1.0, -3.0], [5.0, -7.0]])
    assert quantise(x, 1).tolist() == [[4, -4], [4, -4]]
    heads = quantise(x[:, :, None], 1)  # a scale for each slice beside the batch
    assert heads[..., 0].tolist() == [[3, -5], [3, -5]]


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_the_scale_has_nearly_the_least_squared_error(bits):
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(1))
    most = 2 ** (bits - 1) - 1

    def error(scale: float) -> float:
        return float((x - (x / scale).round().clamp(-most, most) * scale).square().mean())

    top = float(x.abs().max())
    best = min(
        minimize_scalar(error, bounds=(low, 1.3 * low), method="bounded").fun
        for low in np.geomspace(top / most / 20, top / most, 40)
    )
    found = float((x - quantise(x, bits)).square().mean())
    assert best <= found * 1.0001
    assert found < 1.1 * best
    assert len(quantise(x, bits).unique()) <= 2**bits - 1


def test_whole_numbers_stay_and_complex_ones_lose_both_parts():
    assert quantise(torch.tensor(7), 1) == 7
    assert quantise(torch.tensor([2.0, -4.0]), 1).tolist() == [3, -3]  # a number per sequence
    assert not quantise(torch.zeros(3, 4), 4).any()
    x = torch.randn(6, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    parts = quantise(torch.view_as_real(x).flatten(1), 3)
    torch.testing.assert_close(torch.view_as_real(quantise(x, 3)).flatten(1), parts)


MODELS = [
    "model=lstm", "model=deltanet", "model=mlstm", "model=mamba2", "model=retnet", "model=mingru",
    "model=transformer", "model=lru", "model=s5", "model=hyena", "model=tcn", "model=slstm",
    "model=linoss", "model=mamba", "model=rg_lru",
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_states_of_all_shapes_are_counted_and_rounded(model):
    """With many bits the outputs are those of the state as it is, with one they are not."""
    task_keys = ("task.K=2", "task.V=8", "task.length=8", "task.distinct=false")
    cfg = composed("task=mqar", *task_keys, model)
    task, module = build(cfg)
    net, x = module.model.eval(), task.sample(20, torch.Generator().manual_seed(0))[0]
    with torch.no_grad():
        exact = net(x)
    fine, coarse = (stepwise(net, x, quantiser(net, bits)) for bits in (20, 1))
    torch.testing.assert_close(fine, exact, rtol=1e-2, atol=1e-3)
    assert (coarse - exact).abs().max() > 1e-3
    grown = {"model=transformer": 2 * 2 * 32 * 8, "model=hyena": 2 * 2 * 32 * 7}
    assert numbers(net, x) == (net.state_size or grown[model])


def test_where_bits_do_not_add_up_the_task_is_refused(copying):
    for task in (MQAR(V=32, K=4, **SMALL), Reconstruct(m=2, input=Signs())):
        with pytest.raises(ValueError, match="distinct=false"):
            capacity(Register(3, 9), task)
    assert SelectiveCopy().independent
    with pytest.raises(ValueError, match="bits"):
        capacity(Register(7, 9), copying, bits=[0])
    with pytest.raises(ValueError, match="step form"):
        capacity(nn.Linear(1, 1), copying)
