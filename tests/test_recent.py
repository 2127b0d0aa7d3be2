"""What happened since: in the order of its time, once, and in the answer of everybody who asks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import genre.recent
from genre.asking import asked_by
from genre.data.dataset import Dataset
from genre.recent import Happened, Recent, continued


def at(time: int, item: str = "i1", number: int | None = None, weight: float = 1.0) -> Happened:
    return Happened(item, time, weight, time if number is None else number)


@given(st.permutations(range(8)), st.data())
def test_events_stand_in_the_order_of_their_times_however_they_come(order: list[int], data: st.DataObject) -> None:
    recent = Recent()
    again = data.draw(st.lists(st.sampled_from(order)))
    for number in [*order, *again]:
        recent.add("u1", [at(100 + number // 2, number=number)])
    assert [event.number for event in recent.of("u1")] == list(range(8))
    assert recent.of("u2") == ()
    recent.forget("u1")
    assert not recent


def test_only_the_newest_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genre.recent, "MOST", 3)
    recent = Recent()
    for time in range(10):
        recent.add("u1", [at(time)])
    assert [event.timestamp for event in recent.of("u1")] == [7, 8, 9]


def test_a_history_goes_on(dataset: Dataset) -> None:
    before = dataset.interactions.take(np.array([3, 4]))
    newest = int(before.timestamps.max())
    later = (at(0, "i2"), at(newest + 5, "no such item"), at(newest + 9, "i7", weight=0.0))
    after = continued(before, [later, ()], dataset)
    assert after.lengths.tolist() == [before.lengths[0] + 2, before.lengths[1]]
    mine = after.take(np.array([0]))
    assert mine.item_rows.tolist() == [2, *before.take(np.array([0])).item_rows.tolist(), 7]
    assert mine.weights[-1] == 0
    assert mine.timestamps.tolist() == sorted(mine.timestamps.tolist())
    assert after.take(np.array([1])).item_rows.tolist() == before.take(np.array([1])).item_rows.tolist()


def test_who_asks_has_what_happened(dataset: Dataset) -> None:
    recent = Recent()
    later = dataset.end_time + 10
    recent.add("u3", [at(later, "i6")])
    recent.add("new", [at(later + 1, "i5")])
    _names, queries = asked_by(dataset, ["u3", "new", "u4"], [None, None, ["i1"]], recent=recent)
    histories = [queries.take(np.array([row])).history.item_rows.tolist() for row in range(3)]
    assert histories[0][-1] == 6
    assert len(histories[0]) == dataset.interactions.lengths[3] + 1
    assert histories[1:] == [[5], [1]]
    assert queries.times.tolist() == [later, later + 1, dataset.end_time]
    everybody, all_queries = asked_by(dataset, None, None, recent=recent)
    assert len(everybody) == dataset.num_users
    assert all_queries.history.num_events == dataset.num_events + 1


def test_a_hashed_user_is_found_under_both_names(dataset: Dataset) -> None:
    recent = Recent()
    recent.add("hash-of-me", [at(dataset.end_time + 1, "i5")])
    for name in ("me", "hash-of-me"):
        _, queries = asked_by(dataset, [name], None, lambda own: f"hash-of-{own}", recent)
        assert queries.history.item_rows.tolist() == [5]
