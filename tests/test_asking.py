"""Who asks, from ids and histories to rows."""

from __future__ import annotations

import pytest

from genre.asking import asked_by, rows_of
from genre.core.errors import ConfigError, DataError
from genre.core.queries import UNKNOWN_USER
from genre.data.dataset import Dataset


def test_known_users_have_their_histories_and_strangers_none(dataset: Dataset) -> None:
    names, queries = asked_by(dataset, ["u3", "nobody"], None)
    assert names.to_list() == ["u3", "nobody"]
    assert queries.user_rows.tolist() == [3, UNKNOWN_USER]
    assert queries.history.lengths.tolist() == [int(dataset.interactions.lengths[3]), 0]
    assert asked_by(dataset, None, None)[0].to_list() == dataset.users.vocabulary.ids.to_list()


def test_a_pseudonym_is_tried_where_the_id_is_unknown(dataset: Dataset) -> None:
    _, queries = asked_by(dataset, ["u3", "real-5"], None, lambda name: name.replace("real-", "u"))
    assert queries.user_rows.tolist() == [3, 5]


def test_histories_stand_in_the_place_of_the_log(dataset: Dataset) -> None:
    names, queries = asked_by(dataset, None, [["i5", "i6"], []])
    assert names.to_list() == ["guest-1", "guest-2"]
    assert queries.history.item_rows.tolist() == [5, 6]
    with pytest.raises(ConfigError, match="1 histories for 2 users"):
        asked_by(dataset, ["u1", "u2"], [["i5"]])
    with pytest.raises(DataError, match="'i999' is not in the catalogue"):
        rows_of(dataset, ["i5", "i999"])
