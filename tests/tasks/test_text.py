"""The text task: splits, batches, metrics, its cache, and what it refuses."""

import math
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from seq2seq import schema
from seq2seq.build import build
from seq2seq.tasks import corpora
from seq2seq.tasks.text import IGNORED, ScoringWindows, Text

LETTERS = "".join(chr(97 + (i * i) % 23) for i in range(4000)) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(LETTERS, encoding="utf-8")
    return path


def text(file: Path, **changes: Any) -> Text:
    defaults: dict[str, Any] = {"path": str(file), "length": 16, "batch_size": 4}
    return Text(**(defaults | {"val_fraction": 0.1} | changes))


def decoded(task: Text, numbers: torch.Tensor) -> str:
    return task.vocabulary.decode(numbers.tolist())


def test_splits_by_position_share_out_the_text(file: Path) -> None:
    task = text(file, test_fraction=0.2)
    extents = task.encoded.extents
    assert [extents[s].characters for s in ("train", "val", "test")] == [2801, 400, 800]
    whole = task.vocabulary.decode(task.encoded.tokens.tolist())
    assert whole == LETTERS.replace("\n", "<unk>")  # it occurs at the very end only


def test_targets_are_the_next_tokens(file: Path) -> None:
    task = text(file)
    x, y = task.batch(3)
    assert x.shape == y.shape == (4, 16)
    assert x.dtype == torch.int64
    for row in range(4):
        assert decoded(task, torch.cat([x[row], y[row, -1:]])) in LETTERS
        assert torch.equal(x[row, 1:], y[row, :-1])


def test_batches_are_a_function_of_seed_and_step(file: Path) -> None:
    for contiguous in (False, True):
        one, other, foreign = text(file), text(file), text(file, seed=1)
        for task in (one, other, foreign):
            task.contiguous = contiguous
        forward = [one.batch(step)[0] for step in range(70)]
        backward = [other.batch(step)[0] for step in reversed(range(70))][::-1]
        assert all(map(torch.equal, forward, backward))
        assert not all(map(torch.equal, forward, [foreign.batch(s)[0] for s in range(70)]))


def test_processes_share_a_batch(file: Path) -> None:
    task = text(file)
    whole = task.batch(5)[0]
    assert torch.equal(torch.cat([task.batch(5, rank, 2)[0] for rank in range(2)]), whole)
    with pytest.raises(ValueError, match=r"set trainer\.devices=1"):
        task.batch(0, 0, 3)
    task.contiguous = True
    with pytest.raises(ValueError, match="that carry a state"):
        task.batch(0, 0, 2)


def test_contiguous_rows_read_on_for_an_epoch(file: Path) -> None:
    task = text(file)
    task.contiguous = True
    assert task.epoch == (3401 - 1) // 4 // 16
    starts = [step for step in range(3 * task.epoch) if task.restarts(step)]
    assert starts == [0, task.epoch, 2 * task.epoch]
    batches = [task.batch(step) for step in range(2 * task.epoch)]
    for row in range(4):
        read = "".join(decoded(task, x[row]) for x, _ in batches[: task.epoch])
        assert read in LETTERS
    for step in range(1, 2 * task.epoch):
        continues = torch.equal(batches[step][0][:, 0], batches[step - 1][1][:, -1])
        assert continues != task.restarts(step)
    shifts = {decoded(task, task.batch(e * task.epoch)[0][0]) for e in range(20)}
    assert len(shifts) > 3, "every epoch is shifted afresh"


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_scoring_covers_a_split_once_with_context(file: Path, split: str, ranks: int) -> None:
    task = text(file)
    extent = task.encoded.extents[split]
    tokens = task.encoded.tokens.astype(int)
    scored: list[int] = []
    for rank in range(ranks):
        for x, y in ScoringWindows(task, split, rank, ranks):
            assert x.shape == y.shape
            assert x.shape[1] == 16
            assert ((y != IGNORED).int().argmax(1) >= 8 - 1).all(), "half a window of context"
            scored += y[y != IGNORED].tolist()
    assert Counter(scored) == Counter(tokens[extent.start : extent.stop].tolist())


def test_metrics_are_per_original_character(file: Path) -> None:
    task = text(file)
    task_metrics = task.metrics("val", 2.0)
    assert task_metrics["bits_per_character"] == pytest.approx(2.0 / math.log(2))
    assert task_metrics["perplexity"] == pytest.approx(math.exp(2.0))


def test_metrics_of_words(tmp_path: Path) -> None:
    """By hand: ten sentences of 4 words, 5 tokens and 19 characters; the last two are held out."""
    path = tmp_path / "words"
    path.write_text("one two three four." * 8 + " ab two three four." + "one two three four.")
    task = Text("word", str(path), length=4, val_fraction=0.1, test_fraction=0.1)
    val = task.encoded.extents["val"]
    assert (val.stop - val.start, val.characters, val.words) == (5, 19, 4)
    unknown = 4 * math.log(len(set("one two three four.")) + 2) + 2 * math.log(0x110000)
    assert val.spelling == pytest.approx(unknown)  # " ab": no a, no b
    metrics = task.metrics("val", 1.5)
    assert metrics["bits_per_character"] == pytest.approx((7.5 + unknown) / 19 / math.log(2))
    assert metrics["perplexity"] == pytest.approx(math.exp(7.5 / 4))


def test_loss_is_the_mean_over_scored_tokens() -> None:
    scores = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 1, IGNORED], [4, IGNORED, IGNORED]])
    logs = scores.log_softmax(-1)
    expected = -(logs[0, 0, 0] + logs[0, 1, 1] + logs[1, 0, 4]) / 3
    torch.testing.assert_close(Text().loss(scores, y), expected)


def test_references_know_what_they_say(tmp_path: Path) -> None:
    """In "ababab…" a token tells the next one; alone it is one of two."""
    path = tmp_path / "ab"
    path.write_text("ab" * 2000)
    losses = Text(path=str(path), length=8).reference_losses()
    assert losses["uniform"] == pytest.approx(math.log(3))
    assert losses["unigram"] == pytest.approx(math.log(2), abs=1e-3)
    assert 0 < losses["bigram"] < 1e-3


def test_the_cache_is_used_and_mapped(file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = text(file, cache=str(cache)).encoded
    assert len(list(cache.iterdir())) == 2
    again = text(file, cache=str(cache)).encoded
    assert isinstance(again.tokens, np.memmap)
    assert np.array_equal(first.tokens, again.tokens)
    assert (again.extents, again.vocabulary.tokens) == (first.extents, first.vocabulary.tokens)
    assert np.array_equal(text(file).encoded.tokens, first.tokens), "the same without a cache"
    file.write_text(LETTERS[::-1])
    assert not np.array_equal(text(file, cache=str(cache)).encoded.tokens, first.tokens)


def test_a_damaged_cache_is_rebuilt(file: Path, tmp_path: Path) -> None:
    first = text(file, cache=str(tmp_path)).encoded.tokens.tolist()
    (stored,) = tmp_path.glob("text-*.npy")
    stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="is damaged"):
        assert text(file, cache=str(tmp_path)).encoded.tokens.tolist() == first
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert text(file, cache=str(tmp_path)).encoded.tokens.tolist() == first


def test_an_unwritable_cache_costs_a_warning(file: Path) -> None:
    with pytest.warns(UserWarning, match=r"set paths\.cache"):
        assert len(text(file, cache=str(file / "below")).encoded.tokens) == len(LETTERS)


@pytest.mark.parametrize("level", ["char", "word"])
def test_the_peak_of_memory_does_not_grow_with_the_text(
    tmp_path: Path, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "BLOCK", 2**12)
    peaks = []
    for kilobytes in (50, 200):
        path = tmp_path / str(kilobytes)
        path.write_text("All the world is a stage, and so on.\n" * (kilobytes * 2**10 // 37))
        tracemalloc.start()
        task = Text(level, str(path), cache=str(tmp_path / "cache"))  # type: ignore[arg-type]
        task.batch(0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50e3


BROKEN = {
    b"abc\xff": "must be UTF-8 text, got byte 0xff at position 3",
    b"": "is empty",
    b"short": "fewer than one window of length=16",
}


def test_a_missing_file_is_named_once_it_is_read() -> None:
    with pytest.raises(ValueError, match=r"got path=/missing; no such file"):
        Text(path="/missing").vocabulary  # noqa: B018


@pytest.mark.parametrize("content", BROKEN)
def test_broken_texts_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        schema.register()
        cfg = compose("train", ["task=text", "task.length=16", f"task.path={path}", "model=lstm"])
    cfg.paths.outputs = str(tmp_path)
    with pytest.raises(schema.ConfigError, match=BROKEN[content]) as caught:
        build(cfg)
    assert "\n" not in str(caught.value)


def test_stretches_shorter_than_a_window_are_refused(file: Path) -> None:
    task = text(file, batch_size=400)
    assert len(task.batch(0)[0]) == 400, "windows may overlap"
    task.contiguous = True
    with pytest.raises(ValueError, match=r"lower task\.batch_size or task\.length"):
        task.batch(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": "byte"}, r"level must be char or word, got level='byte'; set task\.level"),
        ({"path": None, "corpus": "enwik"}, r"did you mean 'enwik8'"),
        ({"min_count": 0}, r"min_count must be at least 1, got min_count=0; set task\.min_count"),
        ({"val_fraction": 0.0}, r"set task\.val_fraction"),
        ({"val_fraction": 0.6, "test_fraction": 0.4}, r"leave a training part, got 0.6 and 0.4"),
        ({"length": 0}, r"length must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(file: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        text(file, **change)


def test_a_vocabulary_of_one_character(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a" * 500)
    task = text(path)
    assert task.vocabulary.tokens == ["<unk>", "a"]
    assert task.batch(0)[1].unique().tolist() == [1]
    assert task.metrics("test", 0.0) == {"bits_per_character": 0.0, "perplexity": 1.0}


def test_what_is_stored_stands_in_for_the_corpus(file: Path, tmp_path: Path) -> None:
    """A model's size is known from the run's folder; nothing is read."""
    text(file).store(tmp_path)
    without = Text(path="/missing", embedding_size=5)
    without.restore(tmp_path)
    assert without.vocabulary.tokens == text(file).vocabulary.tokens
    assert without.model_dims(hidden_size=7) == (5, without.vocabulary_size)
    assert text(file, tied=True).model_dims(hidden_size=7) == (7, 7)
    with pytest.raises(ValueError, match=r"set task\.embedding_size"):
        text(file).model_dims(None)
