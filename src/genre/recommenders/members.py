"""What composite recommenders share: asking the fitted models that they are made of, and the questions to learn from.

Shapes: B queries, I items, M members, n places, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ConfigError, ModelError
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries, Source
from genre.core.ragged import Ragged, offsets_of
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.recommenders.base import Recommender, Scorer


def named_members(names: Sequence[str], members: Mapping[str, Recommender], place: str) -> dict[str, Recommender]:
    """Return the fitted models with these names, in this order.

    Raises:
        ConfigError: A name is not among the members, or stands twice.
    """
    for at, name in enumerate(names):
        if name not in members:
            raise ConfigError(
                f"there is no member {name!r} among {sorted(members)!r}",
                place=f"{place}.members",
                remedy="Name a model of the same experiment.",
            )
        if name in names[:at]:
            raise ConfigError(f"the member {name!r} stands twice", place=f"{place}.members", remedy="Name it once.")
    return {name: members[name] for name in names}


def questions_to_learn_from(
    run: RunContext, place: str, *, most: int | None = None, hide_seen: bool = True
) -> tuple[Holdout, Candidates]:
    """Return the validation questions and what may be answered to them.

    Members have learned from the training events by heart, so what is learned of members is learned on others.

    Args:
        run: Holds the validation questions.
        place: The kind of the recommender that asks, for the message.
        most: More questions than these are not needed; which ones are taken depends on the run's seed.
        hide_seen: Whether items of the history are no answers.

    Raises:
        ModelError: There are no validation questions.
    """
    holdout = run.validation
    if holdout is None or not len(holdout):
        raise ModelError(
            f"its members are weighed on validation events, and there are {0 if holdout is None else len(holdout)!r}",
            place=place,
            remedy="Choose a split that keeps validation events, or leave this model out.",
        )
    if most is not None and most < len(holdout):
        holdout = holdout.take(np.sort(run.rng(f"{place}.questions").choice(len(holdout), most, replace=False)))
    return holdout, Candidates(excluded=holdout.queries.history.items if hide_seen else None)


def scores_of(model: Recommender, queries: Queries, num_items: int) -> NDArray[np.float32]:
    """Return scores (B, num_items) that the caller may change, of a model that only recommends too."""
    if isinstance(model, Scorer):
        return model.score(queries)
    answer = model.recommend(queries, num_items)
    scores = np.full((len(queries), num_items), -np.inf, np.float32)
    rows, places = np.nonzero(answer.filled)
    scores[rows, answer.item_rows[rows, places]] = answer.scores[rows, places]
    return scores


def sources_of(model: Recommender, queries: Queries, item_rows: NDArray[np.int32]) -> NDArray[np.int8]:
    """Return where the model would have answered these items (B, n) from; `Source.NONE` for those it cannot score."""
    rows, places = np.nonzero(np.not_equal(item_rows, NO_ITEM))
    asked = item_rows[rows, places]
    only = Ragged(offsets_of(np.bincount(rows, minlength=len(queries))), asked)
    answer = model.recommend(queries, item_rows.shape[1], candidates=Candidates(only=only))
    answer_rows, answer_places = np.nonzero(answer.filled)
    size = int(max(asked.max(initial=0), answer.item_rows.max(initial=0))) + 1
    found = answer_rows * size + answer.item_rows[answer_rows, answer_places]
    order = np.argsort(found)
    at = np.searchsorted(found, rows * size + asked, sorter=order)
    known = np.append(found[order], -1)[at] == rows * size + asked
    sources = np.full(item_rows.shape, Source.NONE, np.int8)
    sources[rows, places] = np.where(
        known, np.append(answer.sources[answer_rows, answer_places][order], Source.NONE)[at], Source.NONE
    )
    return sources


def union_of_best(scores: Sequence[NDArray[np.float32]], n: int) -> NDArray[np.int32]:
    """Return the items (B, M * n) that are among the best n of at least one of M score blocks (B, I).

    Each row rises, with every item once and `NO_ITEM` in the places that are left.
    """
    items = np.sort(np.concatenate([top_n(block, n)[0] for block in scores], axis=1), axis=1)
    items[:, 1:][items[:, 1:] == items[:, :-1]] = NO_ITEM
    return items
