"""Why this item: a sentence that says only what the log and the catalogue hold.

No language model is involved: the sentence is put together from an item of the person's history, the facts that both
items share and the number of people who chose both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from genre.core.queries import Queries, Recommendations, Source
from genre.data.columns import ITEM_ID
from genre.data.dataset import Dataset
from genre.features.enrich.untrusted import gives_orders, neutralise
from genre.features.text import Language, is_truth
from genre.generation.facts import Books, FactBook
from genre.generation.paths import NEEDS
from genre.generation.sentences import ended, joined

_SENTENCES: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "because": "Because you liked {title}",
        "shared": "they share {facts}",
        "words": "both speak of {words}",
        "together": "{count} people liked both",
        "together 1": "1 person liked both",
        "popular": "Liked by {count} people",
        "popular 1": "Liked by 1 person",
        "new": "Hardly known yet: nobody here has liked it so far",
        "segment": "People with similar taste like it; {count} people like it in all",
        "segment 1": "People with similar taste like it; 1 person likes it in all",
        "clause": ": ",
        "join": "; ",
    },
    "zh": {
        "because": "因为你喜欢《{title}》",
        "shared": "共同点是{facts}",
        "words": "都提到{words}",
        "together": "有 {count} 人两者都喜欢",
        "popular": "有 {count} 人喜欢",
        "new": "还鲜为人知：目前没有人喜欢过它",
        "segment": "与你喜好相近的人喜欢它；共有 {count} 人喜欢",
        "clause": "：",
        "join": "；",
    },
}


@dataclass(frozen=True)
class Reason:
    """One sentence, and the evidence behind it."""

    text: str
    because: str | None
    """Id of the liked item that speaks most for it."""
    facts: tuple[str, ...]
    """Category labels that both items have."""
    together: int
    """People who liked both."""
    liked_by: int
    """People who liked the recommended item."""
    words: tuple[str, ...] = ()
    """Rare words that both texts hold, where a model that reads content has spoken."""


class Reasons:
    """Finds, for each recommended item, the liked item that speaks most for it, and puts it into words.

    Titles and labels are strangers' words: each is made harmless by itself, so that an order in one takes nothing else
    with it.
    """

    def __init__(self, data: Dataset, books: Books | None = None) -> None:
        """Index who liked what, and which labels each item has.

        Args:
            data: The log and the catalogue.
            books: Returns the catalogue's facts in a language; by default they are read when they are first needed.
        """
        self._data = data
        self._books = books or cache(lambda language: FactBook(data.items, language))
        self._likes = data.interactions.to_binary_csr(data.num_items).T.tocsr()
        self._liked_by = np.diff(self._likes.indptr)
        # With the id, since a selection of no columns has no rows.
        frame = data.items.frame
        # That both are in stock speaks for nothing, nor that both need the same third item.
        said = [name for name in data.items.roles.category if not is_truth(frame[name]) and not NEEDS.search(name)]
        labels = frame.select(ITEM_ID, *said)
        self._labels = [_labels_of(row[1:]) for row in labels.iter_rows()]

    def explain(
        self, queries: Queries, recommendations: Recommendations, language: Language = "en"
    ) -> list[list[Reason]]:
        """Return a reason for every filled place of every answer, by the liked item that goes best with it."""
        titles = self._data.items.title_in(language)
        liked = queries.history.liked()
        return [
            [
                self._reason(self._best_evidence(liked.items[row], int(item)), int(item), source, titles, language)
                for item, source in zip(recommendations.item_rows[row], recommendations.sources[row], strict=True)
                if source != Source.NONE
            ]
            for row in range(len(queries))
        ]

    def proven(self, queries: Queries, recommendations: Recommendations, language: Language = "en") -> list[Reason]:
        """Return a reason for each answer of one item, that names the one event of its query whatever else is known.

        Args:
            queries: With the event in their history that is known to have raised the item, or with none: see `cited`.
            recommendations: One item for each.
            language: Of the reasons.
        """
        titles = self._data.items.title_in(language)
        found = []
        for row, (item, source) in enumerate(
            zip(recommendations.item_rows[:, 0].tolist(), recommendations.sources[:, 0], strict=True)
        ):
            named = queries.history.items[row]
            evidence = None
            if len(named):
                together, _, facts = self._between(named, item)
                evidence = int(named[0]), facts[0], int(together[0])
            found.append(self._reason(evidence, item, source, titles, language))
        return found

    def _reason(
        self,
        best: tuple[int, tuple[str, ...], int] | None,
        item: int,
        source: int,
        titles: pl.Series,
        language: Language,
    ) -> Reason:
        liked_by = int(self._liked_by[item])
        if best is not None and source != Source.POPULAR:
            evidence, facts, together = best
            shared = self._books(language).shared_words.between(item, evidence) if source == Source.CONTENT else ()
            facts, shared = _harmless(facts), _harmless(shared)
            (title,) = _harmless([titles[evidence]]) or ("",)
            text = _because(title, facts, shared, together, language)
            # What is harmless by itself need not be so side by side.
            if title and not gives_orders(text):
                return Reason(text, self._data.items.vocabulary.ids[evidence], facts, together, liked_by, shared)
        kind = "new" if liked_by == 0 else "segment" if source == Source.SEGMENT else "popular"
        return Reason(ended(_counted(kind, liked_by, language), language), None, (), 0, liked_by)

    def _best_evidence(self, history: NDArray[np.int32], item: int) -> tuple[int, tuple[str, ...], int] | None:
        """Return the history item with the highest cosine of likes plus share of common labels, if any is above 0."""
        others = np.unique(history[history != item])
        if not len(others):
            return None
        together, near, common = self._between(others, item)
        best = int(np.argmax(near))
        if together[best] == 0 and not common[best]:
            return None
        return int(others[best]), common[best], int(together[best])

    def _between(
        self, others: NDArray[np.integer], item: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], list[tuple[str, ...]]]:
        """Return, for each of some items, how many liked both, how much they have in common, and which labels."""
        people = self._likes.indices[self._likes.indptr[item] : self._likes.indptr[item + 1]]
        mine = sparse.csr_matrix(
            (np.ones(len(people), np.float32), people, np.array([0, len(people)])), shape=(1, self._likes.shape[1])
        )
        together = np.asarray((self._likes[others] @ mine.T).toarray()).ravel()
        cosine = together / np.sqrt(np.maximum(1, self._liked_by[others]) * max(1, int(self._liked_by[item])))
        labels = self._labels[item]
        common = [tuple(label for label in labels if label in self._labels[other]) for other in others]
        shared = np.array([len(facts) / max(1, len(labels)) for facts in common])
        return together, cosine + shared, common


def _because(title: str, facts: Sequence[str], shared: Sequence[str], together: int, language: Language) -> str:
    words = _SENTENCES[language]
    clauses = []
    if facts:
        clauses.append(words["shared"].format(facts=joined(facts, language)))
    if shared:
        clauses.append(words["words"].format(words=joined(shared, language)))
    if together:
        clauses.append(_counted("together", together, language))
    opening = words["because"].format(title=title)
    return ended(opening + (words["clause"] if clauses else "") + words["join"].join(clauses), language)


def _counted(kind: str, count: int, language: Language) -> str:
    words = _SENTENCES[language]
    return words.get(f"{kind} {count}", words[kind]).format(count=count)


def _harmless(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(filter(None, map(_neutral, values)))


@lru_cache(maxsize=1 << 16)
def _neutral(value: str) -> str:
    return neutralise(value).text


def _labels_of(row: tuple[object, ...]) -> tuple[str, ...]:
    labels: list[str] = []
    for value in row:
        labels.extend(value if isinstance(value, list) else [] if value is None else [str(value)])
    return tuple(labels)
