"""Splits: laws that hold for every log and every strategy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genre.core.errors import ConfigError, DataError
from genre.core.queries import UNKNOWN_USER
from genre.data.dataset import Dataset
from genre.data.splits import Split
from tests.conftest import make_dataset
from tests.data.logs import NUM_ITEMS, Row, asked, dataset_of, events_of, split_all

LAW = settings(max_examples=25)
STRATEGIES = [
    {"kind": "leave_one_out"},
    {"kind": "ratio", "validation": 0.2, "test": 0.3},
    {"kind": "temporal", "validation_from": 0.5, "test_from": 0.7},
    {"kind": "k_fold", "folds": 3, "target_share": 0.4},
    {"kind": "few_shot", "shots": 2, "validation_users": 0.3, "test_users": 0.3},
]
IN_TRAINING = STRATEGIES[:3]
"""The strategies whose test users are also learned from."""

rows_of_users = st.lists(
    st.lists(
        st.tuples(st.integers(0, NUM_ITEMS - 1), st.integers(1, 9), st.sampled_from([0.0, 1.0, 1.0, 2.0])), max_size=9
    ).map(lambda row: sorted(row, key=lambda event: event[1])),
    min_size=5,
    max_size=9,
)


def split_if_possible(data: Dataset, **strategy: object) -> list[Split]:
    """Split, and let hypothesis draw another log where there is too little."""
    try:
        return split_all(data, **strategy)
    except (DataError, ConfigError):
        assume(False)
        raise


def answers(part: Row, history: Row, *, repeats: bool) -> list[int]:
    """Return the targets that a part of a log has after a history."""
    seen = set() if repeats else {item for item, _, _ in history}
    return list(dict.fromkeys(item for item, _, weight in part if weight > 0 and item not in seen))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["kind"])
@LAW
@given(rows=rows_of_users, repeats=st.booleans())
def test_no_event_is_lost_doubled_or_foreseen(strategy: dict[str, object], rows: list[Row], repeats: bool) -> None:
    data = dataset_of(rows)
    for part in split_if_possible(data, repeats=repeats, **strategy):
        validation, test = asked(part.validation), asked(part.test)
        for user, row in enumerate(rows):
            learned = events_of(part.train.interactions, user)
            assert learned in ([], row[: len(learned)]), "what is learned is the user's oldest events"
            end = len(row)
            for questions in (test, validation):
                if user not in questions:
                    continue
                history, targets = questions[user]
                assert history == row[: len(history)], "a history is the user's oldest events"
                assert len(learned) <= len(history) < end
                # Where a question was dropped for its repeated targets, the end of the part before is not told.
                ends = [end] if questions is test or user in test else range(len(history) + 1, end + 1)
                assert targets in [answers(row[len(history) : stop], history, repeats=repeats) for stop in ends]
                end = len(history)
            if strategy in IN_TRAINING and user in validation:
                assert validation[user][0] == learned, "nothing stands between training and validation"


@LAW
@given(rows=rows_of_users)
def test_leave_one_out_loses_no_user(rows: list[Row]) -> None:
    part, *_ = split_if_possible(dataset_of(rows), kind="leave_one_out", repeats=True)
    liked = [[item for item, _, weight in row if weight > 0] for row in rows]
    assert {user: targets for user, (_, targets) in asked(part.test).items()} == {
        user: row[-1:] for user, row in enumerate(liked) if len(row) >= 3
    }
    assert {user: targets for user, (_, targets) in asked(part.validation).items()} == {
        user: row[-2:-1] for user, row in enumerate(liked) if len(row) >= 3
    }


@LAW
@given(rows=rows_of_users, new_users=st.booleans())
def test_temporal_cuts_are_global(rows: list[Row], new_users: bool) -> None:
    part, *_ = split_if_possible(
        dataset_of(rows), kind="temporal", validation_from=0.4, test_from=0.6, new_users=new_users
    )
    first, second = part.validation.queries, part.test.queries
    assert part.train.interactions.timestamps.max(initial=0) < first.times.min()
    assert first.history.timestamps.max(initial=0) < first.times.min()
    assert second.history.timestamps.max(initial=0) < second.times.min()
    assert first.times.max() < second.times.min()
    if not new_users:
        assert (second.history.lengths > 0).all()


@LAW
@given(rows=rows_of_users)
def test_k_fold_asks_everybody_once(rows: list[Row]) -> None:
    parts = split_if_possible(dataset_of(rows), kind="k_fold", folds=3, repeats=True)
    users = [user for part in parts for user in asked(part.test)]
    assert sorted(users) == [user for user, row in enumerate(rows) if sum(weight > 0 for _, _, weight in row) >= 2]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["kind"])
@LAW
@given(rows=rows_of_users)
def test_a_model_knows_everybody_who_was_not_kept_out_on_purpose(strategy: dict[str, object], rows: list[Row]) -> None:
    for part in split_if_possible(dataset_of(rows), **strategy):
        for holdout in (part.validation, part.test):
            for row, user in zip(holdout.queries.user_rows, asked(holdout), strict=True):
                assert row == (user if strategy in IN_TRAINING else UNKNOWN_USER)
            assert holdout.targets.lengths.min() >= 1


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["kind"])
@LAW
@given(rows=rows_of_users, share=st.floats(0.1, 0.9))
def test_no_cold_item_is_seen(strategy: dict[str, object], rows: list[Row], share: float) -> None:
    for part in split_if_possible(dataset_of(rows), cold_items=share, **strategy):
        assert part.cold_items.any()
        for log in (part.train.interactions, part.validation.queries.history, part.test.queries.history):
            assert not part.cold_items[log.item_rows].any()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["kind"])
def test_the_same_seed_gives_the_same_split(strategy: dict[str, object]) -> None:
    data = make_dataset()
    strategy = strategy | {"ties": "shuffled", "cold_items": 0.2}
    for one, two in zip(split_all(data, **strategy), split_all(make_dataset(), **strategy), strict=True):
        assert one.train.fingerprint() == two.train.fingerprint()
        np.testing.assert_array_equal(one.cold_items, two.cold_items)
        for first, second in ((one.validation, two.validation), (one.test, two.test)):
            np.testing.assert_array_equal(first.queries.history.item_rows, second.queries.history.item_rows)
            np.testing.assert_array_equal(first.queries.times, second.queries.times)
            np.testing.assert_array_equal(first.targets.values, second.targets.values)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["kind"])
def test_splitting_changes_no_input(strategy: dict[str, object]) -> None:
    data = make_dataset()
    split_all(data, **strategy | {"ties": "shuffled", "cold_items": 0.2})
    assert data.fingerprint() == make_dataset().fingerprint()
