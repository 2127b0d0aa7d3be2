"""The tables of a service's database, as they stand after the last migration.

A change here needs a migration beside it; a test compares the two. Times are seconds since 1970, UTC. A table with a
column `user_id` holds what is known of a person: it is exported and erased with them (see `users`).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

from genre.data.columns import EVENT, ITEM_ID, LIST_ID, POSITION, PROPENSITY, TIMESTAMP, USER_ID, VALUE

METADATA: Final = MetaData()
_BIG: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is called INTEGER; it holds 64 bits all the same."""
_JSON: Final = JSON(none_as_null=True)


def _made() -> list[Column[Any]]:
    return [Column("created", Double, nullable=False), Column("changed", Double, nullable=False)]


LOGS: Final = Table(
    "logs",
    METADATA,
    Column("scenario", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""The number of each scenario's last event. Its row is locked while events are added, so that numbers become visible in
their order."""

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("scenario", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False),
    Column(USER_ID, Text, nullable=False),
    Column(ITEM_ID, Text, nullable=False),
    Column(TIMESTAMP, Double, nullable=False),
    Column("received", Double, nullable=False),
    Column(EVENT, Text),
    Column(VALUE, Double),
    Column(LIST_ID, Text),
    Column(POSITION, Integer),
    Column(PROPENSITY, Double),
    Column("context", _JSON),
    Column("digest", LargeBinary, nullable=False),
    Index("events_by_id", "scenario", "event_id", unique=True),
    Index("events_by_user", "scenario", USER_ID, TIMESTAMP, "seq"),
    sqlite_with_rowid=False,
)

ITEMS: Final = Table(
    "items",
    METADATA,
    Column("scenario", Text, primary_key=True),
    Column(ITEM_ID, Text, primary_key=True),
    Column("data", _JSON, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    *_made(),
    Index("items_by_revision", "scenario", "revision", unique=True),
)
CATALOGUES: Final = Table(
    "catalogues",
    METADATA,
    Column("scenario", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""The number of each catalogue's last change, as `logs` for events."""

USERS: Final = Table(
    "users",
    METADATA,
    Column("scenario", Text, primary_key=True),
    Column(USER_ID, Text, primary_key=True),
    Column("data", _JSON, nullable=False),
    *_made(),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", _JSON, nullable=False),
    Column("scenario", Text),
    Column("quota", BigInteger),
    Column("rate", Double),
    Column("created", Double, nullable=False),
    Column("revoked", Double),
    Index(
        "keys_by_name",
        "name",
        unique=True,
        sqlite_where=text("revoked IS NULL"),
        postgresql_where=text("revoked IS NULL"),
    ),
)
USAGE: Final = Table(
    "usage",
    METADATA,
    Column("key_id", Text, ForeignKey("keys.key_id"), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("used", BigInteger, nullable=False),
)
"""Requests of a key on a day, counted from 1970."""

MODELS: Final = Table(
    "models",
    METADATA,
    Column("scenario", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("share", Double),
    Column("reason", Text, nullable=False),
    *_made(),
    Index(
        "models_on_duty",
        "scenario",
        "state",
        unique=True,
        sqlite_where=text("state IN ('live', 'canary')"),
        postgresql_where=text("state IN ('live', 'canary')"),
    ),
)

EXPERIMENTS: Final = Table(
    "experiments",
    METADATA,
    Column("scenario", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("arms", _JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    *_made(),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", _BIG, Identity(), primary_key=True),
    Column("time", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("scenario", Text),
    Column("detail", _JSON, nullable=False),
    Index("audit_by_action", "scenario", "action", "number"),
    sqlite_autoincrement=True,
)
