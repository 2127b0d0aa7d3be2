"""What a client gets where that is put together elsewhere: reasons, people, experiments, health."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from genre.serving.schemas import Form


class WhyStage(Form):
    """What one stage made of the item."""

    name: str
    """The answering model, its members by their names, then the strategies by their kinds."""
    rank: int | None
    score: float | None


class WhyEvent(Form):
    """An event of the history that raised the item."""

    item_id: str
    title: str
    drop: float | None
    """By how much the model's score falls without it; None where the model has none then."""
    rank_without: int | None
    """The item's place without it; None where it would not be in the list."""


class WhyReply(Form):
    """How an item was decided for somebody."""

    user_id: str | None
    item_id: str
    title: str
    source: Literal["personal", "content", "segment", "popular", "none"]
    """Where it comes from; `none` where it is no answer."""
    rank: int | None
    """In the final list; None where it is not in it."""
    stages: list[WhyStage]
    forbidden_by: list[str]
    """Rules that forbid the item, by their kinds."""
    events: list[WhyEvent]
    """What raised it, the strongest first."""
    facts: list[str]
    """Labels that it shares with the event that the reason names."""
    words: list[str]
    """Rare words that it shares with it."""
    reason: str
    scenario: str
    version: str


class LoggedEvent(Form):
    """An event of the log that the model was made with."""

    item_id: str
    timestamp: int
    weight: float


class UserReply(Form):
    """All that is kept of somebody."""

    scenario: str
    user_id: str
    events: list[dict[str, JsonValue]]
    """As they were sent, less what was left out, with what the service has noted of each."""
    users: list[dict[str, JsonValue]]
    """What is known of the user."""
    log: list[LoggedEvent]


class ExperimentReply(Form):
    """An experiment as it is known."""

    name: str
    arms: dict[str, float]
    state: Literal["planned", "running", "stopped"]
    reason: str
    created: float
    changed: float


class Ready(Form):
    """Whether requests can be taken."""

    status: Literal["ok", "draining"]
    database: Literal["up", "down"]
    """Lists are answered while it is down, and events are not."""
    scenarios: dict[str, str] | None = None
    """The version that is live in each; told only where no key is needed."""
    problems: list[str] | None = None
