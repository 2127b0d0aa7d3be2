"""What is read of items and users: texts made harmless, personal data masked where they leave the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.data.dataset import Dataset, Entities
from genre.data.privacy import mask_all
from genre.features.enrich.answers import ItemSummary
from genre.features.enrich.checks import Source, content_words
from genre.features.enrich.config import ImagineConfig, ProfileConfig
from genre.features.enrich.writing import Task
from genre.features.text import Language, TextConfig, clean_text, has_text, item_texts

_LINE = 160
"""Characters of one line of a history."""
_LABELS = 6
"""Labels of a history that are told, the most frequent."""


@dataclass(frozen=True)
class Catalogue:
    """What is read of every item (I of them)."""

    ids: Sequence[str]
    sources: Sequence[Source]
    masked: int = 0
    """Pieces of personal data masked."""

    @classmethod
    def read(cls, items: Entities, config: TextConfig, *, mask: bool) -> Self:
        """Read titles, labels and texts.

        Args:
            items: The catalogue.
            config: What is read beside the title; unless it says so, the title is not read once more.
            mask: Whether to mask personal data.

        Raises:
            DataError: There are items, and not one of them has any text.
        """
        columns = [_titles(items, config.language), pl.Series(_texts(items, config), dtype=pl.String)]
        columns += [items.frame[name].list.join("\n", ignore_nulls=True).fill_null("") for name in items.roles.category]
        masked = 0
        if mask:
            found = [mask_all(column) for column in columns]
            columns, masked = [column for column, _ in found], sum(count for _, count in found)
        rows = zip(*columns, strict=True)
        sources = [Source.of(title, text, "\n".join(labels).split("\n")) for title, text, *labels in rows]
        return cls(items.vocabulary.ids.to_list(), sources, masked)

    def tasks(self) -> list[Task]:
        """Return what to summarise."""
        return [
            Task(item, source, {"title": source.title, "text": source.text})
            for item, source in zip(self.ids, self.sources, strict=True)
        ]


@dataclass(frozen=True)
class Histories:
    """What is read of the users of a training part: the lines of what they liked."""

    catalogue: Catalogue
    summaries: Mapping[str, ItemSummary]
    """By item id, as far as there are any."""
    data: Dataset
    """The training part."""

    def profile_tasks(self, config: ProfileConfig) -> list[Task]:
        """Return whom to describe: every user who likes something."""
        return [self._task(row, liked, {}) for row, liked in self._liked(config.history) if len(liked)]

    def imagine_tasks(self, config: ImagineConfig, profiles: Mapping[str, str]) -> list[Task]:
        """Return for whom to imagine items: users with few likes, but with one."""
        users = self.data.users.vocabulary.ids
        return [
            self._task(row, liked, {"count": config.count, "profile": profiles.get(users[row], "")})
            for row, liked in self._liked(config.longest_history + 1)
            if 0 < len(liked) <= config.longest_history
        ]

    def _liked(self, most: int) -> list[tuple[int, NDArray[np.int32]]]:
        """Return each user's newest likes, oldest first, each item once."""
        likes = self.data.interactions.liked().items
        found = []
        for row in range(len(likes)):
            newest_first = likes[row][::-1]
            first = np.sort(np.unique(newest_first, return_index=True)[1])[:most]
            found.append((row, newest_first[first][::-1]))
        return found

    def _task(self, row: int, liked: NDArray[np.int32], more: Mapping[str, Any]) -> Task:
        read = [self.catalogue.sources[item] for item in liked]
        lines = [self._line(int(item)) for item in liked]
        words = frozenset[str]().union(*(source.words for source in read), content_words(lines))
        ordered = frozenset[str]().union(*(source.ordered for source in read)) - words
        labels = [label for label, _ in Counter(label for one in read for label in one.labels).most_common(_LABELS)]
        left_out = sum(one.left_out for one in read)
        source = Source("", " ".join(lines), tuple(labels), frozenset(), words, ordered, left_out)
        values = {"history": [line for line in lines if line], "labels": labels, **more}
        return Task(self.data.users.vocabulary.ids[row], source, values)

    def _line(self, item: int) -> str:
        source = self.catalogue.sources[item]
        summary = self.summaries.get(self.catalogue.ids[item])
        parts = [source.title or source.text, "" if summary is None else summary.summary]
        return ": ".join(part for part in parts if part)[:_LINE]


def _titles(items: Entities, language: Language) -> pl.Series:
    """Return the titles, "" where there is none: an id says nothing."""
    column = items.frame[items.roles.text[0]] if items.roles.text else pl.Series([None] * len(items), dtype=pl.String)
    own = f"title_{language}"
    known = items.frame[own].fill_null(column) if own in items.frame.columns else column
    return pl.Series([clean_text(title or "") for title in known], dtype=pl.String)


def _texts(items: Entities, config: TextConfig) -> list[str]:
    """Return what is said of each item, beside its title unless the config names columns."""
    whole = item_texts(items, config)
    rest = replace(items, roles=replace(items.roles, text=items.roles.text[1:]))
    if config.fields is not None or config.template is not None:
        return whole
    return item_texts(rest, config) if has_text(rest) else [""] * len(items)
