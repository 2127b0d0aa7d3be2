"""The audit log: who changed what, and when. It names no user, so that it can be kept when one is erased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from genre.serving.stores.database import Database
from genre.serving.stores.tables import AUDIT


@dataclass(frozen=True, slots=True)
class Entry:
    """One action of an administrator."""

    number: int
    time: float
    """Seconds since 1970."""
    actor: str
    """The id of a key, "command line", or "background job"."""
    action: str
    """A few words, as in "key created"."""
    scenario: str | None
    detail: dict[str, Any]


def note(
    connection: Connection,
    *,
    time: float,
    actor: str,
    action: str,
    scenario: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry in the transaction of what it tells of, so that neither is there without the other."""
    entry = {"time": time, "actor": actor, "action": action, "scenario": scenario, "detail": dict(detail or {})}
    connection.execute(AUDIT.insert(), entry)


class Audit:
    """The audit log of all scenarios."""

    def __init__(self, database: Database) -> None:
        """Use a database."""
        self._database = database

    def last(self, action: str, scenario: str) -> int:
        """Return the number of the newest entry of an action in a scenario; 0 where there is none."""
        query = select(func.max(AUDIT.c.number)).where(AUDIT.c.action == action, AUDIT.c.scenario == scenario)
        with self._database.reading() as connection:
            return connection.execute(query).scalar() or 0

    def time_of_last(self, action: str, scenario: str) -> float:
        """Return when an action was noted last in a scenario, in seconds since 1970; 0 where it never was."""
        query = select(AUDIT.c.time).where(AUDIT.c.action == action, AUDIT.c.scenario == scenario)
        with self._database.reading() as connection:
            return connection.execute(query.order_by(AUDIT.c.number.desc()).limit(1)).scalar() or 0.0

    def note(self, action: str, scenario: str, *, actor: str, detail: Mapping[str, Any], time: float) -> None:
        """Add an entry of its own.

        Raises:
            ResourceError: The database cannot be written.
        """
        with self._database.writing() as connection:
            note(connection, time=time, actor=actor, action=action, scenario=scenario, detail=detail)

    def newest(self, n: int = 100, *, before: int | None = None, scenario: str | None = None) -> list[Entry]:
        """Return entries, newest first.

        Args:
            n: How many at most.
            before: Only those with a smaller number: the next page.
            scenario: Only those of one scenario.
        """
        query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(n)
        if before is not None:
            query = query.where(AUDIT.c.number < before)
        if scenario is not None:
            query = query.where(AUDIT.c.scenario == scenario)
        with self._database.reading() as connection:
            return [Entry(*row) for row in connection.execute(query)]
