"""From text to token numbers and back."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from seq2seq import files

Level = Literal["char", "word"]

UNKNOWN = "<unk>"
#: A word with the space before it, one other visible character with the space before it, or one
#: character of white space: every character of a text belongs to exactly one of these.
_WORD = re.compile(r" ?\w+(?:['’]\w+)*| ?[^\w\s]|\s")
#: The last tokens of a block may change when more text follows: a word grows, a space finds one.
_UNSETTLED = 3
_CODE_POINTS = 0x110000
#: Most bytes of a stored vocabulary.
LARGEST = 2**25


def tokenise(level: Level, text: str) -> list[str]:
    """Cut `text` into characters or words; joined, the tokens are the text again."""
    return list(text) if level == "char" else _WORD.findall(text)


def whole_tokens(level: Level, blocks: Iterable[str]) -> Iterator[str]:
    """The same text in blocks whose borders cut no token."""
    if level == "char":
        yield from blocks
        return
    rest = ""
    for block in blocks:
        tokens = tokenise(level, rest + block)
        rest = "".join(tokens[-_UNSETTLED:])
        yield "".join(tokens[:-_UNSETTLED])
    yield rest


class Vocabulary:
    """The tokens that a model knows, the commonest first; number 0 is `<unk>`, for all others.

    Args:
        level: `char` or `word`.
        tokens: all but `<unk>`.

    Raises:
        ValueError: there are no tokens.
    """

    def __init__(self, level: Level, tokens: Sequence[str]) -> None:
        if not tokens:
            raise ValueError(
                "no token occurs often enough to be known; lower task.min_count or give more text"
            )
        self.level = level
        self.tokens = [UNKNOWN, *tokens]
        self._numbers = {token: number for number, token in enumerate(self.tokens)}
        self._alphabet = set("".join(tokens))
        self.dtype = np.min_scalar_type(len(tokens))
        if level == "char":
            self._table = np.zeros(_CODE_POINTS, self.dtype)
            for number, token in enumerate(tokens, 1):
                self._table[ord(token)] = number

    @classmethod
    def of(cls, level: Level, blocks: Iterable[str], min_count: int = 1) -> "Vocabulary":
        """The tokens that occur at least `min_count` times in the text given in blocks."""
        counts: Counter[str] = Counter()
        for block in whole_tokens(level, blocks):
            counts.update(block if level == "char" else tokenise(level, block))
        kept = [token for token, count in counts.items() if count >= min_count]
        return cls(level, sorted(kept, key=lambda token: (-counts[token], token)))

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> np.ndarray:
        """Token numbers, (tokens,), in the smallest unsigned type that holds them all."""
        if self.level == "char":
            return self._table[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)]
        numbers = [self._numbers.get(token, 0) for token in tokenise(self.level, text)]
        return np.array(numbers, self.dtype)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of token numbers."""
        return "".join(self.tokens[number] for number in numbers)

    def unknown(self, text: str) -> list[str]:
        """The tokens of `text` that encode to `<unk>`, in their order."""
        return [token for token in tokenise(self.level, text) if token not in self._numbers]

    @property
    def beginning(self) -> int:
        """The token before the first one: a text begins as a line does, after a line break.

        Where the training text has no line breaks, its commonest token stands in.
        """
        return self._numbers.get("\n", 1)

    def spelling(self, token: str) -> float:
        """Nats for writing an unknown token out: its characters and an end mark, equally likely.

        A character that the vocabulary has nowhere costs its place among all of Unicode besides.
        Without this charge a smaller vocabulary would look like a better model.
        """
        symbols = math.log(len(self._alphabet) + 2)  # the alphabet, any other, the end
        others = sum(character not in self._alphabet for character in token)
        return (len(token) + 1) * symbols + others * math.log(_CODE_POINTS)

    def to_json(self) -> str:
        """As a JSON text; see `from_json`."""
        return json.dumps({"level": self.level, "tokens": self.tokens[1:]})

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """The vocabulary stored in a file, which may come from a stranger.

        Raises:
            OSError, ValueError: it is not there, or something else.
        """
        return cls.from_json(files.read(path, path.parent, LARGEST).decode())

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """The vocabulary that `to_json` wrote.

        Raises:
            ValueError: the text is something else.
        """
        try:
            stored = json.loads(text)
            return cls(stored["level"], stored["tokens"])
        except (AttributeError, KeyError, RecursionError, TypeError) as error:
            raise ValueError(f"not a stored vocabulary ({error!r}); train the run again") from None
