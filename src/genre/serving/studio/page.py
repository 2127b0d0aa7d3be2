"""The page: its tabs, and what happens when it is opened or turned to another scenario or language."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import gradio as gr

from genre.features.text import Language
from genre.serving.service import Service
from genre.serving.studio import markup
from genre.serving.studio.asking import caller_of, scenario_for, telling
from genre.serving.studio.frame import QUIET, Frame, head_of, place_of
from genre.serving.studio.operating import Comparing, Versions
from genre.serving.studio.somebody import Somebody
from genre.serving.studio.talking import NEW, Talking
from genre.serving.studio.watching import Watching
from genre.serving.studio.words import language_of, say

_FONTS: Final = (
    "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "sans-serif",
)  # fmt: skip
"""Of the reader's machine: none is loaded."""

_ADMINS: Final = ("versions", "experiments")
"""Tabs that only administrators see."""


def look() -> dict[str, Any]:
    """Return colours, fonts and styles of the page."""
    hue = gr.themes.Color(
        "#eef7fb", "#d6ecf5", "#aed8ea", "#7cbfda", "#3f9dc2", "#1a7fa9", "#0b6e99", "#0a5a7d", "#0b4a66", "#0c3d54",
        "#082838",
    )  # fmt: skip
    theme = gr.themes.Base(
        primary_hue=hue,
        neutral_hue="slate",
        radius_size="md",
        font=[gr.themes.Font(name) for name in _FONTS],
        font_mono=[gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")],
    )
    css = files("genre.serving.studio").joinpath("studio.css").read_text(encoding="utf-8")
    return {"theme": theme, "css": css}


def make_page(service: Service) -> gr.Blocks:
    """Return the page of a service."""
    blocks: gr.Blocks
    with gr.Blocks(title="Genre", analytics_enabled=False) as blocks:
        _Page(service)
    blocks.queue(default_concurrency_limit=None, api_open=False)
    return blocks


class _Page:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.frame = frame = Frame(service)
        frame.build()
        self.tabs: dict[str, gr.Tab] = {}
        with gr.Tabs(elem_id="tabs"):
            with self._tab("somebody"):
                self.somebody = Somebody(frame)
            with self._tab("chat"):
                self.talking = Talking(frame, self.somebody)
            with self._tab("versions"):
                self.versions = Versions(frame)
            with self._tab("experiments"):
                self.comparing = Comparing(frame)
            with self._tab("live"):
                self.watching = Watching(frame)
        self._connect()

    def _tab(self, name: str) -> gr.Tab:
        # Gradio can show a tab that was hidden, and not the other way round.
        tab = gr.Tab(say(f"tab_{name}", "en"), id=name, elem_id=f"tab-{name}", visible=name not in _ADMINS)
        self.tabs[name] = tab
        self.frame.labels.add(tab, label=f"tab_{name}")
        return tab

    def _connect(self) -> None:
        frame, somebody = self.frame, self.somebody
        for part in (somebody, self.talking, self.versions, self.comparing, self.watching):
            part.connect()
        where = [frame.scenario, frame.language]
        ask = {"fn": somebody.ask, "inputs": somebody.asked, "outputs": somebody.answers, **QUIET}
        showing: dict[str, dict[str, Any]] = {
            "chat": {
                "fn": self.talking.show,
                "inputs": [*where, *somebody.who, self.talking.kept],
                "outputs": [self.talking.who, self.talking.talk],
            },
            "versions": {"fn": self.versions.show, "inputs": where, "outputs": self.versions.outputs},
            "experiments": {"fn": self.comparing.show, "inputs": where, "outputs": self.comparing.outputs},
            "live": {
                "fn": self.watching.show,
                "inputs": [*where, self.watching.looks],
                "outputs": [self.watching.shown, self.watching.looks],
            },
        }
        for name, tab in self.tabs.items():
            tab.select(self._timing(name), None, [self.watching.timer], **QUIET)
            if name in showing:
                tab.select(**showing[name], **QUIET)
        opened = gr.on(None, self._open, None, [frame.scenario, frame.place, frame.language, *somebody.begun], **QUIET)
        renamed = opened.then(self._rename, where, self._named, **QUIET)
        renamed.then(**ask)
        spoken = frame.language.input(self._rename, where, self._named, **QUIET)
        turned = frame.scenario.input(
            self._turn, [frame.scenario], [frame.place, *somebody.begun, self.talking.kept], **QUIET
        )
        for changed in (spoken, turned):
            changed.then(**ask)
            for shown in showing.values():
                changed.then(**shown, **QUIET)

    @property
    def _named(self) -> list[Any]:
        return [*self.frame.labels.parts, self.frame.head, self.somebody.text]

    def _timing(self, name: str) -> Any:
        async def timing() -> gr.Timer:
            return gr.Timer(active=name == "live")

        return timing

    async def _open(self, request: gr.Request) -> list[Any]:
        """Return what is shown first: the scenarios that the caller may see, in the language of their browser."""
        language = language_of(dict(request.headers).get("accept-language", ""))
        caller = caller_of(request)
        names = [name for name in sorted(self.service.scenarios) if caller.may("read", name)]
        with telling(language):
            scenario = scenario_for(self.service, request, "read", next(iter(names), None), counts=False)
            return [
                gr.update(choices=names, value=names[0], visible=len(names) > 1),
                place_of(names[0]),
                language,
                *self.somebody.begin(scenario),
            ]
        return []

    async def _rename(self, name: str, language: Language, request: gr.Request) -> list[Any]:
        """Return what all parts are called in a language; tabs for administrators are shown to them."""
        updates = self.frame.labels.updates(language)
        if caller_of(request).may("admin", name):
            shown = [self.tabs[tab] for tab in _ADMINS]
            for part, update in zip(self.frame.labels.parts, updates, strict=True):
                if part in shown:
                    update["visible"] = True
        return [
            *(gr.update(**update) for update in updates),
            head_of(language, leave=not self.service.is_open),
            markup.hint(say("text_hint", language)),
        ]

    async def _turn(self, name: str, request: gr.Request) -> list[Any]:
        """Return what is shown first of another scenario."""
        if not caller_of(request).may("read", name):
            return [gr.skip()] * (len(self.somebody.begun) + 2)
        return [place_of(name), *self.somebody.begin(self.service.scenario(name)), NEW]
