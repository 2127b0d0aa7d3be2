"""The versions of a run's model: which one answers, what became of the others, and why.

They are noted in a file beside the run. Where there is a database, it holds the same for the services that read it, and
what it says of states counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from genre.core.errors import ArtifactError, DataError
from genre.core.files import atomic_file
from genre.workspace import VERSION_OF, VERSIONS, read_manifest

if TYPE_CHECKING:
    from genre.serving.stores.models import Models

State: TypeAlias = Literal["candidate", "canary", "live", "rejected", "retired"]
FIRST: Final = "v1"
"""The run itself."""


@dataclass(frozen=True)
class Version:
    """One version, as it is noted."""

    version: str
    directory: str
    """Name of its directory, beside the run; of one that was rejected nothing is left."""
    state: State
    reason: str
    created: float
    changed: float
    share: float | None = None
    """Of the users, those whom a canary answers."""
    seq: int = 0
    """Number of the last event that is in its data."""
    accuracy: float | None = None
    """Of it on the shadow questions, by the run's metric."""
    before: float | None = None
    """Of the version that was live then, on the same questions."""


class Versions:
    """The versions of one run."""

    def __init__(
        self,
        run: Path,
        *,
        models: Models | None = None,
        scenario: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Use a run's notes, and begin them if there are none.

        Args:
            run: The directory of the run, or of one of its versions.
            models: The database's table of models, where there is one.
            scenario: Whose model it is there.
            now: The clock, in seconds since 1970.

        Raises:
            ArtifactError: There is no finished run, or its notes are damaged.
        """
        manifest = read_manifest(run)
        self.run = run.parent / manifest[VERSION_OF] if VERSION_OF in manifest else run
        self.scenario = scenario or self.run.name
        self._models, self._now = models, now
        if not self._file.exists():
            first = Version(FIRST, self.run.name, "live", "it is the run", now(), now(), seq=manifest.get("seq", 0))
            self._write([first])
        if models is not None and not models.all(self.scenario):
            for one in sorted(self._noted(), key=lambda one: one.state == "live"):  # The last that is moved stays live.
                if one.state in ("live", "retired"):
                    models.add(self.scenario, one.version, str(self.directory(one)), reason=one.reason)
                    models.move(self.scenario, one.version, "live", reason=one.reason)

    @property
    def _file(self) -> Path:
        return self.run.with_name(f"{self.run.name}{VERSIONS}")

    def directory(self, one: Version) -> Path:
        """Return where a version lies."""
        return self.run.with_name(one.directory)

    def all(self) -> list[Version]:
        """Return all versions, oldest first."""
        noted = self._noted()
        if self._models is None:
            return noted
        known = {one.version: one for one in self._models.all(self.scenario)}
        return [
            replace(one, state=known[one.version].state, share=known[one.version].share)
            if one.version in known
            else one
            for one in noted
        ]

    def on_duty(self) -> tuple[Version, Version | None]:
        """Return the live version, and the canary if there is one.

        Raises:
            DataError: None is live.
        """
        states = {one.state: one for one in self.all()}
        if "live" not in states:
            raise DataError(
                "no version is live", place=str(self.run), remedy="Name one with `genre rollback RUN --to VERSION`."
            )
        return states["live"], states.get("canary")

    def next_name(self) -> str:
        """Return what the next version will be called."""
        return f"v{len(self._noted()) + 1}"

    def directory_of(self, version: str) -> Path:
        """Return where a version of this name lies or will lie."""
        return self.run if version == FIRST else self.run.with_name(f"{self.run.name}.{version}")

    def add(
        self,
        version: str,
        state: Literal["live", "canary", "rejected"],
        *,
        reason: str,
        share: float | None = None,
        seq: int = 0,
        accuracy: float | None = None,
        before: float | None = None,
        actor: str = "command line",
    ) -> Version:
        """Note a version that has been decided on; one that goes live takes the place of the one that was."""
        now, directory = self._now(), self.directory_of(version)
        one = Version(version, directory.name, "candidate", reason, now, now, None, seq, accuracy, before)
        self._write([*self.all(), one])
        if self._models is not None:
            self._models.add(self.scenario, version, str(directory), reason=reason, actor=actor)
        return self.move(version, state, reason=reason, share=share, actor=actor)

    def move(
        self, version: str, state: State, *, reason: str, share: float | None = None, actor: str = "command line"
    ) -> Version:
        """Bring a version to a state.

        Raises:
            DataError: There is no such version.
        """
        noted = {one.version: one for one in self.all()}
        if version not in noted:
            raise DataError(
                f"there is no version {version!r}", place=str(self.run), remedy=f"Choose from {list(noted)}."
            )
        if self._models is not None:
            self._models.move(self.scenario, version, state, share=share, reason=reason, actor=actor)
        now = self._now()
        if state == "live":
            for other in noted.values():
                if other.state == "live" and other.version != version:
                    why = f"{version} went live"
                    noted[other.version] = replace(other, state="retired", reason=why, changed=now)
        noted[version] = replace(noted[version], state=state, share=share, reason=reason, changed=now)
        self._write(list(noted.values()))
        return noted[version]

    def roll_back(self, to: str | None = None, *, reason: str = "", actor: str = "command line") -> Version:
        """Let an earlier version answer again, and return what answers now.

        Args:
            to: Which one. Without it, a canary is taken away; where there is none, the version that was live last is
                live again.
            reason: Why, in words.
            actor: Who does it, for the database's audit log.

        Raises:
            DataError: There is no such version, or none to go back to.
            ArtifactError: Its directory is gone.
        """
        live, canary = self.on_duty()
        if to is None and canary is not None:
            self.move(canary.version, "rejected", reason=reason or "rolled back", actor=actor)
            return live
        others = {one.version: one for one in self.all() if one.state == "retired"}
        if to is None and others:
            to = max(others.values(), key=lambda one: one.changed).version
        if to not in others:
            raise DataError(
                "there is no version to go back to" if to is None else f"{to!r} is no version that was live before",
                place=str(self.run),
                remedy=f"Choose from {list(others)}." if others else "It is the first that is live.",
            )
        read_manifest(self.directory(others[to]))
        return self.move(to, "live", reason=reason or f"rolled back from {live.version}", actor=actor)

    def promote(self, *, reason: str = "", actor: str = "command line") -> Version:
        """Let the canary answer everybody.

        Raises:
            DataError: There is no canary.
        """
        _, canary = self.on_duty()
        if canary is None:
            raise DataError("there is no canary", place=str(self.run), remedy="Make one: `genre update --canary 0.05`.")
        return self.move(canary.version, "live", reason=reason or "the canary was promoted", actor=actor)

    def _noted(self) -> list[Version]:
        try:
            return [Version(**one) for one in json.loads(self._file.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(
                f"what is noted of the versions cannot be read ({error!r})",
                place=str(self._file),
                remedy="Restore it, or delete it to begin again with the run itself.",
            ) from error

    def _write(self, versions: list[Version]) -> None:
        with atomic_file(self._file) as path:
            path.write_text(json.dumps([asdict(one) for one in versions], indent=1), encoding="utf-8")
