"""Talk about what is recommended: a message and a state in, a reply and a new state out.

The recommender decides. What a person says becomes rules for it, a history that it is asked with, and a choice of
items that are near to a wish; the rest of a reply is put together from facts. A language model extracts where the
patterns find nothing, and phrases; both are checked, and a turn works without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl
from pydantic import Field

from genre.conversation.acts import CHANGES_LIST, Act, Understanding
from genre.conversation.changing import Changer
from genre.conversation.draft import Draft
from genre.conversation.extraction import Extraction
from genre.conversation.lexicon import lexicon
from genre.conversation.likeness import Likeness
from genre.conversation.listing import Listed, Lister, Who
from genre.conversation.replies import Replies
from genre.conversation.state import State
from genre.conversation.telling import Teller, Writing
from genre.conversation.understanding import Listener
from genre.core.config import Config
from genre.core.errors import ConfigError, DataError
from genre.core.run import RunContext
from genre.data.columns import ITEM_ID
from genre.engine import Engine
from genre.features.enrich.untrusted import neutralise
from genre.features.text import Language
from genre.generation.scenarios import ScenarioName
from genre.generation.sentences import first_sentences, first_words
from genre.generation.write_config import WriteConfig
from genre.language.base import Generator
from genre.language.encoders import AnyEncoder
from genre.language.hashing import HashingEncoderConfig
from genre.strategies.rules import ColumnRuleConfig

_BRIEF = 12
"""Words of a reply that was asked to be shorter and has one sentence alone."""


class ConversationConfig(Config):
    """How somebody is talked with."""

    n: int = Field(default=5, ge=1, le=100)
    """Items of a list, unless the person asks for another number."""
    most: int = Field(default=20, ge=1, le=100)
    """Items of a list at most, whatever the person asks for."""
    longest: int = Field(default=2_000, ge=1)
    """Characters of a message at most."""
    scenario: ScenarioName = "shop"
    """Where it takes place: what items are called."""
    encoder: AnyEncoder = HashingEncoderConfig()
    """What wishes in free words are compared with items by. The default needs no model, and takes any language."""
    write: WriteConfig = WriteConfig(candidates=2, draws=1)
    """How answers and explanations are written; its `generator` also reads messages of which no pattern makes sense.
    Fewer texts are drawn than elsewhere, since somebody waits."""

    def check_installed(self) -> None:
        """Make sure that the libraries of encoder and model are there.

        Raises:
            DependencyError: One of them is not.
        """
        self.encoder.check_installed()
        self.write.check_installed()


@dataclass(frozen=True, eq=False)
class Reply:
    """What is answered."""

    text: str
    """In the person's language; with the conditions in force."""
    items: pl.DataFrame
    """`rank, item_id, title, facts, source, reason`; empty where the reply has no list."""
    state: State
    """What the next turn begins with."""
    acts: tuple[Act, ...]
    """What the message was taken for."""
    understood_by: Literal["patterns", "model"]
    writer: Literal["template", "model"]
    provenance: tuple[dict[str, Any], ...] = ()
    """Of the texts about items in it, as `Engine.write` returns them."""
    problems: tuple[str, ...] = ()
    """What went wrong with the language model; the reply is then one without it."""


class Conversation:
    """Talks about one catalogue, with anybody: what is known of a person is in the state and in the log."""

    def __init__(
        self, engine: Engine, config: ConversationConfig | None = None, *, generator: Generator | None = None
    ) -> None:
        """Index what the catalogue lets people name; a model is loaded when it is first needed, and kept.

        Args:
            engine: Recommends.
            config: How to talk.
            generator: A language model in memory, in the place of one that is built from `config`.

        Raises:
            DependencyError: A library is not there.
        """
        self.config = config or ConversationConfig()
        self.config.check_installed()
        self._engine, items = engine, engine.data.items
        self._listener = Listener(items)
        self._replies = Replies(self._listener.catalogue, self.config.scenario)
        self._changer = Changer(self._listener.catalogue, self._replies, self.config.most)
        self._teller = Teller(self._listener.catalogue, self._replies)
        self._likeness = Likeness(items, self.config.encoder, RunContext(seed=engine.seed, store=engine.store))
        if generator is None and self.config.write.generator is not None:
            generator = self.config.write.generator.build()
        self._generator = generator
        self._extraction = None if self._generator is None else Extraction(self._listener, self._generator)

    def warm(self) -> None:
        """Read the catalogue's texts now, so that the first who wishes in free words does not wait for it."""
        self._likeness.to_text("anything")

    def turn(
        self, state: State, message: str, *, user: str | None = None, history: Sequence[str] | None = None
    ) -> Reply:
        """Return the reply to a message. It raises nothing for any message.

        Args:
            state: What the last reply has left; `State()` at the beginning.
            message: In English, Chinese or both.
            user: Id of the person; None for somebody who has none.
            history: Ids of liked items, oldest first, in place of what the log knows.

        Raises:
            DataError: The history names an item that is not in the catalogue.
        """
        items = self._engine.data.items
        unknown = [item for item in history or () if items.vocabulary.rows([item])[0] < 0]
        if unknown:
            raise DataError(f"{unknown[0]!r} is not in the catalogue", place="history", remedy="Use ids of its items.")
        known = state.within(items.vocabulary.ids, self._holds)
        problems: list[str] = []
        if len(message) > self.config.longest:
            heard = Understanding(state.language, (Act("problem", problem="too_long"),))
        else:
            heard = self._understood(message, known, problems)
        draft = Draft(
            known.but(language=heard.language, turns=known.turns + 1),
            heard.language,
            Lister(self._engine, self._likeness, Who(user, None if history is None else tuple(history))),
            Writing(self.config.write, self._generator, self.config.scenario, [], problems),
        )
        if known != state:
            draft.notes.append(self._say("gone", draft))
        for act in heard.acts or (Act("unknown"),):
            self._do(act, draft)
        if any(act.kind in {"undo", "forget", "forget_all"} for act in heard.acts):
            draft.state = draft.state.but(before=None)
        elif draft.state.said_so_far != known.said_so_far:
            draft.state = draft.state.but(before=known.said_so_far)
        return self._finished(draft, heard)

    def _holds(self, rule: ColumnRuleConfig) -> bool:
        """Tell whether the catalogue can keep a constraint; a state may come from another one, or be edited."""
        try:
            rule.build(self._engine.data)
        except ConfigError:
            return False
        return True

    def _understood(self, message: str, state: State, problems: list[str]) -> Understanding:
        heard = self._listener.understand(message, state)
        if heard.acts or self._extraction is None or not message.strip():
            return heard
        try:
            return self._extraction.extracted(message, state, heard.language)
        except Exception as error:
            # However a model fails, the patterns have understood what they could.
            problems.append(f"{type(error).__name__}: {error}")
            return heard

    def _do(self, act: Act, draft: Draft) -> None:
        draft.changed = draft.changed or act.kind in CHANGES_LIST
        tells = {
            "about": self._tell,
            "ask": self._tell,
            "check": self._check,
            "explain": self._explain,
            "compare": self._compare,
            "extreme": self._extreme,
            "show": self._show,
            "brief": self._shorten,
            "problem": self._problem,
        }
        if act.kind in tells:
            tells[act.kind](act, draft)
        elif not self._changer.change(act, draft) and act.kind != "recommend":
            draft.told.append(self._say(act.kind, draft, example=self._example(draft.language)))

    def _tell(self, act: Act, draft: Draft) -> None:
        language = draft.language
        asked = draft.lister.asked(draft.state)
        # Of one that could pass for an order to a language model, nothing is left to answer.
        question = neutralise(act.text).text

        def write(item: str, kind: str) -> str:
            return draft.writing.text(self._engine, asked, item, kind, language, question)

        if act.kind == "about" or not question:
            draft.told += self._teller.about(act.items, language, write)
        else:
            titles = self._replies.titles(act.items, language)
            draft.told += [
                self._say("answer", draft, title=title, text=write(item, "answer"))
                for item, title in zip(act.items, titles, strict=True)
            ]
        draft.focus = act.items

    def _check(self, act: Act, draft: Draft) -> None:
        data = self._engine.data
        draft.told += [self._teller.checked(item, act.rules, data, draft.language) for item in act.items]
        draft.focus = act.items

    def _explain(self, act: Act, draft: Draft) -> None:
        asked, language, state = draft.lister.asked(draft.state), draft.language, draft.state
        # The list that is explained is the one that was shown.
        listed = draft.lister.listed(state, max(1, len(state.shown)), language)

        def write(item: str, kind: str) -> str:
            return draft.writing.text(self._engine, asked, item, kind, language)

        for item in act.items:
            n, kept_back = max(1, len(state.shown)), draft.lister.kept_back(item, state)
            draft.told.append(self._teller.explained(item, listed, state.rules, asked, n, kept_back, language, write))
        draft.focus = act.items

    def _compare(self, act: Act, draft: Draft) -> None:
        asked = draft.lister.asked(draft.state)
        draft.told.append(self._teller.compared(act.items, self._engine, asked, draft.language))
        draft.focus = act.items

    def _extreme(self, act: Act, draft: Draft) -> None:
        text, item = self._teller.extreme(act.items, act.column, act.direction, draft.language)
        draft.told.append(text)
        draft.focus = (item,) if item else ()

    def _show(self, act: Act, draft: Draft) -> None:
        state, language = draft.state, draft.language
        lists = {name: self._replies.titles(getattr(state, name), language) for name in ("liked", "disliked", "hidden")}
        log = len(draft.lister.history(state.but(liked=(), like=())))
        draft.told.append(self._say("state", draft, log=log, **lists))
        if not self._replies.conditions(state, language):
            draft.told.append(self._say("no_conditions", draft))

    def _shorten(self, act: Act, draft: Draft) -> None:
        said = draft.state.said
        shorter = first_sentences(said, 1)
        draft.told.append(shorter if len(shorter) < len(said) else first_words(said, _BRIEF))
        draft.focus = draft.state.focus

    def _problem(self, act: Act, draft: Draft) -> None:
        question = ""
        if act.problem == "no_measure":
            question = lexicon().measures[act.text].said[draft.language].question
        draft.told.append(
            self._say(
                str(act.problem),
                draft,
                text=act.text,
                count=len(draft.state.shown),
                place=act.count,
                question=question,
                most=self.config.longest,
            )
        )

    def _finished(self, draft: Draft, heard: Understanding) -> Reply:
        language = draft.language
        frame = self._engine.recommend(histories=[[]], n=0, reasons=language)
        if draft.changed:
            frame = self._list(draft)
        elif draft.told:
            draft.state = draft.state.but(
                focus=draft.focus or draft.state.focus, last="words", said=" ".join(draft.told)
            )
        conditions = self._replies.conditions(draft.state, language, without=draft.unheard)
        said = [*draft.notes, *draft.told]
        if conditions:
            said.append(self._say("conditions", draft, said=conditions))
        written = draft.writing.provenance
        by_model = any(text["writer"] == "model" for text in written)
        return Reply(
            (" " if language == "en" else "").join(said),
            self._teller.table(frame, language),
            draft.state,
            heard.acts,
            heard.source,
            "model" if by_model else "template",
            tuple(written),
            tuple(draft.writing.problems),
        )

    def _list(self, draft: Draft) -> pl.DataFrame:
        """Return the new list, and say how it came out."""
        state, language = draft.state, draft.language
        passed = (*state.passed, *state.shown) if draft.more else ()
        draft.state = state = state.but(passed=passed)
        n = min(state.n or self.config.n, self.config.most)
        listed = draft.lister.listed(state, n, language)
        draft.notes += [self._say("no_wish", draft, text=text) for text in listed.unheard]
        draft.unheard = listed.unheard
        draft.state = state = state.but(wishes=tuple(text for text in state.wishes if text not in listed.unknown))
        ids = tuple(listed.frame[ITEM_ID])
        draft.told.append(self._said_of(listed, n, draft))
        if ids:
            draft.state = draft.state.but(shown=ids, focus=draft.focus, last="list", said="")
        return listed.frame

    def _said_of(self, listed: Listed, n: int, draft: Draft) -> str:
        if len(listed.frame):
            caps = [(self._replies.column(cap.column, draft.language), cap.most) for cap in listed.caps]
            count = len(listed.frame)
            return self._say("list", draft, count=count, wanted=n, more=draft.more, fits=listed.fits, caps=caps)
        if listed.empty:
            drops = [
                ([self._replies.condition(one, draft.language) for one in said], count) for said, count in listed.drops
            ]
            return self._say("none", draft, drops=drops)
        known = draft.lister.known(draft.state)
        return self._say("all_seen" if known else "cannot", draft)

    def _say(self, name: str, draft: Draft, **values: Any) -> str:
        return self._replies.say(name, draft.language, **values)

    def _example(self, language: Language) -> str:
        """Return a title, for those who do not know what to say."""
        return self._replies.titles([str(self._engine.data.items.vocabulary.ids[0])], language)[0]
