"""Whom a text is for: what is known of a person's taste, from the history alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genre.features.enrich.checks import content_words
from genre.generation.facts import FactBook, Facts

_TITLES, _LABELS, _READ = 5, 4, 50
_TASTES: Final = frozenset(
    "genre genres category categories tag tags keywords topic topics subject style section department "  # noqa: SIM905
    "类型 类别 标签 关键词".split()
)
"""Columns that say what somebody likes; a country or a director says so less. Where there is none, all do."""


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
        return cls(
            user_id,
            tuple(facts.title for facts in read if facts.title)[:_TITLES],
            tuple(label for label, count in labels.most_common(_LABELS) if count > 1),
            frozenset(word for word, count in words.items() if count > 1),
            tuple(rows),
            given or {},
        )

    def shared(self, facts: Facts) -> tuple[str, ...]:
        """Return the labels that this person likes and an item has."""
        own = set(labels_of(facts))
        return tuple(label for label in self.labels if label in own)


def labels_of(facts: Facts) -> Sequence[str]:
    """Return the single labels of an item that say whether somebody likes it; numbers are none."""
    chosen = {name: value for name, value in facts.labels.items() if name in _TASTES} or facts.labels
    parts = [part.strip() for value in chosen.values() for part in value.replace("、", ", ").split(", ")]
    return [part for part in parts if part and not part.replace(".", "").isdigit()]
