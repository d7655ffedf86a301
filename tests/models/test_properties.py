"""What every model must satisfy, over all architectures and their variants."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from seq2seq.models import s4d, transformer
from seq2seq.models.batching import AttentionRule, batchable
from seq2seq.models.cornn import CoRNN
from seq2seq.models.diagonal_rnn import DiagonalRNN
from seq2seq.models.esn import ESN
from seq2seq.models.hyena import Hyena
from seq2seq.models.linoss import DISCRETISATIONS, LinOSS
from seq2seq.models.lmu import LMU
from seq2seq.models.lru import LRU
from seq2seq.models.mamba import Mamba
from seq2seq.models.matrix_state import MatrixState
from seq2seq.models.minimal import MinimalRNN
from seq2seq.models.mixer import MixerModel
from seq2seq.models.model import RecurrentModel, SequenceModel
from seq2seq.models.orthogonal import OrthogonalRNN
from seq2seq.models.rg_lru import RGLRU
from seq2seq.models.rnn import CELLS, INITIALISATIONS, RNN
from seq2seq.models.s4d import S4D, S4D_INITIALISATIONS
from seq2seq.models.s5 import S5
from seq2seq.models.slstm import SLSTM
from seq2seq.models.state_space import PARAMETERISATIONS
from seq2seq.models.tcn import ACTIVATIONS, TCN, VARIANTS
from seq2seq.models.transformer import POSITIONAL, Transformer

pytestmark = pytest.mark.usefixtures("shapes")

B, T, IN, OUT = 3, 12, 2, 3
SIGNED = [-1, 1]

#: Every gate with and without the delta rule, every feature map, normaliser and output gate.
MATRIX_STATES: dict[str, dict[str, Any]] = {
    "linear-attention": {"feature_map": "elu", "normaliser": "sum", "norm": False},
    "taylor": {"feature_map": "taylor", "key_dim": 3},
    "retnet": {"gate": "fixed", "rotation": True, "output_gate": "silu"},
    "mamba2": {
        **{"gate": "head", "eigenvalues": SIGNED, "shared_keys": True, "skip": True},
        **{"conv": 4, "output_gate": "silu_before_norm", "mlp": 0},
    },
    "gla": {"gate": "channel", "eigenvalues": SIGNED, "output_gate": "silu"},
    "mlstm": {"gate": "exponential", "normaliser": "bounded", "output_gate": "sigmoid"},
    "mlstm-signed": {"gate": "exponential", "eigenvalues": SIGNED, "normaliser": "bounded"},
    "deltanet": {"delta": True, "feature_map": "unit", "conv": 4},
    "gated-deltanet": {"delta": True, "feature_map": "unit", "gate": "head", "conv": 1},
    "channel-deltanet": {"delta": True, "feature_map": "unit", "gate": "channel"},
    "deltaproduct": {
        **{"delta": True, "feature_map": "unit", "gate": "head", "value_dim": 3},
        **{"householders": 2, "eigenvalues": SIGNED, "dropout": 0.3},
    },
}

MODELS: dict[str, Callable[[], SequenceModel]] = {
    **{f"rnn-{cell}": (lambda cell=cell: RNN(IN, OUT, cell, 5)) for cell in CELLS},
    **{f"rnn-{cell}-deep": (lambda cell=cell: RNN(IN, OUT, cell, 5, 2)) for cell in CELLS},
    **{
        f"rnn-tanh-{init}": (lambda init=init: RNN(IN, OUT, "tanh", 5, initialisation=init))
        for init in INITIALISATIONS
    },
    "rnn-dropout": lambda: RNN(IN, OUT, "lstm", 5, 2, dropout=0.3),
    **{
        f"tcn-{variant}-{activation}": (
            lambda v=variant, a=activation: TCN(IN, OUT, 7, 3, 3, variant=v, activation=a)
        )
        for variant in VARIANTS
        for activation in ACTIVATIONS
    },
    "tcn-kernel-2": lambda: TCN(IN, OUT, 7, 4, 2),
    "tcn-base-3": lambda: TCN(IN, OUT, 7, 2, 3, dilation_base=3, variant="plain"),
    "tcn-same-width": lambda: TCN(IN, OUT, IN, 2, 2, activation="tanh"),
    "tcn-dropout": lambda: TCN(IN, OUT, 7, 2, dropout=0.3),
    **{
        f"transformer-{kind}-{window}": (
            lambda p=kind, w=window: Transformer(IN, OUT, 12, 2, 3, p, 4 * T, w)
        )
        for kind in POSITIONAL
        for window in (None, 1, 5)
    },
    "transformer-odd-width": lambda: Transformer(IN, OUT, 5, 1, 1),
    **{
        f"diagonal-{spectrum}-{kind}": (lambda s=spectrum, p=kind: DiagonalRNN(IN, OUT, 6, 1, s, p))
        for spectrum in ("real", "complex")
        for kind in PARAMETERISATIONS
    },
    "diagonal-dt": lambda: DiagonalRNN(IN, OUT, 6, 1, dt=0.1),
    "diagonal-deep": lambda: DiagonalRNN(IN, OUT, 6, 3, activation="tanh"),
    "diagonal-deep-linear": lambda: DiagonalRNN(IN, OUT, 6, 2, "real"),
    "lru": lambda: LRU(IN, OUT, 5, 2, 8),
    "lru-ring": lambda: LRU(IN, OUT, 5, 1, 8, min_radius=0.0, max_radius=1.0, max_phase=0.3),
    "lru-dropout": lambda: LRU(IN, OUT, 5, 1, 8, dropout=0.3),
    **{
        f"s4d-{init}": (lambda i=init: S4D(IN, OUT, 5, 2, 8, initialisation=i))
        for init in S4D_INITIALISATIONS
    },
    "s4d-dropout": lambda: S4D(IN, OUT, 5, 1, 8, dropout=0.3),
    "s5": lambda: S5(IN, OUT, 5, 2, 8),
    "lru-softplus": lambda: LRU(IN, OUT, 5, 1, 8, parameterisation="softplus"),
    "s4d-direct": lambda: S4D(IN, OUT, 5, 1, 8, parameterisation="direct"),
    "s5-stable": lambda: S5(IN, OUT, 5, 1, 8, 2, parameterisation="stable"),
    "hyena": lambda: Hyena(IN, OUT, 5, 2, filter_width=7, max_length=20, mlp=1),
    "hyena-3": lambda: Hyena(IN, OUT, 5, 1, 3, 7, max_length=20, mlp=0, dropout=0.3),
    "cornn": lambda: CoRNN(IN, OUT, 5, 2, dt=0.3, gamma=2.0, epsilon=1.0),
    "esn": lambda: ESN(IN, OUT, 9, 2, leak=0.7, density=0.5),
    **{
        name: (lambda o=options: MatrixState(IN, OUT, 8, 2, **{"mlp": 1, **o}))
        for name, options in MATRIX_STATES.items()
    },
    "mingru": lambda: MinimalRNN(IN, OUT, 5, 2),
    "mingru-signed": lambda: MinimalRNN(IN, OUT, 5, 1, eigenvalues=SIGNED, candidate="positive"),
    "minlstm": lambda: MinimalRNN(IN, OUT, 5, 2, "lstm", state_dim=7, mlp=0),
    "mamba": lambda: Mamba(IN, OUT, 5, 2, state_dim=3),
    "mamba-signed": lambda: Mamba(IN, OUT, 5, 1, state_dim=3, eigenvalues=SIGNED),
    "lmu": lambda: LMU(IN, OUT, 5, 2, order=6, theta=20.0, memories=3, mlp=1),
    "rg-lru": lambda: RGLRU(IN, OUT, 5, 2, mlp=1),
    **{
        f"linoss-{kind}": (lambda k=kind: LinOSS(IN, OUT, 5, 2, 3, discretisation=k))
        for kind in DISCRETISATIONS
    },
    "slstm": lambda: SLSTM(IN, OUT, 6, 2, mlp=1),
    **{
        f"orthogonal-{kind}": (
            lambda k=kind: OrthogonalRNN(IN, OUT, 5, 2, k, "linear" if k == "cayley" else "modrelu")
        )
        for kind in ("exponential", "cayley")
    },
    "transformer-dropout": lambda: Transformer(IN, OUT, 12, 1, 2, dropout=0.3),
}
#: Options of models that other names cover but for a line or two: `-m slow` asks them, too.
FURTHER = {
    *(f"rnn-{cell}-deep" for cell in CELLS if cell not in ("tanh", "lstm")),
    *(f"transformer-{kind}-1" for kind in POSITIONAL),
    *("taylor", "retnet", "mlstm-signed", "gated-deltanet", "mingru-signed", "mamba-signed"),
    *("linoss-symplectic", "orthogonal-cayley"),
    *("lru-softplus", "s4d-direct", "s5-stable", "hyena-3"),
}
EVERY = [pytest.param(name, marks=[pytest.mark.slow] * (name in FURTHER)) for name in MODELS]
RECURRENT = [one for one in EVERY if isinstance(MODELS[str(one.values[0])](), RecurrentModel)]


def build(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> SequenceModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MODELS[name]().to(dtype).eval()


def inputs(length: int = T, dtype: torch.dtype = torch.float64, batch: int = B) -> Tensor:
    return torch.randn(batch, length, IN, dtype=dtype, generator=torch.Generator().manual_seed(1))


def steps(model: SequenceModel, x: Tensor) -> Tensor:
    state = model.initial_state(len(x), x.device, x.dtype)
    outputs = []
    for x_t in x.unbind(1):
        y_t, state = model.step(x_t, state)
        outputs.append(y_t)
    return torch.stack(outputs, 1)


def numbers(state: object) -> int:
    """How many real numbers a state holds; a counter of steps is none."""
    if isinstance(state, Tensor):
        if not state.is_floating_point() and not state.is_complex():
            return 0
        return state.numel() * (2 if state.is_complex() else 1)
    assert isinstance(state, tuple | list)
    return sum(numbers(part) for part in state)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype(name: str, dtype: torch.dtype) -> None:
    for length in (1, T, 3 * T):
        y = build(name, dtype)(inputs(length, dtype))
        assert y.shape == (B, length, OUT)
        assert y.dtype == dtype
        assert y.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_output_ignores_the_future(name: str) -> None:
    model, x = build(name), inputs()
    changed = x.clone()
    changed[:, T // 2 :] += 1
    before, after = model(x), model(changed)
    torch.testing.assert_close(before[:, : T // 2], after[:, : T // 2], rtol=0, atol=1e-13)
    assert (before[:, T // 2] - after[:, T // 2]).abs().max() > 1e-6, "x_t must reach o_t"


@pytest.mark.parametrize("name", EVERY)
def test_appended_steps_leave_earlier_outputs(name: str) -> None:
    model, x = build(name), inputs(3 * T)
    torch.testing.assert_close(model(x)[:, :T], model(x[:, :T]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_steps_equal_the_parallel_pass(name: str, dtype: torch.dtype, tolerance: float) -> None:
    if "mlstm" in name:  # it divides by a sum of both signs
        tolerance *= 10
    model, x = build(name, dtype), inputs(4 * T, dtype)
    torch.testing.assert_close(steps(model, x), model(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", EVERY)
def test_state_size_counts_the_state(name: str) -> None:
    model = build(name)
    sizes = []
    for length in (20, 21):
        state = model.initial_state(B, torch.device("cpu"), torch.float64)
        for x_t in inputs(length).unbind(1):
            _, state = model.step(x_t, state)
        sizes.append(numbers(state))
    if model.state_size is None:
        assert sizes[1] > sizes[0]
    else:
        assert sizes == [B * model.state_size] * 2


@pytest.mark.parametrize("name", EVERY)
def test_receptive_field_is_exact(name: str) -> None:
    model = build(name)
    field = model.receptive_field
    length = 3 * T if field is None else field + 5
    x = inputs(length, batch=64).requires_grad_()  # many, as a relu may block some
    model(x)[:, -1].sum().backward()
    assert x.grad is not None
    reach = length - x.grad.abs().sum((0, 2)).nonzero().min()
    assert reach > T if field is None else reach == field


@pytest.mark.parametrize("name", EVERY)
def test_every_parameter_has_a_gradient(name: str) -> None:
    model = build(name).train()
    model(inputs(4 * T)).square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", EVERY)
def test_members_of_a_batch_do_not_mix(name: str) -> None:
    model, x = build(name), inputs()
    alone = torch.cat([model(member[None]) for member in x])
    torch.testing.assert_close(model(x), alone, rtol=0, atol=1e-12)


def assert_members_compute_what_each_does_alone(name: str) -> None:
    models = [build(name, seed=seed) for seed in range(3)]
    own = [dict(model.named_parameters()) for model in models]
    stacked = {key: torch.stack([p[key].detach() for p in own]).requires_grad_() for key in own[0]}
    fixed = [dict(model.named_buffers()) for model in models]
    buffers = {key: torch.stack([b[key] for b in fixed]) for key in fixed[0]}
    x = torch.stack([inputs() + member for member in range(3)])
    template = batchable(models[0])
    with AttentionRule():
        run = vmap(lambda p, b, x: functional_call(template, {**p, **b}, (x,)))
        together = run(stacked, buffers, x)
    slopes = torch.autograd.grad(together.square().sum(), list(stacked.values()))
    for number, model in enumerate(models):
        alone = model(x[number])
        torch.testing.assert_close(together[number], alone, rtol=1e-9, atol=1e-9)
        expected = torch.autograd.grad(alone.square().sum(), list(model.parameters()))
        for slope, other in zip(slopes, expected, strict=True):
            torch.testing.assert_close(slope[number], other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in MODELS if "dropout" not in name])
def test_members_compute_what_each_does_alone(name: str) -> None:
    assert_members_compute_what_each_does_alone(name)


@pytest.mark.parametrize("name", ["transformer-none-5", "s4d-lin"])
def test_members_compute_alike_on_long_sequences(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (transformer, s4d):
        monkeypatch.setattr(module, "LONGEST", T - 1)
    assert_members_compute_what_each_does_alone(name)


@pytest.mark.parametrize("name", EVERY)
def test_state_dict_round_trip(name: str) -> None:
    one, other = build(name, seed=0), build(name, seed=1)
    assert not torch.equal(one(inputs()), other(inputs()))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(inputs()), other(inputs()))


@pytest.mark.parametrize("name", EVERY)
def test_the_seed_decides_the_parameters(name: str) -> None:
    one, other = build(name).state_dict(), build(name).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", [name for name in MODELS if "dropout" in name])
def test_dropout_acts_in_training_only(name: str) -> None:
    model, x = build(name), inputs()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("name", RECURRENT)
def test_a_carried_state_continues_the_sequence(name: str) -> None:
    model, x = build(name), inputs()
    assert isinstance(model, RecurrentModel)
    first, state = model(x[:, :5], return_state=True)
    second, final = model(x[:, 5:], state, return_state=True)
    torch.testing.assert_close(torch.cat([first, second], 1), model(x), rtol=0, atol=1e-12)
    assert numbers(final) == B * (model.state_size or 0)


@pytest.mark.parametrize("name", RECURRENT)
def test_forward_and_step_share_their_state(name: str) -> None:
    model, x = build(name), inputs()
    _, state = model(x[:, :-1], return_state=True)
    y_t, _ = model.step(x[:, -1], state)
    torch.testing.assert_close(y_t, model(x)[:, -1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", RECURRENT)
def test_eigenvalues_are_complex_and_detached(name: str) -> None:
    model = build(name)
    assert isinstance(model, RecurrentModel)
    spectra = model.eigenvalues()
    assert len(spectra) == model.num_layers or (not spectra and isinstance(model, MixerModel))
    assert all(s.is_complex() and s.ndim == 1 and not s.requires_grad for s in spectra)


@pytest.mark.parametrize("name", RECURRENT)
def test_spectra_are_those_of_each_time(name: str) -> None:
    model, x = build(name), inputs()
    assert isinstance(model, RecurrentModel)
    spectra = model.spectra(x)
    assert len(spectra) == model.num_layers
    for found in spectra:
        assert found.is_complex()
        assert found.shape[:2] == x.shape[:2]
        assert not found.requires_grad
        assert found.abs().max() < 1 + 1e-6 or not isinstance(model, MixerModel)


def test_signed_transitions_have_negative_eigenvalues() -> None:
    for name, signed in (("mingru", False), ("mingru-signed", True), ("deltaproduct", True)):
        model = build(name)
        assert isinstance(model, RecurrentModel)
        assert bool(model.spectra(inputs())[0].real.min() < 0) is signed, name


def test_sizes_are_checked() -> None:
    builders: list[type[nn.Module]] = [RNN, TCN, Transformer, LRU, S4D, MatrixState, MinimalRNN]
    builders += [Mamba, RGLRU, SLSTM, S5, Hyena, LMU]
    for builder in [*builders, DiagonalRNN, CoRNN, ESN]:
        for key in ("hidden_size", "num_layers"):
            with pytest.raises(ValueError, match=f"model.{key} must be at least 1, got {key}=0"):
                builder(IN, OUT, **{key: 0})
    for builder in builders:
        with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got dropout=1.5"):
            builder(IN, OUT, dropout=1.5)
