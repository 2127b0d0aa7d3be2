"""One scenario of a service: which versions answer whom, and how they follow what is in the stores.

Three locks, so that nobody waits for what they do not need: `_loading` is held for as long as it takes to read a
version from its files or to erase somebody, `_following` while versions read what is new in the stores, `_switching`
for the moment in which others begin to answer. Who needs several takes them in this order; who answers takes none.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ArtifactError, GenreError, ResourceError
from genre.data.feedback import FeedbackConfig, weight_of
from genre.runs import CONFIG
from genre.serving.aside import Aside
from genre.serving.experiments import arm_of
from genre.serving.live import LiveVersion
from genre.serving.opening import Opener
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.events import IMPRESSION, Event, Outcome
from genre.serving.stores.experiments import Experiment as Comparison
from genre.serving.stores.experiments import Experiments
from genre.serving.stores.models import Models
from genre.serving.stores.models import Version as StoredVersion
from genre.serving.stores.users import ERASED
from genre.serving.versions import Versions

_AGAIN: Final = 30.0
"""Seconds after which a version that could not be loaded is tried again: somebody may have repaired it."""
_STANDBY: Final = 1
"""Retired versions that stay in memory, so that going back to one takes no time."""
_DECISIONS: Final = {"live": "promoted", "retired": "promoted", "rejected": "rejected"}
"""What has been decided on a version in a state: a canary is still on trial."""
log = logging.getLogger("genre.serving")


@dataclass(frozen=True, slots=True)
class Arm:
    """Where somebody is in an experiment."""

    experiment: str
    arm: str


class Scenario:
    """The versions of one scenario's model in memory. Any thread may ask, follow and change them."""

    def __init__(
        self,
        name: str,
        run: Path,
        database: Database,
        decided: Callable[[str, str], object],
        on_erased: Callable[[], object],
        aside: Aside | None = None,
    ) -> None:
        """Load the live version, and the canary if there is one; a run that is new here goes live.

        Args:
            name: What clients call it.
            run: The run that it begins with.
            database: Where events, items and versions are.
            on_erased: Told when another process has erased somebody.
            decided: Told the scenario's name, and "promoted" or "rejected", when it is decided whether a new version
                answers all.
            aside: Where copies of the models rank; by default nowhere.

        Raises:
            ArtifactError: The run cannot be read, and no other version is live.
            ResourceError: The database cannot be read or written.
        """
        self.name, self.run = name, run
        self._models, self._experiments = Models(database), Experiments(database)
        self._audit = Audit(database)
        self._loaded: dict[str, LiveVersion] = {}
        self.problems: dict[str, str] = {}
        """Why versions that are on duty could not be loaded, by their names."""
        self.behind = 0
        """Events of the store that the live version does not know."""
        self._noticed: dict[str, float] = {}
        self._loading, self._following, self._switching = threading.Lock(), threading.Lock(), threading.Lock()
        self._loader: threading.Thread | None = None
        self._running: tuple[Comparison, bool] | None = None
        """The experiment that runs, and whether one of its arms names a version."""
        self._canary: tuple[LiveVersion, float] | None = None
        self.experiment: Experiment = read_experiment(run / CONFIG)
        self._opener = Opener(name, self.experiment, database, aside)
        self._decided, self._on_erased = decided, on_erased
        self._judged: set[str] | None = None
        """Versions that had been decided on when they were looked at last."""
        Versions(run.absolute(), models=self._models, scenario=name)
        live, _ = self._models.on_duty(name)
        if live is None:
            raise ArtifactError(
                "no version is live",
                place=str(run),
                remedy="Name one: `genre rollback RUN --to VERSION --database URL`.",
            )
        # Whoever is erased while the version is read is noticed, and it is read again.
        self._erased = self._audit.last(ERASED, name)
        self.live = self._first(live)
        self.follow()

    @property
    def feedback(self) -> FeedbackConfig:
        """What events mean."""
        return self.experiment.feedback

    @property
    def canary(self) -> tuple[LiveVersion, float] | None:
        """The version that is tried on some users, and their share."""
        return self._canary

    @property
    def loaded(self) -> tuple[str, ...]:
        """Versions that could answer at once."""
        return tuple(self._loaded)

    def version(self, name: str) -> LiveVersion:
        """Return a version that is loaded; the live one, where it is not any more."""
        return self._loaded.get(name, self.live)

    def stored_id(self, user_id: str) -> str:
        """Return what a user is called in the stores: a hash, where the data's ids are."""
        pseudonym = self.live.engine.pseudonym
        return user_id if pseudonym is None else pseudonym(user_id)

    def answering(self, user_id: str | None) -> tuple[LiveVersion, Arm | None]:
        """Return the version that answers somebody: always the same one, as long as nothing is changed."""
        if user_id is None:
            return self.live, None
        arm, compares = None, False
        if (running := self._running) is not None:
            comparison, compares = running
            arm = Arm(comparison.name, arm_of(comparison.name, self.name, comparison.arms, user_id))
        if (canary := self._canary) is not None and _part("canary", self.name, user_id) < canary[1]:
            # Who is answered by it is in no arm that says which version answers; other arms have equal parts of them.
            return canary[0], None if compares else arm
        return (self.live if arm is None else self._loaded.get(arm.arm, self.live)), arm

    def checked(self, events: Sequence[Event]) -> list[Event]:
        """Return events with users under the ids that the stores have, if they mean something here.

        Raises:
            DataError: The type of one has no weight.
        """
        for number, event in enumerate(events, start=1):
            if event.event != IMPRESSION:
                weight_of(event.event, event.value, self.feedback, place=f"event {number}")
        if self.live.engine.pseudonym is None:
            return list(events)
        return [event.model_copy(update={"user_id": self.stored_id(event.user_id)}) for event in events]

    def happened(self, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        """Let events that are on the disk change the next answer."""
        told = [
            (event.user_id, happened)
            for event, outcome in zip(events, outcomes, strict=True)
            if outcome.status != "conflict"
            and (happened := self._opener.happened(event, outcome.seq, outcome.timestamp)) is not None
        ]
        numbers = [outcome.seq for outcome in outcomes if outcome.status != "conflict"]
        for version in list(self._loaded.values()):
            version.happened(told, numbers)
        new = [event for event, outcome in zip(events, outcomes, strict=True) if outcome.status == "new"]
        self.live.watch.happened(
            [event.item_id for event in new], [event.event for event in new], [event.position for event in new]
        )

    @contextmanager
    def erasing(self, user_ids: Collection[str]) -> Iterator[None]:
        """Keep nothing of somebody in memory, while and after they are erased from files and stores.

        No version is loaded meanwhile, and none can bring them back.
        """
        with self._loading:
            before = self._audit.last(ERASED, self.name)
            self._forget(user_ids)
            yield
            with self._following:
                # What came in by other ways since then goes too.
                self._forget(user_ids)
            if before == self._erased:
                self._erased = self._audit.last(ERASED, self.name)

    def _forget(self, user_ids: Collection[str]) -> None:
        for version in list(self._loaded.values()):
            for user_id in user_ids:
                version.forget(user_id)

    def follow(self, *, wait: bool = True) -> None:
        """Read what has changed in the stores: versions, items, events, experiments, and whether somebody was erased.

        Args:
            wait: Until versions that are not in memory yet are loaded; otherwise a thread of its own does that.

        Raises:
            ResourceError: The database cannot be read; everything goes on as it was.
        """
        if not self.catch_up():
            return
        if wait:
            self._load_missing()
        elif self._loader is None or not self._loader.is_alive():
            self._loader = threading.Thread(target=self._load_aside, name=f"genre-loads-{self.name}", daemon=True)
            self._loader.start()

    def catch_up(self) -> bool:
        """Read what has changed to the versions that are in memory, and return whether any has to be loaded.

        Raises:
            ResourceError: The database cannot be read; everything goes on as it was.
        """
        with self._switching:
            missing = self._switch()
        with self._following:
            for version in list(self._loaded.values()):
                self._opener.catch_up(version)
            self.behind = self._opener.behind(self.live)
        return bool(missing) or self._audit.last(ERASED, self.name) != self._erased

    def move(self, version: str, state: Any, *, share: float | None, reason: str, actor: str) -> StoredVersion:
        """Bring a version to a state; one that shall answer is loaded first, so that nobody waits for it.

        One that is in memory waits for no other that is loaded meanwhile.

        Raises:
            ArtifactError: It cannot be loaded: then nothing changes.
            DataError, ConfigError: The stores refuse it.
        """

        def moved(loaded: LiveVersion | None = None) -> StoredVersion:
            if loaded is not None:
                self._admit(loaded)
            found = self._models.move(self.name, version, state, share=share, reason=reason, actor=actor)
            self._switch()
            return found

        with self._switching:
            if state not in {"live", "canary"} or version in self._loaded:
                return moved()
        with self._loading:
            stored = {one.version: one for one in self._models.all(self.name)}
            loaded = self._loaded.get(version) or (self._opener.open(stored[version]) if version in stored else None)
            with self._switching:
                return moved(loaded)

    def close(self, wait: float) -> None:
        """Wait so many seconds, at most, for a version that is being loaded."""
        if self._loader is not None:
            self._loader.join(wait)

    def problem_of(self, version: str) -> str | None:
        """Return why a version could not be loaded, or an item of the store is not in its catalogue."""
        loaded = self._loaded.get(version)
        return self.problems.get(version) or (loaded.problem if loaded is not None and loaded.problem else None)

    def versions(self) -> list[StoredVersion]:
        """Return all versions in the store."""
        return self._models.all(self.name)

    def _load_aside(self) -> None:
        try:
            self._load_missing()
        except ResourceError:
            pass  # The next look at the stores tells of it.
        except Exception:
            log.exception("loading versions failed", extra={"scenario": self.name})

    def _load_missing(self) -> None:
        """Load the versions that should answer and are not in memory, and all anew if somebody was erased."""
        with self._loading:
            if (erased := self._audit.last(ERASED, self.name)) != self._erased:
                self._read_again(erased)
            while True:
                with self._switching:
                    missing = self._switch()
                if not missing:
                    return
                self._tried(missing[0])

    def _read_again(self, erased: int) -> None:
        """Read all that is known anew: whom another process has erased nobody can say any more."""
        while True:
            stored = self._models.on_duty(self.name)[0] or self._stored(self.live.name)
            if self._was_tried(stored.version):
                return
            try:
                live = self._opener.open(stored)
            except GenreError as error:
                self._note_problem(stored.version, error)
                return
            with self._switching:
                now = self._models.on_duty(self.name)[0]
                if now is None or now.version == stored.version:
                    self._loaded, self._canary = {}, None
                    self._admit(live)
                    self.live, self._erased = live, erased
                    break
            # Another one has gone live meanwhile.
        self._on_erased()

    def _switch(self) -> list[StoredVersion]:
        """Let those of the versions in memory answer that should, and return those that should and are not there."""
        # Earlier versions let several run; all but the first reached nobody.
        running = next((one for one in self._experiments.all(self.name) if one.state == "running"), None)
        stored = {one.version: one for one in self._models.all(self.name)}
        on_duty = {one.state: one for one in stored.values() if one.state in {"live", "canary"}}
        canary = on_duty.get("canary")
        arms = set() if running is None else running.arms.keys() & stored.keys()
        self._running = None if running is None else (running, bool(arms))
        asked = {one.version for one in on_duty.values()} | arms
        self.problems = {name: why for name, why in self.problems.items() if name in asked}
        if "live" in on_duty:
            self.live = self._loaded.get(on_duty["live"].version, self.live)
        tried = None if canary is None else self._loaded.get(canary.version)
        self._canary = None if canary is None or tried is None or canary.share is None else (tried, canary.share)
        compared = [stored[arm] for arm in sorted(arms) if stored[arm].state != "rejected"]
        self._release(stored, {one.version for one in compared})
        self._tell(stored)
        wanted = [*on_duty.values(), *compared]
        return [one for one in wanted if one.version not in self._loaded and not self._was_tried(one.version)]

    def _tell(self, stored: dict[str, StoredVersion]) -> None:
        """Tell which versions have been decided on since the last look."""
        judged = {one.version: _DECISIONS[one.state] for one in stored.values() if one.state in _DECISIONS}
        if self._judged is not None:
            for version in judged.keys() - self._judged:
                self._decided(self.name, judged[version])
        self._judged = set(judged)

    def _release(self, stored: dict[str, StoredVersion], compared: set[str]) -> None:
        """Keep in memory what is on duty, what an experiment compares, and the one that answered last."""
        wanted = {self.live.name, *compared}
        if self._canary is not None:
            wanted.add(self._canary[0].name)
        retired = [
            name for name in self._loaded if name not in wanted and name in stored and stored[name].state == "retired"
        ]
        retired.sort(key=lambda name: -stored[name].changed)
        for name in list(self._loaded):
            if name not in wanted and name not in retired[:_STANDBY]:
                del self._loaded[name]

    def _first(self, live: StoredVersion) -> LiveVersion:
        """Return the live version; where it is damaged, the one that was live before it and can answer.

        Raises:
            ArtifactError: There is none.
        """
        try:
            return self._load(live)
        except GenreError as error:
            self._note_problem(live.version, error)
            retired = [one for one in self._models.all(self.name) if one.state == "retired"]
            for one in sorted(retired, key=lambda one: -one.changed):
                if (found := self._tried(one)) is not None:
                    return found
            raise

    def _stored(self, version: str) -> StoredVersion:
        return next(one for one in self._models.all(self.name) if one.version == version)

    def _tried(self, stored: StoredVersion) -> LiveVersion | None:
        """Return a version, or None where it cannot be loaded: what answered before goes on answering."""
        if self._was_tried(stored.version):
            return None
        try:
            return self._load(stored)
        except GenreError as error:
            self._note_problem(stored.version, error)
            return None

    def _was_tried(self, version: str) -> bool:
        """Return whether a version could not be loaded a short time ago."""
        return version in self.problems and time.monotonic() - self._noticed[version] < _AGAIN

    def _note_problem(self, version: str, error: GenreError) -> None:
        with self._switching:
            self._noticed[version] = time.monotonic()
            self.problems = {**self.problems, version: str(error)}

    def _load(self, stored: StoredVersion) -> LiveVersion:
        if stored.version not in self._loaded:
            loaded = self._opener.open(stored)
            with self._switching:
                self._admit(loaded)
        return self._loaded[stored.version]

    def _admit(self, version: LiveVersion) -> None:
        """Take a version among those that could answer."""
        # First it hears of all that comes from now on, and then of what came while it got ready.
        self._loaded[version.name] = version
        self._opener.catch_up(version)
        self.problems = {name: why for name, why in self.problems.items() if name != version.name}


def _part(*names: str) -> float:
    """Return a number from 0 to 1 that these names always have."""
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64
