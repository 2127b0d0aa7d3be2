"""How an item came to be recommended: where from, with which scores, by which rules, and because of what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from genre.core.queries import Candidates, Queries, Recommendations, Source
from genre.data.dataset import Dataset
from genre.features.text import Language
from genre.generation.attribution import attribute, score_and_rank
from genre.generation.evidence import strongest
from genre.generation.reasons import Reasons
from genre.recommenders.base import Recommender
from genre.strategies.base import Rule, Strategy


@dataclass(frozen=True)
class EventEvidence:
    """An event of the history that raised the item."""

    item_id: str
    title: str
    drop: float
    """By how much the model's score falls without it."""
    rank_without: int | None
    """The item's place in the model's list without it; None where it would not be there."""


@dataclass(frozen=True)
class Stage:
    """What one stage made of the item."""

    name: str
    """The answering model, its members by their names, then the strategies by their kinds."""
    rank: int | None
    """The item's place in this stage's list; None where it is not there."""
    score: float | None = None


@dataclass(frozen=True)
class Trace:
    """The decision about one item for one person."""

    user_id: str
    item_id: str
    title: str
    source: str
    """Where the answer comes from: `personal`, `content`, `segment` or `popular`; `none` where it is no answer."""
    rank: int | None
    """In the final list; None where it is not in it."""
    stages: tuple[Stage, ...]
    forbidden_by: tuple[str, ...]
    """Rules that forbid the item, by their kinds: it is then no answer whatever its score."""
    events: tuple[EventEvidence, ...]
    """What raised it, the strongest first."""
    facts: tuple[str, ...]
    """Labels that it shares with the event that the reason names."""
    words: tuple[str, ...]
    """Rare words that it shares with it."""
    reason: str
    """A sentence that says no more than this evidence."""


def decided(
    user_id: str,
    query: Queries,
    item: int,
    *,
    model: Recommender,
    parts: Sequence[tuple[str, Rule | Strategy]],
    ranked: Callable[[Candidates], Recommendations],
    n: int,
    rng: np.random.Generator,
    data: Dataset,
    reasons: Reasons,
    language: Language,
) -> Trace:
    """Put together how one item was decided for one query.

    Args:
        user_id: Who asks.
        query: The one query.
        item: Row of the item.
        model: What answers.
        parts: Rules and strategies with their kinds, in the order in which they act.
        ranked: Returns the list that strategies choose from, of what the rules have left.
        n: Places that are shown.
        rng: Of the strategies.
        data: The catalogue.
        reasons: Puts evidence into words.
        language: Of titles and of the reason.
    """
    candidates, forbidden = Candidates(), list[str]()
    for kind, part in parts:
        if isinstance(part, Rule):
            before = candidates
            candidates = part.narrow(query, candidates)
            if _allows(before, item, data.num_items) and not _allows(candidates, item, data.num_items):
                forbidden.append(kind)
    answer = ranked(candidates)
    moves = [("with fallback", answer)]
    for kind, part in parts:
        if isinstance(part, Strategy):
            answer = part(query, answer, rng)
            moves.append((kind, answer))
    shown = answer.first(n)
    moves.append(("shown", shown))
    name, found = model.config.kind, attribute(model, query, item, candidates)
    titles, ids = data.items.title_in(language), data.items.vocabulary.ids
    stages = [Stage(name, _place(found.rank), _finite(found.score))]
    for member, other in members_of(model).items():
        scores, ranks = score_and_rank(other, query, item, candidates)
        stages.append(Stage(f"{name}.{member}", _place(ranks[0]), _finite(scores[0])))
    stages += [Stage(move, _rank_in(answer, item)) for move, answer in moves]
    place = _rank_in(shown, item)
    source = Source.NONE if place is None else Source(shown.sources[0, place - 1])
    cited = [int(query.history.item_rows[found.places[at]]) for at in found.best_first]
    events = tuple(
        EventEvidence(ids[row], titles[row], float(found.drops[at]), _place(found.ranks[at]))
        for row, at in zip(cited, found.best_first.tolist(), strict=True)
    )
    named = replace(query, history=query.history.where(strongest(query, item, found)))
    why = reasons.proven(named, _one(item, source), language) if source != Source.NONE else []
    return Trace(
        user_id,
        ids[item],
        titles[item],
        source.name.lower(),
        place,
        tuple(stages),
        tuple(forbidden),
        events,
        why[0].facts if why else (),
        why[0].words if why else (),
        why[0].text if why else "",
    )


def members_of(model: Recommender) -> dict[str, Recommender]:
    """Return the models that a composite one is made of, by their names."""
    members = getattr(model, "members", None) or {}
    return dict(members) if isinstance(members, Mapping) else dict(zip(model.config.member_names, members, strict=True))


def _one(item: int, source: Source) -> Recommendations:
    answer = Recommendations.empty(1, 1)
    answer.item_rows[:], answer.scores[:], answer.sources[:] = item, 0.0, source
    return answer


def _allows(candidates: Candidates, item: int, num_items: int) -> bool:
    scores = np.zeros((1, num_items), np.float32)
    candidates.hide(scores)
    return bool(scores[0, item] == 0)


def _rank_in(answer: Recommendations, item: int) -> int | None:
    places = np.flatnonzero(answer.item_rows[0] == item)
    return int(places[0]) + 1 if len(places) else None


def _place(rank: float) -> int | None:
    return int(rank) if np.isfinite(rank) else None


def _finite(score: float) -> float | None:
    return float(score) if np.isfinite(score) else None
