"""Genre from Python: load, fit, recommend, and open what a run has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genre.config import RECOMMENDERS, parse_recommender
from genre.core.errors import ConfigError, GenreError
from genre.core.run import RunContext
from genre.data.build import build_dataset
from genre.data.dataset import Dataset
from genre.data.feedback import FeedbackConfig
from genre.data.readers import FilesConfig, read_tables
from genre.engine import Engine
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.popularity import PopularityConfig
from genre.runs import open_run
from genre.strategies.rules import HideSeen

__all__ = ["fit", "load", "open_run"]


def load(
    interactions: str | Path,
    items: str | Path | None = None,
    users: str | Path | None = None,
    *,
    like_at: float | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> Dataset:
    """Load a log and, if there are any, a catalogue and what is known of users.

    Args:
        interactions: CSV, TSV, JSON lines, Parquet or one of the standard layouts.
        items: The catalogue.
        users: What is known of users.
        like_at: Values (ratings) from here up are likes, below it dislikes; None takes every event for a like.
        columns: What columns are called, for instance `{"interactions": {"user_id": "viewer"}}`; the usual names are recognised.

    Raises:
        DataError: A file cannot be read or understood.
    """
    config = FilesConfig(interactions=interactions, items=items, users=users, columns=columns or {})
    return build_dataset(read_tables(config), FeedbackConfig(like_at=like_at), config.item_columns, config.user_columns)


def fit(
    model: str | RecommenderConfig,
    data: Dataset,
    *,
    members: Mapping[str, Recommender] | None = None,
    run: RunContext | None = None,
    **settings: Any,
) -> Engine:
    """Fit one recommender on all of `data`; the engine hides what was seen, and fills up with what is popular.

    Args:
        model: A kind, such as "ease", or a config object.
        data: What to learn from.
        members: Fitted models, for a composite one.
        run: Seed, device and so on.
        settings: The kind's settings, such as `regularization=100`.
    """
    context = run or RunContext()
    if isinstance(model, str):
        if model not in (kinds := kinds_of_recommenders()):
            raise ConfigError(f"there is no recommender {model!r}", place="fit", remedy=f"Choose from {sorted(kinds)}.")
        model = kinds[model](**settings)
    elif settings:
        raise ConfigError(
            f"settings {sorted(settings)} beside a config object", place="fit", remedy="Put them into the config."
        )
    fitted = model.build(members or {}).fit(data, context)
    popularity = PopularityConfig().build({}).fit(data, context)
    return Engine(data, fitted, rules=(HideSeen(),), fallback=(popularity,))


def kinds_of_recommenders() -> dict[str, type[RecommenderConfig]]:
    """Return every recommender's config class by its kind."""
    return {config.model_fields["kind"].default: config for config in RECOMMENDERS}
