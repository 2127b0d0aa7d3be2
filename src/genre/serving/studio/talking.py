"""The tab on which somebody talks with the service about the catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import gradio as gr

from genre.features.text import Language
from genre.serving.routes.writing import replied
from genre.serving.schemas import ChatRequest
from genre.serving.studio import markup
from genre.serving.studio.asking import Person, scenario_for, telling
from genre.serving.studio.frame import QUIET, Frame
from genre.serving.studio.somebody import Somebody
from genre.serving.studio.words import say

NEW: Final[dict[str, Any]] = {"turns": [], "state": None}


class Talking:
    """The tab's parts and what they do."""

    def __init__(self, frame: Frame, somebody: Somebody) -> None:
        """Draw the tab inside the current one."""
        self.frame, self.service, self.somebody = frame, frame.service, somebody
        self.kept = gr.State(NEW)
        self.who = gr.HTML("", elem_id="talking-as")
        self.talk = gr.HTML(markup.hint(say("chat_hint", "en")), elem_id="talk", autoscroll=True)
        with gr.Row(elem_classes="last-low"):
            self.message = frame.labels.add(
                gr.Textbox(elem_id="message", scale=6, min_width=200, lines=1, max_lines=4), label="message"
            )
            self.send = frame.labels.add(
                gr.Button("", variant="primary", scale=0, min_width=90, elem_id="send"), value="send"
            )
            self.again = frame.labels.add(gr.Button("", scale=0, min_width=130, elem_id="again"), value="again")

    def connect(self) -> None:
        """Say what happens when something is done; the frame must be whole."""
        frame = self.frame
        gr.on(
            [self.message.submit, self.send.click],
            self.turn,
            [frame.scenario, frame.language, frame.place, *self.somebody.who, self.message, self.kept],
            [self.talk, self.message, self.kept],
            concurrency_limit=None,
            **QUIET,
        )
        self.again.click(self.anew, [frame.language], [self.talk, self.kept], **QUIET)

    async def turn(
        self, name: str, language: Language, place: Any, mode: str, user: str, history: list[str], exclude: list[str],
        message: str, kept: dict[str, Any], request: gr.Request,
    ) -> AsyncIterator[tuple[Any, ...]]:  # fmt: skip
        """Yield what was said, and then with the reply to it."""
        if not message.strip():
            yield gr.skip(), gr.skip(), gr.skip()
            return
        turns = [*kept["turns"], ("you", message.strip(), [])]
        yield markup.talk(turns, language, waits=True), "", gr.skip()
        with telling(language):
            scenario = scenario_for(self.service, request, "write", name)
            who = Person.of(mode, user, history, exclude)
            body = ChatRequest(
                user_id=who.user_id, history=who.history, message=message.strip(), state=kept["state"], place=place
            )
            version, _ = scenario.answering(who.stored(scenario))
            writer = self.service.writer(scenario)
            reply = await replied(writer.filled(body), who.stored(scenario), version, writer, self.service)
            turns = [*turns, ("it", reply.text, reply.items.select("title", "reason").rows())]
            yield markup.talk(turns, language), "", {"turns": turns, "state": reply.state.to_json()}

    async def anew(self, language: Language) -> tuple[str, dict[str, Any]]:
        """Forget what was said."""
        return markup.talk([], language), NEW

    async def show(
        self, name: str, language: Language, mode: str, user: str, history: list[str], exclude: list[str],
        kept: dict[str, Any],
    ) -> tuple[str, str]:  # fmt: skip
        """Return as whom one talks, and what was said."""
        who = Person.of(mode, user, history, exclude)
        words = who.user_id or say("chat_chosen" if who.history else "chat_nobody", language)
        return markup.hint(f"{say('chat_with', language)}: {words}"), markup.talk(kept["turns"], language)
