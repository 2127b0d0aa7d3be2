"""The tab that shows what the service tells of itself, while it happens."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any, Final

import gradio as gr
from prometheus_client.metrics import MetricWrapperBase

from genre.features.text import Language
from genre.serving.metrics import Metrics
from genre.serving.service import Service
from genre.serving.studio import markup
from genre.serving.studio.asking import caller_of
from genre.serving.studio.frame import QUIET, Frame
from genre.serving.studio.words import say

EVERY: Final = 2.0
"""Seconds between two looks."""
_KEPT: Final = 31
"""Looks that are kept: a minute."""
_STAGES: Final = ("queue", "model", "store", "write")
_FROM: Final = ("model", "memory", "popular")
_WAITS: Final = ("answers", "texts", "events")
_EVENTS: Final = ("new", "known", "conflicts")


@dataclass(frozen=True)
class Look:
    """The counters at one moment."""

    at: float
    """Seconds."""
    requests: float
    lists: dict[str, float]
    events: dict[str, float]
    times: dict[str, dict[float, float]]
    """Of each route and stage, how many took at most so many seconds."""


@dataclass
class Looks:
    """The last minute of one page."""

    kept: list[Look] = field(default_factory=list)


class Watching:
    """The tab's parts and what they do."""

    def __init__(self, frame: Frame) -> None:
        """Draw the tab inside the current one."""
        self.frame, self.service = frame, frame.service
        self.looks = gr.State(Looks())
        self.shown = gr.HTML("", elem_id="live")
        self.timer = gr.Timer(EVERY, active=False)

    def connect(self) -> None:
        """Say what happens when something is done; the frame must be whole."""
        inputs = [self.frame.scenario, self.frame.language, self.looks]
        self.timer.tick(self.show, inputs, [self.shown, self.looks], trigger_mode="once", **QUIET)

    async def show(self, name: str, language: Language, looks: Looks, request: gr.Request) -> tuple[Any, Looks]:
        """Return what goes on now, and what is kept to compare the next look with."""
        if not caller_of(request).may("read", name):
            return gr.skip(), looks
        self.service.gauges()
        kept = [*looks.kept, look_at(self.service.metrics, name)][-_KEPT:]
        return shown(kept, self.service, language), Looks(kept)


def look_at(metrics: Metrics, scenario: str) -> Look:
    """Read the counters: lists and events of a scenario, requests and times of all."""
    times: dict[str, dict[float, float]] = {}
    for metric, label in ((metrics.seconds, "route"), (metrics.stages, "stage")):
        for labels, value, _ in samples(metric, "_bucket"):
            if labels[label].startswith("/v1/") or label == "stage":
                times.setdefault(labels[label], {})[float(labels["le"])] = value
    return Look(
        at=time.monotonic(),
        requests=sum(v for labels, v, _ in samples(metrics.requests, "_total") if labels["route"].startswith("/v1/")),
        lists={by: counted(metrics.answers, scenario, "answered_by", by) for by in _FROM},
        events={status: counted(metrics.events, scenario, "status", status) for status in _EVENTS},
        times=times,
    )


def samples(metric: MetricWrapperBase, ending: str) -> list[tuple[dict[str, str], float, str]]:
    """Return labels and values of the samples of a metric whose names end so."""
    found = [one for family in metric.collect() for one in family.samples if one.name.endswith(ending)]
    return [(one.labels, one.value, one.name) for one in found]


def counted(metric: MetricWrapperBase, scenario: str, label: str, value: str) -> float:
    """Return a counter of a scenario; 0 where nothing was counted."""
    found = samples(metric, "_total")
    return sum(v for labels, v, _ in found if labels["scenario"] == scenario and labels[label] == value)


def quantile(counts: dict[float, float], share: float) -> float | None:
    """Return the time below which this share lies, from how many took at most so long, as Prometheus reckons it.

    None where nothing was counted. What took longer than the last bound counts as that bound.
    """
    bounds = sorted(counts)
    total = counts[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    wanted, below, before = share * total, 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted:
            if bound == float("inf"):
                return before
            inside = counts[bound] - below
            return before + (bound - before) * ((wanted - below) / inside if inside else 1.0)
        below, before = counts[bound], bound
    return before


def since(first: dict[float, float], last: dict[float, float]) -> dict[float, float]:
    """Return how many were counted between two looks."""
    return {bound: count - first.get(bound, 0.0) for bound, count in last.items()}


def shown(kept: list[Look], service: Service, language: Language) -> str:
    """Return the page of these looks, oldest first."""
    first, last = kept[0], kept[-1]
    seconds = max(last.at - first.at, 1e-9)

    def rate(then: float, now: float) -> float:
        return (now - then) / seconds if len(kept) > 1 else 0.0

    def lists_of(look: Look) -> float:
        return sum(look.lists.values())

    lists, events = rate(lists_of(first), lists_of(last)), rate(first.events["new"], last.events["new"])
    waiting = {what: service.metrics.waiting.labels(what)._value.get() for what in _WAITS}
    slowest = "/v1/recommend" if "/v1/recommend" in last.times else "model"
    recommend = since(first.times.get(slowest, {}), last.times.get(slowest, {}))
    tiles = [
        (f"{rate(first.requests, last.requests):.1f}", say("requests_second", language)),
        (f"{lists:.1f}", say("lists_second", language)),
        (_ms(quantile(recommend, 0.99)), say("p99", language)),
        (f"{events:.1f}", say("events_second", language)),
        (f"{sum(waiting.values()):.0f}", say("waiting", language)),
    ]
    curve = [(lists_of(b) - lists_of(a)) / max(b.at - a.at, 1e-9) for a, b in pairwise(kept)]
    rows = []
    for name in sorted(last.times, key=lambda name: (not name.startswith("/"), name)):
        recent = since(first.times.get(name, {}), last.times[name])
        number = max(last.times[name].values(), default=0) - max(first.times.get(name, {}).values(), default=0)
        called = name if name.startswith("/") else say(f"stage_{name}", language)
        shown_times = [_ms(quantile(recent, share)) for share in (0.5, 0.99)]
        rows.append([escape(called), f"{rate(0, number):.1f}", *shown_times])
    heads = [say("route", language), say("a_second", language), "p50", "p99"]
    database = say("up" if service.database_up else "down", language)
    total = ", ".join(f"{say(f'events_{status}', language)} {last.events[status]:,.0f}" for status in _EVENTS)
    queue = ", ".join(f"{say(f'waits_{what}', language)} {waiting[what]:.0f}" for what in _WAITS)
    return (
        markup.tiles(tiles)
        + markup.line(curve)
        + markup.hint(say("last_minute", language))
        + markup.table(heads, rows)
        + f"<h3>{say('answers_from', language)}</h3>"
        + markup.shares([(say(f"from_{by}", language), last.lists[by]) for by in _FROM], language)
        + markup.hint(
            f"{say('waits', language)}: {queue}. {say('since_start', language)}: {total}. "
            f"{say('database', language)}: {database}."
        )
    )


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:,.1f} ms"
