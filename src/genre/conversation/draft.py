"""A reply that is being made."""

from __future__ import annotations

from dataclasses import dataclass, field

from genre.conversation.listing import Lister
from genre.conversation.state import State
from genre.conversation.telling import Writing
from genre.features.text import Language
from genre.strategies.rules import ColumnRuleConfig


@dataclass
class Draft:
    """What the acts of one message have come to so far."""

    state: State
    language: Language
    lister: Lister
    writing: Writing
    notes: list[str] = field(default_factory=list)
    """What was noted, before any answer."""
    told: list[str] = field(default_factory=list)
    """Answers, which are what "shorter" shortens."""
    focus: tuple[str, ...] = ()
    changed: bool = False
    """Whether the list is another now."""
    more: bool = False
    """Whether further items are wanted, in place of those that were shown."""
    ruled: tuple[ColumnRuleConfig, ...] = ()
    """Constraints that this message has said already."""
    unheard: tuple[str, ...] = ()
    """Wishes that nothing which fits speaks of; they are kept, and told to be left out."""
    wished: bool = False
    """Whether this message has said a wish already."""
