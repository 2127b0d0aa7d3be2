"""The tabs for those who run the service: versions of the model, and experiments with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from genre.core.errors import DataError
from genre.evaluation.report import frontiers
from genre.features.text import Language
from genre.serving.candidates import DECISION
from genre.serving.experiments import outcomes
from genre.serving.experiments_page import render_experiments
from genre.serving.scenario import Scenario
from genre.serving.service import Service
from genre.serving.stores.experiments import Experiments
from genre.serving.stores.models import Version
from genre.serving.studio import markup
from genre.serving.studio.asking import caller_of, scenario_for, telling
from genre.serving.studio.frame import QUIET, Frame
from genre.serving.studio.words import say
from genre.workspace import ACCOUNT


class Versions:
    """The tab of versions."""

    def __init__(self, frame: Frame) -> None:
        """Draw it inside the current one."""
        self.frame, self.service = frame, frame.service
        add = frame.labels.add
        self.table = gr.HTML("", elem_id="versions")
        with gr.Column(elem_classes="box"):
            with gr.Row(elem_classes="last-low"):
                self.version = add(gr.Dropdown([], elem_id="version", min_width=180), label="choose_version")
                self.share = add(
                    gr.Slider(0.01, 0.99, value=0.1, step=0.01, min_width=240, elem_id="share"), label="canary_share"
                )
                self.reason = add(gr.Textbox(elem_id="reason", min_width=220), label="reason", info="reason_info")
            with gr.Row():
                self.live = add(gr.Button("", variant="primary", min_width=120, elem_id="go-live"), value="go_live")
                self.canary = add(gr.Button("", min_width=120, elem_id="try-it"), value="try_it")
                self.reject = add(gr.Button("", min_width=120, elem_id="reject"), value="reject")
                self.back = add(gr.Button("", min_width=120, elem_id="go-back"), value="go_back")
        self.checks = gr.HTML("", elem_id="checks")
        self.frontier = gr.HTML("", elem_id="frontier")
        self.outputs = [self.table, self.version, self.checks, self.frontier]

    def connect(self) -> None:
        """Say what happens when something is done; the frame must be whole."""
        inputs = [self.frame.scenario, self.frame.language, self.version, self.share, self.reason]
        for part, state in ((self.live, "live"), (self.canary, "canary"), (self.reject, "rejected"), (self.back, None)):
            part.click(self._mover(state), inputs, [*self.outputs, self.reason], **QUIET)
        where = [self.frame.scenario, self.frame.language]
        self.version.input(self.look, [*where, self.version], [self.checks], **QUIET)

    async def look(self, name: str, language: Language, version: str | None, request: gr.Request) -> str:
        """Return what the gate found of the chosen version."""
        with telling(language):
            scenario = scenario_for(self.service, request, "admin", name)
            versions = await asyncio.to_thread(scenario.versions)
            return next((checks_of(one, language) for one in versions if one.version == version), "")
        return ""

    async def show(self, name: str, language: Language, request: gr.Request) -> list[Any]:
        """Return all versions, what the gate found of the newest, and what fine-tuning has cost the live one."""
        if not caller_of(request).may("admin", name):
            return [gr.skip()] * len(self.outputs)
        with telling(language):
            scenario = scenario_for(self.service, request, "admin", name)
            return await asyncio.to_thread(self._shown, scenario, language)
        return []

    def _mover(self, state: str | None) -> Callable[..., Any]:
        """Return what brings the chosen version to a state; without one, the version before to live."""

        async def move(
            name: str, language: Language, version: str | None, share: float, reason: str, request: gr.Request
        ) -> list[Any]:
            with telling(language):
                scenario = scenario_for(self.service, request, "admin", name)
                actor = caller_of(request).key_id

                def work() -> list[Any]:
                    chosen = version or scenario.live.name
                    if state is None:
                        before = before_of(scenario.versions())
                        if before is None:
                            raise gr.Error(say("no_before", language), print_exception=False, title="Genre")
                        chosen = before.version
                    scenario.move(
                        chosen,
                        state or "live",
                        share=round(share, 2) if state == "canary" else None,
                        reason=reason,
                        actor=actor,
                    )
                    return [*self._shown(scenario, language), ""]

                shown = await asyncio.to_thread(work)
                gr.Info(say("done", language), duration=2, title="Genre")
                return shown
            return []

        return move

    def _shown(self, scenario: Scenario, language: Language) -> list[Any]:
        versions = scenario.versions()
        names = [one.version for one in versions]
        heads = [say(key, language) for key in ("choose_version", "state", "share", "decision", "created", "changed")]
        rows = [_row(one, scenario, language) for one in reversed(versions)]
        path = next((one.path for one in versions if one.version == scenario.live.name), str(scenario.run))
        return [
            markup.table(heads, rows),
            gr.update(choices=names, value=next((n for n in reversed(names) if n != scenario.live.name), names[-1])),
            checks_of(versions[-1], language),
            f"<h3>{say('frontier', language)}</h3>{frontier_of((Path(path), scenario.run), language)}",
        ]


class Comparing:
    """The tab of experiments."""

    def __init__(self, frame: Frame) -> None:
        """Draw it inside the current one."""
        self.frame, self.service = frame, frame.service
        add = frame.labels.add
        self.table = gr.HTML("", elem_id="experiments")
        with gr.Column(elem_classes="box"), gr.Row(elem_classes="last-low"):
            self.name = add(gr.Textbox(elem_id="experiment-name", min_width=160), label="new_experiment")
            self.first = add(gr.Dropdown([], elem_id="arm-first", min_width=140), label="arm_first")
            self.second = add(gr.Dropdown([], elem_id="arm-second", min_width=140), label="arm_second")
            self.share = add(gr.Slider(0.01, 0.99, value=0.5, step=0.01, min_width=240), label="share_second")
            self.start = add(gr.Button("", variant="primary", scale=0, min_width=100, elem_id="start"), value="start")
        with gr.Column(elem_classes="box"), gr.Row(elem_classes="last-low"):
            self.running = add(gr.Dropdown([], elem_id="running", min_width=200), label="running_one")
            self.stop = add(gr.Button("", scale=0, min_width=100, elem_id="stop"), value="stop")
        with gr.Column(elem_classes="box"), gr.Row(elem_classes="last-low"):
            self.of = add(gr.Dropdown([], elem_id="outcomes-of", min_width=200), label="outcomes_of")
        self.outcomes = gr.HTML("", elem_id="outcomes")
        self.lists = [self.table, self.first, self.second, self.running, self.of]
        self.outputs = [*self.lists, self.outcomes]

    def connect(self) -> None:
        """Say what happens when something is done; the frame must be whole."""
        where = [self.frame.scenario, self.frame.language]
        planned = [*where, self.name, self.first, self.second, self.share]
        look = {"fn": self.look, "inputs": [*where, self.of], "outputs": [self.outcomes], **QUIET}
        self.start.click(self.begin, planned, [*self.lists, self.name], **QUIET).success(**look)
        self.stop.click(self.end, [*where, self.running], self.lists, **QUIET).success(**look)
        self.of.input(**look)

    async def show(self, name: str, language: Language, request: gr.Request) -> AsyncIterator[list[Any]]:
        """Yield all experiments, and then what the one that runs has shown, or else the newest."""
        if not caller_of(request).may("admin", name):
            yield [gr.skip()] * len(self.outputs)
            return
        with telling(language):
            scenario = scenario_for(self.service, request, "admin", name)
            shown = await asyncio.to_thread(self._shown, scenario, language)
            called = shown[-1]["value"]
            yield [*shown, gr.skip()]
            # It reads the log of events, which takes its time where that is long.
            found = await asyncio.to_thread(outcomes_of, scenario, self.service, called, language)
            yield [*[gr.skip()] * len(self.lists), found]

    async def look(self, name: str, language: Language, called: str | None, request: gr.Request) -> str:
        """Return what an experiment has shown so far."""
        with telling(language):
            scenario = scenario_for(self.service, request, "admin", name)
            return await asyncio.to_thread(outcomes_of, scenario, self.service, called, language)
        return ""

    async def begin(
        self, name: str, language: Language, called: str, first: str | None, second: str | None, share: float,
        request: gr.Request,
    ) -> list[Any]:  # fmt: skip
        """Begin an experiment on two versions."""
        with telling(language):
            scenario, actor = scenario_for(self.service, request, "admin", name), caller_of(request).key_id

            if not first or not second:
                raise DataError("two versions are needed", place="studio", remedy="Choose the second one, too.")

            def work() -> list[Any]:
                store, part = Experiments(self.service.database), round(share, 2)
                store.begin(scenario.name, called.strip(), {first: 1 - part, second: part}, actor=actor)
                scenario.follow()
                return [*self._shown(scenario, language), ""]

            return await asyncio.to_thread(work)
        return []

    async def end(self, name: str, language: Language, called: str | None, request: gr.Request) -> list[Any]:
        """End an experiment."""
        with telling(language):
            scenario, actor = scenario_for(self.service, request, "admin", name), caller_of(request).key_id

            def work() -> list[Any]:
                Experiments(self.service.database).move(scenario.name, called or "", "stopped", actor=actor)
                scenario.catch_up()
                return self._shown(scenario, language)

            return await asyncio.to_thread(work)
        return []

    def _shown(self, scenario: Scenario, language: Language) -> list[Any]:
        found = Experiments(self.service.database).all(scenario.name)
        heads = [say(key, language) for key in ("experiment", "state", "arms", "created", "changed")]
        rows = [
            [
                f"<b>{escape(one.name)}</b>",
                markup.state(one.state, language),
                ", ".join(f"{escape(arm)} {share:.0%}" for arm, share in one.arms.items()),
                markup.date(one.created),
                markup.date(one.changed),
            ]
            for one in reversed(found)
        ]
        shown = markup.table(heads, rows) if rows else markup.hint(say("no_experiments", language))
        names = [one.version for one in scenario.versions() if one.state != "rejected"]
        running = [one.name for one in found if one.state == "running"]
        return [
            shown,
            gr.update(choices=names, value=scenario.live.name),
            gr.update(choices=names, value=next((n for n in reversed(names) if n != scenario.live.name), None)),
            gr.update(choices=running, value=running[-1] if running else None),
            gr.update(
                choices=[one.name for one in reversed(found)],
                value=next(iter([*running, *(one.name for one in reversed(found))]), None),
            ),
        ]


def outcomes_of(scenario: Scenario, service: Service, called: str | None, language: Language) -> str:
    """Return what the users of each arm of an experiment did, and whether it may be chance; empty without one."""
    planned = next((one for one in Experiments(service.database).all(scenario.name) if one.name == called), None)
    if planned is None:
        return ""
    try:
        found = outcomes(planned, service.events.since(scenario.name))
    except DataError as error:
        return f'<p class="wrong">{escape(str(error))}</p>'
    return render_experiments([found], fragment=True, language=language)


def before_of(versions: list[Version]) -> Version | None:
    """Return the version that was live before the one that is."""
    retired = [one for one in versions if one.state == "retired"]
    return max(retired, key=lambda one: one.changed, default=None)


def checks_of(version: Version, language: Language) -> str:
    """Return what the gate looked at before a version could answer, as it was written down beside it."""
    head = f"<h3>{say('checks', language)} {escape(version.version)}</h3>"
    try:
        told = json.loads((Path(version.path) / DECISION).read_text(encoding="utf-8"))
        rows = [
            [
                escape(say(f"check_{one['name']}", language)),
                say("passed", language) if one["passed"] else f'<b class="wrong">{say("failed", language)}</b>',
                escape(one["words"]),
            ]
            for one in told["checks"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return head + markup.hint(say("no_checks", language))
    return head + markup.table([say(key, language) for key in ("check", "outcome", "found_by_gate")], rows)


def frontier_of(paths: tuple[Path, ...], language: Language) -> str:
    """Return what fine-tuning has cost the writing, from the first run that tells; or say that none does."""
    for path in paths:
        try:
            account = json.loads((path / ACCOUNT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if shown := frontiers(account.get("accounts", {})):
            return "".join(
                f"<figure><figcaption><b>{escape(one.name)}</b> {escape(one.sentence)}</figcaption>"
                f'<div class="plot">{one.picture.svg}</div><figcaption>{escape(one.picture.caption)}</figcaption>'
                "</figure>"
                for one in shown
            )
    return markup.hint(say("no_frontier", language))


def _row(one: Version, scenario: Scenario, language: Language) -> list[str]:
    memory = f' <span class="chip">{say("in_memory", language)}</span>' if one.version in scenario.loaded else ""
    problem = scenario.problems.get(one.version)
    return [
        f"<b>{escape(one.version)}</b>{memory}",
        markup.state(one.state, language),
        "" if one.share is None else f"{one.share:.0%}",
        escape(one.reason) + (f'<p class="wrong">{escape(problem)}</p>' if problem else ""),
        markup.date(one.created),
        markup.date(one.changed),
    ]
