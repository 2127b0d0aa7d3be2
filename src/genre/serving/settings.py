"""How a service listens, how long it waits, and what is too much for it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Final

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from genre.core.config import Config
from genre.generation.write_config import WriteConfig

DEFAULT_DATABASE = "sqlite:///genre.db"
_SOON: Final[dict[str, Any]] = {"candidates": 2, "draws": 1}


class ServeConfig(Config):
    """Settings of a service."""

    host: str = "127.0.0.1"
    """Where it listens. Beyond this machine it does so only when there is a key."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """0 takes any free one."""
    database: str = DEFAULT_DATABASE
    """`sqlite:///PATH`, or `postgresql://USER:PASSWORD@HOST/NAME`."""
    deadline: PositiveFloat = 0.3
    """Seconds that a request for recommendations may take, unless it says otherwise; then somebody gets what is
    popular. People notice more."""
    writing_deadline: PositiveFloat = 20.0
    """The same for texts; then they are put together from the facts."""
    most_waiting: PositiveInt = 512
    """Requests that wait for a model at most; more are refused, since a queue that only grows helps nobody."""
    batch: PositiveInt = 32
    """Requests that a model answers at once, at most. More would save little and let the first ones wait."""
    rank_aside: bool = False
    """Whether models rank in a process of their own, which has copies of them. Where many ask, the slowest answers come
    sooner; it takes the models' memory twice, and needs a second core."""
    writers: PositiveInt = 2
    """Texts and conversations that are written at once."""
    most_writing: PositiveInt = 16
    """Requests for texts and conversations that are written or wait for it, at most."""
    store_threads: PositiveInt = 4
    """Threads for what reads the stores, as many for what changes them, and as many for what is done beside the loop
    without them. More would wait for each other: SQLite has one writer, and Python works on one core at a time."""
    most_storing: PositiveInt = 64
    """Requests of each of these kinds, and erasures, that are served or wait for it, at most."""
    store_deadline: PositiveFloat = 60.0
    """Seconds that each of them may take: several times as long as a database waits for a lock, and enough to take in a
    thousand new items. To load a version and to erase somebody may take longer."""
    longest_body: PositiveInt = 4 << 20
    """Bytes of a request, but for events as JSON lines, which are read as they come."""
    slowest_body: PositiveFloat = 30.0
    """Seconds that may pass until the next part of a request comes, and seconds in all that its parts are waited for,
    besides those that `slowest_rate` allows."""
    slowest_rate: PositiveInt = 16 << 10
    """Bytes of a request that have to come in each further second of waiting. Without it, whoever sends a byte in time,
    again and again, would be waited for as long as they like; a poor mobile line is faster, and the longest request
    takes less than five minutes."""
    refresh: PositiveFloat = 0.25
    """Seconds between two looks at what other processes have written: events, items, versions."""
    notice: Annotated[float, Field(ge=0)] = 0.0
    """Seconds during which `/health/ready` says no, and all is answered, before the service listens no more: as long as
    a load balancer takes to notice."""
    drain: PositiveFloat = 15.0
    """Seconds that requests which have begun may take when the service ends."""
    learn_every: PositiveFloat | None = None
    """Hours between two lessons: what has come is learned by a process of its own, and goes live if it passes the gate.
    They are counted from when the newest version was made or the last lesson ended, also before the service started.
    None leaves it to whoever calls `genre update`."""
    learn_canary: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the users whom what was learned answers at first; None lets it answer all."""
    learn_gate: tuple[str, ...] = ()
    """Bounds of the gate, as in `drift=0.1`."""
    write: WriteConfig = WriteConfig(**_SOON)
    """How texts are written. What is set here counts for all scenarios; what is not is as the `write` of the scenario's
    run says. Candidates and draws count as set: two and one, fewer than elsewhere, since somebody waits."""

    @field_validator("write", mode="before")
    @classmethod
    def _somebody_waits(cls, value: Any) -> Any:
        return {**_SOON, **value} if isinstance(value, Mapping) else value

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False
