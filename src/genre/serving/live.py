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
from uuid import uuid4

import numpy as np

from genre.adaptation.adapted import Adapted
from genre.asking import rows_of
from genre.core.errors import DataError, GenreError
from genre.core.interactions import Interactions
from genre.core.queries import Queries, Recommendations, Source
from genre.core.ragged import Ragged
from genre.data.columns import ITEM_ID
from genre.data.dataset import Entities
from genre.data.feedback import FeedbackConfig, decay
from genre.engine import Engine
from genre.features.text import Language
from genre.recent import Happened
from genre.recommenders.base import Recommender
from genre.serving.aside import Aside, Copy
from genre.serving.drift import DriftWatch
from genre.serving.stores.items import Item
from genre.strategies.base import StrategyConfig
from genre.strategies.diversity import DiversifyConfig
from genre.strategies.exploration import EXPLORING, EpsilonConfig
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


def shaping_of(
    strategies: Sequence[StrategyConfig], diversity: float | None, explore: float | None
) -> tuple[StrategyConfig, ...] | None:
    """Return rules and strategies with another diversity or exploration; None where neither is asked for.

    Both are taken in steps of a twentieth: the engine keeps what it has made for each.
    """
    if diversity is None and explore is None:
        return None
    kept = list(strategies)
    if diversity is not None:
        kept = [one for one in kept if not isinstance(one, DiversifyConfig)]
        if strength := round(20 * diversity) / 20:
            kept.append(DiversifyConfig(strength=strength))
    if explore is not None:
        kept = [one for one in kept if not isinstance(one, EXPLORING)]
        if epsilon := round(20 * explore) / 20:
            kept.append(EpsilonConfig(epsilon=epsilon))
    # One that explores must be the last.
    kept.sort(key=lambda one: isinstance(one, EXPLORING))
    return tuple(kept)


@dataclass(eq=False)
class LiveVersion:
    """A model that answers, with all that has happened since it learned. Any thread may ask and change it."""

    name: str
    engine: Engine
    seq: int
    """Number of the last event that is in its data."""
    revision: int = 0
    """Number of the last change of the catalogue that is in its data."""
    aside: Aside | None = None
    """Where a copy of the model ranks."""
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    """How events fade; by default not at all."""
    watch: DriftWatch = field(init=False)
    """Tells whether what comes in and goes out still looks as it did."""
    problem: str = ""
    """What went wrong when the catalogue was changed last; the version answers with what it had."""
    _applied: int = field(init=False)
    _end: int = field(init=False)
    _ahead: set[int] = field(init=False, default_factory=set)
    _withdrawn: frozenset[str] = field(init=False, default=frozenset())
    _shaping: tuple[StrategyConfig, ...] = field(init=False)
    _shaped: dict[tuple[StrategyConfig, ...], Engine] = field(init=False, default_factory=dict)
    _popular: list[Recommended] = field(init=False)
    _copy: Copy | None = field(init=False, default=None)
    _names: tuple[Entities, list[str], list[str]] | None = field(init=False, default=None)
    _changing: threading.RLock = field(init=False, default_factory=threading.RLock)
    """Held while the catalogue changes, which may take seconds: never by who answers."""
    _noting: threading.Lock = field(init=False, default_factory=threading.Lock)
    """Held for a moment while events are noted."""

    def __post_init__(self) -> None:
        """Get ready what is asked often."""
        self._applied, self._shaping, self._end = self.seq, self.engine.shaping, self.engine.data.end_time
        self._popular = _popular_of(self.engine)
        self.watch = DriftWatch(self.engine.data)
        self._have_copied()

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
        items = self.engine.data.items
        if items.roles.text:
            # What reads new items is loaded by the first one.
            self.engine.with_items([{ITEM_ID: f"warm-{uuid4().hex}", items.roles.text[0]: "A first item"}])

    def happened(self, events: Iterable[tuple[str, Happened]], numbers: Iterable[int]) -> None:
        """Take events in at once, whether all before them are known or not.

        Args:
            events: Those that change an answer, and whose they are.
            numbers: Of all events that came, those that change nothing among them.
        """
        with self._noting:
            fresh = {number for number in numbers if number > self._applied} - self._ahead
            self._ahead |= fresh
            new: dict[str, list[Happened]] = {}
            for user_id, event in events:
                if event.number in fresh:
                    new.setdefault(user_id, []).append(self._aged(event))
            for user_id, some in new.items():
                self.engine.recent.add(user_id, some)

    def _aged(self, event: Happened) -> Happened:
        """Return an event with the weight that it has beside those of the data: less, if it is older than the newest.

        One that is newer is as new as the newest. When it is learned, all fade up to the newest of then.
        """
        if self.feedback.half_life is None or event.timestamp >= self._end:
            return event
        kept = decay(np.array([self._end - event.timestamp]), self.feedback)
        return replace(event, weight=event.weight * float(kept[0]))

    def knows(self, seq: int) -> bool:
        """Return whether all events up to a number are known."""
        with self._noting:
            while self._applied + 1 in self._ahead:
                self._applied += 1
                self._ahead.remove(self._applied)
            return self._applied >= seq

    def caught_up(self, seq: int) -> None:
        """Note that all events up to this number are known."""
        with self._noting:
            self._applied = max(self._applied, seq)
            self._ahead = {number for number in self._ahead if number > self._applied}

    def change(self, items: Sequence[Item]) -> None:
        """Take changes of the catalogue in, each only once; an item that does not fit costs no other its change."""
        with self._changing:
            todo = {item.item_id: item for item in items if item.revision > self.revision}
            if not todo:
                return
            try:
                self._change(todo)
            except GenreError:
                for name, item in todo.items():
                    try:
                        self._change({name: item})
                    except GenreError as error:
                        self.problem = str(error)
                        # What it says of itself does not fit; that it is gone does.
                        self._withdraw({name: item})
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
            # A strategy chooses from a longer list where more is asked for, and would choose otherwise.
            return hash(asks[at].shaping), max(asks[at].n, self.engine.pool)

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
        engine = self.engine
        _, query = engine.asked([ask.user_id or ""], [ask.history])
        candidates, known = engine.candidates(query), engine.data.items.vocabulary
        rows = known.rows([item.item_id for item in items])
        good = rows >= 0
        if candidates.allowed is not None:
            good &= candidates.allowed[rows]
        unwanted = np.concatenate([query.history.item_rows, known.rows(ask.exclude)])
        good &= ~np.isin(rows, unwanted)
        # It was not drawn now, whatever the odds were then.
        return [replace(item, propensity=None) for item, kept in zip(items, good, strict=True) if kept]

    def _answered(self, asks: Sequence[Ask]) -> Sequence[list[Recommended] | Exception]:
        engine = self._engine_for(asks[0].shaping)
        if wrong := [at for at, ask in enumerate(asks) if ask.history and _unknown(engine, ask.history) is not None]:
            return self._answered_but(wrong, engine, asks)
        try:
            _, queries = engine.asked([ask.user_id or "" for ask in asks], [ask.history for ask in asks])
            n = max(ask.n for ask in asks)
            known = engine.data.items.vocabulary
            without = Ragged.of([[row for row in known.rows(ask.exclude).tolist() if row >= 0] for ask in asks])
            # What is left to chance is drawn anew for each batch: nobody can foresee it, and each list tells its odds.
            copied = self._copy
            ranker = copied if copied is not None and copied.model is engine.model else None
            answer = engine.answer(queries, n, without=without, rng=np.random.default_rng(), model=ranker)
            self.watch.answered(answer.scores, queries.history.lengths)
        except Exception as error:
            if len(asks) == 1:
                return [error]
            # Something is wrong with one of them, and the others shall not suffer for it.
            return [self._answered([ask])[0] for ask in asks]
        ids, titles = self._names_of(engine)
        rows = answer.item_rows.tolist()
        scores, sources = answer.scores.tolist(), answer.sources.tolist()
        odds = None if answer.propensities is None else answer.propensities.tolist()
        return [
            [
                Recommended(
                    ids[rows[at][place]],
                    titles[rows[at][place]],
                    scores[at][place],
                    _SOURCES[source],
                    None if odds is None else odds[at][place],
                )
                for place, source in enumerate(sources[at][: ask.n])
                if rows[at][place] >= 0
            ]
            for at, ask in enumerate(asks)
        ]

    def _names_of(self, engine: Engine) -> tuple[list[str], list[str]]:
        """Return ids and titles of all items as lists: to look ten up in a column takes as long as to rank them."""
        items = engine.data.items
        if self._names is None or self._names[0] is not items:
            self._names = items, items.vocabulary.ids.to_list(), items.title.to_list()
        return self._names[1:]

    def _answered_but(
        self, wrong: Sequence[int], engine: Engine, asks: Sequence[Ask]
    ) -> Sequence[list[Recommended] | Exception]:
        """Return the answers of all but some, whose histories name what is not in the catalogue."""
        answers: list[list[Recommended] | Exception] = []
        good = [ask for at, ask in enumerate(asks) if at not in set(wrong)]
        found = iter(self._answered(good) if good else ())
        for at, ask in enumerate(asks):
            if at in wrong:
                try:
                    rows_of(engine.data, ask.history or ())
                except DataError as error:
                    answers.append(error)
            else:
                answers.append(next(found))
        return answers

    def _engine_for(self, shaping: tuple[StrategyConfig, ...] | None) -> Engine:
        """Return the engine with other strategies; those that are asked for often are kept."""
        if shaping is None:
            return self.engine
        found = self._shaped.get(shaping)
        if found is None:
            if len(self._shaped) >= 32:
                self._shaped.clear()
            engine = self.engine
            found = engine.shaped((*shaping, *self._hiding()))
            if engine is self.engine:
                self._shaped[shaping] = found
        return found

    def _change(self, items: Mapping[str, Item]) -> None:
        engine = self.engine
        columns = set(engine.data.items.frame.columns)
        rows = [
            {ITEM_ID: name, **{column: value for column, value in item.data.items() if column in columns}}
            for name, item in items.items()
        ]
        known = engine.data.items.vocabulary.rows([str(row[ITEM_ID]) for row in rows]) >= 0
        if known.any():
            engine = engine.with_changed([row for row, old in zip(rows, known, strict=True) if old])
        if not known.all():
            engine = engine.with_items([row for row, old in zip(rows, known, strict=True) if not old])
        self._withdraw(items, engine)

    def _withdraw(self, items: Mapping[str, Item], engine: Engine | None = None) -> None:
        gone = {name for name, item in items.items() if item.withdrawn}
        self._withdrawn = (self._withdrawn - items.keys()) | gone
        self._use(engine or self.engine)

    def _use(self, engine: Engine) -> None:
        """Answer with an engine from now on; questions on their way are answered by the one before."""
        engine = engine.shaped((*self._shaping, *self._hiding()))
        self._popular = _popular_of(engine)
        self.engine, self._shaped = engine, {}
        self._have_copied()

    def _have_copied(self) -> None:
        """Keep a copy of the model where such copies rank, and none of the one before."""
        before, model = self._copy, self.engine.model
        if self.aside is None or (before is not None and before.model is model):
            return
        self._copy = Copy(self.aside, model)
        if before is not None:
            before.drop()

    def _hiding(self) -> tuple[StrategyConfig, ...]:
        if not self._withdrawn:
            return ()
        return (ColumnRuleConfig(kind="deny", column=ITEM_ID, values=tuple(sorted(self._withdrawn))),)


def _unknown(engine: Engine, history: Sequence[str]) -> str | None:
    """Return an item of a history that is not in the catalogue."""
    rows = engine.data.items.vocabulary.rows(history)
    return None if (rows >= 0).all() else history[int(np.argmax(rows < 0))]


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
