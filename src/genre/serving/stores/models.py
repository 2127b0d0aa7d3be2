"""The versions of a scenario's model: which answers, which is tried on some users, and what became of others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Connection, Row, select, update

from genre.core.errors import ConfigError, DataError
from genre.serving.stores.audit import note
from genre.serving.stores.database import Database
from genre.serving.stores.tables import MODELS
from genre.serving.stores.values import checked_id

State: TypeAlias = Literal["candidate", "canary", "live", "rejected", "retired"]
_NEXT: Final[dict[State, tuple[State, ...]]] = {
    "candidate": ("canary", "live", "rejected"),
    "canary": ("canary", "live", "rejected"),
    "live": ("retired",),
    "retired": ("live",),
    "rejected": (),
}
"""What may become of a version. One that is retired can come back, one that did not pass cannot."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a scenario's model."""

    scenario: str
    version: str
    path: str
    """Where the model lies."""
    state: State
    share: float | None
    """Of the users, those whom a canary answers."""
    reason: str
    """Why it is in this state, in words."""
    created: float
    changed: float


class Models:
    """The versions of all scenarios. At most one of a scenario is live, and one a canary."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        """Use a database, and the server's clock in seconds since 1970."""
        self._database, self._now = database, now

    def add(self, scenario: str, version: str, path: str, *, reason: str = "", actor: str = "command line") -> Version:
        """Add a candidate.

        Raises:
            DataError: The version is there already, or a name cannot be kept.
            ResourceError: The database cannot be written.
        """
        checked_id(scenario, "scenario")
        checked_id(version, "version")
        now = self._now()
        added = Version(scenario, version, path, "candidate", None, reason, now, now)
        with self._database.writing() as connection:
            if not self._database.add_if_new(connection, MODELS, asdict(added)):
                raise DataError(
                    f"there is a version {version!r} already",
                    place=f"models of {scenario!r}",
                    remedy="Give the new one another name.",
                )
            self._note(connection, added, "model added", actor)
        return added

    def move(
        self,
        scenario: str,
        version: str,
        state: State,
        *,
        share: float | None = None,
        reason: str = "",
        actor: str = "command line",
    ) -> Version:
        """Bring a version to a state. When one goes live, the one that was is retired in the same moment.

        Args:
            scenario: Whose.
            version: Which.
            state: From `candidate` to `canary`, `live` or `rejected`; from `canary` to the same, or to another share;
                from `live` to `retired`, and from there back to `live`.
            share: Of the users, those whom a canary answers: above 0 and below 1.
            reason: Why, in words.
            actor: Who does it, for the audit log.

        Raises:
            ConfigError: The share does not fit the state.
            DataError: There is no such version, it cannot come to this state, or another one is a canary already.
            ResourceError: The database cannot be written.
        """
        if (state == "canary") != (share is not None) or not 0 < (0.5 if share is None else share) < 1:
            raise ConfigError(
                f"the share {share!r} does not fit the state {state!r}",
                place=f"model {version!r} of {scenario!r}",
                remedy="A canary has a share above 0 and below 1, and nothing else has one.",
            )
        now = self._now()
        with self._database.writing() as connection:
            before = {row.version: _version(row) for row in connection.execute(_of(scenario).with_for_update())}
            found = _allowed(before, scenario, version, state)
            if state == "live":
                for other in before.values():
                    if other.state == "live":
                        retired = {"state": "retired", "reason": f"{version} went live", "changed": now}
                        _set(connection, other, retired)
            _set(connection, found, {"state": state, "share": share, "reason": reason, "changed": now})
            moved = Version(scenario, version, found.path, state, share, reason, found.created, now)
            self._note(connection, moved, f"model {state}", actor)
        return moved

    def all(self, scenario: str) -> list[Version]:
        """Return all versions of a scenario, in the order in which they were added."""
        with self._database.reading() as connection:
            return [_version(row) for row in connection.execute(_of(scenario))]

    def on_duty(self, scenario: str) -> tuple[Version | None, Version | None]:
        """Return the live version and the canary; None where there is none."""
        states = {one.state: one for one in self.all(scenario) if one.state in {"live", "canary"}}
        return states.get("live"), states.get("canary")

    def _note(self, connection: Connection, one: Version, action: str, actor: str) -> None:
        detail = {"version": one.version, "path": one.path, "reason": one.reason}
        if one.share is not None:
            detail["share"] = str(one.share)
        note(connection, time=one.changed, actor=actor, action=action, scenario=one.scenario, detail=detail)


def _of(scenario: str) -> Any:
    return select(MODELS).where(MODELS.c.scenario == scenario).order_by(MODELS.c.created, MODELS.c.version)


def _version(row: Row[Any]) -> Version:
    return Version(row.scenario, row.version, row.path, row.state, row.share, row.reason, row.created, row.changed)


def _allowed(before: dict[str, Version], scenario: str, version: str, state: State) -> Version:
    place, found = f"models of {scenario!r}", before.get(version)
    if found is None:
        raise DataError(f"there is no version {version!r}", place=place, remedy=f"Choose from {list(before)}.")
    if state not in _NEXT[found.state]:
        ways = " or ".join(_NEXT[found.state]) or "nothing else"
        raise DataError(
            f"{version!r} is {found.state} and cannot become {state}", place=place, remedy=f"It can become {ways}."
        )
    other = next((one.version for one in before.values() if one.state == state == "canary"), version)
    if other != version:
        raise DataError(f"{other!r} is the canary", place=place, remedy="Let it go live or reject it first.")
    return found


def _set(connection: Connection, one: Version, values: dict[str, Any]) -> None:
    where = (MODELS.c.scenario == one.scenario, MODELS.c.version == one.version)
    connection.execute(update(MODELS).where(*where).values(values))
