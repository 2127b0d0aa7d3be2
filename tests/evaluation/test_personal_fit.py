"""Texts that speak of what their readers liked later are found, in both languages; the same text for all is chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genre.evaluation.personal_fit import PersonalFit, personal_fit
from genre.language.hashing import HashingEncoderConfig

THINGS = {
    "en": "harbour glacier violin desert orchard lighthouse comet tiger bakery canyon marathon puppet".split(),  # noqa: SIM905
    "zh": "港口 冰川 提琴 沙漠 果园 灯塔 彗星 老虎 面包 峡谷 长跑 木偶".split(),  # noqa: SIM905
}
SENTENCES = {"en": "A story about a {} and its people.", "zh": "这是关于{}的故事。"}


def fit(texts: list[str], language: str = "en", **settings: int) -> PersonalFit:
    users = [f"u{at}" for at in range(12)] * (len(texts) // 12)
    about = [f"i{at // 12}" for at in range(len(texts))]
    withheld = {user: [SENTENCES[language].format(thing)] for user, thing in zip(users, THINGS[language], strict=False)}
    encoder = HashingEncoderConfig().build()
    return personal_fit(texts, users, about, withheld, encoder, rng=np.random.default_rng(0), samples=200, **settings)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_for_their_readers_are_found(language: str) -> None:
    sentence = {"en": "You like a {}: this is for you.", "zh": "你喜欢{}，这正适合你。"}[language]
    found = fit([sentence.format(thing) for thing in THINGS[language]] * 2, language)
    assert (found.texts, found.people, found.among) == (24, 12, 10)
    assert (found.first.mean, found.rank.mean, found.mrr.mean) == (1, 1, 1)
    assert found.distinct_2 > 1 / 12


def test_one_text_for_all_is_chance() -> None:
    found = fit(["This is a story about people."] * 12)
    assert found.first.mean == pytest.approx(0.1)
    assert found.rank.mean == pytest.approx(5.5)
    assert found.distinct_2 == pytest.approx(1 / 12)


def test_texts_for_others_are_not_found() -> None:
    things = THINGS["en"]
    found = fit([f"You like a {thing}: this is for you." for thing in [*things[1:], things[0]]])
    assert found.first.mean < 0.1
    assert found.first.low <= found.first.mean <= found.first.high


def test_where_nothing_was_withheld_nothing_is_known() -> None:
    encoder = HashingEncoderConfig().build()
    found = personal_fit(["A text."], ["u"], ["i"], {"u": []}, encoder, rng=np.random.default_rng(0))
    assert found.texts == 0
    assert math.isnan(found.first.mean)
