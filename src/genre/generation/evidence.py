"""The event that a reason may name: the liked one without which the model would hold least of the item.

Shapes: B queries, n answers for each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Candidates, Queries, Recommendations
from genre.features.text import Language
from genre.generation.attribution import Attribution, attribute
from genre.generation.reasons import Reason, Reasons
from genre.recommenders.base import Recommender

HANDFUL: Final = 100
"""Answers whose reasons are put to the proof."""


def strongest(query: Queries, item: int, found: Attribution) -> NDArray[np.bool_]:
    """Return (E,) which event of a query's history is the liked one, of another item, that raised an item most."""
    history = query.history
    raised = found.places[found.best_first]
    named = raised[(history.weights[raised] > 0) & (history.item_rows[raised] != item)]
    kept = np.zeros(history.num_events, bool)
    kept[named[:1]] = True
    return kept


def cited(
    model: Recommender, queries: Queries, answer: Recommendations, candidates: Candidates
) -> tuple[Queries, Recommendations]:
    """Return a query and an answer of one item for every filled place (B, n), with the event that it is due to.

    Each event is left out in turn, and the model is asked again: see `attribute`. A history is empty where no event
    raised the item.

    Args:
        model: What recommended the items.
        queries: B queries.
        answer: What was recommended.
        candidates: Of the queries. They stay as they are, so that an event that is left out is no answer.
    """
    rows, places = np.nonzero(answer.filled)
    one = Recommendations.empty(len(rows), 1)
    one.item_rows[:, 0], one.scores[:, 0] = answer.item_rows[rows, places], answer.scores[rows, places]
    one.sources[:, 0] = answer.sources[rows, places]
    kept = [np.zeros(0, bool)]
    for row, item in zip(rows, one.item_rows[:, 0].tolist(), strict=True):
        asked, only = queries.take(np.array([row])), candidates.take(np.array([row]))
        kept.append(strongest(asked, item, attribute(model, asked, item, only)))
    found = queries.take(rows)
    return replace(found, history=found.history.where(np.concatenate(kept))), one


def proven(
    model: Recommender,
    reasons: Reasons,
    queries: Queries,
    answer: Recommendations,
    candidates: Candidates,
    language: Language = "en",
) -> list[list[Reason]]:
    """Return a reason for every filled place (B, n): the event that the item is due to, and what links both.

    Args:
        model: What recommended the items.
        reasons: Puts evidence into words.
        queries: B queries.
        answer: What was recommended.
        candidates: Of the queries.
        language: Of the reasons.
    """
    found = iter(reasons.proven(*cited(model, queries, answer, candidates), language))
    return [[next(found) for _ in range(count)] for count in answer.filled.sum(1).tolist()]


def reasons_for(
    model: Recommender,
    reasons: Reasons,
    queries: Queries,
    answer: Recommendations,
    candidates: Candidates,
    language: Language = "en",
) -> list[list[Reason]]:
    """Return a reason for every filled place (B, n): `proven` ones for a handful of answers.

    A proof asks the model once for each event of a history. For more than `HANDFUL` answers together, a reason names
    the liked item that goes best with the recommended one by the log and the catalogue, whatever the model went by.

    Args:
        model: What recommended the items.
        reasons: Puts evidence into words.
        queries: B queries.
        answer: What was recommended.
        candidates: Of the queries.
        language: Of the reasons.
    """
    if answer.filled.sum() > HANDFUL:
        return reasons.explain(queries, answer, language)
    return proven(model, reasons, queries, answer, candidates, language)
