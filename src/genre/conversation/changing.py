"""What acts make of a state: what is liked, put aside, wanted and no longer wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from genre.conversation.acts import Act
from genre.conversation.catalogue import Catalogue
from genre.conversation.constraints import joined
from genre.conversation.draft import Draft
from genre.conversation.replies import Replies
from genre.conversation.state import State
from genre.strategies.rules import ColumnRuleConfig


class Changer:
    """Changes the states of conversations about one catalogue."""

    def __init__(self, catalogue: Catalogue, replies: Replies, most: int) -> None:
        """Keep what names things.

        Args:
            catalogue: Knows the columns.
            replies: Has the sentences.
            most: Items of a list at most.
        """
        self._catalogue, self._replies, self._most = catalogue, replies, most
        self._items = catalogue.items
        self._changes = {
            "like": self._note,
            "dislike": self._note,
            "hide": self._note,
            "allow": self._allow,
            "unseen": self._forget,
            "forget": self._forget,
            "forget_all": self._forget_all,
            "constrain": self._constrain,
            "replace": self._constrain,
            "relative": self._compare_numbers,
            "similar": self._resemble,
            "wish": self._wish,
            "avoid": self._wish,
            "drop": self._drop,
            "undo": self._undo,
            "restart": self._restart,
            "count": self._count,
            "more": self._more,
        }

    def change(self, act: Act, draft: Draft) -> bool:
        """Do what an act asks of the state, and say so; return whether there was anything to do."""
        done = self._changes.get(act.kind)
        if done is not None:
            done(act, draft)
        return done is not None

    def _note(self, act: Act, draft: Draft) -> None:
        """Remember that items are liked, disliked or known."""
        name = {"like": "liked", "dislike": "disliked", "hide": "hidden"}[act.kind]
        lists = {
            other: tuple(one for one in getattr(draft.state, other) if one not in act.items)
            for other in ("liked", "disliked", "hidden", "forgotten", "like")
        }
        lists[name] += act.items
        draft.state = draft.state.but(**lists)
        draft.focus = act.items
        draft.notes.append(self._say(name, draft, titles=self._replies.titles(act.items, draft.language)))

    def _allow(self, act: Act, draft: Draft) -> None:
        """Show items again that were said to be bad or not to be shown."""
        lists = {
            name: tuple(item for item in getattr(draft.state, name) if item not in act.items)
            for name in ("disliked", "hidden")
        }
        draft.state = draft.state.but(**lists)
        draft.notes.append(self._say("allowed", draft, titles=self._replies.titles(act.items, draft.language)))

    def _forget(self, act: Act, draft: Draft) -> None:
        lists = {
            name: tuple(one for one in getattr(draft.state, name) if one not in act.items)
            for name in ("liked", "disliked", "hidden", "like", "passed")
        }
        titles = self._replies.titles(act.items, draft.language)
        draft.state = draft.state.but(**lists, forgotten=draft.state.forgotten + act.items)
        draft.notes.append(self._say("forgot" if act.kind == "forget" else "unseen", draft, titles=titles))

    def _forget_all(self, act: Act, draft: Draft) -> None:
        draft.state = State(language=draft.language, turns=draft.state.turns, log_counts=False)
        draft.told.append(self._say("forgot_all", draft))

    def _constrain(self, act: Act, draft: Draft) -> None:
        rules = joined(
            draft.state.rules,
            act.rules,
            single=self._catalogue.single,
            also=act.count > 0,
            instead=act.kind == "replace",
            together=draft.ruled,
        )
        draft.ruled += act.rules
        draft.state = draft.state.but(rules=rules)

    def _compare_numbers(self, act: Act, draft: Draft) -> None:
        """Turn "newer" into a bound: beyond what it is compared with, or beyond the middle of the list."""
        column = self._items.frame[act.column].cast(pl.Float64)
        rows = self._items.vocabulary.rows(list(act.items or draft.state.shown))
        cells = (column.gather(rows) if len(rows) else column).drop_nulls()
        if cells.is_empty():
            draft.notes.append(self._say("extreme_unknown", draft))
            return
        middle = float(np.median(cells.to_numpy()))
        if self._catalogue.is_whole(act.column):
            least, most = float(np.floor(middle)) + 1, float(np.ceil(middle)) - 1
        else:
            least, most = float(np.nextafter(middle, np.inf)), float(np.nextafter(middle, -np.inf))
        bound = {"at_least": least} if act.direction > 0 else {"at_most": most}
        rule = ColumnRuleConfig(kind="allow", column=act.column, **bound)
        self._constrain(Act("constrain", rules=(rule,)), draft)

    def _resemble(self, act: Act, draft: Draft) -> None:
        draft.state = draft.state.but(like=act.items)
        draft.focus = act.items

    def _wish(self, act: Act, draft: Draft) -> None:
        name = "wishes" if act.kind == "wish" else "avoided"
        # A wish of this message comes beside the others of it, and takes the place of those before.
        before = getattr(draft.state, name) if act.kind == "avoid" or draft.wished else ()
        draft.wished = draft.wished or act.kind == "wish"
        draft.state = draft.state.but(**{name: (*before, act.text)})

    def _drop(self, act: Act, draft: Draft) -> None:
        state = draft.state
        gone = [rule for rule in state.rules if rule in act.rules or rule.column == act.column]
        said = [self._replies.rule(rule, draft.language) for rule in gone]
        said += [
            self._say("wish", draft, wanted=name == "wishes", text=act.text)
            for name in ("wishes", "avoided")
            if act.text in getattr(state, name)
        ]
        like = [item for item in act.items if item in state.like]
        if like:
            said.append(self._say("like", draft, titles=self._replies.titles(like, draft.language)))
        draft.state = state.but(
            rules=tuple(rule for rule in state.rules if rule not in gone),
            wishes=tuple(text for text in state.wishes if text != act.text),
            avoided=tuple(text for text in state.avoided if text != act.text),
            like=tuple(item for item in state.like if item not in act.items),
        )
        draft.notes.append(self._say("dropped", draft, said=said) if said else self._say("nothing_dropped", draft))

    def _undo(self, act: Act, draft: Draft) -> None:
        before = draft.state.before
        if before is None:
            draft.notes.append(self._say("nothing_undone", draft))
            return
        draft.state = draft.state.but(**dict(before))
        draft.notes.append(self._say("undone", draft))

    def _restart(self, act: Act, draft: Draft) -> None:
        draft.state = draft.state.but(rules=(), wishes=(), avoided=(), like=(), shown=(), passed=(), focus=(), n=None)
        draft.notes.append(self._say("restarted", draft))

    def _count(self, act: Act, draft: Draft) -> None:
        draft.state = draft.state.but(n=max(1, min(act.count, self._most)))

    def _more(self, act: Act, draft: Draft) -> None:
        draft.more = True

    def _say(self, name: str, draft: Draft, **values: Any) -> str:
        return self._replies.say(name, draft.language, **values)
