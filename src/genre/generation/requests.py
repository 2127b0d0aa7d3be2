"""What is to be written, and what was."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from genre.generation.across import counted
from genre.generation.facts import Facts
from genre.generation.kinds import Kind
from genre.generation.paths import Step
from genre.generation.person import Person
from genre.generation.scenarios import Scenario


@dataclass(frozen=True, eq=False)
class Request:
    """One text that is wanted."""

    kind: Kind
    scenario: Scenario
    facts: Facts
    """Of the item, or of the person where the kind is about one: all that the text may say."""
    person: Person
    reason: str = ""
    """The evidence in a sentence: all that a reason may say."""
    liked: tuple[str, ...] = field(default=(), repr=False)
    """Texts of what the person liked."""
    question: str = ""
    """What the person asks about the item, made harmless. It may be repeated, and makes nothing true."""
    begin: str = ""
    """The beginning that is continued, made harmless. It makes nothing true."""
    source: Facts | None = None
    """What is translated, of another language; None where the catalogue has the text in this one."""
    step: Step | None = None
    """The item's place among several."""
    user_id: str = field(default="", repr=False)
    """Whom the audit log finds it by. No template is given it, so that it stands in no prompt and in no text."""

    @property
    def given(self) -> dict[str, Any]:
        """What the kind's template takes."""
        return {
            "facts": self.facts,
            "person": self.person,
            "reason": self.reason,
            "question": self.question,
            "begin": self.begin,
            "source": self.source,
            "step": self.step,
            "scenario": self.scenario,
        }

    @cached_property
    def instructions(self) -> str:
        """What a language model is told beside the data."""
        return self.kind.instructions(self.given)

    @property
    def titles(self) -> tuple[str, ...]:
        """Titles of the history, as far as the kind is given them: each may be named as a whole."""
        return (*self.person.liked, *self.person.alike) if "person" in self.kind.inputs else ()

    @property
    def told(self) -> tuple[str, ...]:
        """What may be said beside the facts and these titles, as far as the kind is given it.

        Labels that the person likes are not among it: of an item that has them, the facts say so.
        """
        reason = (self.reason,) if "reason" in self.kind.inputs else ()
        person = filter(None, self.person.given.values()) if "person" in self.kind.inputs else ()
        step = self.step.told if self.step is not None else ()
        # Numbers too that one language counts and the other does not, as in "the second".
        source = (*self.source.lines, " ".join(counted(self.source.text))) if self.source is not None else ()
        return (*reason, *person, *step, *source)

    @property
    def can_be_drawn(self) -> bool:
        """Whether a language model has something to say: more than a title is known, and it is not said already."""
        return self.facts.is_told and ("source" not in self.kind.inputs or self.source is not None)

    @property
    def provenance(self) -> dict[str, Any]:
        """What a text for it may be made of."""
        facts = self.facts
        named = [*(["title"] if facts.title else []), *facts.labels, *(["text"] if facts.text else [])]
        found: dict[str, Any] = {"facts": named, "left_out": len(facts.left_out)}
        if facts.disputed:
            found["disputed"] = {name: list(values) for name, values in facts.disputed.items()}
        if self.begin:
            found["begin"] = self.begin
        return found


@dataclass(frozen=True)
class Written:
    """A text, and where it comes from."""

    text: str
    writer: str
    """`model`, or `template` where it was put together from the facts."""
    provenance: dict[str, Any]
    """Model, hash of the prompt, facts given, checks, attempts, how often which check refused, scores."""
