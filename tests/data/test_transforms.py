"""Number columns: fitted on training alone, checked by hand and against numpy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genre.core.errors import ConfigError, DataError
from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.data.splits import FewShotConfig, split
from genre.data.transforms import ColumnsConfig, ColumnTransforms, fit_columns
from tests.conftest import make_dataset

PRICES = [1.0, 2.0, None, 9.0, 1000.0, None]
"""Of six items, the last two of which nobody touched in training."""
SEEN = np.array([1.0, 2.0, 9.0])


def priced(prices: list[float | None] | None = None, colours: list[list[str] | None] | None = None) -> Dataset:
    """Return two users who like the first four items; the second user has no event."""
    prices = PRICES if prices is None else prices
    size = len(prices)
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(size)],
            "price": prices,
            "colours": colours or [["red"]] * size,
        },
        schema_overrides={"price": pl.Float64, "colours": pl.List(pl.String)},
    )
    users = pl.DataFrame({"user_id": ["a", "b"], "age": [20.0, None]})
    log = Interactions.of(Ragged.of([range(min(4, size)), []]))
    return Dataset(
        log,
        Entities(Vocabulary(items["item_id"]), items, Roles(category=("colours",), number=("price",))),
        Entities(Vocabulary(users["user_id"]), users, Roles(number=("age",))),
    )


def transformed(data: Dataset, **rule: object) -> pl.Series:
    """Return the prices after one rule."""
    fitted = fit_columns(data, ColumnsConfig.model_validate({"items": {"price": rule}}))
    return fitted.apply(data).items.frame["price"]


def test_standard() -> None:
    scaled = transformed(priced(), kind="standard").to_list()
    expected = (np.array([1, 2, 9, 1000]) - SEEN.mean()) / SEEN.std()
    assert scaled[2] is scaled[5] is None
    assert [scaled[row] for row in (0, 1, 3, 4)] == pytest.approx(expected.tolist())


def test_min_max_is_cut_to_its_range() -> None:
    assert transformed(priced(), kind="min_max").to_list() == [0.0, 0.125, None, 1.0, 1.0, None]


def test_log_keeps_the_sign() -> None:
    prices = [-3.0, 0.0, 3.0, 15.0]
    logs = np.array([-np.log(4), 0.0, np.log(4), np.log(16)])
    expected = (logs - logs.mean()) / logs.std()
    assert transformed(priced(prices), kind="log").to_list() == pytest.approx(expected.tolist())


def test_a_column_with_one_value_becomes_zero() -> None:
    for kind in ("standard", "min_max", "log"):
        assert transformed(priced([7.0, 7.0, None]), kind=kind).to_list() == [0.0, 0.0, None]


@pytest.mark.parametrize(("missing", "filled"), [("mean", 4.0), ("median", 2.0), (-1, -1.0)])
def test_fill(missing: object, filled: float) -> None:
    assert transformed(priced(), kind="fill", missing=missing).to_list() == [1.0, 2.0, filled, 9.0, 1000.0, filled]


def test_filling_comes_before_scaling() -> None:
    assert transformed(priced(), kind="min_max", missing="median").to_list()[2] == 0.125
    assert transformed(priced(), kind="quantile_bins", bins=2, missing=100.0).to_list()[2] == ["over 2"]


def test_nan_is_missing_and_infinity_is_no_statistic() -> None:
    assert transformed(priced([1.0, float("nan"), 3.0, float("inf")]), kind="fill", missing="mean").to_list() == [
        *(1.0, 2.0, 3.0, float("inf"))
    ]


def test_quantile_bins_are_labels() -> None:
    prices = [1.0, 2.0, 3.0, 4.0, 50.0, None]
    data = replace(priced(prices), interactions=Interactions.of(Ragged.of([range(4), []])))
    labels = transformed(data, kind="quantile_bins", bins=2).to_list()
    assert labels == [["up to 2"], ["up to 2"], ["over 2"], ["over 2"], ["over 2"], ["(missing)"]]
    assert transformed(data, kind="quantile_bins", bins=2, missing="keep").to_list()[5] is None


def test_equal_bins_are_equally_wide() -> None:
    labels = transformed(priced([0.0, 2.5, 7.5, 10.0]), kind="equal_bins", bins=4).to_list()
    assert labels == [["up to 2.5"], ["up to 2.5"], ["5.0 to 7.5"], ["over 7.5"]]


def test_equal_values_share_a_bin() -> None:
    prices = [5.0, 5.0, 5.0, 8.0]
    assert transformed(priced(prices), kind="quantile_bins", bins=4).to_list() == [["up to 5"]] * 3 + [["over 5"]]
    assert transformed(priced([5.0, 5.0]), kind="equal_bins").to_list() == [["any"], ["any"]]


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4),
    st.integers(2, 6),
    st.sampled_from(["quantile_bins", "equal_bins"]),
)
def test_labels_rise_with_the_value(prices: list[float], bins: int, kind: str) -> None:
    data = priced(prices)
    (column,) = fit_columns(data, ColumnsConfig(items={"price": {"kind": kind, "bins": bins}})).items.values()
    labels = [label for (label,) in transformed(data, kind=kind, bins=bins)]
    assert len(column.edges) < bins
    by_value = list(dict.fromkeys(label for _, label in sorted(zip(prices, labels, strict=True))))
    assert len(by_value) == len(set(labels)), "a range holds neighbouring values"
    for price, label in zip(prices, labels, strict=True):
        above = sum(price > edge for edge in column.edges)
        assert label.startswith("up to") == (above == 0 and bool(column.edges))
        assert label.startswith("over") == (above == len(column.edges) and bool(column.edges))


def test_binned_columns_become_categories() -> None:
    fitted = fit_columns(priced(), ColumnsConfig(items={"price": {"kind": "equal_bins"}}))
    items = fitted.apply(priced()).items
    assert items.roles == Roles(category=("colours", "price"))
    assert items.frame.schema["price"] == pl.List(pl.String)


def test_the_most_frequent_label_fills() -> None:
    colours = [["red"], ["red", "blue"], ["blue"], None, ["green"], []]
    data = priced(colours=colours)
    rule = ColumnsConfig(items={"colours": {"kind": "fill_mode"}})
    filled = fit_columns(data, rule).apply(data).items.frame["colours"].to_list()
    assert filled == [["red"], ["red", "blue"], ["blue"], ["blue"], ["green"], ["blue"]]


def test_what_is_not_in_training_changes_nothing() -> None:
    config = ColumnsConfig.model_validate(
        {
            "items": {"price": {"kind": "standard", "missing": "mean"}, "colours": {"kind": "fill_mode"}},
            "users": {"age": {"kind": "fill", "missing": "mean"}},
        }
    )
    colours = [["red"]] * 4 + [["blue"]] * 2
    one = fit_columns(priced(PRICES, colours), config)
    other = fit_columns(priced([*PRICES[:4], -5.0, 77.0], [["red"]] * 6), config)
    assert one == other
    assert one.users["age"].fill == 20.0


def test_fitted_columns_survive_json() -> None:
    config = ColumnsConfig.model_validate(
        {"items": {"price": {"kind": "quantile_bins", "bins": 3}}, "users": {"age": {"kind": "log"}}}
    )
    fitted = fit_columns(priced(), config)
    again = ColumnTransforms.model_validate(json.loads(json.dumps(fitted.model_dump(mode="json"))))
    assert again == fitted
    assert again.apply(priced()).fingerprint() == fitted.apply(priced()).fingerprint()


def test_without_rules_nothing_changes() -> None:
    data = make_dataset()
    assert fit_columns(data, ColumnsConfig()).apply(data).fingerprint() == data.fingerprint()


def test_questions_of_a_split_see_the_same_columns() -> None:
    data = make_dataset()
    (raw,) = split(data, FewShotConfig(), np.random.default_rng(0))
    fitted = fit_columns(raw.train, ColumnsConfig.model_validate({"users": {"age": {"kind": "min_max"}}}))
    part = fitted.apply_split(raw)
    assert part.train.users.frame["age"].max() == 1.0
    assert (part.test.queries.user_rows == -1).all()
    ages = dict(part.train.users.frame.select("user_id", "age").iter_rows())
    assert part.test.queries.users["age"].to_list() == [ages[name] for name in part.test.queries.users["user_id"]]
    assert part.test.targets is raw.test.targets
    bare = replace(raw.test.queries, users=None)
    assert fitted.apply_queries(bare).users is None


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        (
            {"weight": {"kind": "log"}},
            ConfigError,
            r"columns.items.weight: 'weight' is not a number column.*are: price",
        ),
        ({"colours": {"kind": "log"}}, ConfigError, r"'colours' is not a number column"),
        ({"price": {"kind": "fill_mode"}}, ConfigError, r"'price' is not a category column.*are: colours"),
    ],
)
def test_a_rule_for_the_wrong_column_is_an_error(rules: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit_columns(priced(), ColumnsConfig(items=rules))


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "standard"},
        {"kind": "fill", "missing": "mean"},
        {"kind": "equal_bins"},
        {"kind": "min_max", "missing": 0},
    ],
)
def test_nothing_can_be_learned_of_an_empty_column(rule: dict) -> None:
    with pytest.raises(DataError, match=r"columns.items.price: the column is empty in training"):
        transformed(priced([None, None, None, None, 5.0]), **rule)


def test_a_number_fills_an_empty_column() -> None:
    assert transformed(priced([None, None]), kind="fill", missing=3).to_list() == [3.0, 3.0]


def test_the_mode_of_an_empty_column_is_an_error() -> None:
    with pytest.raises(DataError, match="the column is empty in training"):
        fit_columns(priced(colours=[None] * 6), ColumnsConfig(items={"colours": {"kind": "fill_mode"}}))


def test_a_wrong_setting_is_an_error() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ColumnsConfig.model_validate({"items": {"price": {"kind": "log", "bins": 5}}})
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        ColumnsConfig.model_validate({"items": {"price": {"kind": "equal_bins", "bins": 1}}})
