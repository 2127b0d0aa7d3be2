"""Columns as plain numbers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genre.core.errors import DataError
from genre.data.dataset import Entities, Roles, Vocabulary
from genre.features.tabular import TabularFeatures


def table(**columns: object) -> Entities:
    """Return items with prices and brands."""
    frame = pl.DataFrame({"item_id": ["a", "b", "c", "d"], **columns})
    return Entities(Vocabulary(frame["item_id"]), frame, Roles(category=("brand",), number=("price",)))


TABLE = table(price=[1.5, None, float("nan"), 3.0], brand=[["x"], ["x", "y", "x"], None, []])


def test_numbers_stay_and_labels_become_how_many_rows_hold_the_commonest() -> None:
    features = TabularFeatures.fit(TABLE)
    assert features.names == ["price", "brand"]
    nan = np.nan
    np.testing.assert_array_equal(features.transform(TABLE), np.array([[1.5, 2], [nan, 2], [nan, nan], [3, nan]]))
    assert features.transform(TABLE).dtype == np.float32


def test_a_label_that_was_not_in_training_counts_nothing() -> None:
    other = table(price=[1.0] * 4, brand=[["new"], ["y"], ["new", "x"], None])
    found = TabularFeatures.fit(TABLE).transform(other.frame)
    np.testing.assert_array_equal(found[:, 1], [0, 1, 2, np.nan])


def test_state_brings_everything_back_as_arrays() -> None:
    features = TabularFeatures.fit(TABLE)
    state = features.state()
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in state.values())
    np.testing.assert_array_equal(TabularFeatures.restore(state).transform(TABLE), features.transform(TABLE))


def test_rows_of_which_nothing_is_known() -> None:
    features = TabularFeatures.fit(TABLE)
    blank = TABLE.frame.with_columns(price=pl.lit(None), brand=pl.lit(None)).head(2)
    np.testing.assert_array_equal(features.missing(2), features.transform(blank))
    assert np.isnan(features.missing(2)).all()


def test_a_column_that_went_missing_is_named() -> None:
    with pytest.raises(DataError, match=r"there is no column 'price'.*leave cells empty"):
        TabularFeatures.fit(TABLE).transform(TABLE.frame.drop("price"))
