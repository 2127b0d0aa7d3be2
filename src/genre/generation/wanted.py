"""From answers to the texts that are wanted about them.

Shapes: B queries, n places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, Final, Self, TypeAlias, get_args

from genre.core.errors import ConfigError
from genre.core.queries import Queries, Recommendations
from genre.data.dataset import Entities
from genre.features.enrich.untrusted import neutralise
from genre.features.text import Language
from genre.generation.across import source_of
from genre.generation.facts import Books, FactBook, Facts
from genre.generation.kinds import Kind, kind_of
from genre.generation.own_data import OwnData
from genre.generation.paths import Paths
from genre.generation.person import Person
from genre.generation.requests import Request, Written
from genre.generation.scenarios import Scenario, ScenarioName, scenario_of
from genre.generation.sentences import first_sentences

Explain: TypeAlias = Callable[[Queries, Recommendations], Sequence[Sequence[str]]]
"""Returns a reason, made harmless, for every filled place of every answer."""
_READ: Final = 20
"""Newest liked items whose texts say what somebody likes."""
_OTHER: Final[Mapping[Language, Language]] = {"en": "zh", "zh": "en"}
_COUNTED: Final = ("refused", "claims", "drawn_claims")
_LISTED: Final = ("facts", "checks", "withheld", "moderation")
"""What is known of the steps of one text, and of all of it: counts, and lists."""


@dataclass(frozen=True)
class Brief:
    """What is to be written, whoever it is for."""

    kinds: tuple[Kind, ...]
    language: Language
    scenario: Scenario
    question: str = ""
    """Made harmless."""
    begin: str = ""
    """Made harmless; "" lets each text of an item be continued behind its own first sentence."""

    @classmethod
    def of(
        cls,
        kinds: Sequence[str],
        language: Language,
        scenario: ScenarioName,
        *,
        question: str = "",
        begin: str = "",
        place: str = "write",
    ) -> Self:
        """Read names.

        Args:
            kinds: Names of kinds, or files of your own.
            language: Of the texts.
            scenario: Where they are shown.
            question: What is asked about the items.
            begin: What is continued.
            place: For messages.

        Raises:
            ConfigError: There is no such kind, language or scenario, or one that answers and no question, or nothing
                of the question or the beginning may be told to a language model.
        """
        for value, choices in ((language, get_args(Language)), (scenario, get_args(ScenarioName))):
            if value not in choices:
                raise ConfigError(
                    f"there are no texts for {value!r}", place=place, remedy=f"Choose from {list(choices)}."
                )
        wanted = tuple(kind_of(name, language) for name in kinds)
        asking = [kind.name for kind in wanted if "question" in kind.inputs]
        if asking and not question.strip():
            raise ConfigError(f"{asking[0]!r} answers a question, and there is none", place=place, remedy="Ask one.")
        asked = _harmless("question", question, place, "Ask about the item itself.")
        begun = _harmless("beginning", begin, place, "Give the beginning of a text about the item, or leave it out.")
        return cls(wanted, language, scenario_of(scenario, language), asked, begun)

    @property
    def is_about_items(self) -> bool:
        """Whether it has to be known what is recommended."""
        return any(kind.about != "person" for kind in self.kinds)

    @property
    def is_about_several(self) -> bool:
        """Whether any text is about all that is recommended."""
        return any(kind.about == "items" for kind in self.kinds)


def _harmless(what: str, text: str, place: str, remedy: str) -> str:
    """Return what may be told to a language model of somebody's words, which is something where there are any."""
    found = neutralise(text).text
    if text.strip() and not found:
        raise ConfigError(
            f"the {what} {text!r} could pass for an order to a language model", place=place, remedy=remedy
        )
    return found


@dataclass(frozen=True, eq=False)
class Wanted:
    """One text that is wanted, and what it is made of."""

    kind: Kind
    user_id: str
    requests: tuple[Request, ...]
    """One, or one for each step."""
    rank: int | None = None
    row: int | None = None
    """Of the item that it is about, if it is one."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Beside that of what it is made of."""

    def whole(self, parts: Sequence[Written]) -> Written:
        """Return the text that was wanted: its one part, or all steps with their numbers, a line for each.

        A step that is withheld leaves its number out, as in a stream. Of what the steps are made of, counts are added
        up and lists joined.
        """
        if self.kind.about != "items":
            return parts[0]
        abouts = [part.provenance for part in parts]
        counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
        for one, (name, count) in product(abouts, counts.items()):
            count.update(one.get(name, {}))
        lists = {name: list(dict.fromkeys(value for one in abouts for value in one.get(name, ()))) for name in _LISTED}
        about = {
            **self.provenance,
            "left_out": sum(one["left_out"] for one in abouts),
            "steps": [{"writer": part.writer, **part.provenance} for part in parts],
            **{name: dict(count) for name, count in counts.items() if any(name in one for one in abouts)},
            **{name: values for name, values in lists.items() if any(name in one for one in abouts)},
            "fell_back": all(one["fell_back"] for one in abouts),
            "repaired": any(one["repaired"] for one in abouts),
        }
        writer = "model" if any(part.writer == "model" for part in parts) else "template"
        steps = [numbered(at, part.text) for at, part in enumerate(parts, 1) if part.text]
        return Written("\n".join(steps), writer, about)


def numbered(number: int, text: str) -> str:
    """Return a step with its number: the order is plain whoever wrote the step."""
    return f"{number}. {text}"


def texts_of(person: Person, book: FactBook) -> tuple[str, ...]:
    """Return what is said of what somebody liked last."""
    return tuple(" ".join(filter(None, book[row].lines)) for row in person.items[:_READ])


class Wishes:
    """What is wanted of a catalogue, by a brief."""

    def __init__(self, items: Entities, books: Books, explain: Explain, brief: Brief, own: OwnData) -> None:
        """Open the catalogue.

        Args:
            items: The catalogue.
            books: Returns its facts in a language.
            explain: Finds the evidence; asked where a kind is given the reason.
            brief: What is to be written.
            own: What people agreed to be addressed by.

        Raises:
            ConfigError: A column that is to be left out is not there.
        """
        self.brief = brief
        self._items, self._books, self._explain, self._own = items, books, explain, own
        self.book = books(brief.language)

    def of(self, names: Sequence[str], queries: Queries, answer: Recommendations) -> Iterator[Wanted]:
        """Yield what is wanted for everybody: about the person and about all that is recommended, then place by place.

        Args:
            names: (B,) ids of those who asked.
            queries: Their histories.
            answer: (B, n) what is recommended to them.
        """
        kinds = self.brief.kinds
        explained = any("reason" in kind.inputs for kind in kinds)
        reasons = self._explain(queries, answer) if explained else [[""] * count for count in answer.filled.sum(1)]
        liked = queries.history.liked()
        for at, name in enumerate(names):
            history, given = liked.items[at], self._own.of(int(queries.user_rows[at]))
            rows = answer.item_rows[at][answer.filled[at]].tolist()
            sentences = list(reasons[at])
            for kind in kinds:
                if kind.about == "person":
                    person = Person.of(name, history, self.book, given=given)
                    person = person.described(self.book, self.brief.language)
                    facts = person.evidence(self.brief.language)
                    yield Wanted(kind, name, (self._request(kind, name, facts, person),))
                if kind.about == "items" and rows:
                    yield self._path(kind, name, rows, sentences, Person.of(name, history, self.book, given=given))
            for rank, (row, why) in enumerate(zip(rows, sentences, strict=True), 1):
                person = Person.of(name, history, self.book, but=row, given=given)
                for kind in kinds:
                    if kind.about == "item":
                        yield Wanted(kind, name, (self._about(kind, name, row, person, why),), rank, row)

    def _path(self, kind: Kind, name: str, rows: list[int], reasons: list[str], person: Person) -> Wanted:
        order, steps, about = self._paths.ordered(list(dict.fromkeys(rows)), person.items)
        why = dict(zip(rows, reasons, strict=True))
        requests = [
            replace(self._request(kind, name, self.book[row], person), reason=why[row], step=step)
            for row, step in zip(order, steps, strict=True)
        ]
        return Wanted(kind, name, tuple(requests), provenance=about)

    def _about(self, kind: Kind, name: str, row: int, person: Person, reason: str) -> Request:
        """Return what is wanted about one item."""
        facts, source, begin = self.book[row], None, ""
        if (
            "source" in kind.inputs
            and (source := source_of(facts, self._other_book[row], self.brief.language)) is not None
        ):
            facts = replace(facts, text=source.text)
        if "begin" in kind.inputs:
            begin = self.brief.begin or first_sentences(facts.text, 1)
        wanted = self._request(kind, name, facts, person)
        return replace(wanted, reason=reason, question=self.brief.question, begin=begin, source=source)

    def _request(self, kind: Kind, name: str, facts: Facts, person: Person) -> Request:
        return Request(kind, self.brief.scenario, facts, person, liked=texts_of(person, self.book), user_id=name)

    @cached_property
    def _paths(self) -> Paths:
        return Paths(self._items, self.book, self.brief.language)

    @cached_property
    def _other_book(self) -> FactBook:
        return self._books(_OTHER[self.brief.language])
