"""What a service tells Prometheus of itself: how fast, how full, how well; nothing of any person."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30)
"""Bounds of the histograms of times: finest where requests for recommendations are."""
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The gauges, counters and histograms of one service."""

    def __init__(self) -> None:
        """Begin at zero, in a registry of its own: a process may hold several services."""
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self.requests = Counter("genre_requests", "Requests.", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "genre_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.stages = Histogram(
            "genre_stage_seconds",
            "Time of a stage: `queue` until a model begins, `model` for a batch, `store` until events are on the disk, "
            "`write` for texts and conversations.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "genre_batch_size", "Questions that a model answered together.", buckets=_SIZES, registry=registry
        )
        self.waiting = Gauge(
            "genre_waiting",
            "What waits: `answers`, `texts`, `events`; `reads` and `changes` of the stores, `erasures`; `plain`: long "
            "bodies, and texts from facts.",
            ["what"],
            registry=registry,
        )
        self.aside = Gauge(
            "genre_rank_aside_up", "Whether there is a process of its own that ranks.", registry=registry
        )
        self.answers = Counter(
            "genre_answers",
            "Lists by where they came from: `model`, `memory` or `popular`.",
            ["scenario", "answered_by"],
            registry=registry,
        )
        self.late = Counter("genre_late", "Questions that a model did not answer in time.", registry=registry)
        self.failed = Counter(
            "genre_model_errors", "Questions that a model failed at.", ["scenario"], registry=registry
        )
        self.events = Counter(
            "genre_events", "Events by what became of them.", ["scenario", "status"], registry=registry
        )
        self.refused = Counter("genre_refused", "Requests refused, by why.", ["why"], registry=registry)
        self.texts = Counter("genre_texts", "Texts by who wrote them.", ["writer"], registry=registry)
        self.words = Counter("genre_text_characters", "Characters of the texts that were shown.", registry=registry)
        self.tokens = Counter(
            "genre_tokens",
            "Tokens of the language model: `read` in what it was asked, `written` in what it answered, shown or not.",
            ["what"],
            registry=registry,
        )
        self.cache = Counter(
            "genre_cache",
            "Looks at what is kept, `hit` or `miss`: `lists` to stand in for a slow model, what `conversations` need.",
            ["cache", "result"],
            registry=registry,
        )
        self.behind = Gauge(
            "genre_events_behind", "Events of the store that the live version does not know yet.", ["scenario"],
            registry=registry,
        )  # fmt: skip
        self.version = Gauge(
            "genre_version", "1 for the versions on duty, by their state.", ["scenario", "version", "state"],
            registry=registry,
        )  # fmt: skip
        self.broken = Gauge(
            "genre_broken_versions", "Versions on duty in the store that could not be loaded.", ["scenario"],
            registry=registry,
        )  # fmt: skip
        self.gate = Counter("genre_gate", "Decisions on new versions.", ["scenario", "decision"], registry=registry)
        self.drift = Gauge(
            "genre_drift", "How far the newest observations are from the reference.", ["scenario", "what"],
            registry=registry,
        )  # fmt: skip
        self.database = Gauge("genre_database_up", "Whether the database answered last time.", registry=registry)

    def wrote(self, writer: str, text: str) -> None:
        """Count a text that is shown."""
        self.texts.labels(writer).inc()
        self.words.inc(len(text))

    def looked(self, cache: str, *, found: bool) -> None:
        """Count a look at what is kept."""
        self.cache.labels(cache, "hit" if found else "miss").inc()

    def page(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)
