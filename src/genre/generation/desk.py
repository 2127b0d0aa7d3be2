"""Where texts are written: from answers to rows with texts, or to one text sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import polars as pl

from genre.core.errors import ConfigError
from genre.core.queries import Queries, Recommendations
from genre.core.run import RunContext
from genre.data.columns import ITEM_ID, USER_ID
from genre.data.dataset import Entities
from genre.generation.facts import Books
from genre.generation.own_data import OwnData
from genre.generation.wanted import Brief, Explain, Wanted, Wishes, numbered
from genre.generation.write_config import WriteConfig
from genre.generation.writer import writer_of
from genre.language.base import Generator


class Desk:
    """Writes by a brief about a catalogue."""

    def __init__(
        self,
        items: Entities,
        books: Books,
        explain: Explain,
        brief: Brief,
        config: WriteConfig,
        run: RunContext,
        own: OwnData,
        *,
        generator: Generator | None = None,
    ) -> None:
        """Read the catalogue; no language model is loaded yet.

        Args:
            items: The catalogue.
            books: Returns its facts in a language.
            explain: Finds the evidence.
            brief: What is to be written.
            config: How it is written.
            run: Store of what was written before, and progress.
            own: What people agreed to be addressed by.
            generator: A language model that is there already, in the place of the config's.

        Raises:
            ConfigError: A column that is to be left out is not there.
        """
        self._items, self._language = items, brief.language
        self._wishes = Wishes(items, books, explain, brief, own)
        book = self._wishes.book
        self._writer = writer_of(
            config, run, common_words=book.common_words, labels=book.tastes, own=own, generator=generator
        )

    def write(self, names: pl.Series, queries: Queries, answer: Recommendations) -> list[dict[str, Any]]:
        """Return a row for each text; see `genre.engine.Engine.write`.

        Args:
            names: (B,) ids of those who asked.
            queries: Their histories.
            answer: (B, n) what is recommended to them.
        """
        wanted = list(self._wishes.of(names.to_list(), queries, answer))
        parts = iter(self._writer.write([request for one in wanted for request in one.requests]))
        ids, titles = self._items.vocabulary.ids, self._items.title_in(self._language)

        def row_of(one: Wanted) -> dict[str, Any]:
            text = one.whole([next(parts) for _ in one.requests])
            item = (None, None) if one.row is None else (ids[one.row], titles[one.row])
            about = {USER_ID: one.user_id, "rank": one.rank, ITEM_ID: item[0], "title": item[1]}
            return about | {"kind": one.kind.name, "language": self._language, **asdict(text)}

        return [row_of(one) for one in wanted]

    def stream(
        self, names: pl.Series, queries: Queries, answer: Recommendations, about: dict[str, Any] | None = None
    ) -> Iterator[str]:
        """Yield the one text that is wanted, sentence by sentence.

        Args:
            names: The id of who asked.
            queries: Their history.
            answer: What it is about.
            about: Filled with where the text comes from, as far as it is known with each sentence.

        Raises:
            ConfigError: More than one is, or none.
        """
        wanted = list(self._wishes.of(names.to_list(), queries, answer))
        if len(wanted) != 1:
            raise ConfigError(
                f"one text is shown as a stream, and these are {len(wanted)}",
                place="stream",
                remedy="Give one user and one kind, and an item for a kind about one item.",
            )
        return self._streamed(wanted[0], {} if about is None else about)

    def _streamed(self, wanted: Wanted, about: dict[str, Any]) -> Iterator[str]:
        for at, request in enumerate(wanted.requests, 1):
            is_step, told = wanted.kind.about == "items", dict[str, Any]()
            for sentence in self._writer.stream(request, told):
                about.update(told)
                yield numbered(at, sentence) if is_step else sentence
                is_step = False
