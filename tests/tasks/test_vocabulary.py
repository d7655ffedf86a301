"""Tokens: every text comes back whole, unknown ones are known as such."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.tasks.vocabulary import Vocabulary, tokenise, whole_tokens

ANY = st.text(st.characters() | st.sampled_from(" \n\t'’.,—aé漢\u0301\u2028"))


@given(ANY, st.sampled_from(["char", "word"]))
def test_tokens_join_to_the_text(text: str, level: str) -> None:
    assert "".join(tokenise(level, text)) == text


@given(ANY.filter(bool), st.sampled_from(["char", "word"]))
def test_encoding_can_be_undone(text: str, level: str) -> None:
    vocabulary = Vocabulary.of(level, [text])
    numbers = vocabulary.encode(text)
    assert numbers.min() > 0
    assert vocabulary.decode(numbers) == text
    assert Vocabulary.from_json(vocabulary.to_json()).tokens == vocabulary.tokens


@given(st.lists(ANY), st.sampled_from(["char", "word"]))
def test_blocks_cut_no_token(blocks: list[str], level: str) -> None:
    pieces = [token for block in whole_tokens(level, blocks) for token in tokenise(level, block)]
    assert pieces == tokenise(level, "".join(blocks))


def test_words_keep_punctuation_and_line_breaks() -> None:
    text = "Don't go, sir;\nI'll  stay."
    expected = ["Don't", " go", ",", " sir", ";", "\n", "I'll", " ", " stay", "."]
    assert tokenise("word", text) == expected


def test_rare_tokens_are_unknown() -> None:
    vocabulary = Vocabulary.of("word", ["a b a c a b"], min_count=2)
    assert vocabulary.tokens == ["<unk>", " a", " b"]
    assert vocabulary.encode(" b c a").tolist() == [2, 0, 1]
    assert vocabulary.unknown(" b c a") == [" c"]
    with pytest.raises(ValueError, match=r"lower task\.min_count"):
        Vocabulary.of("word", ["a b"], min_count=2)


def test_numbers_take_little_room() -> None:
    assert Vocabulary.of("char", ["".join(map(chr, range(32, 32 + 255)))]).dtype == np.uint8
    assert Vocabulary.of("char", ["".join(map(chr, range(32, 32 + 256)))]).dtype == np.uint16


def test_a_text_begins_as_a_line_does() -> None:
    vocabulary = Vocabulary.of("char", ["ab\n"])
    assert vocabulary.tokens[vocabulary.beginning] == "\n"
    assert Vocabulary.of("char", ["ab b"]).beginning == 1


def test_spelling_is_a_code() -> None:
    """Over an alphabet of two, a word of n letters costs (n + 1) ln 4; strangers cost more."""
    vocabulary = Vocabulary("word", ["ab"])
    assert vocabulary.spelling("aba") == pytest.approx(4 * math.log(4))
    assert vocabulary.spelling("aéa") == pytest.approx(4 * math.log(4) + math.log(0x110000))


def test_a_damaged_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="not a stored vocabulary"):
        Vocabulary.from_json('{"level": "char"}')
