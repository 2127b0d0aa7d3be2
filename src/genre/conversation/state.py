"""All that a conversation knows, in the open: it can be read, saved, changed by hand and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Literal, Self, TypeAlias

from pydantic import Field, ValidationError

from genre.core.config import Config
from genre.core.errors import DataError
from genre.features.text import Language
from genre.strategies.rules import ColumnRuleConfig

Last: TypeAlias = Literal["nothing", "list", "words"]
_IDS = ("liked", "disliked", "hidden", "forgotten", "like")
_MOST = 500
"""Things of one sort that are remembered; the oldest are forgotten first."""


class Said(Config):
    """What a person has said of items and of the list, as far as "undo" takes it back."""

    liked: tuple[str, ...] = ()
    """Ids of items that the person has said to like, oldest first; they count as the newest part of the history."""
    disliked: tuple[str, ...] = ()
    """Ids of items that were said to be bad: they are not shown, and no evidence for others."""
    hidden: tuple[str, ...] = ()
    """Ids of items that are not to be shown, since they were seen or passed over."""
    forgotten: tuple[str, ...] = ()
    """Ids of items of the log that do not count any more; the log stays as it is."""
    rules: tuple[ColumnRuleConfig, ...] = ()
    """Constraints in force, oldest first."""
    wishes: tuple[str, ...] = ()
    """What the list should be about, in the person's words."""
    avoided: tuple[str, ...] = ()
    """What it should not be about."""
    like: tuple[str, ...] = ()
    """Ids of items that the list should be like."""
    n: int | None = Field(default=None, ge=1)
    """Length of lists, where the person has said one."""


class State(Said):
    """What was said and shown so far. It never changes: each turn returns a new one."""

    language: Language = "en"
    """Of the last reply."""
    turns: int = Field(default=0, ge=0)
    log_counts: bool = True
    """Whether what the log knows of the person is asked with."""
    before: Said | None = None
    """What "undo" goes back to; nothing is kept of what was to be forgotten."""
    shown: tuple[str, ...] = ()
    """Ids of the last list, best first: "the second" is one of them."""
    passed: tuple[str, ...] = ()
    """Ids of earlier lists since the last change of what is wanted: "more" shows others."""
    focus: tuple[str, ...] = ()
    """Ids of the items that "it" and "these two" mean."""
    last: Last = "nothing"
    """What the last reply was."""
    said: str = ""
    """The last reply in words, without the list."""

    def to_json(self) -> str:
        """Return it as JSON that a person can read."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, place: str = "state") -> Self:
        """Return the state that `to_json` wrote.

        Args:
            text: The JSON.
            place: Where it comes from, for errors.

        Raises:
            DataError: It is no JSON, or not that of a state.
        """
        remedy = "Correct it, or begin a new conversation with another file."
        try:
            return cls.model_validate(json.loads(text))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            path = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise DataError(
                f"{path}: {first['msg']}, not {first['input']!r:.80}", place=place, remedy=remedy
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"it is no JSON ({error})", place=place, remedy=remedy) from error

    @property
    def said_so_far(self) -> Said:
        """What "undo" would bring back, were it said next."""
        return Said(**{name: getattr(self, name) for name in Said.model_fields})

    def within(self, items: Iterable[str], holds: Callable[[ColumnRuleConfig], bool]) -> Self:
        """Return the state as far as it goes with a catalogue.

        Args:
            items: Ids of the catalogue.
            holds: Tells whether the catalogue can keep a constraint.
        """
        known = set(items)

        def kept(part: Said, names: Iterable[str]) -> dict[str, object]:
            ids = {name: tuple(item for item in getattr(part, name) if item in known) for name in names}
            return {**ids, "rules": tuple(rule for rule in part.rules if holds(rule))}

        before = None if self.before is None else self.before.model_copy(update=kept(self.before, _IDS))
        return self.model_copy(update={**kept(self, (*_IDS, "shown", "passed", "focus")), "before": before})

    def but(self, **changes: object) -> Self:
        """Return the state with changes; of ids, each is kept once, the newest ones."""
        tidy = {
            name: tuple(dict.fromkeys(value))[-_MOST:] if isinstance(value, tuple) else value
            for name, value in changes.items()
        }
        return self.model_copy(update=tidy)
