"""TokenTask: what tasks on symbols share. What is asked, how it is scored, what guessing earns."""

import functools
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import entr
from scipy.stats import binom
from torch import Tensor

from seq2seq import checks
from seq2seq.seeds import generator
from seq2seq.tasks.task import GeneratedTask
from seq2seq.theory import limits

#: A target that the loss leaves out.
IGNORED = -100


class Guess(NamedTuple):
    """What a predictor earns: its cross-entropy in nats, and its accuracy."""

    loss: float
    accuracy: float


#: One that always knows.
CERTAIN = Guess(0.0, 1.0)


def cross_entropy(output: Tensor, y: Tensor) -> Tensor:
    """Mean over what is asked, in nats: scores (batch, time, symbols), targets (batch, time)."""
    return F.cross_entropy(output.flatten(0, -2), y.flatten(), ignore_index=IGNORED)


def uniform(answers: int) -> Guess:
    """One of so many answers, all equally likely."""
    return Guess(math.log(answers), 1 / answers)


def among(count: int, same: float) -> Guess:
    """One of `count` symbols at random, where one of them is the answer.

    The others agree with it with the probability `same` each, independently: B of them,
    E[−ln((1 + B)/count)] nats.
    """
    agreeing = np.arange(count)
    probability = binom.pmf(agreeing, count - 1, same)
    loss = -probability @ np.log((1 + agreeing) / count)
    return Guess(float(loss), (1 + (count - 1) * same) / count)


def rarely(share: float, chance: float, answer: Guess) -> Guess:
    """What is asked of a `share` of the steps is with that `chance` an answer and else nothing.

    Elsewhere it is nothing for certain. Where it may be an answer, only `answer` is known of it.
    """
    entropy = float(entr([chance, 1 - chance]).sum())
    right = max(1 - chance, chance * answer.accuracy)
    return Guess(share * (entropy + chance * answer.loss), 1 - share + share * right)


def best_guess(joint: np.ndarray) -> Guess:
    """The best answer y to what is known, x: joint probabilities (x, y), float64.

    Its loss is the conditional entropy H(y|x), its accuracy Σ_x max_y p(x, y).
    """
    known = joint.sum(1, keepdims=True)
    share = np.divide(joint, known, out=np.ones_like(joint), where=joint > 0)
    return Guess(float(-(joint * np.log(share)).sum()), float(joint.max(1).sum()))


@dataclass(eq=False, kw_only=True)
class TokenTask(GeneratedTask):
    """A task on symbols: x and y are (batch, time) integers, y = IGNORED where nothing is asked.

    A task says `pose`, its `symbols`, how many `answers` there are, and its `shortcuts`. It may
    have a `length` of its own, the size of a problem: a number, or the bounds [least, most] from
    which every sequence of a batch draws its own. Shorter ones are padded at their ends, where
    nothing is asked; causal models never see it. Once built, `lengths` are the bounds, and `length`
    is the number of time steps, the longest problem's.

    `loss` is the mean cross-entropy over what is asked, in nats. `accuracy` counts symbols,
    `exact` whole sequences, and scaled = max(0, (accuracy − chance) / (1 − chance)).

    Args:
        bos: begin every sequence with a symbol of its own, the last of the vocabulary.
        train_size, val_size, test_size, batch_size, seed: see `SequenceTask`.
        online: draw a fresh batch each step; false passes over `train_size` sequences.
        curriculum: see `GeneratedTask`.
        embedding_size: width of a symbol's vector; null for the model's hidden_size.
        tied: score symbols by their embeddings, in place of weights of their own.

    Attributes:
        symbols: what each token stands for.
        answers: how many of them may be the answer.
    """

    bos: bool = False
    online: bool = True
    embedding_size: int | None = None
    tied: bool = False
    symbols = tuple("01")
    answers = 2

    metric_names = ("loss", "accuracy", "exact", "scaled")
    rising = ("accuracy", "exact", "scaled")

    def __post_init__(self) -> None:
        self.lengths = bounds("task.length", self.length)
        self.length = self.steps(self.lengths[1]) + self.bos
        super().__post_init__()
        width = 1 if self.embedding_size is None else self.embedding_size
        checks.integer("task.embedding_size", width)

    # ------------------------------------------------------------------- what a task says

    @abstractmethod
    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n fresh pairs (x, y), (n, time) each, without a BOS."""

    def shortcuts(self) -> dict[str, Guess]:
        """What those earn, in closed form, who know something but not the past as a whole.

        `memoryless` is the best predictor that knows only x_t; here every answer is equally likely.
        """
        return {"memoryless": uniform(self.answers)}

    def steps(self, length: int) -> int:
        """Time steps of a problem of that length, without a BOS."""
        return length

    @property
    def memory(self) -> int:
        """From the last step of the longest problem back to its first, unless a task says less."""
        return self.steps(self.lengths[1]) - 1

    @property
    def chance(self) -> float:
        """The accuracy that counts as none in `scaled`."""
        return 1 / self.answers

    # ----------------------------------------------------------------------- what follows

    def best(self, guess: Guess) -> dict[str, float]:
        """A guess as metrics."""
        scaled = max(0.0, (guess.accuracy - self.chance) / (1 - self.chance))
        return {"loss": guess.loss, "accuracy": guess.accuracy, "scaled": scaled}

    def recalled(self, bits: float, items: int, choices: int, entropy: float) -> dict[str, float]:
        """What `best_with_bits` is where so many items are asked for, by `limits.least_losses`."""
        if bits >= entropy:
            return {}
        return self.best(Guess(*limits.least_losses(items, choices, entropy, bits)))

    @property
    def asks_at_end(self) -> bool:
        """Whether it does so in every one of a few sequences."""
        _, y = self.sample(32, generator(self.seed, "example"))
        return bool((y[:, -1] != IGNORED).all())

    @property
    def arguments(self) -> dict[str, Any]:
        known, (low, high) = super().arguments, self.lengths
        return (
            known | {"length": high if low == high else [low, high]} if "length" in known else known
        )

    @property
    def vocabulary_size(self) -> int:
        return len(self.symbols) + self.bos

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = self.pose(n, generator)
        if self.bos:
            x, y = F.pad(x, (1, 0), value=len(self.symbols)), F.pad(y, (1, 0), value=IGNORED)
        return x, y

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(output, y)

    def counts(self, output: Tensor, y: Tensor) -> Tensor:
        """Right answers, answers asked for; sequences that are wholly right, sequences: (4,)."""
        asked = y != IGNORED
        right = (output.argmax(-1) == y) & asked
        sequences = asked.any(-1)
        wholly = (right == asked).all(-1) & sequences
        return torch.stack([part.sum() for part in (right, asked, wholly, sequences)])

    def scores(self, counts: Sequence[float]) -> dict[str, float]:
        right, asked, wholly, sequences = counts
        accuracy = right / asked
        scaled = max(0.0, (accuracy - self.chance) / (1 - self.chance))
        return {"accuracy": accuracy, "exact": wholly / sequences, "scaled": scaled}

    def metrics(self, stage: str, loss: float) -> dict[str, float]:
        """Nothing follows from the loss alone; see `scores`."""
        return {}

    @functools.cached_property
    def guesses(self) -> dict[str, Guess]:
        """`uniform`, which knows nothing, the `shortcuts`, and `floor`, which knows everything."""
        return {"uniform": uniform(self.answers), **self.shortcuts(), "floor": CERTAIN}

    @property
    def reference_names(self) -> tuple[str, ...]:
        return tuple(self.guesses)

    def reference_losses(self) -> dict[str, float]:
        """Cross-entropies of reference predictors in nats, in closed form; see `shortcuts`."""
        return {name: guess.loss for name, guess in self.guesses.items()}

    def reference_accuracies(self) -> dict[str, float]:
        """Accuracies of the same predictors."""
        return {name: guess.accuracy for name, guess in self.guesses.items()}

    def references(self) -> dict[str, float]:
        accuracies = self.reference_accuracies().items()
        return super().references() | {f"reference_accuracy/{k}": v for k, v in accuracies}

    def show(self, model: Any, sequences: int) -> dict[str, Any]:
        """`answers`: x, y, the model's answers and their probabilities, symbols in words."""
        device = next(model.parameters()).device
        x, y = (part[:sequences].to(device) for part in next(iter(self.val_dataloader())))
        probability, answer = model(x).softmax(-1).max(-1)
        asked = y != IGNORED
        if self.lengths[0] < self.lengths[1]:  # without the padding
            x = x.masked_fill(asked.flip(1).cumsum(1).flip(1) == 0, IGNORED)
        names = [*self.symbols, *["^"] * self.bos]
        words = [
            [[names[token] if token >= 0 else "" for token in row] for row in part.tolist()]
            for part in (x, y, answer.masked_fill(~asked, IGNORED))
        ]
        return {"answers": (*words, probability.tolist())}

    def draw_lengths(self, n: int, generator: torch.Generator) -> Tensor:
        """The length of each of n problems, (n, 1), uniform between the bounds."""
        low, high = self.lengths
        return torch.randint(low, high + 1, (n, 1), generator=generator)


@dataclass(eq=False, kw_only=True)
class PrefixTask(TokenTask):
    """y_t is a function of x_1 … x_t, asked at the end of the sequence or at every step.

    A task says `words`, `targets` and, for its references, `joint`.

    Args:
        length: symbols per sequence, or [least, most].
        supervise: `answer`, at the last step only, or `all`, at every step.
    """

    length: int | list[int] = 32  # type: ignore[assignment]  # a number once it is built
    supervise: Literal["answer", "all"] = "all"

    def __post_init__(self) -> None:
        checks.one_of("task.supervise", self.supervise, ("answer", "all"))
        super().__post_init__()

    @abstractmethod
    def words(self, n: int, length: int, generator: torch.Generator) -> Tensor:
        """n inputs of that length, (n, length)."""

    @abstractmethod
    def joint(self, shares: np.ndarray) -> np.ndarray:
        """The probabilities of (x_t, y_t), (symbols, answers), at a step t of these `shares`."""

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        low, high = self.lengths
        x = self.words(n, high, generator)
        y = self.targets(x)
        if low == high and self.supervise == "all":
            return x, y
        ends, times = self.draw_lengths(n, generator), torch.arange(high)
        asked = times < ends if self.supervise == "all" else times == ends - 1
        return x.masked_fill(times >= ends, 0), y.masked_fill(~asked, IGNORED)

    def shortcuts(self) -> dict[str, Guess]:
        return {"memoryless": best_guess(self.joint(self._shares()))}

    @property
    def mixes(self) -> bool:
        """Whether, as long as one input is not known, all answers are equally likely."""
        return False

    def best_within(self, window: int) -> dict[str, float]:
        if not self.mixes or window >= self.lengths[1]:
            return {}
        beyond = float(self._shares()[window:].sum())
        chance = 1 / self.answers
        return self.best(Guess(-beyond * math.log(chance), 1 - beyond + beyond * chance))

    def _ends(self) -> np.ndarray:
        """The probability of each step, the first one first, to be the last."""
        low, high = self.lengths
        return np.where(np.arange(1, high + 1) < low, 0.0, 1 / (high - low + 1))

    def _shares(self) -> np.ndarray:
        """The share of each step in what is asked."""
        ends = self._ends()
        asked = ends if self.supervise == "answer" else ends[::-1].cumsum()[::-1]
        return asked / asked.sum()


@dataclass(eq=False, kw_only=True)
class StringTask(TokenTask):
    """A random string s of `length` symbols, and then, under a marker, what is made of it.

        x = s_1 … s_n, then the marker at each of the m steps that ask for the answer a_1 … a_m.

    The symbols are 0 … alphabet − 1, the marker is `alphabet`. A task says `answer`, how many times
    longer than the string it is (`factor`), and its references.

    Args:
        length: symbols per string, or [least, most].
        alphabet: how many different ones there are, 2 or more.
    """

    length: int | list[int] = 10  # type: ignore[assignment]  # a number once it is built
    alphabet: int = 8
    factor = 1

    def __post_init__(self) -> None:
        checks.integer("task.alphabet", self.alphabet, 2)
        self.answers = self.alphabet
        self.symbols = (*map(str, range(self.alphabet)), "?")
        super().__post_init__()

    @abstractmethod
    def answer(self, strings: Tensor, ends: Tensor, places: Tensor) -> Tensor:
        """The answers at some places, all (n, m).

        Args:
            strings: (n, most), of which the symbols beyond `ends` do not count.
            ends: the length of each string, (n, 1).
            places: 0 for the first answer, and so on, (n, m), all within the answer.
        """

    def steps(self, length: int) -> int:
        return (1 + self.factor) * length

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        high = self.lengths[1]
        strings = torch.randint(self.alphabet, (n, high), generator=generator)
        ends = self.draw_lengths(n, generator)
        places = torch.arange(self.steps(high)) - ends  # counted from the first answer
        last = self.factor * ends - 1
        asked = (places >= 0) & (places <= last)
        answer = self.answer(strings, ends, places.clamp(min=0).minimum(last))
        x = F.pad(strings, (0, self.factor * high))
        x = x.masked_fill(places >= 0, 0).masked_fill(asked, self.alphabet)
        return x, answer.masked_fill(~asked, IGNORED)


def bounds(key: str, value: Any) -> tuple[int, int]:
    """The least and the most of a number or of a pair of them.

    Raises:
        ValueError: it is neither, or not in that order, or below 1.
    """
    pair = (value, value) if not isinstance(value, Sequence) else tuple(value)
    if isinstance(value, str) or len(pair) != 2:
        checks.refuse(key, value, "be a whole number or [least, most]", "[3,40]")
    for one in pair:
        checks.integer(key, one)
    if pair[0] > pair[1]:
        checks.refuse(key, [*pair], "be [least, most]", f"[{pair[1]},{pair[0]}]")
    return pair
