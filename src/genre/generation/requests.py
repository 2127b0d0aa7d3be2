"""What is to be written, and what was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genre.generation.facts import Facts
from genre.generation.kinds import Kind
from genre.generation.person import Person
from genre.generation.scenarios import Scenario


@dataclass(frozen=True, eq=False)
class Request:
    """One text that is wanted."""

    kind: Kind
    scenario: Scenario
    facts: Facts
    person: Person
    reason: str = ""
    """The evidence in a sentence: all that a reason may say."""
    liked: tuple[str, ...] = field(default=(), repr=False)
    """Texts of what the person liked."""
    question: str = ""
    """What the person asks about the item, made harmless. It may be repeated, and makes nothing true."""

    @property
    def given(self) -> dict[str, Any]:
        """What the kind's template takes."""
        return {
            "facts": self.facts,
            "person": self.person,
            "reason": self.reason,
            "question": self.question,
            "scenario": self.scenario,
        }

    @property
    def told(self) -> tuple[str, ...]:
        """What may be named beside the facts, as far as the kind is given it.

        Labels that the person likes are not among it: of an item that has them, the facts say so.
        """
        reason = (self.reason,) if "reason" in self.kind.inputs else ()
        person = (*self.person.liked, *filter(None, self.person.given.values()))
        return reason + (person if "person" in self.kind.inputs else ())

    @property
    def provenance(self) -> dict[str, Any]:
        """What a text for it may be made of."""
        facts = self.facts
        return {"facts": ["title", *facts.labels, *(["text"] if facts.text else [])], "left_out": len(facts.left_out)}


@dataclass(frozen=True)
class Written:
    """A text, and where it comes from."""

    text: str
    writer: str
    """`model`, or `template` where it was put together from the facts."""
    provenance: dict[str, Any]
    """Model, hash of the prompt, facts given, checks, attempts, how often which check refused, scores."""
