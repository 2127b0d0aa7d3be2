"""Weights of events."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from genre.config import Experiment
from genre.core.errors import ConfigError
from genre.data.build import build_dataset
from genre.data.feedback import DAY, LEAST_DECAY, FeedbackConfig, weights
from genre.data.tables import Tables

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
        (FeedbackConfig(half_life=4), "feedback.half_life", "timestamp"),
    ],
)
def test_a_setting_without_its_column_is_an_error(config: FeedbackConfig, place: str, column: str) -> None:
    with pytest.raises(ConfigError) as error:
        weights(LOG.select("user_id", "item_id"), config)
    message = str(error.value)
    assert message.startswith(f"{place}: ")
    assert f"needs a column `{column}`, and the interactions have only user_id, item_id" in message
    assert f"`data.columns.interactions.{column}`" in message


DATED = LOG.with_columns(timestamp=pl.Series([0, 30 * DAY, 20 * DAY, None], dtype=pl.Int64))


def test_weights_halve_with_age() -> None:
    # The newest event is from day 30; one without a time is as old as the oldest.
    assert weights(DATED, FeedbackConfig(half_life=10)).to_list() == [0.125, 1.0, 0.5, 0.125]
    config = FeedbackConfig(events={"view": 0.5, "buy": 2, "hide": 0}, half_life=10)
    assert weights(DATED, config).to_list() == [0.0625, 2.0, 0.25, 0.0]
    assert weights(DATED, FeedbackConfig(like_at=3, half_life=10)).to_list() == [0.0, 1.0, 0.5, 0.0]


def test_events_that_join_a_data_set_are_new() -> None:
    config = FeedbackConfig(half_life=10)
    assert weights(DATED, config, now=20 * DAY).to_list() == [0.25, 1.0, 1.0, 0.25]


def test_no_like_fades_into_a_dislike() -> None:
    found = weights(DATED, FeedbackConfig(half_life=0.001))
    assert found.to_list() == [LEAST_DECAY, 1.0, LEAST_DECAY, LEAST_DECAY]
    assert weights(DATED.clear(), FeedbackConfig(half_life=1)).to_list() == []
    undated = DATED.with_columns(timestamp=pl.lit(None, pl.Int64))
    assert weights(undated, FeedbackConfig(half_life=1)).to_list() == [1.0] * 4


def test_a_data_set_keeps_which_events_are_likes() -> None:
    tables = Tables(DATED)
    plain = build_dataset(tables, FeedbackConfig(like_at=2))
    faded = build_dataset(tables, FeedbackConfig(like_at=2, half_life=0.01))
    assert ((plain.interactions.weights > 0) == (faded.interactions.weights > 0)).all()
    assert faded.interactions.weights.dtype == "float32"


def test_grades_do_not_fade() -> None:
    settings = {
        "data": {"kind": "sample"},
        "feedback": {"use_value": True, "half_life": 30},
        "models": {"judge": {"kind": "text_classifier", "labels": "graded"}},
    }
    with pytest.raises(ValidationError, match=r"models\.judge\.labels: grades are the weights of events"):
        Experiment.model_validate(settings)


def test_events_of_a_service_have_the_weights_of_their_types() -> None:
    from genre.serving.stores.events import SCHEMA

    rows = [("a", "x", 0.0, "click"), ("a", "y", 86_400.5, "buy"), ("b", "x", 86_400.5, "hide")]
    given = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")
    log = pl.concat([SCHEMA.to_frame(), given], how="diagonal_relaxed")
    config = FeedbackConfig(events={"click": 1, "buy": 3, "hide": 0}, half_life=1)
    assert weights(log, config).to_list() == pytest.approx([0.5, 3.0, 0.0], abs=1e-5)
    with pytest.raises(ConfigError, match="event type 'impression' has no weight"):
        weights(log.with_columns(event=pl.lit("impression")), config)


@pytest.mark.parametrize("weight", [-1, float("inf"), float("nan")])
def test_weights_are_finite_and_not_negative(weight: float) -> None:
    with pytest.raises(ValidationError):
        FeedbackConfig(events={"view": weight})
