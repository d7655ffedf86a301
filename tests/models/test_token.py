"""Token models: embedding and head around every architecture."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seq2seq.models import LRU, RNN, S4D, TCN, DiagonalRNN, Transformer
from seq2seq.models.model import SequenceModel
from seq2seq.models.token import TokenModel

V, E = 11, 8

MODELS: dict[str, Callable[[int, int], SequenceModel]] = {
    **{cell: (lambda i, o, c=cell: RNN(i, o, c, 6, 2)) for cell in ("tanh", "lstm", "gru")},
    "diagonal": lambda i, o: DiagonalRNN(i, o, hidden_size=6),
    "s4d": lambda i, o: S4D(i, o, hidden_size=6, num_layers=2),
    "lru": lambda i, o: LRU(i, o, hidden_size=6, num_layers=2),
    "tcn": lambda i, o: TCN(i, o, 6, 2),
    "transformer": lambda i, o: Transformer(i, o, 8, 2, 2, "rotary", window=5),
}


def build(name: str, tied: bool = False) -> TokenModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TokenModel(MODELS[name](E, E if tied else V), V, tied).double().eval()


def tokens(batch: int = 3, length: int = 14) -> Tensor:
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(1))


def test_spectra_are_those_of_the_model_at_the_embedded_tokens() -> None:
    for name in ("tanh", "lru"):
        model, x = build(name), tokens()
        own = model.model.spectra(model.embedding(x))
        assert all(map(torch.equal, model.spectra(x), own))
    with pytest.raises(AttributeError, match="spectra"):
        build("tcn").spectra(tokens())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tied", [False, True])
def test_steps_equal_the_parallel_pass(name: str, tied: bool) -> None:
    model, x = build(name, tied), tokens()
    state = model.initial_state(3, torch.device("cpu"), torch.float64)
    outputs = []
    for x_t in x.unbind(1):
        y_t, state = model.step(x_t, state)
        outputs.append(y_t)
    y = model(x)
    assert y.shape == (3, 14, V)
    torch.testing.assert_close(torch.stack(outputs, 1), y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in MODELS if build(n).carries_state])
@pytest.mark.parametrize("tied", [False, True])
def test_a_carried_state_continues_the_text(name: str, tied: bool) -> None:
    model, x = build(name, tied), tokens()
    first, state = model(x[:, :5], return_state=True)
    rest = model(x[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), model(x), rtol=1e-9, atol=1e-9)


def test_only_recurrent_models_carry() -> None:
    assert {n for n in MODELS if not build(n).carries_state} == {"tcn", "transformer"}
    assert build("lstm").state_size == 2 * 2 * 6
    assert build("tcn").receptive_field == MODELS["tcn"](E, V).receptive_field


def test_a_tied_head_is_the_embedding() -> None:
    model, x = build("tcn", tied=True), tokens()
    features = model.model(model.embedding.weight[x])
    assert model.bias is not None
    expected = features @ model.embedding.weight.T + model.bias
    torch.testing.assert_close(model(x), expected)
    untied = sum(p.numel() for p in build("tcn").parameters())
    assert sum(p.numel() for p in model.parameters()) < untied + V
