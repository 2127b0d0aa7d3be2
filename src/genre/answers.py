"""Answers as people read them: a row for each, under external ids, and what is nearest to an item or a text.

Shapes: B queries, n answers for each, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import ConfigError, ModelError
from genre.core.queries import Recommendations, Source
from genre.data.columns import ITEM_ID, PROPENSITY, USER_ID
from genre.data.dataset import Dataset
from genre.recommenders.base import ReadsTexts, Recommender, Similar
from genre.recommenders.growth import Unaware

AbleT = TypeVar("AbleT")

RANK, TITLE, SCORE, SOURCE, REASON, SIMILARITY = "rank", "title", "score", "source", "reason", "similarity"


def frame_of(data: Dataset, names: pl.Series, answer: Recommendations, language: str | None = None) -> pl.DataFrame:
    """Turn answers into one row for each filled place.

    Args:
        data: Names items.
        names: (B,) ids of those who asked.
        answer: (B, n) what is recommended to them.
        language: Of titles, where the catalogue has them.

    Returns:
        `user_id, rank, item_id, title, score, source`, and `propensity` where something was left to chance.
    """
    filled = answer.filled
    places = np.broadcast_to(np.arange(1, answer.n + 1), filled.shape)
    rows = answer.item_rows[filled]
    frame = pl.DataFrame(
        {
            USER_ID: names.gather(np.nonzero(filled)[0]),
            RANK: places[filled],
            ITEM_ID: data.items.vocabulary.ids.gather(rows),
            TITLE: data.items.title_in(language).gather(rows),
            SCORE: answer.scores[filled],
            SOURCE: pl.Series([Source(code).name.lower() for code in answer.sources[filled]], dtype=pl.String),
        }
    )
    if answer.propensities is None:
        return frame
    return frame.with_columns(pl.Series(PROPENSITY, answer.propensities[filled]))


def nearness_to_item(model: Recommender, row: int) -> NDArray[np.float32]:
    """Return how well all items (1, I) go with one, itself the worst.

    Raises:
        ModelError: The model knows no similarity of items.
    """
    knowing = _able(model, Similar)  # type: ignore[type-abstract]
    if knowing is None:
        raise ModelError(
            f"{model.config.kind!r} knows no similarity of items",
            place="similar",
            remedy="Use a model that does, for instance item_knn, graph or ease.",
        )
    scores = knowing.similar(np.array([row], np.int32))
    scores[:, row] = -np.inf
    return scores


def nearness_to_text(model: Recommender, text: str) -> NDArray[np.float32]:
    """Return how near the texts of all items (1, I) are to a text.

    Raises:
        ConfigError: The text says nothing.
        ModelError: The model does not read texts.
    """
    reading = _able(model, ReadsTexts)  # type: ignore[type-abstract]
    if reading is None:
        raise ModelError(
            f"{model.config.kind!r} does not read texts",
            place="similar",
            remedy="Use a model that does, for instance content.",
        )
    if not text.strip():
        raise ConfigError("the text is empty", place="similar", remedy="Say in words what to look for.")
    return reading.similar_to_texts([text])


def _able(model: Recommender, ability: type[AbleT]) -> AbleT | None:
    """Return the model, or else the first of those it is made of, that can do something."""
    known = model.model if isinstance(model, Unaware) else model
    if isinstance(known, ability):
        return model if isinstance(model, ability) else None
    members = getattr(model, "members", ())
    parts = members.values() if isinstance(members, Mapping) else members
    return next((found for part in parts if (found := _able(part, ability)) is not None), None)
