"""The log of events: who did what, or was shown what, in the order in which it became durable.

An event is known by its scenario and its id, so that sending it again does nothing. Each event of a scenario has the
next number, `seq`; whoever has read all up to one number has only those after it to read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import count
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from sqlalchemy import Connection, Select, select, update

from genre.core.errors import DataError
from genre.serving.stores.database import Database
from genre.serving.stores.tables import EVENTS, LOGS
from genre.serving.stores.values import (
    AS_JSON,
    IDS_AT_ONCE,
    Id,
    JsonObject,
    Number,
    Time,
    Whole,
    checked_id,
    chunks,
)

IMPRESSION: Final = "impression"
"""The kind of event that says that an item was shown."""
Status: TypeAlias = Literal["new", "known", "conflict"]
_LARGEST_INT: Final = 2**31 - 1
_DESCRIBED: Final[dict[str, Any]] = {
    "anyOf": [
        {"properties": {"event": {"not": {"const": IMPRESSION}}}},
        {"properties": {"list_id": {"type": "string"}}, "required": ["list_id"]},
    ]
}
"""What its form cannot say by itself: an impression has a list."""


class Event(BaseModel):
    """What a client tells: somebody did something with an item, or was shown it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_extra=_DESCRIBED)

    event_id: Id
    """Chosen by the client, another one for each event of a scenario; sent again with the event, it makes sure that the
    event counts once."""
    user_id: Id
    item_id: Id
    timestamp: Annotated[Time, Strict()] | None = None
    """When it happened, in seconds since 1970; when it was received, by default. A time after that is a wrong clock: it
    counts as when it was received, and the answer says so."""
    event: Id | None = None
    """What happened: a click, a purchase, ...; "impression" if the item was only shown."""
    value: Annotated[Number, Field(allow_inf_nan=False)] | None = None
    """How much of it: a rating, a duration, a quantity."""
    list_id: Id | None = None
    """Which items were shown together; on any other event, from which list it came."""
    position: Annotated[Whole, Field(ge=0, le=_LARGEST_INT), AS_JSON] | None = None
    """Place in the list, from 0."""
    propensity: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Probability with which the item was shown there."""
    context: JsonObject | None = None
    """Anything else worth keeping, such as the arm of an experiment."""

    @model_validator(mode="after")
    def _shown_in_a_list(self) -> Self:
        if self.event == IMPRESSION and self.list_id is None:
            raise ValueError("an impression needs `list_id`: which items were shown together")
        return self

    @property
    def digest(self) -> bytes:
        """What tells this event from another one with the same id: a hash of all that the client said."""
        # What is not said is left out, so that a field that a later version adds changes no hash.
        said = json.dumps(self.model_dump(exclude_none=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).digest()[:16]


def read_events(rows: Iterable[Mapping[str, Any]], place: str = "events") -> Iterator[Event]:
    """Yield events of rows, one at a time.

    Raises:
        DataError: A row is no event; the message has its number, from 1, and what is wrong with it.
    """
    for number, row in enumerate(rows, start=1):
        try:
            yield Event.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the event"
            raise DataError(
                f"{where}: {first['msg']} (found {str(first['input'])[:100]!r})",
                place=f"{place}, row {number}",
                remedy="Correct it and send everything again: events that are known already do not count twice.",
            ) from None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that came together."""

    scenario: str
    events: Sequence[Event]
    received: float
    """Seconds since 1970, by the server's clock."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event."""

    event_id: str
    status: Status
    """`new`: it is durable now. `known`: it was before, with the same content. `conflict`: another event was, with the
    same id, and this one is not kept."""
    seq: int
    """Its number in the scenario; in a conflict, that of the other one."""
    timestamp: float
    """The time that counts."""
    bounded: bool = False
    """Whether the client's time was after the server's, and is not the one that counts."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is kept."""

    seq: int
    event_id: str
    user_id: str
    item_id: str
    timestamp: float
    received: float
    event: str | None
    value: float | None
    list_id: str | None
    position: int | None
    propensity: float | None
    context: dict[str, Any] | None


SCHEMA: Final = pl.Schema(
    {
        "seq": pl.Int64(), "event_id": pl.String(), "user_id": pl.String(), "item_id": pl.String(),
        "timestamp": pl.Float64(), "received": pl.Float64(), "event": pl.String(), "value": pl.Float64(),
        "list_id": pl.String(), "position": pl.Int64(), "propensity": pl.Float64(), "context": pl.String(),
    }
)  # fmt: skip
"""Columns of a frame of events: those of `StoredEvent`, with the context as JSON."""
_COLUMNS: Final = [EVENTS.c[field.name] for field in fields(StoredEvent)]


class Events:
    """The log of events of all scenarios."""

    def __init__(self, database: Database) -> None:
        """Use a database."""
        self._database = database

    def append(self, batches: Sequence[Batch]) -> list[list[Outcome]]:
        """Add what is new, all of it in one transaction, and return the outcomes of each batch.

        Raises:
            DataError: A scenario's name cannot be kept.
            ResourceError: The database cannot be written; nothing was added, as far as is known, and all can be sent
                again.
        """
        by_scenario: dict[str, list[int]] = {}
        for at, batch in enumerate(batches):
            by_scenario.setdefault(checked_id(batch.scenario, "scenario"), []).append(at)
        outcomes: list[list[Outcome]] = [[] for _ in batches]
        with self._database.writing() as connection:
            # In one order, so that no two processes wait for each other.
            for scenario in sorted(by_scenario):
                places = by_scenario[scenario]
                found = self._append(connection, scenario, [batches[at] for at in places])
                for at, outcome in zip(places, found, strict=True):
                    outcomes[at] = outcome
        return outcomes

    def last(self, scenario: str) -> int:
        """Return the number of a scenario's last event; 0 where there was none."""
        with self._database.reading() as connection:
            return connection.execute(select(LOGS.c.last).where(LOGS.c.scenario == scenario)).scalar() or 0

    def of_user(
        self, scenario: str, user_id: str, *, newest: int | None = None, impressions: bool = False
    ) -> list[StoredEvent]:
        """Return a user's events, oldest first, in the order of their times and not of their arrival.

        Args:
            scenario: Where.
            user_id: Whose.
            newest: Only so many of the last ones.
            impressions: Whether what was only shown is among them.
        """
        query = select(*_COLUMNS).where(EVENTS.c.scenario == scenario, EVENTS.c.user_id == user_id)
        query = query.order_by(EVENTS.c.timestamp.desc(), EVENTS.c.seq.desc()).limit(newest)
        with self._database.reading() as connection:
            rows = connection.execute(_wanted(query, impressions=impressions)).all()
        return [StoredEvent(*row) for row in reversed(rows)]

    def since(
        self, scenario: str, after: int = 0, *, impressions: bool = True, size: int = 20_000
    ) -> Iterator[pl.DataFrame]:
        """Yield all events with a number above `after`, in the order of their numbers.

        None is ever added below a number that was read. Each frame is a query of its own, so that slow readers hold up
        nobody.

        Args:
            scenario: Where.
            after: The last number that is known.
            impressions: Whether what was only shown is among them.
            size: Rows of a frame, at most.
        """
        query = _wanted(select(*_COLUMNS).where(EVENTS.c.scenario == scenario), impressions=impressions)
        while True:
            with self._database.reading() as connection:
                part = query.where(EVENTS.c.seq > after).order_by(EVENTS.c.seq).limit(size)
                rows = [(*row[:-1], _written(row[-1])) for row in connection.execute(part)]
            if rows:
                yield pl.DataFrame(rows, schema=SCHEMA, orient="row")
                after = rows[-1][0]
            if len(rows) < size:
                return

    def _append(self, connection: Connection, scenario: str, batches: Sequence[Batch]) -> list[list[Outcome]]:
        last = self._lock(connection, scenario)
        known = _known(connection, scenario, [event.event_id for batch in batches for event in batch.events])
        numbers = count(last + 1)
        rows: list[dict[str, Any]] = []
        outcomes: list[list[Outcome]] = []
        for batch in batches:
            outcomes.append([])
            for event in batch.events:
                digest, bounded = event.digest, (event.timestamp or 0.0) > batch.received
                before = known.get(event.event_id)
                if before is None:
                    time = batch.received if event.timestamp is None or bounded else event.timestamp
                    known[event.event_id] = seq, _, _ = next(numbers), digest, time
                    rows.append(_row(scenario, event, seq, time, batch.received, digest))
                    outcomes[-1].append(Outcome(event.event_id, "new", seq, time, bounded))
                else:
                    status: Status = "known" if before[1] == digest else "conflict"
                    outcomes[-1].append(Outcome(event.event_id, status, before[0], before[2], bounded))
        if rows:
            connection.execute(EVENTS.insert(), rows)
            connection.execute(update(LOGS).where(LOGS.c.scenario == scenario).values(last=last + len(rows)))
        return outcomes

    def _lock(self, connection: Connection, scenario: str) -> int:
        """Keep others from adding to a scenario until this transaction has ended, and return the last number."""
        query = select(LOGS.c.last).where(LOGS.c.scenario == scenario).with_for_update()
        last: int | None = connection.execute(query).scalar()
        if last is None:
            connection.execute(self._database.insert(LOGS).values(scenario=scenario, last=0).on_conflict_do_nothing())
            last = connection.execute(query).scalar_one()
        return last


def _wanted(query: Select[Any], *, impressions: bool) -> Select[Any]:
    return query if impressions else query.where(EVENTS.c.event.is_distinct_from(IMPRESSION))


def _known(connection: Connection, scenario: str, ids: Sequence[str]) -> dict[str, tuple[int, bytes, float]]:
    """Return number, digest and time of those events that are in the log."""
    query = select(EVENTS.c.event_id, EVENTS.c.seq, EVENTS.c.digest, EVENTS.c.timestamp)
    # Without it, SQLite takes every scenario for a small one, and reads all its events to find a few.
    query = query.where(EVENTS.c.scenario == scenario).with_hint(EVENTS, "INDEXED BY events_by_id", "sqlite")
    return {
        row.event_id: (row.seq, bytes(row.digest), row.timestamp)
        for chunk in chunks(ids, IDS_AT_ONCE)
        for row in connection.execute(query.where(EVENTS.c.event_id.in_(chunk)))
    }


def _row(scenario: str, event: Event, seq: int, time: float, received: float, digest: bytes) -> dict[str, Any]:
    return {
        **vars(event), "scenario": scenario, "seq": seq, "timestamp": time, "received": received, "digest": digest,
    }  # fmt: skip


def _written(context: Any) -> str | None:
    return None if context is None else json.dumps(context, ensure_ascii=False)
