from __future__ import annotations

import numpy as np
import pytest

from genre.core.errors import ConfigError
from genre.core.queries import Candidates
from genre.data.dataset import Dataset
from genre.strategies.rules import ColumnRuleConfig, HideSeenConfig


def allowed(dataset: Dataset, **rule: object) -> set[int]:
    queries = dataset.queries(np.arange(2))
    candidates = ColumnRuleConfig(**rule).build(dataset).narrow(queries, Candidates())
    assert candidates.allowed is not None
    return set(np.flatnonzero(candidates.allowed))


def test_hide_seen_excludes_the_history_with_its_dislikes(dataset: Dataset) -> None:
    queries = dataset.queries(np.arange(5))
    candidates = HideSeenConfig().build(dataset).narrow(queries, Candidates())
    assert candidates.excluded is not None
    for row in range(5):
        assert set(candidates.excluded[row]) == set(dataset.interactions.items[row])


def test_allow_keeps_matching_labels_and_deny_the_others(dataset: Dataset) -> None:
    comedies = {row for row in range(dataset.num_items) if row % 4 == 0}
    assert allowed(dataset, kind="allow", column="genres", values=["comedy"]) == comedies
    everything = set(range(dataset.num_items))
    assert allowed(dataset, kind="deny", column="genres", values=["comedy"]) == everything - comedies


def test_numbers_are_compared_and_missing_ones_match_nothing(dataset: Dataset) -> None:
    prices = dataset.items.frame["price"].to_list()
    cheap = {row for row, price in enumerate(prices) if price is not None and 1 <= price <= 2}
    assert allowed(dataset, kind="allow", column="price", at_least=1, at_most=2) == cheap


def test_single_items_can_be_named(dataset: Dataset) -> None:
    assert allowed(dataset, kind="allow", column="item_id", values=["i3", "i5"]) == {3, 5}


def test_rules_add_up(dataset: Dataset) -> None:
    queries = dataset.queries(np.arange(1))
    candidates = Candidates()
    for value in (["i3", "i5"], ["i5", "i7"]):
        rule = ColumnRuleConfig(kind="allow", column="item_id", values=value).build(dataset)
        candidates = rule.narrow(queries, candidates)
    assert candidates.allowed is not None
    assert np.flatnonzero(candidates.allowed).tolist() == [5]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"column": "colour", "values": ["red"]}, r"no column 'colour'. Choose from \['genres', 'item_id'"),
        ({"column": "title", "at_least": 3}, r"'title' holds String, not numbers. Use `values`"),
        ({"column": "genres"}, r"no condition. Give `values`"),
    ],
)
def test_a_rule_that_cannot_work_says_why(dataset: Dataset, rule: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ColumnRuleConfig(kind="allow", **rule).build(dataset)
