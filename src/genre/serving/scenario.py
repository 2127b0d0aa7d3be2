"""One scenario of a service: which versions answer whom, and how they follow what is in the stores."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ArtifactError, ConfigError, DataError, GenreError
from genre.data.feedback import FeedbackConfig, weight_of
from genre.recent import Happened
from genre.runs import CONFIG, open_run
from genre.serving.aside import Aside
from genre.serving.experiments import arm_of
from genre.serving.live import LiveVersion
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.events import IMPRESSION, Event, Events, Outcome
from genre.serving.stores.experiments import Experiment as Comparison
from genre.serving.stores.experiments import Experiments
from genre.serving.stores.items import Items
from genre.serving.stores.models import Models
from genre.serving.stores.models import Version as StoredVersion
from genre.serving.stores.users import ERASED
from genre.serving.versions import Versions
from genre.strategies.base import StrategyConfig
from genre.strategies.diversity import DiversifyConfig
from genre.strategies.exploration import EXPLORING, EpsilonConfig
from genre.workspace import read_manifest

SEQ: Final = "seq"
"""Where the manifest of a version says how far its data goes."""
_AGAIN: Final = 30.0
"""Seconds after which a version that could not be loaded is tried again: somebody may have repaired it."""
_STANDBY: Final = 1
"""Retired versions that stay in memory, so that going back to one takes no time."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Where somebody is in an experiment."""

    experiment: str
    arm: str


class Scenario:
    """The versions of one scenario's model in memory. Any thread may ask; `follow` is called by one."""

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
            aside: Where copies of the models rank; by default nowhere.
            decided: Told the scenario's name, and "promoted" or "rejected", when a new version has been judged.

        Raises:
            ArtifactError: The run cannot be read, and no other version is live.
            ResourceError: The database cannot be read or written.
        """
        self.name, self.run, self._aside = name, run, aside
        self._models, self._experiments = Models(database), Experiments(database)
        self._events, self._items, self._audit = Events(database), Items(database), Audit(database)
        self._loaded: dict[str, LiveVersion] = {}
        self.problems: dict[str, str] = {}
        """Why versions that are on duty could not be loaded, by their names."""
        self.behind = 0
        """Events of the store that the live version does not know."""
        self._noticed: dict[str, float] = {}
        self._loading = threading.Lock()
        self._running: tuple[Comparison, ...] = ()
        self._canary: tuple[LiveVersion, float] | None = None
        self.experiment: Experiment = read_experiment(run / CONFIG)
        self._decided, self._on_erased = decided, on_erased
        self._judged: set[str] | None = None
        """Versions that were judged when they were looked at last."""
        Versions(run.absolute(), models=self._models, scenario=name)
        live, _ = self._models.on_duty(name)
        if live is None:
            raise ArtifactError(
                "no version is live",
                place=str(run),
                remedy="Name one: `genre rollback RUN --to VERSION --database URL`.",
            )
        self.live = self._first(live)
        self._erased = self._audit.last(ERASED, name)
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

    def shaping(self, diversity: float | None, explore: float | None) -> tuple[StrategyConfig, ...] | None:
        """Return rules and strategies with another diversity or exploration; None where neither is asked for.

        Both are taken in steps of a twentieth: the engine keeps what it has made for each.
        """
        if diversity is None and explore is None:
            return None
        kept = list(self.experiment.answer.strategies)
        if diversity is not None:
            kept = [one for one in kept if not isinstance(one, DiversifyConfig)]
            if strength := round(20 * diversity) / 20:
                kept.append(DiversifyConfig(strength=strength))
        if explore is not None:
            kept = [one for one in kept if not isinstance(one, EXPLORING)]
            if epsilon := round(20 * explore) / 20:
                kept.append(EpsilonConfig(epsilon=epsilon))
        # One that explores must be the last.
        kept.sort(key=lambda one: isinstance(one, EXPLORING))
        return tuple(kept)

    def stored_id(self, user_id: str) -> str:
        """Return what a user is called in the stores: a hash, where the data's ids are."""
        pseudonym = self.live.engine.pseudonym
        return user_id if pseudonym is None else pseudonym(user_id)

    def answering(self, user_id: str | None) -> tuple[LiveVersion, Arm | None]:
        """Return the version that answers somebody: always the same one, as long as nothing is changed."""
        if user_id is None:
            return self.live, None
        for comparison in self._running:
            arm = arm_of(comparison.name, self.name, comparison.arms, user_id)
            return self._loaded.get(arm, self.live), Arm(comparison.name, arm)
        if self._canary is not None:
            version, share = self._canary
            if _part("canary", self.name, user_id) < share:
                return version, None
        return self.live, None

    def check(self, events: Sequence[Event]) -> None:
        """Make sure that events mean something here.

        Raises:
            DataError: The type of one has no weight.
        """
        for number, event in enumerate(events, start=1):
            if event.event != IMPRESSION:
                weight_of(event.event, event.value, self.feedback, place=f"event {number}")

    def happened(self, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        """Let events that are on the disk change the next answer."""
        told = [
            (event.user_id, happened)
            for event, outcome in zip(events, outcomes, strict=True)
            if outcome.status != "conflict"
            and (happened := self._happened(event, outcome.seq, outcome.timestamp)) is not None
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
            # What came in by other ways since then goes too.
            self._forget(user_ids)
            if before == self._erased:
                self._erased = self._audit.last(ERASED, self.name)

    def _forget(self, user_ids: Collection[str]) -> None:
        for version in list(self._loaded.values()):
            for user_id in user_ids:
                version.forget(user_id)

    def follow(self) -> None:
        """Read what has changed in the stores: versions, items, events, experiments, and whether somebody was erased.

        Raises:
            ResourceError: The database cannot be read; everything goes on as it was.
        """
        with self._loading:
            if (erased := self._audit.last(ERASED, self.name)) != self._erased:
                self._read_again(erased)
            running = [one for one in self._experiments.all(self.name) if one.state == "running"]
            self._running = tuple(running)
            self._follow_versions()
            for version in list(self._loaded.values()):
                self._catch_up(version)
            self.behind = max(0, self._events.last(self.name) - self.live.applied)

    def move(self, version: str, state: Any, *, share: float | None, reason: str, actor: str) -> StoredVersion:
        """Bring a version to a state; one that shall answer is loaded first, so that nobody waits for it.

        Raises:
            ArtifactError: It cannot be loaded: then nothing changes.
            DataError, ConfigError: The stores refuse it.
        """
        with self._loading:
            if state in {"live", "canary"}:
                found = next((one for one in self._models.all(self.name) if one.version == version), None)
                if found is not None:
                    self._load(found)
            moved = self._models.move(self.name, version, state, share=share, reason=reason, actor=actor)
            self._follow_versions()
        return moved

    def _read_again(self, erased: int) -> None:
        """Read all that is known anew: whom another process has erased nobody can say any more."""
        stored = self._models.on_duty(self.name)[0] or self._stored(self.live.name)
        if self._was_tried(stored.version):
            return
        try:
            live = self._made(stored)
        except GenreError as error:
            self._note_problem(stored.version, error)
            return
        self._loaded, self.live, self._canary, self._erased = {stored.version: live}, live, None, erased
        self._on_erased()

    def problem_of(self, version: str) -> str | None:
        """Return why a version could not be loaded, or an item of the store is not in its catalogue."""
        loaded = self._loaded.get(version)
        return self.problems.get(version) or (loaded.problem if loaded is not None and loaded.problem else None)

    def versions(self) -> list[StoredVersion]:
        """Return all versions in the store."""
        return self._models.all(self.name)

    def _follow_versions(self) -> None:
        stored = {one.version: one for one in self._models.all(self.name)}
        on_duty = {one.state: one for one in stored.values() if one.state in {"live", "canary"}}
        live, canary = on_duty.get("live"), on_duty.get("canary")
        arms = {arm for one in self._running for arm in one.arms} & stored.keys()
        asked = {one.version for one in on_duty.values()} | arms
        self.problems = {name: why for name, why in self.problems.items() if name in asked}
        if live is not None and live.version != self.live.name and (loaded := self._tried(live)) is not None:
            self.live = loaded
        tried = None if canary is None else self._tried(canary)
        self._canary = None if canary is None or tried is None or canary.share is None else (tried, canary.share)
        for arm in arms:
            if stored[arm].state != "rejected":
                self._tried(stored[arm])
        self._release(stored)
        judged = {one.version: one.state == "rejected" for one in stored.values() if one.state != "candidate"}
        if self._judged is not None:
            for version in judged.keys() - self._judged:
                self._decided(self.name, "rejected" if judged[version] else "promoted")
        self._judged = set(judged)

    def _release(self, stored: dict[str, StoredVersion]) -> None:
        """Keep in memory what is on duty, what an experiment asks, and the one that answered last."""
        arms = {arm for one in self._running for arm in one.arms}
        wanted = {self.live.name, *(arm for arm in arms if arm in stored and stored[arm].state != "rejected")}
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
            found = self._load(stored)
        except GenreError as error:
            self._note_problem(stored.version, error)
            return None
        self.problems.pop(stored.version, None)
        return found

    def _was_tried(self, version: str) -> bool:
        """Return whether a version could not be loaded a short time ago."""
        return version in self.problems and time.monotonic() - self._noticed[version] < _AGAIN

    def _note_problem(self, version: str, error: GenreError) -> None:
        self.problems[version], self._noticed[version] = str(error), time.monotonic()

    def _load(self, stored: StoredVersion) -> LiveVersion:
        if stored.version not in self._loaded:
            self._loaded[stored.version] = self._made(stored)
        return self._loaded[stored.version]

    def _made(self, stored: StoredVersion) -> LiveVersion:
        """Return a version as it would answer now.

        Raises:
            ArtifactError: It cannot be read, or cannot answer.
            ConfigError: Its users are hidden, and the key that hides them is not at hand.
        """
        path = Path(stored.path)
        try:
            manifest = read_manifest(path)
            engine, privacy = open_run(path), self.experiment.privacy
            if privacy.hash_users and engine.pseudonym is None:
                raise ConfigError(
                    f"users are pseudonyms, and the environment variable {privacy.key_env!r} is not set",
                    place=str(path),
                    remedy="Set it to the key with which the run was made: without it real ids would be stored.",
                )
            version = LiveVersion(stored.version, engine, int(manifest.get(SEQ, 0)), aside=self._aside)
            self._catch_up(version)
            version.warm()
        except GenreError:
            raise
        except Exception as error:
            # Whatever a damaged file may lead to, the version that answers now goes on.
            raise ArtifactError(
                f"the version cannot answer ({type(error).__name__}: {error})", place=str(path),
                remedy="Make it again; the live version goes on answering.",
            ) from error  # fmt: skip
        return version

    def _catch_up(self, version: LiveVersion) -> None:
        """Read all events and items that a version does not know."""
        for items in self._items.since(self.name, version.revision):
            version.change(items)
        if version.knows(self._events.last(self.name)):
            return
        for frame in self._events.since(self.name, version.applied):
            told = []
            for row in frame.iter_rows(named=True):
                event = Event.model_construct(**{name: row[name] for name in ("item_id", "event", "value")})
                if (happened := self._happened(event, row["seq"], row["timestamp"])) is not None:
                    told.append((row["user_id"], happened))
            version.happened(told, frame["seq"].to_list())
            version.caught_up(int(frame["seq"][-1]))

    def _happened(self, event: Event, seq: int, timestamp: float) -> Happened | None:
        """Return what an event changes; nothing where an item was only shown, or the type means nothing any more."""
        if event.event == IMPRESSION:
            return None
        try:
            return Happened(event.item_id, int(timestamp), weight_of(event.event, event.value, self.feedback), seq)
        except DataError:
            return None


def _part(*names: str) -> float:
    """Return a number from 0 to 1 that these names always have."""
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64
