"""Weights of events."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from genre.core.errors import ConfigError
from genre.data.feedback import FeedbackConfig, weights

LOG = pl.DataFrame(
    {
        "user_id": ["a", "a", "b", "b"],
        "item_id": ["x", "y", "x", "z"],
        "event": ["view", "buy", "view", "hide"],
        "value": [1.0, 3.0, None, -2.0],
    }
)


def test_every_event_is_a_like_by_default() -> None:
    found = weights(LOG, FeedbackConfig())
    assert found.dtype == pl.Float32
    assert found.to_list() == [1.0, 1.0, 1.0, 1.0]
    assert weights(LOG.clear(), FeedbackConfig()).to_list() == []


def test_event_types_have_weights() -> None:
    config = FeedbackConfig(events={"view": 0.25, "buy": 2, "hide": 0})
    assert weights(LOG, config).to_list() == [0.25, 2.0, 0.25, 0.0]


def test_the_value_multiplies_and_a_negative_one_is_a_dislike() -> None:
    config = FeedbackConfig(events={"view": 0.5, "buy": 2, "hide": 1}, use_value=True)
    assert weights(LOG, config).to_list() == [0.5, 6.0, 0.5, 0.0]


def test_values_below_like_at_are_dislikes_and_missing_ones_likes() -> None:
    assert weights(LOG, FeedbackConfig(like_at=3)).to_list() == [0.0, 1.0, 1.0, 0.0]
    nan = LOG.with_columns(value=pl.lit(float("nan")))
    assert weights(nan, FeedbackConfig(like_at=3, use_value=True)).to_list() == [1.0] * 4


def test_both_together() -> None:
    config = FeedbackConfig(use_value=True, like_at=2)
    assert weights(LOG, config).to_list() == [0.0, 3.0, 1.0, 0.0]


def test_an_unnamed_type_is_an_error_that_lists_the_types_found() -> None:
    with pytest.raises(ConfigError) as error:
        weights(LOG, FeedbackConfig(events={"view": 1, "hide": 0}))
    message = str(error.value)
    assert message.startswith("feedback.events: event type 'buy' has no weight; the types in the data are 'view' (2), ")
    assert message.endswith("Give each a weight, 0 for what is seen and not liked.")


def test_a_misspelt_type_is_guessed() -> None:
    with pytest.raises(ConfigError, match=r"event type 'buy' has no weight; .* Is 'buuy' meant to be 'buy'\?"):
        weights(LOG, FeedbackConfig(events={"view": 1, "buuy": 1, "hide": 0}))


def test_events_without_a_type_are_counted() -> None:
    log = LOG.with_columns(event=pl.Series(["view", None, "view", None]))
    with pytest.raises(ConfigError, match=r"2 events have no type.*clean\.missing: \{interactions\.event: drop\}"):
        weights(log, FeedbackConfig(events={"view": 1}))


@pytest.mark.parametrize(
    ("config", "place", "column"),
    [
        (FeedbackConfig(events={"view": 1}), "feedback.events", "event"),
        (FeedbackConfig(use_value=True), "feedback.use_value", "value"),
        (FeedbackConfig(like_at=4), "feedback.like_at", "value"),
    ],
)
def test_a_setting_without_its_column_is_an_error(config: FeedbackConfig, place: str, column: str) -> None:
    with pytest.raises(ConfigError) as error:
        weights(LOG.select("user_id", "item_id"), config)
    message = str(error.value)
    assert message.startswith(f"{place}: ")
    assert f"needs a column `{column}`, and the interactions have only user_id, item_id" in message
    assert f"`data.columns.interactions.{column}`" in message


@pytest.mark.parametrize("weight", [-1, float("inf"), float("nan")])
def test_weights_are_finite_and_not_negative(weight: float) -> None:
    with pytest.raises(ValidationError):
        FeedbackConfig(events={"view": weight})
