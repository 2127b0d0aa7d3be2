"""Who is in both scenarios, whether the same id means the same person, and whether their likes there help here.

Shapes: U users of this scenario, Q validation questions.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre.adaptation.shares import accuracy
from genre.core.queries import Holdout
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.metrics.statistics import paired_difference
from genre.recommenders.elsewhere import Elsewhere
from genre.recommenders.moving import Movable


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
    """Return NDCG@10 of the questions about these people: by their own likes, by those of others, and by none."""
    if asked is None:
        return None
    rows = asked.queries.user_rows
    theirs = asked.take(np.flatnonzero((rows >= 0) & elsewhere.people[rows]))
    if not len(theirs):
        return None
    rng = run.rng("adapted.people")

    def values(what: Elsewhere | None) -> NDArray[np.float64]:
        return accuracy(model.with_elsewhere(what), theirs)

    own, others, none = values(elsewhere), values(elsewhere.dealt(rng)), values(None)
    over = paired_difference(own, others, rng=rng)
    means = {"own": float(own.mean()), "others": float(others.mean()), "none": float(none.mean())}
    return {"questions": len(theirs), **means, "over_others": asdict(over)}
