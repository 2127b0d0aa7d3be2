"""What is told about items: what they are, why one is recommended, and how some differ. A model only phrases it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from genre.conversation.catalogue import Catalogue
from genre.conversation.constraints import allowed_by
from genre.conversation.listing import KeptBack, Listed
from genre.conversation.ranges import YEAR
from genre.conversation.replies import Replies, number_in_words
from genre.core.words import is_unspaced
from genre.data.columns import ITEM_ID
from genre.data.dataset import Dataset
from genre.engine import Engine
from genre.features.text import Language
from genre.generation.scenarios import ScenarioName
from genre.generation.write_config import WriteConfig
from genre.language.base import Generator
from genre.strategies.rules import ColumnRuleConfig

_EVENTS = 2
"""Liked items that an explanation names beside its reason."""


@dataclass
class Writing:
    """Texts about items by the writer, and what became of them."""

    config: WriteConfig
    generator: Generator | None
    scenario: ScenarioName
    provenance: list[dict[str, Any]]
    problems: list[str]

    def text(
        self, engine: Engine, asked: dict[str, Any], item: str, kind: str, language: Language, question: str = ""
    ) -> str:
        """Return a text; where the model fails, however it does, it is put together from the facts."""
        generator = self.generator
        for config in (self.config, self.config.model_copy(update={"generator": None})):
            try:
                (text,) = engine.write(
                    None if asked["user"] is None else [asked["user"]], histories=[asked["history"]], items=[item],
                    kinds=kind, language=language, scenario=self.scenario, question=question, config=config,
                    generator=generator,
                )  # fmt: skip
            except Exception as error:
                # A model dies in ways that no list holds: memory, a server, a library. The facts are still there.
                if generator is None:
                    raise
                self.problems.append(f"{type(error).__name__}: {error}")
                generator = None
                continue
            self.provenance.append(text)
            return str(text["text"])
        raise AssertionError("the second try has no model")


class Teller:
    """Puts into words what is known of items."""

    def __init__(self, catalogue: Catalogue, replies: Replies) -> None:
        """Keep what names things.

        Args:
            catalogue: Names labels and columns.
            replies: Has the sentences.
        """
        self._catalogue, self._replies = catalogue, replies
        self._items = catalogue.items

    def about(self, items: Sequence[str], language: Language, write: Callable[[str, str], str]) -> list[str]:
        """Return what each of some items is; `write` takes an item's id and a kind of text."""
        return [
            self._replies.say(
                "about",
                language,
                title=title,
                labels=list(self._facts(item, language).values()),
                text=write(item, "synopsis"),
            )
            for item, title in zip(items, self._replies.titles(items, language), strict=True)
        ]

    def checked(self, item: str, rules: Sequence[ColumnRuleConfig], data: Dataset, language: Language) -> str:
        """Return whether an item meets some constraints, with its facts."""
        row = int(self._items.vocabulary.rows([item])[0])
        if any(self._items.frame[rule.column][row] is None for rule in rules):
            return self._replies.say("extreme_unknown", language)
        (title,) = self._replies.titles([item], language)
        labels = list(self._facts(item, language).values())
        yes = bool(allowed_by(data, rules)[row])
        return self._replies.say("check", language, yes=yes, title=title, labels=labels)

    def explained(
        self,
        item: str,
        listed: Listed,
        rules: Sequence[ColumnRuleConfig],
        asked: dict[str, Any],
        n: int,
        kept_back: KeptBack | None,
        language: Language,
        write: Callable[[str, str], str],
    ) -> str:
        """Return why an item is on the list, or why not."""
        trace = listed.engine.why(asked["user"], item, history=asked["history"], n=n, language=language)
        row = int(self._items.vocabulary.rows([item])[0])
        forbidden = [
            self._replies.rule(rule, language) for rule in rules if not rule.build(listed.engine.data).allowed[row]
        ]
        (title,) = self._replies.titles([item], language)
        events = [event.item_id for event in trace.events[:_EVENTS]]
        text = write(item, "reason") if trace.rank is not None else ""
        return self._replies.say(
            "explain", language, title=title, rank=trace.rank, forbidden=forbidden, kept_back=kept_back, text=text,
            events=self._replies.titles(events, language) if trace.rank is not None else [],
        )  # fmt: skip

    def compared(self, items: Sequence[str], engine: Engine, asked: dict[str, Any], language: Language) -> str:
        """Return what some items share, what differs, and which the recommender puts nearest to the person's taste."""
        titles = self._replies.titles(items, language)
        facts = [self._values(item, language) for item in items]
        shared: list[str] = []
        different: list[list[str]] = [[] for _ in items]
        for column in facts[0]:
            name = self._catalogue.say_column(column, language)
            common = [value for value in facts[0][column] if all(value in other[column] for other in facts)]
            if common:
                shared.append(_named(name, common, language))
            for place, own in enumerate(facts):
                rest = [value for value in own[column] if value not in common]
                if rest:
                    different[place].append(_named(name, rest, language))
        return self._replies.say(
            "compare", language, titles=titles, shared=shared, different=list(zip(titles, different, strict=True)),
            nearer=self._nearer(items, engine, asked, language),
        )  # fmt: skip

    def extreme(self, items: Sequence[str], column: str, direction: int, language: Language) -> tuple[str, str | None]:
        """Return which of some items has the most or the least of a number, and its id."""
        rows = self._items.vocabulary.rows(list(items)).tolist()
        cells = [
            (float(value), item)
            for item, value in zip(items, self._items.frame[column].gather(rows), strict=True)
            if value is not None
        ]
        if not cells:
            return self._replies.say("extreme_unknown", language), None
        value, item = (max if direction > 0 else min)(cells, key=lambda cell: cell[0])
        (title,) = self._replies.titles([item], language)
        name = self._catalogue.say_column(column, language)
        return self._replies.say("extreme", language, title=title, column=name, value=number_in_words(value)), item

    def table(self, frame: pl.DataFrame, language: Language) -> pl.DataFrame:
        """Return a list as it is shown: with a line of facts for each item."""
        facts = ["; ".join(self._facts(item, language).values()) for item in frame[ITEM_ID]]
        return frame.select("rank", ITEM_ID, "title", pl.Series("facts", facts, pl.String), "source", "reason")

    def _nearer(self, items: Sequence[str], engine: Engine, asked: dict[str, Any], language: Language) -> str:
        """Return the title of the item that the recommender puts first for the person, "" where there is no taste."""
        if not asked["history"]:
            return ""
        only = engine.shaped([ColumnRuleConfig(kind="allow", column=ITEM_ID, values=tuple(items))])
        users = None if asked["user"] is None else [asked["user"]]
        first = only.recommend(users, histories=[[one for one in asked["history"] if one not in items]], n=1)
        known = first.filter(pl.col("source") != "popular")[ITEM_ID].to_list()
        return self._replies.titles(known, language)[0] if known else ""

    def _facts(self, item: str, language: Language) -> dict[str, str]:
        """Return an item's numbers and labels in words, those that say most first."""
        values = self._values(item, language)
        joint = ", " if language == "en" else "、"
        # A year speaks for itself, other numbers do not.
        named = {one.column for one in self._catalogue.numbers if one.measure.name != YEAR}
        return {
            column: _named(self._catalogue.say_column(column, language), said, language)
            if column in named
            else joint.join(said)
            for column, said in values.items()
            if said
        }

    def _values(self, item: str, language: Language) -> dict[str, list[str]]:
        row = int(self._items.vocabulary.rows([item])[0])
        found: dict[str, list[str]] = {}
        for column in self._items.roles.number:
            cell = self._items.frame[column][row]
            found[column] = [] if cell is None else [number_in_words(float(cell))]
        for column in self._items.roles.category:
            cell = self._items.frame[column][row]
            labels = [] if cell is None else list(cell) if isinstance(cell, (pl.Series, list)) else [cell]
            found[column] = [self._catalogue.say_label(column, str(label), language) for label in labels]
        return found


def _named(name: str, values: Sequence[str], language: Language) -> str:
    between = "" if language == "zh" and is_unspaced(name) and is_unspaced(values[0][:1]) else " "
    return name + between + (", " if language == "en" else "、").join(values)
