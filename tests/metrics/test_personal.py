"""Whose text is it? Against the same counted choice by choice."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.metrics.personal import by_person, own_places


def test_texts_in_their_persons_direction_are_first() -> None:
    people = np.eye(12)
    assert own_places(people * 3, people, np.arange(12)).tolist() == [[1, 1, 1]] * 12


def test_one_text_for_everybody_is_chance() -> None:
    found = own_places(np.ones((12, 4)), np.random.default_rng(0).normal(size=(12, 4)), np.arange(12))
    harmonic = sum(1 / rank for rank in range(1, 11)) / 10
    assert found == pytest.approx(np.tile([5.5, 0.1, harmonic], (12, 1)))


def test_without_enough_others_nothing_is_known() -> None:
    assert np.isnan(own_places(np.eye(9), np.eye(9), np.arange(9))).all()
    # Twenty texts, but nobody's own are compared with each other.
    assert np.isnan(own_places(np.eye(20), np.eye(20), np.arange(20) // 15)[:15]).all()


def test_only_texts_about_the_same_are_compared() -> None:
    people = np.tile(np.eye(2), (3, 1))
    texts = people.copy()
    texts[2:4] = texts[3:1:-1]  # About the second item, both got the other's text.
    found = own_places(texts, people, np.arange(6) % 2, np.repeat(np.arange(3), 2), among=2)
    assert found[:, 0].tolist() == [1, 1, 2, 2, 1, 1]


@given(st.integers(0, 99), st.integers(2, 4))
def test_it_is_the_mean_over_every_choice_of_others(seed: int, among: int) -> None:
    rng = np.random.default_rng(seed)
    texts, people, owners = rng.integers(-1, 2, (6, 2)), rng.normal(size=(6, 2)), np.arange(6) % 5
    found = own_places(texts, people, owners, among=among)
    unit = [text / max(1e-9, np.linalg.norm(text)) for text in texts]
    for at in range(6):
        near = [float(people[at] @ one) / float(np.linalg.norm(people[at])) for one in unit]
        ranks = []
        for chosen in combinations([other for other in range(6) if owners[other] != owners[at]], among - 1):
            above = sum(near[other] > near[at] + 1e-6 for other in chosen)
            tied = sum(abs(near[other] - near[at]) <= 1e-6 for other in chosen)
            ranks += [np.arange(above + 1, above + tied + 2)]
        wanted = [np.mean([one.mean() for one in ranks]), np.mean([(one == 1).mean() for one in ranks])]
        wanted.append(np.mean([(1 / one).mean() for one in ranks]))
        # Ties are broken before others are chosen, which is the same in the mean.
        assert found[at] == pytest.approx(wanted)


def test_a_person_counts_once() -> None:
    places = np.array([[1.0, 1, 1], [3, 0, 1 / 3], [2, 0, 0.5], [np.nan] * 3])
    assert by_person(places, np.array([4, 4, 7, 9])).tolist() == [[2, 0.5, pytest.approx(2 / 3)], [2, 0, 0.5]]
    assert by_person(places[3:], np.array([9])).shape == (0, 3)
