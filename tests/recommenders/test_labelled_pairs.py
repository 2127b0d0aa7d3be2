"""Pairs of people and items in words: what is told before when, and what is taken for a dislike."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.ragged import Ragged, offsets_of
from genre.data.dataset import Dataset, Impressions
from genre.recommenders.labelled_pairs import Pairs, UserTexts, grades_of, groups_of, labelled_pairs
from tests.recommenders.tastes import NUM_ITEMS, tastes

NAMES = [f"n{row}" for row in range(NUM_ITEMS)]


def settings(**changes: Any) -> Any:
    usual = {"labels": "binary", "grades": None, "num_negatives": 1, "max_pairs": 10_000}
    return SimpleNamespace(**{**usual, **changes})


def users(**changes: Any) -> UserTexts:
    usual: dict[str, Any] = {
        "names": NAMES,
        "like_from": 0.0,
        "length": 10,
        "max_tokens": 100,
        "count": lambda text: len(text.split()),
        "language": "en",
        "prefers_profile": False,
    }
    return UserTexts(**{**usual, **changes})


def pairs_of(data: Dataset, config: Any = None, told: UserTexts | None = None) -> Pairs:
    config, told = config or settings(), told or users()
    grades, like_from = grades_of(data.interactions, config)
    return labelled_pairs(data, config, replace(told, like_from=like_from), grades, "profile", np.random.default_rng(0))


def log_of(*rows: list[tuple[int, float]]) -> Interactions:
    """Return histories of (item, weight), one event a second."""
    events = [event for row in rows for event in row]
    return Interactions(
        offsets_of(np.array([len(row) for row in rows])),
        np.array([item for item, _ in events], np.int32),
        np.concatenate([np.arange(1, len(row) + 1) for row in rows]).astype(np.int64),
        np.array([weight for _, weight in events], np.float32),
    )


def told(pairs: Pairs) -> set[tuple[str, int, int]]:
    return {
        (pairs.texts[text], int(item), int(label))
        for text, item, label in zip(pairs.text_of, pairs.item_rows, pairs.labels, strict=True)
    }


def test_a_pair_knows_only_the_likes_before_it() -> None:
    data = tastes(num_users=2).with_interactions(log_of([(3, 1), (4, 0), (5, 1), (6, 2)], [(7, 0), (8, 1)]))
    assert told(pairs_of(data, settings(num_negatives=0))) == {("n3", 4, 0), ("n3", 5, 1), ("n3; n5", 6, 1)}


def test_the_newest_likes_are_told_as_far_as_the_budget_goes() -> None:
    data = tastes(num_users=1).with_interactions(log_of([(row, 1) for row in range(6)]))
    assert ("n3; n4", 5, 1) in told(pairs_of(data, told=users(length=2)))
    assert ("n2; n3; n4", 5, 1) in told(pairs_of(data, told=users(max_tokens=3)))
    assert ("n4", 5, 1) in told(pairs_of(data, told=users(max_tokens=0))), "the newest is told whatever it takes"


def test_items_without_a_name_are_neither_told_nor_asked_about() -> None:
    data = tastes(num_users=1).with_interactions(log_of([(3, 1), (4, 1), (5, 1)]))
    names = ["" if row == 4 else name for row, name in enumerate(NAMES)]
    found = told(pairs_of(data, settings(num_negatives=3), users(names=names)))
    assert ("n3", 5, 1) in found
    assert all(item != 4 for _, item, _ in found)


def test_likes_alone_are_set_against_items_that_were_never_met() -> None:
    data = tastes(dislikes=False)
    pairs = pairs_of(data, settings(num_negatives=2))
    assert (pairs.labels == 0).sum() == 2 * (pairs.labels == 1).sum()
    np.testing.assert_array_equal(pairs.drawn, pairs.labels == 0)
    for person, item in zip(pairs.people[pairs.drawn], pairs.item_rows[pairs.drawn], strict=True):
        assert item not in data.interactions.items[person]


def test_nothing_is_drawn_where_the_log_has_as_many_dislikes() -> None:
    data = tastes(num_users=1).with_interactions(log_of([(1, 1), (2, 1), (3, 0), (4, 0)]))
    pairs = pairs_of(data)
    assert not pairs.drawn.any()
    assert told(pairs) == {("n1", 2, 1), ("n1; n2", 3, 0), ("n1; n2", 4, 0)}


def shown(**columns: list[Any]) -> Impressions:
    size = len(columns["items"])
    return Impressions(
        np.arange(size, dtype=np.int32),
        np.array(columns["users"], np.int32),
        np.array(columns["items"], np.int32),
        np.array(columns["times"], np.int64),
        np.zeros(size, np.int32),
        np.array(columns["clicked"], bool),
        np.full(size, np.nan, np.float32),
    )


def test_what_was_shown_and_not_chosen_comes_before_what_is_drawn() -> None:
    impressions = shown(
        users=[0, 0, 0, 0, -1],
        items=[10, 11, 3, 12, 13],
        times=[3, 1, 9, 9, 9],
        clicked=[False, False, False, True, False],
    )
    data = replace(tastes(num_users=1), interactions=log_of([(1, 1), (2, 1), (3, 1)]), impressions=impressions)
    pairs = pairs_of(data)
    # 11 was shown before anything was liked, 3 was liked after all, 12 was chosen, 13 was shown to nobody known.
    assert ("n1; n2", 10, 0) in told(pairs)
    assert {11, 12, 13}.isdisjoint(pairs.item_rows[~pairs.drawn])
    assert pairs.drawn.sum() == 1


def test_a_profile_stands_in_for_likes_or_comes_before_them() -> None:
    data = tastes(num_users=2, profiles=True).with_interactions(log_of([(1, 1), (2, 1)], [(3, 1), (4, 0)]))
    first = told(pairs_of(data, settings(num_negatives=0)))
    profile = "likes cowboy and ranch and saddle and sheriff"
    assert {(profile, 1, 1), ("n1", 2, 1)} <= first
    always = told(pairs_of(data, settings(num_negatives=0), users(prefers_profile=True)))
    assert {(profile, 1, 1), (profile, 2, 1)} <= always
    short = users(prefers_profile=True, max_tokens=2)
    assert ("likes cowboy", 1, 1) in told(pairs_of(data, settings(num_negatives=0), short))


def test_grades_are_those_of_the_log_or_the_nearest_of_those_named() -> None:
    data = tastes(num_users=1).with_interactions(log_of([(1, 5), (2, 1), (3, 4.4), (4, 2)]))
    log = data.interactions
    grades, like_from = grades_of(log, settings(labels="graded"))
    np.testing.assert_allclose(grades, [1, 2, 4.4, 5], rtol=1e-6)
    assert like_from == pytest.approx(3.1)
    config = settings(labels="graded", grades=(1.0, 3.0, 5.0))
    assert told(pairs_of(data, config)) == {("n1", 2, 0), ("n1", 3, 2), ("n1; n3", 4, 0)}


def test_people_are_set_apart_whole() -> None:
    pairs = pairs_of(tastes())
    kept, away = pairs.apart(0.25, np.random.default_rng(1))
    assert len(np.unique(away.people)) == 15
    assert set(kept.people).isdisjoint(away.people)
    assert len(kept) + len(away) == len(pairs)
    alone, nobody = pairs.take(pairs.people == 0).apart(0.9, np.random.default_rng(1))
    assert len(nobody) == 0
    assert len(alone) == (pairs.people == 0).sum()


def test_groups_hold_the_pairs_of_one_text() -> None:
    pairs = pairs_of(tastes(num_users=5))
    groups = list(groups_of(pairs.text_of))
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(len(pairs)))
    assert all(len(set(pairs.text_of[group])) == 1 for group in groups)
    assert list(groups_of(np.array([], int))) == []


def test_fewer_pairs_are_taken_if_so_told() -> None:
    assert len(pairs_of(tastes(), settings(max_pairs=50, num_negatives=0))) == 50


@pytest.mark.parametrize(
    ("data", "config", "said"),
    [
        (
            tastes(dislikes=False),
            settings(num_negatives=0),
            r"all \d+ labelled pairs of the log are likes: .*Set `num_neg",
        ),
        (
            tastes(dislikes=False),
            settings(labels="graded"),
            r"events weigh \[1\.0\]: there are no ratings\. Set `feedback",
        ),
        (
            tastes().with_interactions(Interactions.of(Ragged.of([[1], [2]]))),
            settings(),
            r"there are 2 events, and none of an item with a text by somebody of whom a like .*Histories of two likes",
        ),
        (
            tastes().with_interactions(log_of([(row, row + 1.5) for row in range(12)])),
            settings(labels="graded"),
            r"12 different weights, more than 10\. Name the grades",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_explained(data: Dataset, config: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        pairs_of(data, config)
