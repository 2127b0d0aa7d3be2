"""Texts against references, by hand and against sacrebleu's own cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.metrics.texts import bleu, chrf, rouge_l, rouge_n

CAT, POLICE = "the cat sat on the mat", "the cat was on a mat"


def test_rouge_by_hand() -> None:
    # Shared words: the, cat, on, mat; 6 words each. Shared pairs: "the cat" of 5 each.
    assert rouge_n([CAT], [POLICE], 1).tolist() == [pytest.approx(8 / 12)]
    assert rouge_n([CAT], [POLICE], 2).tolist() == [pytest.approx(2 / 10)]
    # The longest common run with gaps: the cat on mat.
    assert rouge_l([CAT], [POLICE]).tolist() == [pytest.approx(8 / 12)]


def test_lins_own_example() -> None:
    # Lin 2004, section 3: "police kill the gunman" and "the gunman kill police" against "police killed the gunman".
    reference = "police killed the gunman"
    assert rouge_l(["police kill the gunman"], [reference]).tolist() == [pytest.approx(3 / 4)]
    assert rouge_l(["the gunman kill police"], [reference]).tolist() == [pytest.approx(2 / 4)]


def test_chinese_characters_are_words() -> None:
    assert rouge_n(["猫在垫子上。"], ["猫坐在垫子上"], 1).tolist() == [pytest.approx(10 / 11)]
    assert bleu(["猫坐在垫子上"], ["猫坐在垫子上"]) == pytest.approx(1.0)


def test_a_word_counts_as_often_as_both_have_it() -> None:
    assert rouge_n(["the the the"], ["the cat"], 1).tolist() == [pytest.approx(2 / 5)]


def test_nothing_shares_nothing() -> None:
    assert rouge_n(["", "!", "a b"], ["a", "a", ""], 1).tolist() == [0, 0, 0]
    assert rouge_l([""], [""]).tolist() == [0]
    assert rouge_n([], [], 1).tolist() == []


def test_bleu_and_chrf_of_what_is_equal_and_of_what_is_not() -> None:
    assert bleu([CAT], [CAT]) == pytest.approx(1.0)
    assert chrf([CAT], [CAT]) == pytest.approx(1.0)
    assert bleu(["nothing alike whatsoever here"], [CAT]) < 0.1
    # One reference, 4-gram precisions 5/6, 3/5, 1/4 and 0 smoothed: sacrebleu's exponential smoothing gives 1/6.
    one = bleu(["the cat sat on a mat"], ["the cat sat on the mat"])
    assert one == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


@given(st.text(max_size=60), st.text(max_size=60))
def test_rouge_is_symmetric_and_bounded(first: str, second: str) -> None:
    for found, other in (
        (rouge_l([first], [second]), rouge_l([second], [first])),
        (rouge_n([first], [second], 1), rouge_n([second], [first], 1)),
    ):
        assert 0 <= found[0] <= 1
        assert found[0] == pytest.approx(other[0])
