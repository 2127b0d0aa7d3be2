"""Gradient-boosted trees that rank the candidates of other recommenders.

Christopher Burges: From RankNet to LambdaRank to LambdaMART. Microsoft Research, MSR-TR-2010-82.

Shapes: B queries, I items, M members, C candidates of a query, N candidates in all, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from genre.core.parts import text_as_array
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations
from genre.core.ragged import Ragged, offsets_of
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.data.dataset import Dataset
from genre.features.content import ContentConfig, ContentFeatures
from genre.features.tabular import TabularFeatures
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, State
from genre.recommenders.members import Pool, named_members, questions_to_learn_from, with_sources

DAY = 86_400.0
_BLOCK_BYTES = 1 << 25
"""Bytes of one member's scores that are held at once (32 MiB)."""
_STORED = ("items", "like_offsets", "like_times", "content", "ends")
"""Parts of `Facts` that are arrays as they are."""


class BoostedConfig(RecommenderConfig):
    """Settings of `boosted`."""

    kind: Literal["boosted"] = "boosted"
    members: tuple[str, ...] = Field(min_length=1)
    """The models whose candidates are ranked, by name."""
    num_candidates: int = Field(default=100, ge=1)
    """Best items of each member that are candidates."""
    content: ContentConfig = ContentConfig()
    """How item columns are compared with those of the history."""
    max_queries: int = Field(default=20_000, ge=2)
    """Validation questions to learn from."""
    early_stopping_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of these questions that only say when to stop."""
    patience: int = Field(default=50, ge=1)
    """Trees without a better NDCG@10 after which learning stops."""
    num_trees: int = Field(default=500, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    num_leaves: int = Field(default=7, ge=2)
    min_candidates_in_leaf: int = Field(default=500, ge=1)
    """Candidates that a leaf needs; fewer would learn single queries by heart."""
    hide_seen: bool = True
    """Whether items of the history are no answers, in learning and in answering, as the evaluation's `hide_seen`."""

    def build(self, members: Mapping[str, Recommender]) -> Boosted:
        """Return the unfitted component."""
        return Boosted(self, named_members(self.members, members, "boosted"))

    def estimate(self, size: DataSize) -> Estimate:
        """Every member's scores for the validation questions, and the table of the candidates."""
        queries, num_members = min(size.num_users, self.max_queries), len(self.members)
        table = queries * num_members * min(self.num_candidates, size.num_items)
        seconds = 2e-8 * queries * num_members * size.num_items + 4e-8 * table * self.num_trees
        return Estimate(memory=(num_members + 6) * _BLOCK_BYTES + 2 * table * (2 * num_members + 30), seconds=seconds)


class Boosted:
    """Rank what the members propose by all that is known of the item, the user and the history.

    Candidates are the union of each member's best items. Trees score them by each member's standardised score and rank;
    the item's likes before the question, the days since the first and the last of these, its number columns and how
    common its labels are; the same columns of the user; the length of the history and the days since its end; and how
    well each column of the item matches that column of the history's items (cosine). They are fitted to NDCG on
    validation events by LambdaMART (LightGBM): members were fitted without these, so that their scores there are as
    they will be for new events.

    Trees start from the mean of the members' standardised scores and correct it; where no target is among the
    candidates there is nothing to learn, and this mean is all. A member's score, its rank and the item's likes never
    count against an item: otherwise trees learn that an item which lost events to validation is rare in training.
    Scores compare within a query only.
    """

    facts: Facts
    booster: Any
    """`lightgbm.Booster`, or None where nothing could be learned."""

    def __init__(self, config: BoostedConfig, members: Mapping[str, Recommender]) -> None:
        """Keep the settings and the fitted members."""
        self.config = config
        self.members = list(members.values())

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn to rank the validation questions' candidates.

        Raises:
            ModelError: There are no validation events.
        """
        config = self.config
        holdout, candidates = questions_to_learn_from(
            run, "boosted", most=config.max_queries, hide_seen=config.hide_seen
        )
        self.facts = Facts.of(data, config.content)
        parts = []
        for start, queries in run.progress.track(self._blocks(holdout.queries), "boosted: ask the members"):
            rows = np.arange(start, start + len(queries))
            pool = self._ask(queries, candidates.take(rows))
            columns = pool.columns_of(holdout.targets.take(rows))
            kept = np.flatnonzero(columns.lengths)
            parts.append(Examples.of(self.facts, queries.take(kept), pool.take(kept), columns.take(kept)))
        self.booster = _boost(Examples.joined(parts), config, run.rng("boosted"))
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) scores of the candidates, minus infinity for all other items."""
        scores = np.full((len(queries), self.facts.num_items), -np.inf, np.float32)
        for start, part in self._blocks(queries):
            pool, said = self._scored(part, None)
            rows, columns = np.nonzero(pool.filled)
            scores[start + rows, pool.items[rows, columns]] = said[rows, columns]
        return scores

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n best candidates; each one's source is that of the first named member that scores it."""
        answer = Recommendations.empty(len(queries), n)
        for start, part in self._blocks(queries):
            rows = np.arange(start, start + len(part))
            pool, said = self._scored(part, None if candidates is None else candidates.take(rows))
            columns, answer.scores[rows] = top_n(said, n)
            items = np.take_along_axis(pool.items, np.maximum(columns, 0), axis=1)
            answer.item_rows[rows] = np.where(columns == NO_ITEM, NO_ITEM, items)
        return with_sources(answer, queries, self.members)

    def state(self) -> State:
        """Return LightGBM's model as the bytes of its text, and what the features are made of."""
        text = "" if self.booster is None else self.booster.model_to_string()
        return {"trees": text_as_array(text), **self.facts.state()}

    def restore(self, state: State) -> None:
        """Take the trees back; the members are those that it was built with."""
        import lightgbm

        text = bytes(state["trees"]).decode()
        self.booster = lightgbm.Booster(model_str=text) if text else None
        self.facts = Facts.restore(state)

    def _scored(self, queries: Queries, candidates: Candidates | None) -> tuple[Pool, NDArray[np.float32]]:
        """Return the candidates of one block, and their scores (B, C), minus infinity in empty places."""
        if self.config.hide_seen:
            candidates = (candidates or Candidates()).without(queries.history.items)
        pool = self._ask(queries, candidates)
        scores = np.full(pool.items.shape, -np.inf, np.float32)
        scores[pool.filled] = pool.says.mean(axis=0)[pool.filled]
        if self.booster is not None and pool.filled.any():
            scores[pool.filled] += self.booster.predict(self.facts.table(queries, pool), num_threads=2)
        return pool, scores

    def _ask(self, queries: Queries, candidates: Candidates | None) -> Pool:
        return Pool.ask(self.members, queries, candidates, self.config.num_candidates, self.facts.num_items)

    def _blocks(self, queries: Queries) -> Iterator[tuple[int, Queries]]:
        return queries.blocks(max(1, _BLOCK_BYTES // (4 * max(1, self.facts.num_items))))


@dataclass(frozen=True, eq=False)
class Facts:
    """What the trees are told beside the members' scores."""

    items: NDArray[np.float32]
    """(I, .) columns of the items."""
    like_offsets: NDArray[np.int64]
    """(I + 1,); item i was liked at `like_times[like_offsets[i]:like_offsets[i + 1]]`, in order of time."""
    like_times: NDArray[np.int64]
    content: sparse.csr_matrix
    """(I, .) the features of all item columns, one column after the other."""
    ends: NDArray[np.int64]
    """Where each column's features end."""
    users: TabularFeatures

    @classmethod
    def of(cls, data: Dataset, config: ContentConfig) -> Self:
        """Read them off the training data."""
        log = data.interactions.liked()
        counts = np.bincount(log.item_rows, minlength=data.num_items)
        content = ContentFeatures.fit(data.items, config, rows=np.flatnonzero(counts))
        return cls(
            TabularFeatures.fit(data.items).transform(data.items),
            offsets_of(counts),
            log.timestamps[np.lexsort((log.timestamps, log.item_rows))],
            content.transform(data.items),
            np.array([span.stop for span in content.spans.values()], np.int64),
            TabularFeatures.fit(data.users),
        )

    @property
    def num_items(self) -> int:
        """Return I."""
        return len(self.items)

    def table(self, queries: Queries, pool: Pool) -> NDArray[np.float32]:
        """Return the features (N, F) of all candidates, query after query."""
        rows, columns = np.nonzero(pool.filled)
        items = pool.items[rows, columns]
        says = np.where(pool.filled, pool.says, -np.inf)
        ranks = np.argsort(np.argsort(-says, axis=2, kind="stable"), axis=2)
        history = queries.history.liked()
        table = queries.users
        users = self.users.missing(len(queries)) if table is None else self.users.transform(table)
        return np.column_stack(
            [
                *says[:, rows, columns],
                *ranks[:, rows, columns],
                *self._likes_before(items, queries.times[rows]),
                self.items[items],
                users[rows],
                history.lengths[rows],
                ((queries.times - queries.history.end_times) / DAY)[rows],
                *(match[rows, items] for match in self._matches(history.to_csr(self.num_items))),
            ]
        ).astype(np.float32)

    def state(self) -> State:
        """Return everything as arrays."""
        return {
            **{name: getattr(self, name) for name in _STORED},
            **self.users.state(),
        }

    @classmethod
    def restore(cls, state: State) -> Self:
        """Build from what `state` returned."""
        return cls(**{name: state[name] for name in _STORED}, users=TabularFeatures.restore(state))

    def _likes_before(
        self, items: NDArray[np.int32], asked: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return each item's (N,) likes before the question, and the days since the first and the last of them.

        Without times in the question, all likes came before it.
        """
        starts, ends = self.like_offsets[items], self.like_offsets[items + 1]
        low, high = starts.copy(), np.where(asked > 0, ends, starts)
        while (low < high).any():  # All binary searches at once.
            middle = (low + high) // 2
            earlier = (low < high) & (self.like_times[np.minimum(middle, len(self.like_times) - 1)] < asked)
            low, high = np.where(earlier, middle + 1, low), np.where(earlier, high, middle)
        last = np.where(asked > 0, low, ends)
        times = np.append(self.like_times, 0)
        liked = last > starts
        since = [np.where(liked, (asked - times[at]) / DAY, np.nan) for at in (starts, last - 1)]
        return last - starts, since[0], since[1]

    def _matches(self, likes: sparse.csr_matrix) -> Iterator[NDArray[np.float32]]:
        """Yield for each item column the cosine (B, I) of the summed history and the item."""
        for start, end in pairwise([0, *self.ends]):
            column = self.content[:, start:end]
            profile = (likes @ column).toarray()
            profile /= np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-12)
            yield np.asarray((column @ profile.T).T, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates of the queries that have a target among them."""

    table: NDArray[np.float32]
    """(N, F)"""
    start: NDArray[np.float32]
    """(N,) mean of the members' scores."""
    is_target: NDArray[np.bool_]
    """(N,)"""
    sizes: NDArray[np.int64]
    """(B,) candidates of each query."""

    @classmethod
    def of(cls, facts: Facts, queries: Queries, pool: Pool, columns: Ragged) -> Self:
        """Build the features of one block, of which `columns` (B rows) are targets."""
        is_target = np.zeros(pool.items.shape, bool)
        is_target[columns.row_of_value, columns.values] = True
        start = pool.says.mean(axis=0)[pool.filled]
        return cls(facts.table(queries, pool), start, is_target[pool.filled], pool.filled.sum(axis=1))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the queries of all parts."""
        return cls(
            np.concatenate([part.table for part in parts]),
            np.concatenate([part.start for part in parts]),
            np.concatenate([part.is_target for part in parts]),
            np.concatenate([part.sizes for part in parts]),
        )

    def where(self, keep: NDArray[np.bool_]) -> Examples:
        """Return the queries for which `keep` (B,) is true."""
        rows = np.repeat(keep, self.sizes)
        return Examples(self.table[rows], self.start[rows], self.is_target[rows], self.sizes[keep])


def _boost(examples: Examples, config: BoostedConfig, rng: np.random.Generator) -> Any:
    """Fit the trees; with too few queries to spare some, all trees are kept. None where there are no queries."""
    import lightgbm

    num_queries = len(examples.sizes)
    if num_queries == 0:
        return None
    num_members = len(config.members)
    num_others = examples.table.shape[1] - 2 * num_members - 1
    spared = np.zeros(num_queries, bool)
    spared[rng.permutation(num_queries)[: int(config.early_stopping_share * num_queries)]] = True
    learned, judged = examples.where(~spared), examples.where(spared)
    settings = {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_candidates_in_leaf,
        "monotone_constraints": [1] * num_members + [-1] * num_members + [1] + [0] * num_others,
        "seed": int(rng.integers(2**31)),
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbosity": -1,
    }
    train = lightgbm.Dataset(
        learned.table, learned.is_target, group=learned.sizes, init_score=learned.start, params=settings
    )
    if not spared.any():
        return lightgbm.train(settings, train, config.num_trees)
    stop = lightgbm.early_stopping(config.patience, verbose=False)
    valid = train.create_valid(judged.table, judged.is_target, group=judged.sizes, init_score=judged.start)
    booster = lightgbm.train(settings, train, config.num_trees, valid_sets=[valid], callbacks=[stop])
    return lightgbm.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
