"""What somebody wants with a message: one or several acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from genre.features.text import Language
from genre.strategies.rules import ColumnRuleConfig

ActKind: TypeAlias = Literal[
    "recommend", "more", "count", "ask", "about", "check", "explain", "compare", "extreme", "like", "dislike", "hide",
    "unseen", "allow",
    "constrain", "replace", "relative", "similar", "wish", "avoid", "drop", "undo", "restart", "forget", "forget_all",
    "show", "help", "brief", "greet", "thank", "problem", "unknown",
]  # fmt: skip
Problem: TypeAlias = Literal["no_place", "nothing_shown", "no_title", "no_measure", "no_focus", "too_long"]
"""Why an act cannot be done: a place behind the end of the list, no list, a title that is not known, a number that the
catalogue does not have, nothing that "it" could mean, a message that is too long."""
CHANGES_LIST: frozenset[ActKind] = frozenset(
    ("recommend", "more", "count", "like", "dislike", "hide", "unseen", "allow", "constrain", "replace", "relative",
     "similar", "wish", "avoid", "drop", "undo", "restart", "forget")
)  # fmt: skip
"""Acts after which there is a new list."""


@dataclass(frozen=True)
class Act:
    """One of them. What a field says depends on the kind."""

    kind: ActKind
    items: tuple[str, ...] = ()
    """Ids of items that are spoken of."""
    rules: tuple[ColumnRuleConfig, ...] = ()
    column: str = ""
    direction: int = 0
    """1 for more of a number than what is spoken of has, -1 for less."""
    text: str = ""
    """A wish or a question in the person's words, or what a problem is about."""
    count: int = 0
    problem: Problem | None = None


@dataclass(frozen=True)
class Understanding:
    """What a message was taken for."""

    language: Language
    acts: tuple[Act, ...]
    source: Literal["patterns", "model"] = "patterns"
    """Who found it: the language model is asked only where the patterns find nothing."""
