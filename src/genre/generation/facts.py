"""What is known of an item: all that a text about it may say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, TypeAlias

import polars as pl

from genre.core.errors import ConfigError
from genre.core.words import is_unspaced, words_of
from genre.data.columns import ITEM_ID
from genre.data.dataset import Entities
from genre.features.enrich.untrusted import neutralise
from genre.features.text import Language, default_columns, spoken_columns
from genre.generation.disputes import disputes_of, without_prices
from genre.generation.sentences import is_whole, together
from genre.generation.shared_words import SharedWords
from genre.training.passages import passages

TASTES: Final = frozenset(
    "genre genres category categories tag tags keywords topic topics subject subjects skill skills style section "  # noqa: SIM905
    "department 类型 类别 标签 关键词 主题 话题 学科 技能".split()
)
"""Columns that say what somebody likes; a country or a director says so less."""
_FEW: Final = 0.02
"""Share of the items below which a label of such a column is a word like others."""
_BOOLEAN: Final = frozenset({"true", "false", "yes", "no", "是", "否"})


@dataclass(frozen=True)
class Facts:
    """One item or person, in one language. What its texts ask of a language model is left out: strangers wrote them."""

    item_id: str
    title: str
    """"" where the item has no name but its id, and of a person."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What is said in few words or numbers, as `director: Jean Vigo`."""
    text: str = ""
    """What is said in sentences."""
    left_out: tuple[str, ...] = ()
    """Clauses that could pass for orders to a language model."""
    disputed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the catalogue says with several values, `year` for instance. Each may be told, since each is known; of a
    price none may, since somebody could be held to it: prices that differ are left out of labels and text."""

    @property
    def name(self) -> str:
        """The title, or the id where there is none: as harmless as the title is."""
        return self.title or neutralise(self.item_id).text or "-"

    @property
    def lines(self) -> list[str]:
        """All of it, a line for each."""
        return [self.title, *(f"{name}: {value}" for name, value in self.labels.items()), self.text]

    @property
    def is_told(self) -> bool:
        """Whether more is known than a title."""
        return bool(self.labels or self.text)


class FactBook:
    """The facts of a catalogue of I items, in one language."""

    def __init__(self, items: Entities, language: Language, *, without: str | None = None) -> None:
        """Read the columns.

        Args:
            items: The catalogue.
            language: A column `description_zh` is taken in the place of `description` for `zh`, and so on.
            without: A column that is not read.

        Raises:
            ConfigError: There is no such column.
        """
        if without is not None and without not in items.frame.columns:
            raise ConfigError(
                f"there is no column {without!r}",
                place="without",
                remedy=f"Choose from {', '.join(items.frame.columns)}.",
            )
        texts = set(items.roles.text)
        columns = default_columns(items, language)
        title = columns[:1] if texts else []
        if without is not None:
            # `description_zh` is not read in the place of `description` either.
            items = replace(items, frame=items.frame.drop(without))
        columns = [name for name in columns[len(title) :] if name != without]
        self._ids = items.frame[ITEM_ID]
        self._read: dict[int, Facts] = {}
        self._title = spoken_columns(items, [name for name in title if name != without], language)
        self._texts = spoken_columns(items, [name for name in columns if name in texts], language)
        labels = [name for name in columns if name not in texts]
        self._labels = spoken_columns(items, [*labels, *items.roles.number], language)

    def __len__(self) -> int:
        """Return I."""
        return len(self._ids)

    def __getitem__(self, row: int) -> Facts:
        """Return the facts of an item, read once."""
        if row not in self._read:
            self._read[row] = self._facts(row)
        return self._read[row]

    def _facts(self, row: int) -> Facts:
        left_out: list[str] = []

        def said(values: Mapping[str, list[str]]) -> dict[str, str]:
            found = {name: neutralise(cells[row]) for name, cells in values.items()}
            left_out.extend(clause for part in found.values() for clause in part.left_out)
            return {name: part.text for name, part in found.items() if part.text}

        title, labels, texts = said(self._title), said(self._labels), said(self._texts)
        text = _as_text(list(texts.values()))
        disputed = disputes_of(labels, text)
        if "price" in disputed:
            labels, text = without_prices(labels, text)
        return Facts(str(self._ids[row]), "".join(title.values()), labels, text, tuple(left_out), disputed)

    @cached_property
    def shared_words(self) -> SharedWords:
        """How often words stand in the titles and texts of the catalogue."""
        columns = [*self._title.values(), *self._texts.values()]
        return SharedWords([_as_text([cells[row] for cells in columns]) for row in range(len(self))])

    def rarity(self, label: str) -> float:
        """Return the logarithm of one over the share of items that have a label."""
        return math.log((1 + len(self)) / (1 + self._counts[label]))

    @cached_property
    def tastes(self) -> frozenset[str]:
        """Labels such as genres, in small letters, that many items have: of an item, they are true or not.

        In Chinese they are parts of other words too often to be found.
        """
        cells = [cell for name, values in self._labels.items() if name in TASTES for cell in values]
        counts = Counter(part for cell in cells for part in set(parts_of([cell])))
        least = max(2, _FEW * len(self))
        return frozenset(part.casefold() for part, count in counts.items() if count >= least and not is_unspaced(part))

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(part for cells in self._labels.values() for cell in cells for part in parts_of([cell]))

    @cached_property
    def common_words(self) -> frozenset[str]:
        """Words that no name is made of: those that the texts, or English passages, write without a capital somewhere.

        Where a sentence begins with one of them, its capital says nothing. Labels of one word
        are none: of an item that is called a Comedy, the facts must say so.
        """
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        texts = [*(cell for values in self._texts.values() for cell in values), *passages("en")]
        small = pl.Series(texts, dtype=pl.String).str.extract_all(r"\b\p{Ll}[\p{Ll}'’-]*")
        found = small.explode(empty_as_null=False).unique()
        labels = {words[0] for words in map(words_of, self._counts) if len(words) == 1}
        return frozenset({word for text in found for word in words_of(text)} - labels | set(ENGLISH_STOP_WORDS))


Books: TypeAlias = Callable[[Language], FactBook]
"""Returns the facts of a catalogue in a language."""


def parts_of(values: Iterable[str]) -> list[str]:
    """Return the single labels of lists in words; neither numbers nor yes and no are any."""
    parts = [part.strip() for value in values for part in value.replace("、", ", ").split(", ")]
    return [part for part in parts if part and not part.replace(".", "").isdigit() and part.casefold() not in _BOOLEAN]


def _as_text(columns: Sequence[str]) -> str:
    """Return columns one after the other, with a stop where one has none."""
    stops = [text if is_whole(text) else text + ("。" if is_unspaced(text) else ".") for text in columns[:-1]]
    return together([*stops, *columns[-1:]])
