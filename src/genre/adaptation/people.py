"""Who is in both scenarios, whether the same id means the same person, and whether their likes there help here.

Shapes: U users of this scenario, Q validation questions.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Holdout
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.metrics.ranks import target_ranks
from genre.metrics.statistics import paired_difference
from genre.recommenders.elsewhere import Elsewhere
from genre.recommenders.members import scores_of
from genre.recommenders.moving import Movable

_BLOCK = 256
"""Questions whose scores are held at once."""


def with_people(
    model: Movable,
    origin: Movable,
    data: Dataset,
    before: Dataset,
    asked: Holdout | None,
    run: RunContext,
    use: bool | None,
) -> tuple[Movable, dict[str, Any]]:
    """Return a model that reads what its users liked in the other scenario, where it may, and what was found.

    An id that stands in both is not enough: two shops may both have a customer 17. The ids mean the same people where,
    by the validation questions, their own likes there say more of what they like here than those of others do, dealt
    at random among them; and only where they help are they used.

    Args:
        model: Moved to this scenario.
        origin: Of the other one.
        data: This scenario.
        before: The other one, with all that is known by now: nothing is read that came after a question.
        asked: Questions about people of this scenario.
        run: Its seed.
        use: True does not ask whether they are the same people, and False does not use them.
    """
    rows = before.users.vocabulary.rows(data.users.vocabulary.ids).astype(np.int64)
    told: dict[str, Any] = {"same_user_ids": int((rows >= 0).sum()), "people": 0}
    if use is False or not told["same_user_ids"]:
        return model, told
    elsewhere = Elsewhere.of(origin, before.interactions, rows)
    found = model.with_elsewhere(elsewhere)
    if use is None:
        judged = _judged(model, elsewhere, asked, run)
        told |= {} if judged is None else {"people_judged": judged}
        if judged is None or judged["over_others"]["low"] <= 0 or judged["own"] <= judged["none"]:
            return model, told
    return found, told | {"people": int(elsewhere.people.sum())}


def _judged(model: Movable, elsewhere: Elsewhere, asked: Holdout | None, run: RunContext) -> dict[str, Any] | None:
    """Return where the answers to the questions about these people stand: by their own likes, by others', by none.

    Over all places, which tells more from fewer questions than the first ten do.
    """
    if asked is None:
        return None
    rows = asked.queries.user_rows
    theirs = asked.take(np.flatnonzero((rows >= 0) & elsewhere.people[rows]))
    if not len(theirs):
        return None
    rng = run.rng("adapted.people")
    own, others, none = (_places(model.with_elsewhere(one), theirs) for one in (elsewhere, elsewhere.dealt(rng), None))
    over = paired_difference(own, others, rng=rng)
    means = {"own": float(own.mean()), "others": float(others.mean()), "none": float(none.mean())}
    return {"questions": len(theirs), **means, "over_others": asdict(over)}


def _places(model: Movable, asked: Holdout) -> NDArray[np.float64]:
    """Return (Q,) the share of the items that stand below what was liked; a half where nothing is said of it."""
    size, found = len(model.known), []
    for start, queries in asked.queries.blocks(_BLOCK):
        targets = asked.targets.take(slice(start, start + len(queries)))
        ranks = target_ranks(scores_of(model, queries, size), targets).astype(np.float64)
        below = np.where(np.isfinite(ranks), 1 - (ranks - 1) / max(1, size - 1), 0.5)
        found.append(np.bincount(targets.row_of_value, below, minlength=len(targets)) / targets.lengths)
    return np.concatenate(found)
