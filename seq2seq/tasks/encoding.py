"""Texts as token numbers in a file, so that a large corpus never has to be in memory."""

import functools
import hashlib
import itertools
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from seq2seq.files import place, write_atomically
from seq2seq.tasks import corpora
from seq2seq.tasks.vocabulary import Level, Vocabulary, whole_tokens

#: Part of the cache's key: raise it whenever the tokens of a text change.
VERSION = 1
SPLITS = ("train", "val", "test")


class Extent(NamedTuple):
    """Where a split lies among the tokens, what it counts, and nats to spell its unknown tokens."""

    start: int
    stop: int
    characters: int
    words: int
    spelling: float


class Encoded(NamedTuple):
    """A corpus as token numbers, mapped from a file, with its vocabulary and its splits."""

    tokens: np.ndarray
    vocabulary: Vocabulary
    extents: dict[str, Extent]


def encode(
    parts: list[list[corpora.Source]],
    named: str,
    level: Level,
    min_count: int,
    fractions: tuple[float, float],
    cache: str | None,
    known: Vocabulary | None = None,
) -> Encoded:
    """Encode a corpus block by block into a file; in `cache`, a file found there serves.

    Args:
        parts: one text, to be cut by position, or a training, a validation and a test text.
        named: what error messages call the corpus.
        level, min_count: see `Vocabulary`, which is that of the training part.
        known: the vocabulary to encode with instead, that of a trained model.
        fractions: shares of the validation and the test part.
        cache: a folder, or None for a file that vanishes with the process.

    Raises:
        ValueError: the text is empty or not UTF-8.
    """
    lengths, digest = [], hashlib.sha256()
    for part in parts:
        lengths.append(0)
        for block in corpora.blocks(part):
            lengths[-1] += len(block)
            digest.update(block.encode("utf-8", "surrogatepass"))
    if not sum(lengths):
        raise ValueError(f"{named} is empty; give a text with task.path")
    texts = _splits(parts, lengths, fractions)
    key = json.dumps([VERSION, digest.hexdigest(), lengths, level, min_count, fractions])
    wanted = known and known.to_json()
    for full in (key, key + wanted) if wanted else (key,):
        name = f"text-{hashlib.sha256(full.encode()).hexdigest()[:32]}"
        stored = None if cache is None else _stored(place(cache), name)
        if stored is not None and wanted in (None, stored.vocabulary.to_json()):
            return stored
    vocabulary = known or Vocabulary.of(level, texts["train"](), min_count)
    file, folder = _open(cache)
    with file:
        extents: dict[str, Extent] = {}
        header = {"descr": vocabulary.dtype.str, "fortran_order": False, "shape": (0,)}
        np.lib.format.write_array_header_1_0(file, header)  # padded, so that it can grow in place
        offset = file.tell()
        for split in SPLITS:
            start = max((extent.stop for extent in extents.values()), default=0)
            extents[split] = _write(file, vocabulary, texts[split](), start)
        size = extents["test"].stop
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (size,)})
        file.flush()
        tokens = np.memmap(file, vocabulary.dtype, "r", offset, (size,))
        if folder is not None:
            meta = json.dumps([vocabulary.to_json(), extents])
            write_atomically(folder / f"{name}.json", meta.encode())
            os.replace(file.name, folder / f"{name}.npy")
    return Encoded(tokens, vocabulary, extents)


def _splits(
    parts: list[list[corpora.Source]], lengths: list[int], fractions: tuple[float, float]
) -> dict[str, Callable[[], Iterator[str]]]:
    """Per split, a function that reads its text from the start."""
    if len(parts) > 1:
        return {
            split: functools.partial(corpora.blocks, part)
            for split, part in zip(SPLITS, parts, strict=True)
        }
    n = lengths[0]
    # At least a character each, however short the text is.
    test = min(n - 1, round(n * (1 - fractions[1])))
    val = min(test - 1, round(n * (1 - sum(fractions))))
    bounds = [0, max(val, 0), max(test, 0), n]
    return {
        split: functools.partial(_section, parts[0], *borders)
        for split, borders in zip(SPLITS, itertools.pairwise(bounds), strict=True)
    }


def _section(part: list[corpora.Source], start: int, stop: int) -> Iterator[str]:
    """Characters `start` to `stop` of a text."""
    position = 0
    for block in corpora.blocks(part):
        if position < stop and position + len(block) > start:
            yield block[max(start - position, 0) : stop - position]
        position += len(block)


def _write(file: IO[bytes], vocabulary: Vocabulary, text: Iterable[str], start: int) -> Extent:
    """Append the tokens of a split, which are numbered from `start`."""
    stop, characters, words, spelling, in_word = start, 0, 0, 0.0, False
    for block in whole_tokens(vocabulary.level, text):
        numbers = vocabulary.encode(block)
        numbers.tofile(file)
        stop += len(numbers)
        characters += len(block)
        if block:
            # A word may straddle two blocks.
            words += len(block.split()) - (in_word and not block[0].isspace())
            in_word = not block[-1].isspace()
        if not numbers.all():
            spelling += sum(vocabulary.spelling(token) for token in vocabulary.unknown(block))
    return Extent(start, stop, characters, words, spelling)


def _open(cache: str | None) -> tuple[IO[bytes], Path | None]:
    """A file to write into: in the cache, or one that vanishes with the process."""
    if cache is not None:
        try:
            folder = place(cache)
            folder.mkdir(parents=True, exist_ok=True)
            return tempfile.NamedTemporaryFile(dir=folder, delete=False), folder
        except OSError as error:
            warnings.warn(f"text not cached in {cache} ({error}); set paths.cache", stacklevel=2)
    return tempfile.TemporaryFile(), None


def _stored(folder: Path, name: str) -> Encoded | None:
    """What an earlier call left in the cache, if all of it is there."""
    try:
        vocabulary_json, stored = json.loads((folder / f"{name}.json").read_text())
        vocabulary = Vocabulary.from_json(vocabulary_json)
        extents = {split: Extent(*extent) for split, extent in stored.items()}
        tokens = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        warnings.warn(
            f"the cached text {folder / name} is damaged ({error}); encoding it again", stacklevel=2
        )
        return None
    return Encoded(tokens, vocabulary, extents)
