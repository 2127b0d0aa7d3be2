"""Experiments: which arms there are, which share of the users each has, and whether they run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Connection, Row, select, update

from genre.core.errors import ConfigError, DataError
from genre.serving.stores.audit import note
from genre.serving.stores.database import Database
from genre.serving.stores.tables import EXPERIMENTS
from genre.serving.stores.values import checked_id

State: TypeAlias = Literal["planned", "running", "stopped"]
_NEXT: Final[dict[State, tuple[State, ...]]] = {
    "planned": ("running", "stopped"),
    "running": ("stopped",),
    "stopped": (),
}
"""What may become of an experiment. One that was stopped is over: whoever saw it would be there again, others not."""


class OccupiedError(DataError):
    """Another experiment of the scenario runs."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One comparison on live users. Its arms and shares never change: the answers would not compare."""

    scenario: str
    name: str
    arms: dict[str, float]
    """The share of the users that each arm has; together 1."""
    state: State
    reason: str
    """Why it is in this state, in words."""
    created: float
    changed: float


class Experiments:
    """The experiments of all scenarios. At most one of a scenario runs: a list and an event name one arm."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        """Use a database, and the server's clock in seconds since 1970."""
        self._database, self._now = database, now

    def add(self, scenario: str, name: str, arms: Mapping[str, float], *, actor: str = "command line") -> Experiment:
        """Plan an experiment.

        Raises:
            ConfigError: The arms are fewer than two, or their shares are not above 0 and together 1.
            DataError: There is one with this name already, or a name cannot be kept.
            ResourceError: The database cannot be written.
        """
        with self._database.writing() as connection:
            return self._add(connection, scenario, name, arms, actor)

    def move(
        self, scenario: str, name: str, state: State, *, reason: str = "", actor: str = "command line"
    ) -> Experiment:
        """Let an experiment run, or stop it.

        Raises:
            OccupiedError: It shall run, and another one of the scenario does.
            DataError: There is none with this name, or it cannot come to this state.
            ResourceError: The database cannot be written.
        """
        with self._database.writing() as connection:
            return self._move(connection, scenario, name, state, reason, actor)

    def begin(self, scenario: str, name: str, arms: Mapping[str, float], *, actor: str = "command line") -> Experiment:
        """Plan an experiment and let it run; one that may not run is not planned either.

        Raises:
            ConfigError, DataError, OccupiedError, ResourceError: As `add` and `move`.
        """
        with self._database.writing() as connection:
            self._add(connection, scenario, name, arms, actor)
            return self._move(connection, scenario, name, "running", "", actor)

    def all(self, scenario: str) -> list[Experiment]:
        """Return all experiments of a scenario, in the order in which they were planned."""
        with self._database.reading() as connection:
            return [_experiment(row) for row in connection.execute(_of(scenario))]

    def _add(
        self, connection: Connection, scenario: str, name: str, arms: Mapping[str, float], actor: str
    ) -> Experiment:
        for id_, place in ((scenario, "scenario"), (name, "experiment"), *((arm, "arm") for arm in arms)):
            checked_id(id_, place)
        if len(arms) < 2 or not all(share > 0 for share in arms.values()) or not math.isclose(sum(arms.values()), 1):
            raise ConfigError(
                f"the shares {dict(arms)} do not divide the users",
                place=f"experiment {name!r}",
                remedy="Give two arms or more, with shares above 0 that add up to 1.",
            )
        now = self._now()
        added = Experiment(scenario, name, dict(arms), "planned", "", now, now)
        if not self._database.add_if_new(connection, EXPERIMENTS, asdict(added)):
            raise DataError(
                f"there is an experiment {name!r} already",
                place=f"scenario {scenario!r}",
                remedy="Give the new one another name.",
            )
        note(connection, time=now, actor=actor, action="experiment planned", scenario=scenario,
             detail={"name": name, "arms": dict(arms)})  # fmt: skip
        return added

    def _move(
        self, connection: Connection, scenario: str, name: str, state: State, reason: str, actor: str
    ) -> Experiment:
        # Two that begin at once would not see each other.
        self._database.one_at_a_time(connection, f"experiments of {scenario}")
        rows = {row.name: row for row in connection.execute(_of(scenario).with_for_update())}
        row, place = rows.get(name), f"scenario {scenario!r}"
        if row is None or state not in _NEXT[row.state]:
            problem = f"is {row.state} and cannot become {state}" if row else "is not there"
            remedy = f"It can become {' or '.join(_NEXT[row.state]) or 'nothing else'}." if row else "Add it first."
            raise DataError(f"the experiment {name!r} {problem}", place=place, remedy=remedy)
        other = next((one.name for one in rows.values() if one.state == state == "running"), None)
        if other is not None:
            raise OccupiedError(
                f"the experiment {other!r} runs, and {name!r} would reach nobody",
                place=place,
                remedy=f"Stop {other!r} first, or compare all arms in one experiment.",
            )
        now = self._now()
        where = (EXPERIMENTS.c.scenario == scenario, EXPERIMENTS.c.name == name)
        connection.execute(update(EXPERIMENTS).where(*where).values(state=state, reason=reason, changed=now))
        note(connection, time=now, actor=actor, action=f"experiment {state}", scenario=scenario,
             detail={"name": name, "reason": reason})  # fmt: skip
        return Experiment(scenario, name, row.arms, state, reason, row.created, now)


def _of(scenario: str) -> Any:
    where = EXPERIMENTS.c.scenario == scenario
    return select(EXPERIMENTS).where(where).order_by(EXPERIMENTS.c.created, EXPERIMENTS.c.name)


def _experiment(row: Row[Any]) -> Experiment:
    return Experiment(row.scenario, row.name, row.arms, row.state, row.reason, row.created, row.changed)
