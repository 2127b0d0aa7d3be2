"""Whom a text is for: what is known of a person's taste, from the history alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genre.features.enrich.checks import content_words
from genre.features.text import Language
from genre.generation.facts import TASTES, FactBook, Facts, parts_of
from genre.generation.guesses import guesses_in
from genre.generation.sentences import joined

_TITLES, _LABELS, _READ = 5, 4, 50
_ASKED, _SUBJECTS = 8, 3
_ALIKE, _WORD = 2, 0.2
"""Titles that are named, and what a shared word counts beside a label's rarity: words are shared by chance."""
_EVIDENCE: Final[Mapping[Language, tuple[tuple[str, ...], str, str]]] = {
    "en": (("liked last", "chosen most often", "subjects that come up"), "{}", "{} ({} times)"),
    "zh": (("最近喜欢", "最常选", "常见的题材"), "《{}》", "{}（{} 次）"),
}
"""How the evidence is called, a title and how often a label was chosen."""


@dataclass(frozen=True)
class Person:
    """One person's taste."""

    user_id: str
    liked: tuple[str, ...] = ()
    """Titles of what was liked last, the newest first."""
    labels: tuple[str, ...] = ()
    """What is said most often of what was liked, such as genres."""
    words: frozenset[str] = field(default=frozenset(), repr=False)
    """Words that the texts of what was liked share."""
    items: tuple[int, ...] = field(default=(), repr=False)
    """Rows of what was liked, the newest first."""
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the person agreed to be addressed by, by the names of the columns, "" where nothing is known; see
    `WriteConfig.address_by`."""
    counts: Mapping[str, int] = field(default_factory=dict, repr=False)
    """Of how many liked items each of the labels is said."""
    alike: tuple[str, ...] = ()
    """Titles of what was liked that have most in common with the item that is written about, the nearest first."""
    subjects: tuple[str, ...] = ()
    """Words that come up in the texts of what was liked, and seldom elsewhere."""

    @classmethod
    def of(
        cls,
        user_id: str,
        liked: NDArray[np.integer],
        book: FactBook,
        *,
        but: int | None = None,
        given: Mapping[str, str] | None = None,
    ) -> Person:
        """Read a history.

        Args:
            user_id: Of the person.
            liked: Rows of liked items, oldest first.
            book: What is known of items.
            but: Row of the item that is written about, which says nothing of itself.
            given: What the person agreed to be addressed by.
        """
        rows = [int(row) for row in dict.fromkeys(liked[::-1].tolist()) if row != but][:_READ]
        read = [book[row] for row in rows]
        labels = Counter(label for facts in read for label in labels_of(facts))
        words = Counter(word for facts in read for word in content_words([facts.text]))
        often = {label: count for label, count in labels.most_common(_LABELS) if count > 1}
        return cls(
            user_id,
            tuple(facts.title for facts in read if facts.title)[:_TITLES],
            tuple(often),
            frozenset(word for word, count in words.items() if count > 1),
            tuple(rows),
            given or {},
            often,
            () if but is None else tuple(_nearest(book, but, [facts for facts in read if facts.title])),
        )

    def described(self, book: FactBook, language: Language) -> Person:
        """Return this person with the subjects that come up in what they liked, and without the id.

        Words that would say who somebody is are no subjects: who likes films about mothers need not be one.
        """
        found = book.shared_words.among([book[row].text for row in self.items], language, _ASKED)
        labels = {label.casefold() for label in self.counts}
        subjects = [word for word in found if word.casefold() not in labels and not any(guesses_in(word, ()))]
        return replace(self, user_id="", subjects=tuple(subjects[:_SUBJECTS]))

    def evidence(self, language: Language) -> Facts:
        """Return all that is known of this person as facts; who has no history has none.

        Args:
            language: Of the names; what was liked is told as it was read.
        """
        names, quoted, times = _EVIDENCE[language]
        said = (
            joined([quoted.format(title) for title in self.liked], language),
            joined([times.format(label, count) for label, count in self.counts.items()], language),
            joined(self.subjects, language),
        )
        return Facts("", "", {name: value for name, value in zip(names, said, strict=True) if value})

    def shared(self, facts: Facts) -> tuple[str, ...]:
        """Return the labels that this person likes and an item has."""
        own = set(labels_of(facts))
        return tuple(label for label in self.labels if label in own)


def _nearest(book: FactBook, row: int, liked: Sequence[Facts]) -> Iterator[str]:
    """Yield the titles of what has most in common with an item: rare labels, and words of the texts."""
    facts = book[row]
    labels, words = set(parts_of(facts.labels.values())), content_words([facts.text])
    near = [
        sum(book.rarity(label) for label in labels & set(parts_of(other.labels.values())))
        + _WORD * len(words & content_words([other.text]))
        for other in liked
    ]
    for at in sorted(range(len(liked)), key=lambda at: -near[at])[:_ALIKE]:
        if near[at] > 0:
            yield liked[at].title


def labels_of(facts: Facts) -> Sequence[str]:
    """Return the single labels of an item that say whether somebody likes it; where no column does, all do."""
    chosen = {name: value for name, value in facts.labels.items() if name in TASTES} or facts.labels
    return parts_of(chosen.values())
