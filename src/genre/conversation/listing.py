"""From a state to a list: rules and a history for the recommender, which decides.

Shapes: I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.answering import LIKED
from genre.conversation.constraints import allowed_by, to_drop
from genre.conversation.likeness import Likeness
from genre.conversation.state import State
from genre.data.columns import ITEM_ID
from genre.engine import Engine
from genre.features.text import Language
from genre.strategies.base import StrategyConfig
from genre.strategies.caps import CapConfig
from genre.strategies.rules import ColumnRuleConfig, HideSeenConfig

KeptBack: TypeAlias = Literal["disliked", "hidden", "liked", "like", "passed", "seen"]
"""Why an item is not shown: lists of the state, and the log."""
_AS_MANY = 3
"""Items near a wish that the recommender chooses from, for each that is shown."""


@dataclass(frozen=True)
class Who:
    """Who talks."""

    user: str | None = None
    """Id; None for somebody who has none."""
    history: tuple[str, ...] | None = None
    """Ids of liked items, oldest first, in place of what the log knows."""


@dataclass(frozen=True, eq=False)
class Listed:
    """What may be shown, and what is."""

    engine: Engine
    """With the constraints as rules."""
    history: tuple[str, ...]
    """What was asked with."""
    frame: pl.DataFrame
    """As `Engine.recommend` returns it."""
    empty: bool
    """Whether the constraints leave nothing, whatever was seen."""
    fits: int
    """Items that may be shown and have not been, whether a cap or the recommender leaves them out or not."""
    caps: tuple[CapConfig, ...]
    """The engine's caps that hold."""
    drops: tuple[tuple[tuple[ColumnRuleConfig | str, ...], int], ...]
    """Constraints and avoided subjects without which something would be left, where nothing is."""
    unheard: tuple[str, ...]
    """Wishes that nothing which fits speaks of."""
    unknown: tuple[str, ...]
    """Those of them that nothing in the catalogue speaks of."""


class Lister:
    """Asks one engine for one person."""

    def __init__(self, engine: Engine, likeness: Likeness, who: Who) -> None:
        """Keep them.

        Args:
            engine: Recommends.
            likeness: Knows what goes with a wish.
            who: Who talks.
        """
        self._engine, self._likeness, self._who = engine, likeness, who
        self._items = engine.data.items
        self.log = cache(self._log)

    def _log(self) -> pl.DataFrame:
        """Return what is known of the person from before the conversation."""
        if self._who.history is not None:
            rows = self._items.vocabulary.rows(list(self._who.history))
            return pl.DataFrame(
                {ITEM_ID: self._who.history, LIKED: rows >= 0}, schema={ITEM_ID: pl.String, LIKED: pl.Boolean}
            )
        if self._who.user is None:
            return pl.DataFrame(schema={ITEM_ID: pl.String, LIKED: pl.Boolean})
        return self._engine.history(self._who.user).select(ITEM_ID, LIKED)

    def history(self, state: State) -> tuple[str, ...]:
        """Return the ids of liked items to ask with, oldest first."""
        log = self.log().filter(pl.col(LIKED))[ITEM_ID].to_list() if state.log_counts else []
        gone = {*state.forgotten, *state.disliked}
        before = [item for item in log if item not in gone and item not in state.liked]
        return tuple(dict.fromkeys([*before, *state.liked, *state.like]))

    def asked(self, state: State) -> dict[str, Any]:
        """Return the arguments by which an engine is asked about the person."""
        user = self._who.user if state.log_counts else None
        return {"user": user, "history": list(self.history(state))}

    def known(self, state: State) -> tuple[str, ...]:
        """Return the ids of what is not shown since it is known or was put aside."""
        log = self.log()[ITEM_ID].to_list() if state.log_counts and self._hides_seen else []
        seen = [item for item in log if item not in state.forgotten]
        return tuple(dict.fromkeys([*seen, *state.liked, *state.disliked, *state.hidden, *state.like, *state.passed]))

    def kept_back(self, item: str, state: State) -> KeptBack | None:
        """Return why an item is not shown, apart from the constraints."""
        for name in get_args(KeptBack):
            if name != "seen" and item in getattr(state, name):
                return cast(KeptBack, name)
        return "seen" if item in self.known(state) else None

    @property
    def _hides_seen(self) -> bool:
        return any(isinstance(part, HideSeenConfig) for part in self._engine.shaping)

    def listed(self, state: State, n: int, language: Language) -> Listed:
        """Return the list for a state.

        Args:
            state: What is wanted.
            n: Its length.
            language: Of titles, reasons and wishes.
        """
        data = self._engine.data
        hard = allowed_by(data, state.rules)
        avoided = [(text, ~self._likeness.speaks_of(text)) for text in state.avoided]
        for _, mask in avoided:
            hard &= mask
        known = self.known(state)
        free = np.ones(data.num_items, bool)
        free[self._items.vocabulary.rows(list(known))] = False
        fits = (
            hard & free & allowed_by(data, [one for one in self._engine.shaping if isinstance(one, ColumnRuleConfig)])
        )
        near, unheard = self._near(state, fits, language)
        if near is not None:
            fits = np.zeros_like(fits)
            fits[near] = True
            near = near[: _AS_MANY * n]
        engine = self._engine.shaped(self._shaping(state, hard, known, near))
        history = self.history(state)
        user = self._who.user if state.log_counts else None
        users = None if user is None else [user]
        frame = engine.recommend(users, histories=[list(history)], n=n, reasons=language)
        ruled: list[tuple[ColumnRuleConfig | str, NDArray[np.bool_]]] = [
            (rule, rule.build(data).allowed) for rule in state.rules
        ]
        return Listed(
            engine=engine,
            history=history,
            frame=frame,
            empty=not hard.any(),
            fits=int(fits.sum()),
            caps=tuple(part for part in engine.shaping if isinstance(part, CapConfig)),
            drops=() if hard.any() else tuple(to_drop([*ruled, *avoided], free)),
            unheard=tuple(unheard),
            unknown=tuple(text for text in unheard if not np.isfinite(self._likeness.to_text(text)).any()),
        )

    def _near(
        self, state: State, left: NDArray[np.bool_], language: Language
    ) -> tuple[NDArray[np.int64] | None, list[str]]:
        """Return the rows of what is near to the wishes among what is left, nearest first, and wishes not met."""
        scores, unheard = list[NDArray[np.float32]](), list[str]()
        for text in state.wishes:
            near = self._likeness.to_text(text)
            if np.isfinite(near[left]).any():
                scores.append(near)
            else:
                unheard.append(text)
        if state.like:
            rows = self._items.vocabulary.rows(list(state.like)).tolist()
            scores.append(self._likeness.to_items(rows, language))
        if not scores:
            return None, unheard
        every = np.isfinite(scores).all(0)
        # Where nothing is near to all wishes, what is near to one will do.
        wanted = every if (every & left).any() else np.isfinite(scores).any(0)
        total = np.where(wanted, np.where(np.isfinite(scores), scores, 0).sum(0), -np.inf)
        total[~left] = -np.inf
        order = np.argsort(-total, kind="stable")
        return order[np.isfinite(total[order])], unheard

    def _shaping(
        self, state: State, hard: NDArray[np.bool_], known: Sequence[str], near: NDArray[np.int64] | None
    ) -> list[StrategyConfig]:
        """Return the engine's strategies with the conversation's rules.

        A cap on a column in which the person has asked for certain labels would keep these away, and is left out.
        """
        asked = {rule.column for rule in state.rules if rule.kind == "allow"}
        shaping = [part for part in self._engine.shaping if not (isinstance(part, CapConfig) and part.column in asked)]
        ids = self._items.vocabulary.ids
        rules = list(state.rules)
        if state.avoided:
            rules.append(ColumnRuleConfig(kind="allow", column=ITEM_ID, values=tuple(ids.filter(pl.Series(hard)))))
        if known:
            rules.append(ColumnRuleConfig(kind="deny", column=ITEM_ID, values=tuple(known)))
        if near is not None:
            rules.append(ColumnRuleConfig(kind="allow", column=ITEM_ID, values=tuple(ids.gather(near))))
        return [*rules, *shaping]
