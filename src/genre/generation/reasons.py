"""Why this item: a sentence that says only what the log and the catalogue hold.

No language model is involved: the sentence is put together from an item of the person's history, the facts that both
items share and the number of people who chose both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from genre.core.queries import Queries, Recommendations, Source
from genre.data.columns import ITEM_ID
from genre.data.dataset import Dataset, Entities
from genre.generation.shared_words import SharedWords

Language = Literal["en", "zh"]

_SENTENCES: dict[Language, dict[str, str]] = {
    "en": {
        "because": "Because you liked {title}",
        "shared": "they share {facts}",
        "words": "both speak of {words}",
        "together": "{count} people liked both",
        "popular": "Liked by {count} people",
        "new": "Hardly known yet: nobody here has liked it so far",
        "segment": "People with a similar history like it, {count} in all",
        "and": ", ",
        "clause": ": ",
        "join": "; ",
        "end": ".",
    },
    "zh": {
        "because": "因为你喜欢《{title}》",
        "shared": "共同点是{facts}",
        "words": "都提到{words}",
        "together": "有 {count} 人两个都喜欢",
        "popular": "有 {count} 人喜欢",
        "new": "还鲜为人知：目前没有人喜欢过它",
        "segment": "与你经历相似的人喜欢它，共 {count} 人喜欢",
        "and": "、",
        "clause": "：",
        "join": "；",
        "end": "。",
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
    """Finds, for each recommended item, the liked item that speaks most for it, and puts it into words."""

    def __init__(self, data: Dataset) -> None:
        """Index who liked what, and which labels each item has."""
        self._data = data
        self._likes = data.interactions.to_binary_csr(data.num_items).T.tocsr()
        self._liked_by = np.diff(self._likes.indptr)
        # With the id, since a selection of no columns has no rows.
        labels = data.items.frame.select(ITEM_ID, *data.items.roles.category)
        self._labels = [_labels_of(row[1:]) for row in labels.iter_rows()]
        self._words: dict[Language, SharedWords] = {}

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
        words = _SENTENCES[language]
        liked_by = int(self._liked_by[item])
        if best is None or source == Source.POPULAR:
            kind = "new" if liked_by == 0 else "segment" if source == Source.SEGMENT else "popular"
            return Reason(words[kind].format(count=liked_by) + words["end"], None, (), 0, liked_by)
        evidence, facts, together = best
        shared = self._shared_words(item, evidence, language) if source == Source.CONTENT else ()
        clauses = []
        if facts:
            clauses.append(words["shared"].format(facts=words["and"].join(facts)))
        if shared:
            clauses.append(words["words"].format(words=words["and"].join(shared)))
        if together:
            clauses.append(words["together"].format(count=together))
        opening = words["because"].format(title=titles[evidence])
        text = opening + (words["clause"] if clauses else "") + words["join"].join(clauses) + words["end"]
        return Reason(text, self._data.items.vocabulary.ids[evidence], facts, together, liked_by, shared)

    def _shared_words(self, item: int, evidence: int, language: Language) -> tuple[str, ...]:
        if language not in self._words:
            self._words[language] = SharedWords(_texts(self._data.items, language))
        return self._words[language].between(item, evidence)

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


def _texts(items: Entities, language: Language) -> list[str]:
    """Return all words (I,) of each item in a language: of `title_zh` in place of `title` for `zh`, and so on."""
    columns = set(items.roles.text)
    originals = [name for name in items.roles.text if name.rpartition("_")[0] not in columns]
    wanted = [
        pl.coalesce(other, name) if (other := f"{name}_{language}") in columns else pl.col(name) for name in originals
    ]
    return items.frame.select(pl.concat_str([pl.lit(""), *wanted], separator=" ", ignore_nulls=True))[:, 0].to_list()


def _labels_of(row: tuple[object, ...]) -> tuple[str, ...]:
    labels: list[str] = []
    for value in row:
        labels.extend(value if isinstance(value, list) else [] if value is None else [str(value)])
    return tuple(labels)
