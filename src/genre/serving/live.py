"""One version of a scenario's model as it answers now: what it learned does not change, what it knows does.

A version begins with the data that it was made with. What has happened since comes from the stores, in the order of its
numbers, so that two processes that have read as far give the same answers.

Shapes: B questions, n answers for each, I items.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

import numpy as np

from genre.adaptation.adapted import Adapted
from genre.asking import rows_of
from genre.core.errors import GenreError
from genre.core.interactions import Interactions
from genre.core.queries import Queries, Recommendations, Source
from genre.core.ragged import Ragged
from genre.data.columns import ITEM_ID
from genre.engine import Engine
from genre.features.text import Language
from genre.recent import Happened
from genre.recommenders.base import Recommender
from genre.serving.drift import DriftWatch
from genre.serving.stores.items import Item
from genre.strategies.base import StrategyConfig
from genre.strategies.rules import ColumnRuleConfig

_SOURCES: Final = {int(source): source.name.lower() for source in Source}
_POPULAR: Final = 2_000
"""Items that are held ready for those whom the model does not answer: more than anybody has seen of the first ones."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for recommendations."""

    user_id: str | None
    history: tuple[str, ...] | None
    """Ids of liked items, oldest first, in place of what is known of the user."""
    n: int
    exclude: tuple[str, ...] = ()
    """Ids that are not wanted this time."""
    shaping: tuple[StrategyConfig, ...] | None = None
    """Rules and strategies in place of the scenario's own."""


@dataclass(frozen=True, slots=True)
class Recommended:
    """One answer to somebody."""

    item_id: str
    title: str
    score: float
    source: str
    propensity: float | None = None


@dataclass(eq=False)
class LiveVersion:
    """A model that answers, with all that has happened since it learned. Any thread may ask and change it."""

    name: str
    engine: Engine
    seq: int
    """Number of the last event that is in its data."""
    revision: int = 0
    """Number of the last change of the catalogue that is in its data."""
    watch: DriftWatch = field(init=False)
    """Tells whether what comes in and goes out still looks as it did."""
    problem: str = ""
    """What went wrong when the catalogue was changed last; the version answers with what it had."""
    _applied: int = field(init=False)
    _ahead: set[int] = field(init=False, default_factory=set)
    _withdrawn: frozenset[str] = field(init=False, default=frozenset())
    _shaping: tuple[StrategyConfig, ...] = field(init=False)
    _shaped: dict[tuple[StrategyConfig, ...], Engine] = field(init=False, default_factory=dict)
    _popular: list[Recommended] = field(init=False)
    _changing: threading.RLock = field(init=False, default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Get ready what is asked often."""
        self._applied, self._shaping = self.seq, self.engine.shaping
        self._popular = _popular_of(self.engine)
        self.watch = DriftWatch(self.engine.data)

    @property
    def applied(self) -> int:
        """Number of the last event up to which all are known."""
        return self._applied

    def is_withdrawn(self, item_id: str) -> bool:
        """Return whether an item may not be shown any more."""
        return item_id in self._withdrawn

    def warm(self) -> None:
        """Answer once, so that the first one who asks does not wait for what is made on demand."""
        for size in (1, 8):
            self.recommend([Ask(None, (), 10)] * size)

    def happened(self, events: Iterable[tuple[str, Happened]]) -> None:
        """Take events in at once, whether all before them are known or not."""
        with self._changing:
            for user_id, event in events:
                if event.number > self._applied and event.number not in self._ahead:
                    self._ahead.add(event.number)
                    self.engine.recent.add(user_id, event)

    def caught_up(self, seq: int) -> None:
        """Note that all events up to this number are known."""
        with self._changing:
            self._applied = max(self._applied, seq)
            self._ahead = {number for number in self._ahead if number > self._applied}

    def change(self, items: Sequence[Item]) -> None:
        """Take changes of the catalogue in: in their order, each only once."""
        with self._changing:
            todo = {item.item_id: item for item in items if item.revision > self.revision}
            if not todo:
                return
            try:
                self._change(todo)
                self.problem = ""
            except GenreError as error:
                self.problem = str(error)
            self.revision = max(item.revision for item in todo.values())

    def forget(self, user_id: str) -> None:
        """Keep nothing of somebody in memory."""
        with self._changing:
            self.engine.recent.forget(user_id)
            engine = self.engine
            if (row := int(engine.data.users.vocabulary.rows([user_id])[0])) >= 0:
                data = engine.data.without_user(row)
                model, *fallback = (_without_user(one, row) for one in (engine.model, *engine.fallback))
                self._use(replace(engine, data=data, model=model, fallback=tuple(fallback)))

    def recommend(self, asks: Sequence[Ask]) -> list[list[Recommended] | Exception]:
        """Return what is recommended for each question; those that are alike in all but the person go together."""
        answers: list[list[Recommended] | Exception] = [[] for _ in asks]

        def alike(at: int) -> Any:
            return hash(asks[at].shaping)

        for _, group in groupby(sorted(range(len(asks)), key=alike), key=alike):
            places = list(group)
            for at, answer in zip(places, self._answered([asks[at] for at in places]), strict=True):
                answers[at] = answer
        return answers

    def popular(self, ask: Ask) -> list[Recommended]:
        """Return what is popular and not known to the person, without asking a model."""
        return self.still_good(self._popular, ask)[: ask.n]

    def reasons(self, ask: Ask, item_ids: Sequence[str], language: Language) -> list[str]:
        """Return a reason for each of these items, as the model has it for this person."""
        engine = self.engine
        _, queries = engine.asked([ask.user_id or ""], [ask.history])
        rows = rows_of(engine.data, item_ids)
        answer = Recommendations.empty(1, len(rows))
        answer.item_rows[:], answer.scores[:], answer.sources[:] = rows, 0.0, Source.PERSONAL
        return [reason.text for reason in engine.reasons(queries, answer, language)[0]]

    def still_good(self, items: Sequence[Recommended], ask: Ask) -> list[Recommended]:
        """Return those of some items that the person does not know, and that may be shown."""
        _, query = self.engine.asked([ask.user_id or ""], [ask.history])
        seen = self.engine.data.items.vocabulary.names(query.history.item_rows)
        hidden = self._withdrawn.union(seen, ask.exclude)
        return [item for item in items if item.item_id not in hidden]

    def _answered(self, asks: Sequence[Ask]) -> Sequence[list[Recommended] | Exception]:
        engine = self._engine_for(asks[0].shaping)
        try:
            _, queries = engine.asked([ask.user_id or "" for ask in asks], [ask.history for ask in asks])
            n = max(ask.n for ask in asks)
            known = engine.data.items.vocabulary
            without = Ragged.of([[row for row in known.rows(ask.exclude).tolist() if row >= 0] for ask in asks])
            # What is left to chance is drawn anew for each batch: nobody can foresee it, and each list tells its odds.
            answer = engine.answer(queries, n, without=without, rng=np.random.default_rng())
            self.watch.answered(answer.scores, queries.history.lengths)
        except Exception as error:
            if len(asks) == 1:
                return [error]
            # Something is wrong with one of them, and the others shall not suffer for it.
            return [self._answered([ask])[0] for ask in asks]
        items, places = engine.data.items, np.maximum(answer.item_rows, 0).ravel()
        ids, titles = items.vocabulary.ids.gather(places).to_list(), items.title.gather(places).to_list()
        rows, width = answer.item_rows.tolist(), answer.n
        scores, sources = answer.scores.tolist(), answer.sources.tolist()
        odds = None if answer.propensities is None else answer.propensities.tolist()
        return [
            [
                Recommended(
                    ids[at * width + place],
                    titles[at * width + place],
                    scores[at][place],
                    _SOURCES[source],
                    None if odds is None else odds[at][place],
                )
                for place, source in enumerate(sources[at][: ask.n])
                if rows[at][place] >= 0
            ]
            for at, ask in enumerate(asks)
        ]

    def _engine_for(self, shaping: tuple[StrategyConfig, ...] | None) -> Engine:
        """Return the engine with other strategies; those that are asked for often are kept."""
        if shaping is None:
            return self.engine
        found = self._shaped.get(shaping)
        if found is None:
            with self._changing:
                if len(self._shaped) >= 32:
                    self._shaped.clear()
                found = self._shaped[shaping] = self.engine.shaped((*shaping, *self._hiding()))
        return found

    def _change(self, items: Mapping[str, Item]) -> None:
        engine = self.engine
        rows = [{ITEM_ID: name, **item.data} for name, item in items.items()]
        known = engine.data.items.vocabulary.rows([str(row[ITEM_ID]) for row in rows]) >= 0
        if known.any():
            engine = engine.with_changed([row for row, old in zip(rows, known, strict=True) if old])
        if not known.all():
            engine = engine.with_items([row for row, old in zip(rows, known, strict=True) if not old])
        gone = {name for name, item in items.items() if item.withdrawn}
        self._withdrawn = (self._withdrawn - items.keys()) | gone
        self._use(engine)

    def _use(self, engine: Engine) -> None:
        """Answer with an engine from now on; questions on their way are answered by the one before."""
        engine = engine.shaped((*self._shaping, *self._hiding()))
        self._popular = _popular_of(engine)
        self.engine, self._shaped = engine, {}

    def _hiding(self) -> tuple[StrategyConfig, ...]:
        if not self._withdrawn:
            return ()
        return (ColumnRuleConfig(kind="deny", column=ITEM_ID, values=tuple(sorted(self._withdrawn))),)


def _without_user(model: Recommender, row: int) -> Recommender:
    """Return a model, or one that is made of others, without what a moved one holds of somebody's other life."""
    if isinstance(model, Adapted):
        return model.without_users(np.array([row], np.int32))
    members = getattr(model, "members", None)
    if not members:
        return model
    other = copy(model)
    if isinstance(members, dict):
        vars(other)["members"] = {name: _without_user(member, row) for name, member in members.items()}
    else:
        vars(other)["members"] = [_without_user(member, row) for member in members]
    return other


def _popular_of(engine: Engine) -> list[Recommended]:
    """Return the items that most people have liked and that may be shown, most of all first."""
    items = engine.data.items
    counts = engine.data.interactions.item_counts(len(items)).astype(np.float64)
    allowed = engine.candidates(Queries.of(Interactions.empty(1))).allowed
    if allowed is not None:
        counts[~allowed] = -1
    best = np.argsort(-counts, kind="stable")[:_POPULAR]
    best = best[counts[best] >= 0].astype(np.int32)
    ids, titles = items.vocabulary.names(best).to_list(), items.title.gather(best).to_list()
    popular = Source.POPULAR.name.lower()
    return [
        Recommended(name, title, float(count), popular)
        for name, title, count in zip(ids, titles, counts[best], strict=True)
    ]
