"""Writing texts and rolling out trajectories, against an oracle that reruns the whole prefix."""

import time

import pytest
import torch
from torch import Tensor

from seq2seq import generate
from seq2seq.models import LRU, RNN, S4D, TCN, DiagonalRNN, Transformer
from seq2seq.models.token import TokenModel
from seq2seq.seeds import generator
from seq2seq.tasks.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of("char", ["the quick brown fox jumps over the lazy dog.\n"])
V = len(VOCABULARY)
MODELS = {
    **{cell: (lambda c=cell: RNN(8, V, c, 12, 2)) for cell in ("tanh", "relu", "lstm", "gru")},
    "linear": lambda: RNN(8, V, "linear", 12),
    "diagonal": lambda: DiagonalRNN(8, V, hidden_size=12),
    "s4d": lambda: S4D(8, V, hidden_size=8, num_layers=2),
    "lru": lambda: LRU(8, V, hidden_size=8, num_layers=2),
    "tcn": lambda: TCN(8, V, 12, 3),
    "transformer": lambda: Transformer(8, V, 16, 2, 2, "rotary", window=7),
    "transformer-sinusoidal": lambda: Transformer(8, V, 16, 2, 2),
}


def build(name: str) -> TokenModel:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = TokenModel(MODELS[name](), V).double().eval()
        for parameter in model.parameters():  # scores that differ, so that context matters
            parameter.data *= 2
        return model


def naive(model: TokenModel, prompt: str, length: int, temperature: float, seed: int) -> str:
    """Rerun everything for each character, and draw by inverting the distribution function."""
    draws = generator(seed, "sample")
    numbers = VOCABULARY.encode(prompt).tolist() or [VOCABULARY.beginning]
    for _ in range(length):
        scores = model(torch.tensor([numbers]))[0, -1].detach().clone()
        scores[0] = -torch.inf
        if temperature == 0:
            numbers.append(int(scores.argmax()))
        else:
            probability = (scores[1:] / temperature).softmax(0)
            numbers.append(1 + int(torch.multinomial(probability, 1, generator=draws)))
    return prompt + VOCABULARY.decode(numbers[-length:])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_writing_equals_rerunning_the_whole_prefix(name: str, temperature: float) -> None:
    model = build(name)
    written = generate.write(model, VOCABULARY, "the fox", 80, temperature, seed=5)
    assert written == naive(model, "the fox", 80, temperature, seed=5)
    assert len(written) == 87


def test_the_naive_transformer_is_a_banded_pass() -> None:
    """The oracle of a windowed model attends under a mask written out by hand."""
    model = build("transformer")
    inner = model.model
    assert isinstance(inner, Transformer)
    x = torch.randint(V, (1, 40), generator=torch.Generator().manual_seed(0))
    t = torch.arange(40)
    band = (t[:, None] >= t) & (t[:, None] - t < 7)
    z, rotation = inner._embed(model.embedding(x), t, 40)
    for layer in inner.layers:
        z, _ = layer(z, rotation, band)
    torch.testing.assert_close(inner.readout(inner.norm(z)), model(x), rtol=0, atol=1e-12)


def test_an_empty_prompt_starts_as_a_line_does() -> None:
    model = build("lstm")
    assert generate.write(model, VOCABULARY, "", 50) == naive(model, "", 50, 1.0, 0)
    after_break = generate.write(model, VOCABULARY, "\n", 50)
    assert after_break == "\n" + generate.write(model, VOCABULARY, "", 50)


def test_a_seed_decides_the_text() -> None:
    model = build("gru")
    one, same, other = (generate.write(model, VOCABULARY, "a", 60, seed=s) for s in (1, 1, 2))
    assert one == same != other


def test_unknown_is_read_but_never_written() -> None:
    model = build("lstm")
    model.model.readout.bias.data[0] = 100.0  # type: ignore[union-attr]
    written = generate.write(model, VOCABULARY, "ÄÖ", 100)
    assert written.startswith("ÄÖ")
    assert not VOCABULARY.unknown(written[2:])
    assert VOCABULARY.unknown("ÄÖ") == ["Ä", "Ö"]


def drawn(**options: float) -> list[float]:
    """How often each of five tokens is drawn, the first (`<unk>`) having most of the share."""
    scores = torch.tensor([0.9, 0.4, 0.3, 0.2, 0.1]).log()
    draws = torch.Generator().manual_seed(0)
    numbers = [generate.draw(scores, draws, **options) for _ in range(4000)]  # type: ignore[arg-type]
    return [numbers.count(number) / 4000 for number in range(5)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0.5}, [0, 16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"temperature": 0}, [0, 1, 0, 0, 0]),
        ({"temperature": 1e-40}, [0, 1, 0, 0, 0]),
        ({"temperature": 1e300}, [0, 0.25, 0.25, 0.25, 0.25]),
        ({"top_k": 2}, [0, 4 / 7, 3 / 7, 0, 0]),
        ({"top_k": 9}, [0, 0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.75}, [0, 4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_p": 0.1}, [0, 1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.7}, [0, 4 / 7, 3 / 7, 0, 0]),
    ],
)
def test_draws_follow_the_distribution(options: dict[str, float], expected: list[float]) -> None:
    assert drawn(**options) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"temperature": 0}, {"temperature": 0, "top_k": 3}]
)
def test_of_equally_likely_tokens_the_first_count(options: dict[str, float]) -> None:
    scores, draws = torch.tensor([9.0, 1.0, 2.0, 2.0, 2.0]), torch.Generator().manual_seed(0)
    numbers = {generate.draw(scores, draws, **options) for _ in range(50)}  # type: ignore[arg-type]
    assert numbers == {2}
    two = {generate.draw(scores, draws, 1.0, 2) for _ in range(50)}
    assert two == {2, 3}


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": -1},
        {"temperature": -1.0},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"seed": -1},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must"):
        generate.stream(build("lstm"), VOCABULARY, **({"length": 5} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lstm", "s4d", "tcn", "transformer"])
def test_time_per_character_does_not_grow(name: str) -> None:
    model = build(name)
    clock = []
    for _ in generate.stream(model, VOCABULARY, length=1200):
        clock.append(time.process_time())
    early, late = clock[400] - clock[100], clock[1199] - clock[899]
    assert late < 2 * early


# ------------------------------------------------------------------------------------ rollouts


def rotation(batch: int, length: int) -> Tensor:
    """Points on a circle, 0.1 radians a step: x_{t+1} is a linear map of x_t."""
    starts = torch.linspace(0, 3, batch, dtype=torch.float64)
    angle = starts[:, None] + 0.1 * torch.arange(length, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], -1)


def circle_model() -> RNN:
    """h = R x with the exact rotation, so a rollout goes round for ever."""
    model = RNN(2, 2, "linear", 2).double()
    turn = torch.tensor(0.1, dtype=torch.float64)
    matrix = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()]).view(2, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.layers[0].weight_ih_l0[:, :2] = matrix
        model.readout.weight.copy_(torch.eye(2))
    return model


def test_a_rollout_feeds_outputs_back() -> None:
    path = rotation(3, 60)
    rolled = generate.rollout(circle_model(), path[:, :10], 50)
    torch.testing.assert_close(rolled, path[:, 10:])


@pytest.mark.parametrize("name", ["lstm", "s4d", "tcn", "transformer"])
def test_a_rollout_equals_rerunning_the_whole_prefix(name: str) -> None:
    builders = {
        "lstm": lambda: RNN(2, 2, "lstm", 6, 2),
        "s4d": lambda: S4D(2, 2, hidden_size=6),
        "tcn": lambda: TCN(2, 2, 6, 3),
        "transformer": lambda: Transformer(2, 2, 8, 2, 2, "rotary", window=5),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = builders[name]().double().eval()
    path = rotation(3, 12)
    rolled = generate.rollout(model, path, 30)
    for _ in range(30):
        path = torch.cat([path, model(path)[:, -1:].detach()], 1)
    torch.testing.assert_close(rolled, path[:, 12:], rtol=1e-9, atol=1e-9)


def test_a_rollout_needs_outputs_that_are_inputs() -> None:
    with pytest.raises(ValueError, match="input_dim=2, output_dim=3"):
        generate.rollout(RNN(2, 3), rotation(1, 4), 2)
    with pytest.raises(ValueError, match="at least 1, got 0 and 2"):
        generate.rollout(RNN(2, 2), torch.zeros(1, 0, 2), 2)


def test_the_horizon_is_in_time_units() -> None:
    truth = rotation(4, 200)
    spread = float((truth - truth.mean((0, 1))).square().sum(-1).mean().sqrt())
    prediction = truth.clone()
    prediction[0, 7:, 0] += 0.6 * spread
    prediction[1, 0, 0] += 0.6 * spread
    prediction[2, 9] = torch.nan
    prediction[3, 50, 1] += 0.4 * spread
    horizons = generate.horizon(prediction, truth, dt=0.05, threshold=0.5)
    torch.testing.assert_close(horizons, torch.tensor([0.35, 0.0, 0.45, 10.0]))
    shifted = generate.horizon(prediction + 3, truth + 3, dt=0.05, threshold=0.5)
    torch.testing.assert_close(shifted, horizons)
