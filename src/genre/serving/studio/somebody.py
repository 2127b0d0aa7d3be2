"""The tab on which somebody gets a list, says what they think of it, and has texts written about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

import gradio as gr

from genre.features.text import Language
from genre.generation.kinds import kind_of, kinds
from genre.serving.routes.answers import add_reasons, ask_of, rows_of, seconds_of
from genre.serving.routes.writing import sentences
from genre.serving.scenario import Scenario
from genre.serving.schemas import LONGEST_HISTORY, RecommendRequest, WriteRequest
from genre.serving.studio import markup
from genre.serving.studio.asking import Person, scenario_for, search, take_thumb, telling, titles
from genre.serving.studio.frame import QUIET, Frame
from genre.serving.studio.words import choices, say
from genre.strategies.diversity import DiversifyConfig

_SHOWN: Final = 10
"""Places of the list."""
_PAST: Final = 12
"""Events of a history that are shown."""
_OFFERED: Final = 200
"""Users to choose from; any other can be typed."""
_ASKING: Final = frozenset({"question", "begin", "source"})
"""What some kinds of text need, and this page has no field for."""
_TO_TEXT: Final = """() => document.querySelector("#text").scrollIntoView({behavior: "smooth", block: "nearest"})"""
NOTHING: Final[dict[str, Any]] = {"list_id": "", "items": []}


class Somebody:
    """The tab's parts and what they do."""

    def __init__(self, frame: Frame) -> None:
        """Draw the tab inside the current one."""
        self.frame, self.service = frame, frame.service
        self.history, self.exclude = gr.State([]), gr.State([])
        self.shown, self.item, self.taken = gr.State(NOTHING), gr.State(""), gr.State("")
        add = frame.labels.add
        with gr.Row(elem_classes="sides"):
            with gr.Column(scale=4, min_width=300):
                self._draw_person(add)
            with gr.Column(scale=7, min_width=320):
                self.listing = gr.HTML("", js_on_load=markup.CLICKS, elem_id="list")
        self.who = [self.mode, self.user, self.history, self.exclude]
        self.asked = [frame.scenario, frame.language, *self.who, self.diversity, self.explore]
        self.answers = [self.listing, self.past, self.shown]

    def _draw_person(self, add: Any) -> None:
        self.mode = add(
            gr.Radio(choices("mode", ("user", "history"), "en"), value="user", elem_id="mode"),
            label="mode",
            choices=("mode", ("user", "history")),
        )
        self.user = add(
            gr.Dropdown([], allow_custom_value=True, elem_id="user", filterable=True), label="user", info="user_info"
        )
        self.words = add(gr.Textbox(elem_id="search", visible=False), label="search", info="search_info")
        self.found = gr.HTML("", js_on_load=markup.CLICKS, elem_id="found")
        self.diversity = add(gr.Slider(0, 1, value=0, step=0.05, elem_id="diversity"), label="diversity")
        self.explore = add(gr.Slider(0, 0.5, value=0, step=0.05, elem_id="explore"), label="explore")
        self._draw_texts(add)
        self.past = gr.HTML("", js_on_load=markup.CLICKS, elem_id="past")

    def _draw_texts(self, add: Any) -> None:
        offered = [kind for kind in kinds() if not _ASKING & set(kind_of(kind, "en").inputs)]
        with gr.Column(elem_classes="box"):
            with gr.Row(elem_classes="last-low"):
                self.kind = add(
                    gr.Dropdown(choices("kind", offered, "en"), value="synopsis", elem_id="kind", min_width=180),
                    label="kind",
                    choices=("kind", offered),
                )
                self.go = add(gr.Button("", elem_id="write", scale=0, min_width=110), value="write")
            self.text = gr.HTML(markup.hint(say("text_hint", "en")), elem_id="text")

    def connect(self) -> None:
        """Say what happens when something is done; the frame must be whole."""
        ask = {"fn": self.ask, "inputs": self.asked, "outputs": self.answers, "trigger_mode": "always_last", **QUIET}
        fresh = {"fn": list, "outputs": [self.exclude], **QUIET}
        self.mode.input(
            lambda mode: (gr.update(visible=mode == "user"), gr.update(visible=mode == "history", value=""), "", []),
            [self.mode], [self.user, self.words, self.found, self.exclude], **QUIET,
        ).then(**ask)  # fmt: skip
        self.user.input(**fresh).then(**ask)
        gr.on([self.diversity.input, self.explore.input], **ask)
        self.words.change(
            self.look, [self.frame.scenario, self.frame.language, self.words], [self.found],
            trigger_mode="always_last", **QUIET,
        )  # fmt: skip
        chosen = [self.history, self.exclude]
        self.found.click(self.add, [self.history], [self.history, self.words, self.found], **QUIET).then(**ask)
        self.past.click(self.remove, chosen, chosen, **QUIET).then(**ask)
        self.listing.click(
            self.press,
            [self.frame.scenario, self.frame.language, *self.who, self.shown],
            [*chosen, self.item, self.taken],
            **QUIET,
        )
        self.taken.change(**ask)
        write = {
            "fn": self.write,
            "inputs": [self.frame.scenario, self.frame.language, self.frame.place, *self.who, self.item, self.kind],
            "outputs": [self.text],
            "concurrency_limit": None,
            **QUIET,
        }
        self.item.change(None, None, None, js=_TO_TEXT)
        self.item.change(**write)
        self.go.click(**write)

    def begin(self, scenario: Scenario) -> list[Any]:
        """Return what the parts in `begun` show of a scenario first."""
        users = users_of(scenario)
        mode = "user" if users else "history"
        return [
            gr.update(choices=users, value=users[0] if users else None, visible=bool(users)),
            mode,
            gr.update(visible=mode == "history", value=""),
            "",
            [],
            [],
            "",
            own_diversity(scenario),
        ]

    @property
    def begun(self) -> list[Any]:
        """The parts that `begin` is about."""
        return [self.user, self.mode, self.words, self.found, self.history, self.exclude, self.item, self.diversity]

    async def ask(
        self, name: str, language: Language, mode: str, user: str, history: list[str], exclude: list[str],
        diversity: float, explore: float, request: gr.Request,
    ) -> AsyncIterator[list[Any]]:  # fmt: skip
        """Yield the list, and once more with reasons."""
        with telling(language):
            scenario = scenario_for(self.service, request, "read", name)
            who = Person.of(mode, user, history, exclude)
            body = RecommendRequest(
                user_id=who.user_id,
                history=who.history,
                n=_SHOWN,
                exclude=who.exclude,
                diversity=None if abs(diversity - own_diversity(scenario)) < 1e-9 else diversity,
                explore=explore or None,
                reasons=language,
            )
            ask = ask_of(body, scenario)
            answer = await self.service.recommend(scenario, ask, seconds_of(body, self.service))
            version, rows = scenario.version(answer.version), rows_of(answer)
            for row, title in zip(
                rows, titles(version.engine, [row["item_id"] for row in rows], language), strict=True
            ):
                row["title"] = title
            shown = {"list_id": answer.list_id, "items": [dict(row) for row in rows]}
            how = [say(f"answered_by_{answer.answered_by}", language), f"{say('version', language)} {answer.version}"]
            if answer.arm is not None:
                how.append(f"{say('arm', language)} {answer.arm.experiment}: {answer.arm.arm}")
            top = f"<h2>{say('recommended', language)}</h2>{markup.hint(' · '.join(how))}"
            rule = markup.hint(say("thumbs_user" if who.user_id is not None else "thumbs_history", language))
            past = f"<h3>{say('history', language)}</h3>{self._past(scenario, who, language)}"
            yield [top + markup.ranked(rows, language) + rule, past, shown]
            if rows:
                await add_reasons(rows, ask, language, version, self.service)
                yield [top + markup.ranked(rows, language) + rule, past, shown]

    async def look(self, name: str, language: Language, words: str, request: gr.Request) -> str:
        """Return what a search finds."""
        with telling(language):
            engine = scenario_for(self.service, request, "read", name, counts=False).live.engine
            found = await asyncio.to_thread(search, engine, words, language)
            return markup.found(found, language, asked=bool(words.strip()))
        return ""

    async def add(self, history: list[str], event: gr.EventData) -> tuple[list[str], str, str]:
        """Add an item to what was chosen."""
        item_id = str(event.item)
        return [*(one for one in history if one != item_id), item_id][-LONGEST_HISTORY:], "", ""

    async def remove(
        self, history: list[str], exclude: list[str], event: gr.EventData
    ) -> tuple[list[str], list[str]]:  # fmt: skip
        """Take an item out of what was chosen, or of what was not wanted."""
        item_id = str(event.item)
        return [one for one in history if one != item_id], [one for one in exclude if one != item_id]

    async def press(
        self, name: str, language: Language, mode: str, user: str, history: list[str], exclude: list[str],
        shown: dict[str, Any], event: gr.EventData, request: gr.Request,
    ) -> tuple[Any, Any, Any, Any]:  # fmt: skip
        """Do what the button of an item says: a thumb is an event of a user, or a change of what was chosen."""
        item_id, what, now = str(event.item), str(event.what), uuid4().hex
        if what == "write":
            return gr.skip(), gr.skip(), f"{item_id}\0{now}", gr.skip()
        with telling(language):
            who, up = Person.of(mode, user, history, exclude), what == "up"
            if who.user_id is None:
                if up:
                    return [*(one for one in history if one != item_id), item_id], exclude, gr.skip(), now
                return history, [*exclude, item_id], gr.skip(), now
            scenario = scenario_for(self.service, request, "events", name)
            if await take_thumb(self.service, scenario, who, shown, item_id, up=up):
                gr.Info(say(f"taken_{what}", language), duration=2, title="Genre")
                return history, exclude, gr.skip(), now
            gr.Info(say("only_here", language), duration=6, title="Genre")
        return history, [*exclude, item_id], gr.skip(), now

    async def write(
        self, name: str, language: Language, place: Any, mode: str, user: str, history: list[str], exclude: list[str],
        item: str, kind: str, request: gr.Request,
    ) -> AsyncIterator[str]:  # fmt: skip
        """Yield a text as it comes, sentence by sentence."""
        item_id = item.partition("\0")[0]
        about_item = kind_of(kind, language).about == "item"
        if about_item and not item_id:
            yield markup.hint(say("text_hint", language))
            return
        with telling(language):
            scenario = scenario_for(self.service, request, "write", name)
            who = Person.of(mode, user, history, exclude)
            version, _ = scenario.answering(who.stored(scenario))
            body = WriteRequest(
                user_id=who.user_id,
                history=who.history,
                item_ids=(item_id,) if about_item else None,
                kinds=(kind,),
                language=language,
                place=place,
                stream=True,
            )
            title = titles(version.engine, [item_id], language)[0] if about_item else ""
            said: list[str] = []
            yield markup.text(title, said, language, done=False)
            writer = self.service.writer(scenario)
            async for sentence in sentences(writer.filled(body), who.stored(scenario), version, writer, self.service):
                said.append(sentence)
                yield markup.text(title, said, language, done=False)
            yield markup.text(title, said, language, done=True)

    def _past(self, scenario: Scenario, who: Person, language: Language) -> str:
        engine = scenario.answering(who.stored(scenario))[0].engine
        if who.user_id is None:
            ids = [*reversed(who.exclude), *reversed(who.history or ())]
            liked = [item_id not in who.exclude for item_id in ids]
        else:
            log = engine.log_of(who.stored(scenario) or "").reverse().head(_PAST)
            ids, liked = log["item_id"].to_list(), (log["weight"] > 0).to_list()
        shown = list(zip(ids, titles(engine, ids, language), liked, strict=True))
        return markup.past(shown, language, own=who.user_id is None)


def users_of(scenario: Scenario) -> list[str]:
    """Return users to choose from, those with a history of some length first; none where their ids are hashed."""
    engine = scenario.live.engine
    if engine.pseudonym is not None:
        return []
    lengths = engine.data.interactions.lengths
    ids = engine.data.users.vocabulary.ids
    long = [int(row) for row in (lengths >= 8).nonzero()[0][:_OFFERED]]
    rest = [int(row) for row in (lengths < 8).nonzero()[0][: _OFFERED - len(long)]]
    return [str(ids[row]) for row in [*long, *rest]]


def own_diversity(scenario: Scenario) -> float:
    """Return how much the scenario itself diversifies."""
    kept = scenario.experiment.answer.strategies
    return next((float(one.strength) for one in kept if isinstance(one, DiversifyConfig)), 0.0)
