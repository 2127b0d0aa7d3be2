"""What is known of users: kept, exported and erased."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, select

from genre.data.columns import USER_ID
from genre.serving.stores.audit import note
from genre.serving.stores.database import Database
from genre.serving.stores.tables import METADATA, USERS
from genre.serving.stores.values import checked_id, checked_object, chunks

PERSONAL: Final = tuple(table for table in METADATA.sorted_tables if USER_ID in table.c)
"""The tables that hold something of a person: a new one belongs to them by its column."""
ERASED: Final = "users erased"
"""What the audit log calls it."""
_HIDDEN: Final = frozenset({"scenario", USER_ID, "digest"})
"""Columns that say nothing of a person that the export does not say elsewhere."""


class Users:
    """The users of all scenarios. Somebody with the same id in two scenarios is two users."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        """Use a database, and the server's clock in seconds since 1970."""
        self._database, self._now = database, now

    def put(self, scenario: str, users: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what is known of users, as JSON columns, in place of what was known before.

        Raises:
            DataError: An id or the columns of a user cannot be kept; then none of them is.
            ResourceError: The database cannot be written.
        """
        checked_id(scenario, "scenario")
        now = self._now()
        rows = [
            {"scenario": scenario, "user_id": checked_id(user_id, "user_id"), "created": now, "changed": now,
             "data": checked_object(data, f"user {user_id!r}")}
            for user_id, data in users.items()
        ]  # fmt: skip
        if not rows:
            return
        insert = self._database.insert(USERS)
        changed = {name: insert.excluded[name] for name in ("data", "changed")}
        insert = insert.on_conflict_do_update(index_elements=["scenario", "user_id"], set_=changed)
        with self._database.writing() as connection:
            # In one order, so that no two processes wait for each other.
            connection.execute(insert, sorted(rows, key=lambda row: str(row["user_id"])))

    def get(self, scenario: str, user_id: str) -> dict[str, Any] | None:
        """Return what is known of a user, their events apart; None where that is nothing."""
        query = select(USERS.c.data).where(USERS.c.scenario == scenario, USERS.c.user_id == user_id)
        with self._database.reading() as connection:
            found: dict[str, Any] | None = connection.execute(query).scalar()
        return found

    def all(self, scenario: str, *, size: int = 5_000) -> Iterator[dict[str, dict[str, Any]]]:
        """Yield what is known of all users, `size` at a time, by their ids."""
        query = select(USERS.c.user_id, USERS.c.data).where(USERS.c.scenario == scenario)
        query, last = query.order_by(USERS.c.user_id).limit(size), ""
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(query.where(USERS.c.user_id > last)).all()
            if rows:
                yield {row.user_id: row.data for row in rows}
                last = rows[-1].user_id
            if len(rows) < size:
                return

    def export(self, scenario: str, user_id: str, *, actor: str = "command line") -> dict[str, Any]:
        """Return everything that is kept of a user, ready for JSON: the rows of every table with their id.

        Args:
            scenario: Where.
            user_id: Whose.
            actor: Who asks; the audit log has this and the numbers, but nobody's id.

        Raises:
            ResourceError: The database cannot be read, or not written: nothing is handed out without an entry.
        """
        with self._database.reading() as connection:
            tables = {table.name: _rows_of(connection, table, scenario, user_id) for table in PERSONAL}
        rows = {name: len(found) for name, found in tables.items()}
        with self._database.writing() as connection:
            note(
                connection,
                time=self._now(),
                actor=actor,
                action="user exported",
                scenario=scenario,
                detail={"rows": rows},
            )
        return {"scenario": scenario, "user_id": user_id, **tables}

    def erase(
        self, scenario: str, user_ids: Sequence[str], *, actor: str = "command line", scrub: bool = True
    ) -> dict[str, int]:
        """Erase everything that is kept of users, and return how many rows of each table that was.

        Events of theirs that arrive later are kept again: whoever erases somebody stops sending first.

        Args:
            scenario: Where.
            user_ids: Whom.
            actor: Who erases; the audit log has this and the numbers, but nobody's id.
            scrub: Also write the database anew, so that nothing is left in its files. This takes as long as reading and
                writing it once; whoever erases many does it once, at the end (`Database.scrub`).

        Raises:
            ResourceError: The database cannot be written, or is not scrubbed since others use it all the time; what the
                message says was done is done.
        """
        erased = {table.name: 0 for table in PERSONAL}
        with self._database.writing() as connection:
            for chunk in chunks(user_ids, 500):
                for table in PERSONAL:
                    where = (table.c.scenario == scenario, table.c.user_id.in_(chunk))
                    erased[table.name] += connection.execute(delete(table).where(*where)).rowcount
            note(
                connection,
                time=self._now(),
                actor=actor,
                action=ERASED,
                scenario=scenario,
                detail={"users": len(user_ids), "rows": erased},
            )
        if scrub:
            self._database.scrub(*PERSONAL)
        return erased


def _rows_of(connection: Connection, table: Table, scenario: str, user_id: str) -> list[dict[str, Any]]:
    columns = [column for column in table.c if column.name not in _HIDDEN]
    query = select(*columns).where(table.c.scenario == scenario, table.c.user_id == user_id)
    rows = connection.execute(query.order_by(*table.primary_key)).mappings()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]
