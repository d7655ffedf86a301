"""Text, by characters or by words: the target is the next token."""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.files import write_atomically
from seq2seq.seeds import generator
from seq2seq.tasks import corpora
from seq2seq.tasks.encoding import Encoded, encode
from seq2seq.tasks.task import SequenceTask
from seq2seq.tasks.token import IGNORED, cross_entropy
from seq2seq.tasks.vocabulary import Vocabulary

#: File in a run's folder with the tokens that its model knows.
VOCABULARY = "vocabulary.json"


@dataclass(eq=False)
class Text(SequenceTask):
    """x_t is a token of a text and y_t = x_{t+1}; both are (batch, time) integers.

    The text is cut by position into training, validation and test parts; a corpus that is
    published in three parts keeps them. The vocabulary is that of the training part, everything
    else is `<unk>`.

    Training batches are windows at random places, drawn anew for each step. Where a model carries
    its state (`contiguous`), row b of every batch reads on in its own stretch of the text instead,
    for as many steps as an epoch has; then all rows start again, at a random small shift.
    Validation and test cover their part exactly once: each window scores its later half, given the
    earlier one, and so every prediction has length/2 tokens before it or more.

    `loss` is the mean cross-entropy per token in nats; see `metrics` for its readings per character
    and per word of the original text.

    Args:
        level: `char`, or `word` (words, punctuation and white space).
        path: a UTF-8 file, or a folder whose files are read in the order of their names; null for
            `corpus`.
        corpus: `pydoc`, the language reference that CPython carries, or a published text that is
            fetched once: `tinyshakespeare`, `text8`, `enwik8`, `ptb`, `wikitext2`.
        length: tokens per window.
        batch_size: windows per optimisation step.
        min_count: how often a token must occur in the training part to be known.
        val_fraction, test_fraction: shares of the text, by position.
        embedding_size: width of a token's vector; null for the model's hidden_size.
        tied: score the next token by its embedding, in place of weights of its own.
        seed: root of the random streams.
        cache: folder for fetched and encoded texts; None encodes again each time.

    Raises:
        ValueError: an unknown level or corpus, sizes or fractions out of range; once the text is
            read: it is missing, is not UTF-8, is empty, or is shorter than a window.
    """

    level: Literal["char", "word"] = "char"
    path: str | None = None
    corpus: str = "pydoc"
    length: int = 128
    batch_size: int = 32
    min_count: int = 1
    val_fraction: float = 0.05
    test_fraction: float = 0.05
    embedding_size: int | None = None
    tied: bool = False
    seed: int = 0
    cache: str | None = None
    reads_on = True

    metric_names = ("loss", "bits_per_character", "perplexity")
    reference_names = ("uniform", "unigram", "bigram")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in ("char", "word"):
            checks.refuse("task.level", self.level, "be char or word", "char")
        checks.integer("task.min_count", self.min_count)
        checks.integer(
            "task.embedding_size", 1 if self.embedding_size is None else self.embedding_size
        )
        val, test = self.val_fraction, self.test_fraction
        if not (val > 0 and test > 0 and val + test < 1):
            raise ValueError(
                "val_fraction and test_fraction must be positive and leave a training part, got "
                f"{val} and {test}; set task.val_fraction and task.test_fraction"
            )
        if self.path is None:
            corpora.check_name(self.corpus)

    # ------------------------------------------------------------------------- the corpus

    @functools.cached_property
    def encoded(self) -> Encoded:
        """The corpus in token numbers, read and encoded when first asked for."""
        if self.path is None:
            parts = corpora.open_corpus(self.corpus, self.cache)
        else:
            parts = [corpora.own_files(self.path)]
        named = self.corpus if self.path is None else self.path
        fractions = self.val_fraction, self.test_fraction
        known = self.__dict__.get("vocabulary")  # as restored; a model knows no other numbers
        encoded = encode(parts, named, self.level, self.min_count, fractions, self.cache, known)
        train = encoded.extents["train"]
        if train.stop - train.start <= self.length:
            raise ValueError(
                f"the training part of {named} has {train.stop - train.start} tokens, fewer than "
                f"one window of length={self.length} and its last target; lower task.length"
            )
        return encoded

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the training part."""
        return self.encoded.vocabulary

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    def store(self, folder: Path) -> None:
        """Write `vocabulary.json`, so that a trained model needs no corpus."""
        write_atomically(folder / VOCABULARY, self.vocabulary.to_json().encode())

    def restore(self, folder: Path) -> None:
        if (folder / VOCABULARY).exists():
            self.vocabulary = Vocabulary.read(folder / VOCABULARY)

    def admit(self, trained: SequenceTask) -> None:
        super().admit(trained)
        level = getattr(trained, "level", self.level)
        if level != self.level:
            raise ValueError(
                f"the model was trained with level={level}, got level={self.level}; leave out "
                "task.level"
            )

    def unseen(self, split: str) -> float:
        """The share of a split's tokens that are `<unk>`."""
        return float((self._tokens(split) == 0).mean())

    def show(self, model: Any, sequences: int) -> dict[str, Any]:
        """A `sample` of 400 tokens that `model` writes, if it can go on token by token."""
        if not model.has_step:
            return {}
        numbers = model.stream([self.vocabulary.beginning], 400, generator(0, "sample"))
        return {"sample": self.vocabulary.decode(numbers)}

    def setup(self, stage: str | None = None) -> None:
        """Read the corpus."""
        self._tokens("train")

    def _tokens(self, split: str) -> np.ndarray:
        extent = self.encoded.extents[split]
        return self.encoded.tokens[extent.start : extent.stop]

    # --------------------------------------------------------------- loss and its readings

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy in nats: scores (batch, time, tokens), targets (batch, time)."""
        return cross_entropy(output, y)

    def metrics(self, stage: str, loss: float) -> dict[str, float]:
        """Bits per character, and perplexity per character or, at `level=word`, per word.

        With the text's own characters and words (what white space parts) in the denominator. Bits
        per character include the spelling of unknown tokens (`Vocabulary.spelling`), so that they
        compare between levels and vocabularies; perplexity counts `<unk>` as a word like any other,
        as is the custom.
        """
        extent = self.encoded.extents[stage]
        nats = loss * (extent.stop - extent.start)
        units = extent.characters if self.level == "char" else max(1, extent.words)
        return {
            "bits_per_character": (nats + extent.spelling) / extent.characters / math.log(2),
            "perplexity": math.exp(min(nats / units, 700.0)),
        }

    def reference_losses(self) -> dict[str, float]:
        """Cross-entropies per token on the test part, in nats.

        `uniform` guesses, `unigram` knows how common each token is, `bigram` also knows x_t and
        falls back on the unigram: p(b|a) = (n_ab + p(b)) / (n_a + 1), all counts from at most two
        million training tokens.
        """
        V = len(self.vocabulary)
        train = self._tokens("train")[:2_000_000].astype(np.int64)
        test = self._tokens("test")[:2_000_000].astype(np.int64)
        counts = np.bincount(train, minlength=V)
        unigram = (counts + 1) / (counts.sum() + V)
        pairs, pair_counts = np.unique(train[:-1] * V + train[1:], return_counts=True)
        wanted = test[:-1] * V + test[1:]
        place = np.searchsorted(pairs, wanted).clip(max=len(pairs) - 1)
        seen = np.where(pairs[place] == wanted, pair_counts[place], 0)
        bigram = (seen + unigram[test[1:]]) / (counts[test[:-1]] + 1)
        return {
            "uniform": math.log(V),
            "unigram": float(-np.log(unigram[test]).mean()),
            "bigram": float(-np.log(bigram).mean()) if len(bigram) else math.log(V),
        }

    # ------------------------------------------------------------------------- the batches

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n windows of the training part at random places."""
        tokens = self._tokens("train")
        starts = torch.randint(len(tokens) - self.length, (n,), generator=generator)
        return self._windows(tokens, starts.tolist())

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> tuple[Tensor, Tensor]:
        """The training batch of optimisation step `step`, a function of (seed, step) alone."""
        share = self.share(world_size)
        if self.contiguous:
            epoch, done = divmod(step, self.epoch)
            tokens = self._tokens("train")
            read = self.epoch * self.length
            left = len(tokens) - self.batch_size * read  # ≥ 1, the last target
            stream = generator(self.seed, "shift", epoch)
            shift = int(torch.randint(left, (1,), generator=stream))
            first = shift + done * self.length
            starts = [first + row * read for row in range(self.batch_size)]
            return self._windows(tokens, starts)
        x, y = self.sample(self.batch_size, generator(self.seed, "windows", step))
        mine = slice(rank * share, (rank + 1) * share)
        return x[mine], y[mine]

    def share(self, world_size: int) -> int:
        if self.batch_size % world_size or (self.contiguous and world_size > 1):
            raise ValueError(
                f"batch_size={self.batch_size} windows cannot be shared by {world_size} processes"
                + (" that carry a state" if self.contiguous else "")
                + "; set trainer.devices=1"
            )
        return self.batch_size // world_size

    @property
    def epoch(self) -> int:
        """Steps in which contiguous batches pass once over the training part.

        Raises:
            ValueError: its stretches are shorter than a window.
        """
        stretch = (len(self._tokens("train")) - 1) // self.batch_size
        if stretch < self.length:
            raise ValueError(
                f"batch_size={self.batch_size} rows leave stretches of {stretch} tokens, shorter "
                f"than a window of length={self.length}; lower task.batch_size or task.length"
            )
        return stretch // self.length

    def restarts(self, step: int) -> bool:
        return not self.contiguous or step % self.epoch == 0

    def _windows(self, tokens: np.ndarray, starts: list[int]) -> tuple[Tensor, Tensor]:
        rows = np.stack([tokens[start : start + self.length + 1] for start in starts])
        windows = torch.from_numpy(rows.astype(np.int64)).to(self.device)
        return windows[:, :-1], windows[:, 1:]

    def _held_out(self, split: str) -> "ScoringWindows":
        return ScoringWindows(self, split, *self._share())


class ScoringWindows:
    """One rank's windows over a split: each of its tokens is a target once, the others IGNORED.

    A window scores its last `stride` targets; those before it are context, taken from the text
    before the split too. The very first token of the text has no context and no prediction.
    """

    def __init__(self, task: Text, split: str, rank: int = 0, world_size: int = 1) -> None:
        self.task = task
        self.extent = task.encoded.extents[split]
        self.stride = max(1, task.length // 2)
        count = -(-(self.extent.stop - self.extent.start) // self.stride)
        self.windows = range(rank, count, world_size)

    def __len__(self) -> int:
        return -(-len(self.windows) // self.task.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        tokens, length = self.task.encoded.tokens, self.task.length
        for first in range(0, len(self.windows), self.task.batch_size):
            rows, targets = [], []
            for window in self.windows[first : first + self.task.batch_size]:
                start = self.extent.start + window * self.stride  # the first target to score
                stop = min(start + self.stride, self.extent.stop)
                begin = max(0, stop - length - 1)
                row = tokens[begin : begin + length + 1].astype(np.int64)
                position = begin + 1 + np.arange(length)
                rows.append(row[:-1])
                scored = (position >= start) & (position < stop)
                targets.append(np.where(scored, row[1:], IGNORED))
            x, y = torch.from_numpy(np.stack(rows)), torch.from_numpy(np.stack(targets))
            yield x.to(self.task.device), y.to(self.task.device)
