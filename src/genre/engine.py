"""All that one model answers over one data set: lists, and the texts about what is in them.

Shapes: B queries, n answers for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genre.answering import Answering, require_count
from genre.core.queries import Candidates, Queries, Recommendations, Source
from genre.core.run import Progress, RunContext, Silent
from genre.features.text import Language
from genre.generation.desk import Desk
from genre.generation.evidence import proven
from genre.generation.facts import FactBook
from genre.generation.own_data import OwnData
from genre.generation.scenarios import ScenarioName
from genre.generation.trace import Trace, decided
from genre.generation.wanted import Brief
from genre.generation.write_config import WriteConfig
from genre.language.base import Generator


@dataclass(frozen=True, eq=False)
class Engine(Answering):
    """Recommends, and writes about what it recommends: nothing that is not in the facts."""

    def write(
        self,
        users: str | Sequence[str] | None = None,
        *,
        histories: Sequence[Sequence[str]] | None = None,
        items: str | Sequence[str] | None = None,
        n: int = 5,
        kinds: str | Sequence[str] = "synopsis",
        language: Language = "en",
        scenario: ScenarioName = "shop",
        question: str = "",
        begin: str = "",
        without: str | None = None,
        config: WriteConfig | None = None,
        generator: Generator | None = None,
        progress: Progress | None = None,
    ) -> list[dict[str, Any]]:
        """Write about what is recommended, and about whom it is recommended to; nothing that is not in the facts.

        Args:
            users: Ids; None asks for every known user. Somebody unknown is answered without a history.
            histories: For each user, the ids of liked items, oldest first, in place of what the log knows.
            items: Ids to write about in place of what would be recommended.
            n: Answers for each user.
            kinds: What is written, such as `title` or `synopsis`, or the path of a file of your own. A `profile` is
                about the person, and a `path` about all n items in an order: there is one for each user.
            language: Of the texts; facts are in it too where the catalogue has them.
            scenario: Where the texts are shown.
            question: What is asked about the items, for kinds that answer.
            begin: What is continued, for kinds that continue; "" continues each item's own first sentence.
            without: A column of the catalogue that is no fact here.
            config: How they are written; by default put together from the facts, without a language model.
            generator: A language model in memory, in the place of one that is built from `config` for these texts.
            progress: Shows how far it has come.

        Returns:
            For each user, item and kind `user_id, rank, item_id, title, kind, language, text, writer, provenance`;
            rank, item and title are None for what is not about one item.

        Raises:
            ConfigError: `n` is negative, there is no such kind, there are not as many histories as users, or the
                question or the beginning could pass for an order to a language model.
            DataError: A history or `items` names an item that is not in the catalogue.
            DependencyError: The language model is not there.
        """
        require_count(n, "write")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        brief = Brief.of(kinds, language, scenario, question=question, begin=begin)
        items = [items] if isinstance(items, str) else items
        desk = self._desk(brief, config, generator, progress, without=without, chosen=items is not None)
        names, queries = self.asked([users] if isinstance(users, str) else users, histories)
        return desk.write(names, queries, self._subjects(queries, items, n if brief.is_about_items else 0))

    def stream(
        self,
        user: str | None,
        item_id: str | Sequence[str] | None = None,
        *,
        history: Sequence[str] | None = None,
        n: int = 5,
        kind: str = "synopsis",
        language: Language = "en",
        scenario: ScenarioName = "shop",
        question: str = "",
        begin: str = "",
        config: WriteConfig | None = None,
        generator: Generator | None = None,
        about: dict[str, Any] | None = None,
    ) -> Iterator[str]:
        """Yield one text for somebody, sentence by sentence, each when it is known that it may be shown.

        Args:
            user: Id; None with a history of somebody who has none.
            item_id: The item; several for a kind about several, for which None takes what is recommended.
            history: Ids of liked items, oldest first, in place of what the log knows.
            n: Recommended items that a kind about several is about.
            kind: What is written; see `write`.
            language: Of the text.
            scenario: Where it is shown.
            question: What is asked about it, for a kind that answers.
            begin: What is continued, for a kind that continues.
            config: How it is written.
            generator: A language model in memory, in the place of one that is built from `config` for this text.
            about: Filled with where the text comes from, as far as it is known with each sentence: `writer` and what
                else a row of `write` has as `provenance`.

        Raises:
            ConfigError: There is neither a user nor a history, no such kind, or no item for a kind about one,
                or the question or the beginning could pass for an order to a language model.
            DataError: The item, or one of the history, is not in the catalogue.
            DependencyError: The language model is not there.
        """
        require_count(n, "stream")
        brief = Brief.of([kind], language, scenario, question=question, begin=begin, place="stream")
        desk = self._desk(brief, config, generator, chosen=item_id is not None)
        names, query = self._ask_one(user, history, "stream")
        items = [item_id] if isinstance(item_id, str) else item_id
        return desk.stream(names, query, self._subjects(query, items, n if brief.is_about_several else 0), about)

    def why(
        self,
        user: str | None,
        item_id: str,
        *,
        history: Sequence[str] | None = None,
        n: int = 10,
        language: Language = "en",
        rng: np.random.Generator | None = None,
    ) -> Trace:
        """Tell how an item came to be recommended to somebody, or why it was not.

        Which events raised it is found by leaving out each in turn and asking the model again.

        Args:
            user: Id; None with a history of somebody who has none.
            item_id: The item.
            history: Ids of liked items, oldest first, in place of what the log knows.
            n: Length of the list that is shown.
            language: Of titles and of the reason.
            rng: Of strategies that leave something to chance: one like that of the answer that is asked about.

        Raises:
            ConfigError: There is neither a user nor a history.
            DataError: The item, or one of the history, is not in the catalogue.
        """
        require_count(n, "why")
        item = int(self._item_rows([item_id])[0])
        names, query = self._ask_one(user, history, "why")
        return decided(
            str(names[0]),
            query,
            item,
            model=self.model,
            parts=[
                (str(getattr(config, "kind", "")), part) for config, part in zip(self.shaping, self._parts, strict=True)
            ],
            ranked=lambda candidates: self._ranked(query, n, candidates),
            n=n,
            rng=np.random.default_rng(self.seed) if rng is None else rng,
            data=self.data,
            reasons=self._reasons,
            language=language,
        )

    def _desk(
        self,
        brief: Brief,
        config: WriteConfig | None,
        generator: Generator | None = None,
        progress: Progress | None = None,
        *,
        without: str | None = None,
        chosen: bool = False,
    ) -> Desk:
        """Return what writes by a brief; items that were chosen by somebody need not obey the rules."""
        settings = config or WriteConfig()
        settings.check_installed()
        run = RunContext(seed=self.seed, store=self.store, progress=progress or Silent())
        own = OwnData(self.data.users, settings.address_by)

        def explain(queries: Queries, answer: Recommendations) -> list[list[str]]:
            candidates = Candidates() if chosen else self.candidates(queries)
            found = proven(self.model, self._reasons, queries, answer, candidates, brief.language)
            return [[reason.text for reason in some] for some in found]

        def book(language: Language) -> FactBook:
            return self._book(language, without)

        return Desk(self.data.items, book, explain, brief, settings, run, own, generator=generator)

    def _subjects(self, queries: Queries, items: Sequence[str] | None, n: int) -> Recommendations:
        """Return these items for everybody, or the n that are recommended to each."""
        if items is None:
            return self.answer(queries, n)
        rows = self._item_rows(items)
        one = Recommendations.empty(len(queries), len(rows))
        one.item_rows[:], one.scores[:], one.sources[:] = rows, 0.0, Source.PERSONAL
        return one
