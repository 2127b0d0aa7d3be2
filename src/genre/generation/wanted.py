"""From answers to the texts that are wanted about them.

Shapes: B queries, n places.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from genre.core.errors import ConfigError
from genre.core.queries import Queries, Recommendations
from genre.features.enrich.untrusted import neutralise
from genre.features.text import Language
from genre.generation.facts import FactBook
from genre.generation.kinds import kind_of
from genre.generation.own_data import OwnData
from genre.generation.person import Person
from genre.generation.reasons import Reasons
from genre.generation.requests import Request
from genre.generation.scenarios import ScenarioName, scenario_of

_READ = 20
"""Newest liked items whose texts say what somebody likes."""


def requests_for(
    book: FactBook,
    reasons: Reasons,
    names: pl.Series,
    queries: Queries,
    answer: Recommendations,
    *,
    kinds: Sequence[str],
    language: Language,
    scenario: ScenarioName,
    question: str = "",
    own: OwnData | None = None,
) -> list[Request]:
    """Return what is wanted about every filled place (B, n) of the answers, kind by kind at each place.

    Args:
        book: The catalogue's facts in this language.
        reasons: Finds the evidence.
        names: (B,) ids of those who asked.
        queries: Their histories.
        answer: What is recommended to them.
        kinds: Names of kinds, or files of your own.
        language: Of the texts.
        scenario: Where they are shown.
        question: What is asked about the items.
        own: What people agreed to be addressed by.

    Raises:
        ConfigError: There is no such kind, or one that answers and no question.
    """
    wanted = [kind_of(name, language) for name in kinds]
    if not question and (asking := next((kind for kind in wanted if "question" in kind.inputs), None)) is not None:
        raise ConfigError(f"{asking.name!r} answers a question, and there is none", place="write", remedy="Ask one.")
    place, asked = scenario_of(scenario, language), neutralise(question).text
    sentences = reasons.explain(queries, answer, language)
    liked = queries.history.liked()
    found = []
    for row, name in enumerate(names):
        items = answer.item_rows[row][answer.filled[row]]
        given = {} if own is None else own.of(int(queries.user_rows[row]))
        for item, why in zip(items.tolist(), sentences[row], strict=True):
            person = Person.of(str(name), liked.items[row], book, but=item, given=given)
            texts = tuple(" ".join(filter(None, book[other].lines)) for other in person.items[:_READ])
            # Its titles are strangers' words too.
            reason = neutralise(why.text).text
            found += [Request(kind, place, book[item], person, reason, texts, asked) for kind in wanted]
    return found
