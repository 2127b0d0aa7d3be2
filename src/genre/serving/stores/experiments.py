"""Experiments: which arms there are, which share of the users each has, and whether they run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Row, select, update

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
    """The experiments of all scenarios."""

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
        with self._database.writing() as connection:
            if not self._database.add_if_new(connection, EXPERIMENTS, asdict(added)):
                raise DataError(
                    f"there is an experiment {name!r} already",
                    place=f"scenario {scenario!r}",
                    remedy="Give the new one another name.",
                )
            note(connection, time=now, actor=actor, action="experiment planned", scenario=scenario,
                 detail={"name": name, "arms": dict(arms)})  # fmt: skip
        return added

    def move(
        self, scenario: str, name: str, state: State, *, reason: str = "", actor: str = "command line"
    ) -> Experiment:
        """Let an experiment run, or stop it.

        Raises:
            DataError: There is none with this name, or it cannot come to this state.
            ResourceError: The database cannot be written.
        """
        where = (EXPERIMENTS.c.scenario == scenario, EXPERIMENTS.c.name == name)
        with self._database.writing() as connection:
            row = connection.execute(select(EXPERIMENTS).where(*where).with_for_update()).one_or_none()
            if row is None or state not in _NEXT[row.state]:
                problem = f"is {row.state} and cannot become {state}" if row else "is not there"
                remedy = f"It can become {' or '.join(_NEXT[row.state]) or 'nothing else'}." if row else "Add it first."
                raise DataError(f"the experiment {name!r} {problem}", place=f"scenario {scenario!r}", remedy=remedy)
            now = self._now()
            connection.execute(update(EXPERIMENTS).where(*where).values(state=state, reason=reason, changed=now))
            note(connection, time=now, actor=actor, action=f"experiment {state}", scenario=scenario,
                 detail={"name": name, "reason": reason})  # fmt: skip
        return Experiment(scenario, name, row.arms, state, reason, row.created, now)

    def all(self, scenario: str) -> list[Experiment]:
        """Return all experiments of a scenario, in the order in which they were planned."""
        query = select(EXPERIMENTS).where(EXPERIMENTS.c.scenario == scenario)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(EXPERIMENTS.c.created, EXPERIMENTS.c.name))
            return [_experiment(row) for row in rows]


def _experiment(row: Row[Any]) -> Experiment:
    return Experiment(row.scenario, row.name, row.arms, row.state, row.reason, row.created, row.changed)
