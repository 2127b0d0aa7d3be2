"""The texts that ship: how many, how long, in which languages, and that none is replayed and measured by."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from genre.training.passages import HELD_OUT, _all, held_out_passages, passages


def test_there_are_enough_to_replay_in_both_languages() -> None:
    assert len(passages()) == 120
    assert len(passages("en")) == 100
    assert len(passages("zh")) == 20
    assert passages("fr") == []


def test_what_is_held_out_is_a_third_of_the_registers() -> None:
    registers = {one.register for one in _all()}
    assert registers > HELD_OUT
    assert 3 * len(HELD_OUT) == len(registers) == 36
    assert Counter(one.lang for one in held_out_passages()) == {"en": 36, "zh": 6}
    assert {one.lang for one in held_out_passages("zh")} == {"zh"}


def test_no_text_is_replayed_and_measured_by() -> None:
    texts = [one.text for one in _all()]
    assert len(set(texts)) == len(texts)
    assert {one.text for one in held_out_passages()}.isdisjoint(passages())
    assert len(passages()) + len(held_out_passages()) == len(texts)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_two_texts_share_a_long_phrase(lang: str) -> None:
    units = {"en": r"\w+", "zh": r"[\u4e00-\u9fff]"}[lang]
    phrases: Counter[tuple[str, ...]] = Counter()
    for one in _all():
        words = re.findall(units, one.text.casefold()) if one.lang == lang else []
        phrases.update({tuple(words[at : at + 8]) for at in range(len(words) - 7)})
    assert [phrase for phrase, count in phrases.items() if count > 1] == []


def test_passages_are_clean_and_of_like_length() -> None:
    for one in _all():
        assert one.text == one.text.strip()
        assert one.text.isprintable() or one.register == "poem"
        chinese = len(re.findall(r"[\u4e00-\u9fff]", one.text))
        if one.lang == "zh":
            assert 80 <= chinese <= 220, one.text
        else:
            assert chinese == 0
            assert 40 <= len(one.text.split()) <= 120, one.text
