"""What composite recommenders share: asking the fitted models that they are made of, and the questions to learn from.

Shapes: B queries, I items, M members, n places, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ConfigError, ModelError
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries, Recommendations, Source
from genre.core.ragged import Ragged, offsets_of
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.metrics.ranking import ndcg
from genre.metrics.ranks import list_ranks, target_ranks
from genre.recommenders.base import Recommender, Scorer, ScoringRecommender
from genre.recommenders.growth import Unaware

_VALIDATED = 10
"""Places of the list that an epoch is judged by."""
_VALIDATED_AT_ONCE = 256
"""Questions whose scores are held at once: 1 GiB with a million items."""


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

    Models have learned the training events by heart, so what is learned of models is learned on others.

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
            f"it is put together on validation events, and there are {0 if holdout is None else len(holdout)!r}",
            place=place,
            remedy="Choose a split that keeps validation events, or leave this model out.",
        )
    if most is not None and most < len(holdout):
        holdout = holdout.take(np.sort(run.rng(f"{place}.questions").choice(len(holdout), most, replace=False)))
    return holdout, Candidates(excluded=holdout.queries.history.items if hide_seen else None)


def validator(
    model: Scorer | Recommender,
    run: RunContext,
    *,
    hide_seen: bool = True,
    before: Callable[[], object] | None = None,
    most: int | None = None,
) -> Callable[[], float] | None:
    """Return what tells a model's NDCG@10 on the validation questions by now, or None where there are none.

    Args:
        model: Asked anew at every call; for ten items where it does not score all.
        run: Holds the validation questions, and who else is told.
        hide_seen: Whether items of the history are no answers.
        before: Called at the beginning of every look, to work out once what all questions need.
        most: More questions than these cost too much; which ones are taken depends on the run's seed.
    """
    holdout = run.validation
    if holdout is None or not len(holdout):
        return None
    if most is not None and most < len(holdout):
        holdout = holdout.take(np.sort(run.rng("validator").choice(len(holdout), most, replace=False)))
    candidates = Candidates(excluded=holdout.queries.history.items if hide_seen else None)

    def value() -> float:
        if before is not None:
            before()
        total, start = 0.0, 0
        while start < len(holdout):
            rows = slice(start, start + _VALIDATED_AT_ONCE)
            part = holdout.take(rows)
            total += float(ndcg(_ranks(model, part, candidates.take(rows)), part.targets.offsets, _VALIDATED).sum())
            start += _VALIDATED_AT_ONCE
        mean = total / len(holdout)
        if run.watch is not None:
            run.watch(mean)
        return mean

    return value


def accuracy_of(model: Recommender, asked: Holdout, candidates: Candidates) -> NDArray[np.float64]:
    """Return NDCG@10 (B,) of each question, by the list that a model answers with."""
    answer = model.recommend(asked.queries, _VALIDATED, candidates=candidates).item_rows
    return np.asarray(ndcg(list_ranks(answer, asked.targets), asked.targets.offsets, _VALIDATED), np.float64)


def _ranks(model: Scorer | Recommender, asked: Holdout, candidates: Candidates) -> NDArray[np.float32]:
    """Return the rank (E,) of every target; infinity for those that are not among the first ten of a model's list."""
    if not isinstance(model, Scorer):
        return list_ranks(model.recommend(asked.queries, _VALIDATED, candidates=candidates).item_rows, asked.targets)
    scores = model.score(asked.queries)
    candidates.hide(scores)
    return target_ranks(scores, asked.targets)


def scores_of(model: Recommender, queries: Queries, num_items: int) -> NDArray[np.float32]:
    """Return scores (B, num_items) that the caller may change, of a model that only recommends too.

    Such a model says of how many items it can tell (`num_ranked`); minus infinity stands for the others.
    """
    if isinstance(model, Scorer):
        return model.score(queries)
    most = model.config.num_ranked
    answer = model.recommend(queries, num_items if most is None else min(most, num_items))
    scores = np.full((len(queries), num_items), -np.inf, np.float32)
    rows, places = np.nonzero(answer.filled)
    scores[rows, answer.item_rows[rows, places]] = answer.scores[rows, places]
    return scores


def put_in_order(found: Recommendations, query: int, places: NDArray[np.integer], scores: NDArray[np.float32]) -> None:
    """Put some places of an answer first, by what was said of them; the others keep their order behind, in place.

    Args:
        found: Answers, changed in place.
        query: Which one.
        places: (C,) places that were judged, at least one, all with an item.
        scores: (C,) what was said of them; those behind go on falling from the lowest.
    """
    best = np.argsort(-scores, kind="stable")
    others = np.setdiff1d(np.arange(found.n), places)
    order = np.concatenate([places[best], others])
    for values in (found.item_rows, found.sources):
        values[query] = values[query, order]
    found.scores[query, : len(best)] = scores[best]
    behind = len(best) + np.flatnonzero(found.item_rows[query, len(best) :] != NO_ITEM)
    found.scores[query, behind] = scores[best[-1]] - 1 - np.arange(len(behind))


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


def only_source(model: Recommender) -> Source | None:
    """Return where all answers of a model come from; None where it must be asked."""
    if isinstance(model, Unaware):
        return only_source(model.model)
    if isinstance(model, ScoringRecommender) and type(model).recommend is ScoringRecommender.recommend:
        return model.source
    return None


def with_sources(answer: Recommendations, queries: Queries, models: Iterable[Recommender]) -> Recommendations:
    """Return the answer with each item's source as given by the first of the models that can score the item."""
    sources = np.full(answer.item_rows.shape, Source.NONE, np.int8)
    for model in models:
        unknown = answer.filled & (sources == Source.NONE)
        rows = np.flatnonzero(unknown.any(axis=1))
        if not len(rows):
            break
        left = np.where(unknown[rows], answer.item_rows[rows], NO_ITEM)
        sources[rows] = np.maximum(sources[rows], sources_of(model, queries.take(rows), left))
    return replace(answer, sources=sources)


def standardised(scores: NDArray[np.float32], known: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Bring the finite scores of each row (B, I) to mean 0 and standard deviation 1, and lift the others to the lowest.

    Changes the scores in place and returns them. A row of equal scores, or without any, becomes 0.

    Args:
        scores: Minus infinity for items that are not scored.
        known: (B, I) which scores are finite, if that was looked at already.
    """
    known = scores > -np.inf if known is None else known
    unknown = ~known
    count = np.maximum(np.count_nonzero(known, axis=1, keepdims=True), 1)
    np.copyto(scores, 0, where=unknown)
    mean = scores.sum(axis=1, keepdims=True, dtype=np.float64) / count
    # Two steps through all are faster than one through some.
    scores -= mean.astype(np.float32)
    np.copyto(scores, 0, where=unknown)
    spread = np.sqrt(np.einsum("bi,bi->b", scores, scores)[:, None] / count)
    scores /= np.where(spread > 0, spread, 1).astype(np.float32)
    np.copyto(scores, scores.min(axis=1, keepdims=True, initial=0), where=unknown)
    return scores


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates: what is among the best of at least one member; and what each member says of them."""

    items: NDArray[np.int32]
    """(B, C) rising, each item once, with `NO_ITEM` in the places that are left."""
    says: NDArray[np.float32]
    """(M, B, C) standardised scores, of no meaning where there is no item."""

    @classmethod
    def ask(
        cls, members: Sequence[Recommender], queries: Queries, candidates: Candidates | None, n: int, num_items: int
    ) -> Self:
        """Gather each member's best n of what may be returned. Scores are standardised over all items.

        Holds `M` blocks of scores (B, I) at once.
        """
        best, said = [], []
        for member in members:
            scores = scores_of(member, queries, num_items)
            shown = scores if candidates is None else scores.copy()
            if candidates is not None:
                candidates.hide(shown)
            best.append(top_n(shown, min(n, num_items))[0])
            said.append(standardised(scores))
        items = np.sort(np.concatenate(best, axis=1), axis=1)
        items[:, 1:][items[:, 1:] == items[:, :-1]] = NO_ITEM
        return cls(items, np.stack([np.take_along_axis(block, np.maximum(items, 0), axis=1) for block in said]))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the queries of all parts."""
        return cls(
            np.concatenate([part.items for part in parts]), np.concatenate([part.says for part in parts], axis=1)
        )

    def take(self, rows: NDArray[np.integer]) -> Pool:
        """Return the candidates of some queries."""
        return Pool(self.items[rows], self.says[:, rows])

    @property
    def filled(self) -> NDArray[np.bool_]:
        """(B, C) true where there is a candidate."""
        return np.not_equal(self.items, NO_ITEM)

    def columns_of(self, targets: Ragged) -> Ragged:
        """Return in which columns the targets (B rows) stand; those that are no candidates are left out."""
        found, column = np.nonzero(self.items[targets.row_of_value] == targets.values[:, None])
        lengths = np.bincount(targets.row_of_value[found], minlength=len(targets))
        return Ragged(offsets_of(lengths), column.astype(np.int32))


@dataclass(frozen=True, eq=False)
class Judged:
    """The queries that have a target among their candidates: in the others, nothing can be won."""

    pool: Pool
    columns: Ragged
    """B rows; the columns of the targets, at least one a row."""
    num_targets: NDArray[np.int64]
    """(B,) targets, those that are no candidates included."""

    @classmethod
    def of(cls, pool: Pool, targets: Ragged) -> Self:
        """Look for the targets among the candidates."""
        columns = pool.columns_of(targets)
        kept = np.flatnonzero(columns.lengths)
        return cls(pool.take(kept), columns.take(kept), targets.lengths[kept])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the queries of all parts."""
        columns = [part.columns for part in parts]
        lengths = np.concatenate([part.lengths for part in columns])
        return cls(
            Pool.joined([part.pool for part in parts]),
            Ragged(offsets_of(lengths), np.concatenate([part.values for part in columns])),
            np.concatenate([part.num_targets for part in parts]),
        )

    def quality(self, weights: NDArray[np.float64]) -> float:
        """Return the sum of NDCG@10 over the queries."""
        scores = np.tensordot(weights.astype(np.float32), self.pool.says, 1)
        scores[~self.pool.filled] = -np.inf
        # Targets that are no candidates rank nowhere; they stand behind the others of their query.
        first = offsets_of(self.num_targets)
        ranks = np.full(first[-1], np.inf, np.float32)
        within = np.arange(len(self.columns.values)) - np.repeat(self.columns.offsets[:-1], self.columns.lengths)
        ranks[first[self.columns.row_of_value] + within] = target_ranks(scores, self.columns)
        return float(ndcg(ranks, first, 10).sum())
