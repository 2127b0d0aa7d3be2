"""The first tables: events, items, users, keys, models, experiments and the audit log."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_JSON: Final = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make the tables."""
    _events()
    _catalogue()
    _keys()
    _versions()
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("scenario", sa.Text),
        sa.Column("detail", _JSON, nullable=False),
        sqlite_autoincrement=True,
    )


def _made() -> list[sa.Column[Any]]:
    return [sa.Column("created", sa.Double, nullable=False), sa.Column("changed", sa.Double, nullable=False)]


def _events() -> None:
    op.create_table(
        "logs",
        sa.Column("scenario", sa.Text, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("scenario", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("timestamp", sa.Double, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.Column("event", sa.Text),
        sa.Column("value", sa.Double),
        sa.Column("list_id", sa.Text),
        sa.Column("position", sa.Integer),
        sa.Column("propensity", sa.Double),
        sa.Column("context", _JSON),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("events_by_id", "events", ["scenario", "event_id"], unique=True)
    op.create_index("events_by_user", "events", ["scenario", "user_id", "timestamp", "seq"])


def _catalogue() -> None:
    op.create_table(
        "items",
        sa.Column("scenario", sa.Text, primary_key=True),
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        *_made(),
    )
    op.create_index("items_by_revision", "items", ["scenario", "revision"], unique=True)
    op.create_table(
        "catalogues",
        sa.Column("scenario", sa.Text, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("scenario", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("data", _JSON, nullable=False),
        *_made(),
    )
    if op.get_context().dialect.name == "postgresql":
        # PostgreSQL keeps common values of a column to plan by, where they would outlive the person who is erased.
        for table, columns in {
            "events": ("user_id", "event_id", "list_id", "context"),
            "users": ("user_id", "data"),
        }.items():
            for column in columns:
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("scenario", sa.Text),
        sa.Column("quota", sa.BigInteger),
        sa.Column("rate", sa.Double),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("revoked", sa.Double),
    )
    valid = sa.text("revoked IS NULL")
    op.create_index("keys_by_name", "keys", ["name"], unique=True, sqlite_where=valid, postgresql_where=valid)
    op.create_table(
        "usage",
        sa.Column("key_id", sa.Text, sa.ForeignKey("keys.key_id"), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("used", sa.BigInteger, nullable=False),
    )


def _versions() -> None:
    op.create_table(
        "models",
        sa.Column("scenario", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("share", sa.Double),
        sa.Column("reason", sa.Text, nullable=False),
        *_made(),
    )
    duty = sa.text("state IN ('live', 'canary')")
    op.create_index(
        "models_on_duty", "models", ["scenario", "state"], unique=True, sqlite_where=duty, postgresql_where=duty
    )
    op.create_table(
        "experiments",
        sa.Column("scenario", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("arms", _JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        *_made(),
    )
