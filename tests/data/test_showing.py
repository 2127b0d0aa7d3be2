"""What was shown stands behind what was shown before, with the clicks that came of it, and is nobody's like."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genre.data.showing
from genre.data.build import build_dataset
from genre.data.dataset import Dataset
from genre.data.feedback import FeedbackConfig
from genre.data.showing import with_shown
from genre.data.tables import Tables
from genre.evaluation.logged import shown_of_events

SCHEMA = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Float64(), "event": pl.String(),
     "value": pl.Float64(), "list_id": pl.String(), "position": pl.Int64(), "propensity": pl.Float64()}
)  # fmt: skip
NOTHING = pl.DataFrame(schema=SCHEMA)


def logged(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame([(*row, *[None] * (len(SCHEMA) - len(row))) for row in rows], schema=SCHEMA, orient="row")


def shown(user: str, item: str, time: float, page: str, place: int | None = 0) -> tuple[Any, ...]:
    return user, item, time, "impression", None, page, place, 0.5


def built() -> Dataset:
    log = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["a", "b"], "timestamp": [10, 20]})
    return build_dataset(Tables(log, pl.DataFrame({"item_id": ["a", "b", "c"]})))


def told(data: Dataset) -> list[tuple[str | None, str, int, int, bool]]:
    some = data.impressions
    assert some is not None
    users = data.users.vocabulary.names(some.user_rows).to_list()
    items = data.items.vocabulary.names(some.item_rows).to_list()
    return list(zip(users, items, some.timestamps.tolist(), some.positions.tolist(), some.clicked.tolist(),
                    strict=True))  # fmt: skip


def test_impressions_are_kept_with_their_clicks_and_are_no_likes() -> None:
    first = logged(shown("ann", "a", 30.9, "l1", 0), shown("ann", "b", 30, "l1", 1), shown("ann", "b", 31, "l1", 5))
    second = logged(shown("zoe", "c", 40, "l2", None), shown("zoe", "x", 40, "l2", None), shown("ann", "c", 41, "l3"))
    events = logged(("ann", "b", 32, "like", None, "l1"), ("ann", "c", 42, "like"), ("ann", "a", 33, "like", None, "?"))
    data, account = with_shown(built(), [first, second], events)
    assert told(data) == [
        ("ann", "a", 30, 0, False),
        ("ann", "b", 30, 1, True),
        (None, "c", 40, 0, False),
        ("ann", "c", 41, 0, False),
    ]
    assert account == {"shown": 4, "clicked": 1}
    assert data.impressions is not None
    assert data.impressions.propensities.tolist() == [0.5] * 4
    assert data.impressions.list_rows[0] == data.impressions.list_rows[1]
    assert len(set(data.impressions.list_rows.tolist())) == 3
    assert data.num_events == 2
    assert with_shown(built(), [], events)[0].impressions is None


def test_a_click_that_comes_later_is_one_on_the_newest_that_it_can_mean() -> None:
    before = logged(shown("ann", "a", 30, "l1"), shown("ann", "a", 50, "l2"), shown("bob", "a", 50, "l3"),
                    shown("ann", "a", 90, "l4"))  # fmt: skip
    data, _ = with_shown(built(), [before], NOTHING)
    more = logged(shown("ann", "a", 100, "l5"))
    data, account = with_shown(data, [more], logged(("ann", "a", 80, "like", None, "l2")))
    assert account == {"shown": 1, "clicked": 1}
    assert [clicked for *_, clicked in told(data)] == [False, True, False, False, False]
    assert data.impressions is not None
    assert len(set(data.impressions.list_rows.tolist())) == 5
    data, account = with_shown(data, [], logged(("ann", "a", 95, "like", None, "l4")))
    assert [clicked for *_, clicked in told(data)] == [False, True, False, True, False]


def test_who_buys_later_what_they_clicked_has_clicked_once() -> None:
    pages = logged(shown("ann", "a", 30, "l1"), shown("ann", "a", 50, "l2"))
    data, _ = with_shown(built(), [pages], logged(("ann", "a", 51, "click", None, "l2")))
    data, account = with_shown(data, [], logged(("ann", "a", 60, "purchase", None, "l2")))
    assert account == {"shown": 0, "clicked": 0}
    assert [clicked for *_, clicked in told(data)] == [False, True]


@pytest.mark.parametrize(
    ("feedback", "clicked"),
    [
        (FeedbackConfig(), [True, True, True]),
        (FeedbackConfig(like_at=3), [False, True, True]),
        (FeedbackConfig(events={"rate": 1, "hide": 0}), [True, False, False]),
        (FeedbackConfig(events={"rate": 1, "open": 0.1}, half_life=1e-3), [True, False, True]),
    ],
)
def test_only_what_says_that_it_was_liked_is_a_click(feedback: FeedbackConfig, clicked: list[bool]) -> None:
    pages = logged(*(shown("ann", item, 30, "l1", place) for place, item in enumerate("abc")))
    events = logged(
        ("ann", "a", 31, "rate", 1.0, "l1"), ("ann", "b", 32, "hide", None, "l1"), ("ann", "c", 9e6, "open", 5.0, "l1")
    )
    data, _ = with_shown(built(), [pages], events, feedback)
    assert [one for *_, one in told(data)] == clicked


def test_of_a_long_log_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genre.data.showing, "MOST", 3)
    parts = [logged(shown("ann", "a", 30 + number, f"l{number}")) for number in range(10)]
    data, account = with_shown(built(), iter(parts), NOTHING)
    assert [time for _, _, time, *_ in told(data)] == [37, 38, 39]
    assert account["shown"] == 3
    data, _ = with_shown(data, [logged(shown("bob", "b", 38, "m"), shown("bob", "b", 50, "n"))], NOTHING)
    assert [(user, time) for user, _, time, *_ in told(data)] == [("ann", 39), ("bob", 38), ("bob", 50)]


PAGES = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "zoe"]), st.sampled_from("abc"), st.sampled_from(["l1", "l2", "l3"]),
              st.booleans()), max_size=12,
)  # fmt: skip


@settings(max_examples=50)
@given(PAGES, st.integers(1, 4))
def test_the_same_as_building_from_what_was_shown(pages: list[tuple[str, str, str, bool]], size: int) -> None:
    rows = [shown(user, item, 30, page, None) for user, item, page, _ in pages]
    likes = [(user, item, 31, "like", None, page) for user, item, page, liked in pages if liked]
    parts = [logged(*rows[start : start + size]) for start in range(0, len(rows), size)]
    found, _ = with_shown(built(), parts, logged(*likes))
    log = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["a", "b"], "timestamp": [10, 20]})
    catalogue = pl.DataFrame({"item_id": ["a", "b", "c"]})
    whole = build_dataset(Tables(log, catalogue, impressions=shown_of_events(logged(*rows, *likes))))
    assert whole.impressions is not None
    if not rows:
        assert found.impressions is None
        return
    assert told(found) == told(whole)
    assert found.impressions is not None
    pairs = [one.impressions.list_rows for one in (found, whole) if one.impressions is not None]
    same = [rows[:, None] == rows[None, :] for rows in pairs]
    np.testing.assert_array_equal(*same)
