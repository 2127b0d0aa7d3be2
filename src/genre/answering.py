"""A fitted model that speaks in external ids: history in, titles out, strategies applied, reasons on request.

Shapes: B queries, n answers for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.answers import (
    RANK,
    REASON,
    SCORE,
    SIMILARITY,
    TITLE,
    frame_of,
    nearness_to_item,
    nearness_to_text,
)
from genre.asking import asked_by, rows_of
from genre.core.errors import ConfigError
from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Queries, Recommendations
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.data.columns import ITEM_ID, TIMESTAMP
from genre.data.dataset import Dataset
from genre.data.growth import changed, extended
from genre.features.text import Language
from genre.generation.evidence import reasons_for
from genre.generation.facts import FactBook
from genre.generation.reasons import Reason, Reasons
from genre.recent import Recent
from genre.recommenders.base import Ranker, Recommender
from genre.recommenders.growth import grown
from genre.strategies.base import Rule, Strategy, StrategyConfig
from genre.strategies.exploration import EXPLORING, check_order
from genre.strategies.fallback import fill

LIKED = "liked"


@dataclass(frozen=True, eq=False)
class Answering:
    """One model over one data set, with what is done to its answers."""

    data: Dataset
    """All that is known by now; histories of known users are taken from here."""
    model: Recommender
    shaping: tuple[StrategyConfig, ...] = ()
    """What is done to answers, in this order; rules act before ranking."""
    fallback: tuple[Recommender, ...] = ()
    """Asked in this order for what the model leaves empty."""
    pool: int = 100
    """How long the list is that strategies choose from; longer lists make them slower and more effective."""
    seed: int = 0
    pseudonym: Callable[[str], str] | None = None
    """Hashes a user's id as the data's were, where they were."""
    store: Path | None = None
    """Directory of the content store, where texts that were read are kept."""
    recent: Recent = field(default_factory=Recent)
    """What has happened since: it continues the histories that the data knows."""

    def __post_init__(self) -> None:
        """Refuse an order of strategies that would make propensities wrong.

        Raises:
            ConfigError: One that explores is not the last.
        """
        try:
            check_order(self.shaping)
        except ValueError as error:
            raise ConfigError(str(error), place="strategies") from None

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """What narrows the choice before ranking."""
        return tuple(part for part in self._parts if isinstance(part, Rule))

    @cached_property
    def strategies(self) -> tuple[Strategy, ...]:
        """What reorders or thins the ranked list."""
        return tuple(part for part in self._parts if isinstance(part, Strategy))

    @property
    def explores(self) -> bool:
        """Whether something is left to chance in its answers."""
        return any(isinstance(config, EXPLORING) for config in self.shaping)

    def without_chance(self) -> Self:
        """Return an engine that answers with what this one thinks best, and does not explore."""
        return self.shaped([config for config in self.shaping if not isinstance(config, EXPLORING)])

    @cached_property
    def _reasons(self) -> Reasons:
        return Reasons(self.data, self._book)

    @cached_property
    def _books(self) -> dict[tuple[Language, str | None], FactBook]:
        return {}

    @cached_property
    def _parts(self) -> list[Rule | Strategy]:
        return [config.build(self.data) for config in self.shaping]

    def shaped(self, shaping: Sequence[StrategyConfig]) -> Self:
        """Return an engine with other rules and strategies; what this one has made of the data is not made again."""
        other = replace(self, shaping=tuple(shaping))
        made = {id(config): part for config, part in zip(self.shaping, self._parts, strict=True)}
        parts = [made[id(config)] if id(config) in made else config.build(self.data) for config in shaping]
        vars(other).update(_parts=parts, _reasons=self._reasons, _books=self._books)
        return other

    def history(self, user: str) -> pl.DataFrame:
        """Return what the log knows of somebody, oldest first: `item_id, title, liked`; nothing of somebody unknown."""
        _, query = self.asked([user], None)
        rows = query.history.item_rows
        columns = {ITEM_ID: self.data.items.vocabulary.ids.gather(rows), TITLE: self.data.items.title.gather(rows)}
        return pl.DataFrame({**columns, LIKED: query.history.weights > 0})

    def log_of(self, user: str) -> pl.DataFrame:
        """Return the events that the log has of somebody, oldest first: `item_id, timestamp, weight`."""
        _, query = self.asked([user], None)
        log = query.history
        ids = self.data.items.vocabulary.ids.gather(log.item_rows)
        return pl.DataFrame({ITEM_ID: ids, TIMESTAMP: log.timestamps, "weight": log.weights})

    def with_items(self, items: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Self:
        """Return an engine that knows new items too: models that read items recommend them at once.

        Args:
            items: A row for each, with `item_id` and any columns of the catalogue; what is not given is missing.

        Raises:
            DataError: An id is missing, stands twice or is in the catalogue already, a column is not one of the
                catalogue's, or a value is not of its column's type.
        """
        longer = extended(self.data.items, items)
        data = replace(self.data, items=longer)
        run = RunContext(store=self.store)
        model, *fallback = (grown(model, longer, self.data.num_items, run) for model in (self.model, *self.fallback))
        return replace(self, data=data, model=model, fallback=tuple(fallback))

    def with_changed(self, items: Sequence[Mapping[str, Any]]) -> Self:
        """Return an engine that knows other columns of items: titles, facts and rules are the new ones at once.

        What models have read of an item stays until they read it again.

        Args:
            items: A row for each, with `item_id` and all its columns; what is not given is missing.

        Raises:
            DataError: An id is missing, stands twice or is not in the catalogue, a column is not one of the
                catalogue's, or a value is not of its column's type.
        """
        return replace(self, data=replace(self.data, items=changed(self.data.items, items)))

    def asked(
        self, users: Sequence[str] | None, histories: Sequence[Sequence[str] | None] | None
    ) -> tuple[pl.Series, Queries]:
        """Return who asks, and their questions: see `asked_by`."""
        return asked_by(self.data, users, histories, self.pseudonym, self.recent)

    def candidates(self, queries: Queries) -> Candidates:
        """Return what the rules leave."""
        candidates = Candidates()
        for rule in self.rules:
            candidates = rule.narrow(queries, candidates)
        return candidates

    def answer(
        self,
        queries: Queries,
        n: int,
        *,
        without: Ragged | None = None,
        rng: np.random.Generator | None = None,
        model: Ranker | None = None,
    ) -> Recommendations:
        """Return the best n items for each query, in dense rows.

        Args:
            queries: Who asks.
            n: Answers for each.
            without: (B rows) Items that are not wanted this time.
            rng: Of strategies that leave something to chance. By default made of the engine's seed, the same for every
                call; a service passes one for each request (`genre.strategies.exploration.rng_for`).
            model: What ranks in the model's place: a copy of it that is elsewhere.
        """
        n = min(n, self.data.num_items)
        candidates = self.candidates(queries)
        if without is not None:
            candidates = candidates.without(without)
        answer = self._ranked(queries, n, candidates, model)
        rng = np.random.default_rng(self.seed) if rng is None else rng
        for strategy in self.strategies:
            answer = strategy(queries, answer, rng)
        return answer.first(n)

    def recommend(
        self,
        users: str | Sequence[str] | None = None,
        *,
        histories: Sequence[Sequence[str]] | None = None,
        n: int = 10,
        reasons: Language | None = None,
        rng: np.random.Generator | None = None,
    ) -> pl.DataFrame:
        """Recommend to known users, or to anybody by what they liked.

        The reason for an answer names the liked item without which the model would hold least of it, as in `write` and
        `why`: each event of the history is left out in turn, and the model asked again. Where more than 100 answers are
        asked for at once, that takes too long: the liked item is then the one that goes best with the answer by the
        log and the catalogue, which need not be what the model went by.

        Args:
            users: Ids; None asks for every known user. Somebody unknown is answered without a history.
            histories: For each user, the ids of liked items, oldest first, in place of what the log knows.
            n: Answers for each user.
            reasons: Add a column of reasons in this language; titles are in it too where the catalogue has them.
            rng: Of strategies that leave something to chance; see `answer`.

        Returns:
            One row for each answer: `user_id, rank, item_id, title, score, source`, `propensity` where a strategy left
            something to chance and, if asked, `reason`.

        Raises:
            ConfigError: `n` is negative, there are not as many histories as users, or there are no reasons in this
                language.
            DataError: A history names an item that is not in the catalogue.
        """
        require_count(n, "recommend")
        if reasons is not None and reasons not in get_args(Language):
            raise ConfigError(
                f"there are no reasons in {reasons!r}",
                place="recommend",
                remedy=f"Choose from {list(get_args(Language))}.",
            )
        names, queries = self.asked([users] if isinstance(users, str) else users, histories)
        answer = self.answer(queries, n, rng=rng)
        frame = frame_of(self.data, names, answer, reasons)
        if reasons is not None:
            sentences = [why.text for row in self.reasons(queries, answer, reasons) for why in row]
            frame = frame.with_columns(pl.Series(REASON, sentences, pl.String))
        return frame

    def reasons(self, queries: Queries, answer: Recommendations, language: Language = "en") -> list[list[Reason]]:
        """Return a reason for every filled place of what was recommended; see `recommend`."""
        return reasons_for(self.model, self._reasons, queries, answer, self.candidates(queries), language)

    def _ranked(self, queries: Queries, n: int, candidates: Candidates, model: Ranker | None = None) -> Recommendations:
        """Return the list that strategies choose from, filled up."""
        size = max(n, self.pool) if self.strategies else n
        answer = (model or self.model).recommend(queries, size, candidates=candidates)
        return fill(queries, answer, self.fallback, candidates)

    def _book(self, language: Language, without: str | None = None) -> FactBook:
        """Return the catalogue's facts in a language, which are read once."""
        if (language, without) not in self._books:
            self._books[language, without] = FactBook(self.data.items, language, without=without)
        return self._books[language, without]

    def similar(self, item_id: str, n: int = 10) -> pl.DataFrame:
        """Return the n allowed items that go best with one item: `rank, item_id, title, similarity`.

        Raises:
            ConfigError: `n` is negative.
            DataError: The item is not in the catalogue.
            ModelError: The model knows no similarity of items.
        """
        require_count(n, "similar")
        return self._nearest(nearness_to_item(self.model, int(self._item_rows([item_id])[0])), n)

    def similar_to_text(self, text: str, n: int = 10) -> pl.DataFrame:
        """Return the n allowed items whose texts are nearest to a text: `rank, item_id, title, similarity`.

        Raises:
            ConfigError: `n` is negative, or the text says nothing.
            ModelError: The model does not read texts.
        """
        require_count(n, "similar")
        return self._nearest(nearness_to_text(self.model, text), n)

    def _nearest(self, scores: NDArray[np.float32], n: int) -> pl.DataFrame:
        """Return the n allowed items with the highest scores (1, I)."""
        self.candidates(Queries.of(Interactions.empty(1))).hide(scores)
        one = Recommendations.empty(1, min(n, self.data.num_items))
        one.item_rows[:], one.scores[:] = top_n(scores, one.n)
        frame = frame_of(self.data, pl.Series([""]), one)
        return frame.select(RANK, ITEM_ID, TITLE, pl.col(SCORE).alias(SIMILARITY))

    def _ask_one(self, user: str | None, history: Sequence[str] | None, place: str) -> tuple[pl.Series, Queries]:
        if user is None and history is None:
            raise ConfigError("it is not clear for whom", place=place, remedy="Give a user's id or a history.")
        return self.asked(None if user is None else [user], None if history is None else [history])

    def _item_rows(self, ids: Iterable[str]) -> NDArray[np.int32]:
        return rows_of(self.data, ids)


def require_count(n: int, place: str) -> None:
    """Refuse a negative number of answers.

    Raises:
        ConfigError: It is negative.
    """
    if n < 0:
        raise ConfigError(f"n is {n!r}", place=place, remedy="Ask for 0 or more.")
