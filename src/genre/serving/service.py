"""A running service: scenarios, stores and threads; what the routes ask for, without HTTP.

A request for recommendations never fails for want of a model: if it is too slow or breaks, somebody gets their last
list, less what they have seen since, or else what is popular, and the answer says so.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from uuid import uuid4

from genre.core.errors import ConfigError, DataError, GenreError, ResourceError
from genre.serving.aside import Aside
from genre.serving.batching import Batcher, BusyError
from genre.serving.keys import Keyring
from genre.serving.learner import Learner
from genre.serving.live import Ask, LiveVersion, Recommended
from genre.serving.metrics import Metrics
from genre.serving.scenario import Arm, Scenario
from genre.serving.settings import ServeConfig
from genre.serving.slow import LONGEST, Lanes, SlowLane
from genre.serving.stores.database import Database
from genre.serving.stores.events import Event, Events
from genre.serving.stores.intake import PART, Intake, Totals
from genre.serving.stores.items import Items
from genre.serving.stores.keys import StoredKeys
from genre.serving.stores.users import PERSONAL, Users
from genre.serving.writers import ScenarioWriter, warm, writers_of

AnsweredBy: TypeAlias = Literal["model", "memory", "popular"]
_REMEMBERED: Final = 20_000
"""Last lists that are kept, for when a model is too slow."""
_LONGEST: Final = 50
"""Items of one."""
_AT_ONCE: Final = 200
"""Events that are noted in the loop that answers; more are in a thread, so that nobody waits for them."""
_SAVE: Final = 10.0
"""Seconds between two looks at how much of the quotas is used."""
_KEYS: Final = 1.0
"""Seconds between two looks at the keys."""
_WARM: Final = 120.0
"""Seconds that a service waits for its language models before it listens: one that is fetched first takes longer."""
log = logging.getLogger("genre.serving")


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody is recommended."""

    list_id: str
    version: str
    answered_by: AnsweredBy
    items: Sequence[Recommended]
    arm: Arm | None


class Service:
    """All that stays between two requests."""

    def __init__(self, config: ServeConfig, runs: Mapping[str, Path]) -> None:
        """Open the database, load the models and start to work.

        Args:
            config: Settings.
            runs: The run that each scenario begins with, by the scenario's name.

        Raises:
            ArtifactError: A run cannot be read.
            ResourceError: The database cannot be used.
            DependencyError: A library is missing.
        """
        self.config, self.metrics = config, Metrics()
        self.writers = writers_of(config.write, runs, self.metrics)
        """What writes for each scenario."""
        self.database = Database.open(config.database)
        self.events, self.items, self.users = Events(self.database), Items(self.database), Users(self.database)
        self.keys = Keyring(StoredKeys(self.database), refresh=math.inf)
        self._remembered: OrderedDict[tuple[str, str], Sequence[Recommended]] = OrderedDict()
        self._erasures = 0
        self.aside = Aside() if config.rank_aside else None
        try:
            self.scenarios = {
                name: Scenario(name, run, self.database, self._decided, self._forget_lists, self.aside)
                for name, run in runs.items()
            }
        except BaseException:
            if self.aside is not None:
                self.aside.close()
            raise
        self.intake = Intake(self.events)
        self.slow = SlowLane(config.writers, config.most_writing, config.writing_deadline)
        self.lanes = Lanes(config)
        self.batcher: Batcher[tuple[LiveVersion, Ask], list[Recommended]] = Batcher(
            self._answered, size=config.batch, most=config.most_waiting
        )
        self.batcher.watch = self._watched
        self.leaving = self.draining = False
        """Whether it is about to end, and whether it takes nothing more."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, name="genre-follows", daemon=True),
            threading.Thread(target=self._watch_keys, name="genre-keys", daemon=True),
        ]
        if config.learn_every is not None:
            learner = Learner(config, self.scenarios, self.database)
            self._threads.append(threading.Thread(target=learner.work, args=(self._stop,), name="genre-learns"))
        for thread in self._threads:
            thread.start()

    @property
    def is_open(self) -> bool:
        """Whether this machine may ask without a key: until the first one is made."""
        return self.config.is_local and not self.keys.any_made

    @property
    def database_up(self) -> bool:
        """Whether the database answered when it was asked last."""
        return bool(self.metrics.database._value.get())

    def writer(self, scenario: Scenario) -> ScenarioWriter:
        """Return what writes for a scenario."""
        return self.writers[scenario.name]

    def warm(self, wait: float = _WARM) -> None:
        """Load the language models, those on this machine, and get ready to talk; see `genre.serving.writers.warm`.

        Args:
            wait: Seconds until this returns at the latest; what is not done by then goes on.
        """
        warm(self.writers, {name: scenario.live for name, scenario in self.scenarios.items()}, wait)

    def scenario(self, name: str | None) -> Scenario:
        """Return a scenario; without a name the only one.

        Raises:
            LookupError: There is none with this name, or it is not clear which is meant.
        """
        if name is None and len(self.scenarios) == 1:
            return next(iter(self.scenarios.values()))
        if name is None or name not in self.scenarios:
            raise LookupError(name)
        return self.scenarios[name]

    async def recommend(self, scenario: Scenario, ask: Ask, seconds: float) -> Answer:
        """Return what is recommended, in time, to somebody under the id that the stores have.

        Raises:
            BusyError: Too many wait.
            DataError: The history names an item that is not in the catalogue.
        """
        version, arm = scenario.answering(ask.user_id)
        by: AnsweredBy = "model"
        erasures = self._erasures
        items: Sequence[Recommended]
        try:
            items = await self.batcher.ask((version, ask), seconds)
        except (BusyError, DataError, ConfigError):
            raise
        except TimeoutError:
            self.metrics.late.inc()
            by, items = self._instead(scenario, version, ask)
        except Exception:
            # The details are for whoever runs the service; somebody who waits for a list gets one.
            log.exception("the model failed", extra={"scenario": scenario.name, "version": version.name})
            self.metrics.failed.labels(scenario.name).inc()
            by, items = self._instead(scenario, version, ask)
        self.metrics.answers.labels(scenario.name, by).inc()
        if by == "model" and ask.user_id is not None and ask.history is None and erasures == self._erasures:
            self._remember((scenario.name, ask.user_id), items)
        return Answer(uuid4().hex, version.name, by, items, arm)

    async def append(self, scenario: Scenario, events: Sequence[Event]) -> Totals:
        """Take events; when this returns they are on the disk, and the next answers know them.

        Raises:
            DataError: The type of an event has no weight.
            BusyError: Too many wait.
            ResourceError: They could not be written; they can be sent again.
        """
        if len(events) > _AT_ONCE:
            events = await self.lanes.plain.do(partial(scenario.checked, events))
        else:
            events = scenario.checked(events)
        totals, begun = Totals(), time.monotonic()
        for start in range(0, len(events), PART):
            part = events[start : start + PART]
            outcomes = await asyncio.wrap_future(self.intake.submit(scenario.name, part))
            if len(part) > _AT_ONCE:
                await self.lanes.plain.do(partial(scenario.happened, part, outcomes), due=True)
            else:
                scenario.happened(part, outcomes)
            totals.add(outcomes)
        self.metrics.stages.labels("store").observe(time.monotonic() - begun)
        for status in ("new", "known", "conflicts"):
            self.metrics.events.labels(scenario.name, status).inc(getattr(totals, status))
        return totals

    async def erase(self, scenario: Scenario, user_id: str, *, actor: str) -> tuple[dict[str, int], int]:
        """Erase somebody, and return the rows of each table, and how many runs held something of them.

        Raises:
            BusyError: Too many wait to be erased.
            ResourceError: The database cannot be written, or not scrubbed now; what the message says was done is done.
            TimeoutError: It takes too long; it goes on.
        """
        from genre.erasing import erase_from_run, erasing_lock, versions_beside

        ids = {user_id, scenario.stored_id(user_id)}

        def work() -> tuple[dict[str, int], int]:
            runs, problems = 0, list[GenreError]()
            with erasing_lock(scenario.run), scenario.erasing(ids):
                # The files first: when other processes see that somebody was erased, they read them again.
                noted = {Path(version.path).absolute() for version in scenario.versions()}
                for path in sorted(noted.union(versions_beside(scenario.run.absolute()))):
                    try:
                        runs += path.exists() and erase_from_run(path, ids)
                    except GenreError as error:
                        problems.append(error)
                rows = self.users.erase(scenario.name, [scenario.stored_id(user_id)], actor=actor, scrub=False)
            self._forget_lists()
            self.database.scrub(*PERSONAL)
            if problems:
                # All else is done: what is damaged must be repaired or removed, and then this be asked again.
                raise problems[0]
            return rows, runs

        return await self.lanes.erasures.do(work, LONGEST)

    def _forget_lists(self) -> None:
        """Keep no list and no conversation: one of them may be of somebody who was erased."""
        self._erasures += 1
        self._remembered.clear()
        for writer in self.writers.values():
            writer.forget()

    def close(self) -> None:
        """Answer what was asked, write what was taken, and end."""
        self.draining = True
        self._stop.set()
        self.batcher.close()
        if self.aside is not None:
            self.aside.close()
        self.slow.close()
        self.lanes.close()
        self.intake.close()
        for thread in self._threads:
            thread.join(timeout=self.config.drain)
        for scenario in self.scenarios.values():
            scenario.close(self.config.drain)
        try:
            self.keys.save()
        except ResourceError as error:
            log.warning("how much of the quotas was used is not saved: %s", error)
        self.database.close()

    def gauges(self) -> None:
        """Bring the gauges up to date; called when somebody looks at them."""
        for what, waiting in (
            ("answers", self.batcher.waiting),
            ("texts", self.slow.waiting),
            ("events", self.intake.waiting),
            *self.lanes.waiting().items(),
        ):
            self.metrics.waiting.labels(what).set(waiting)
        self.metrics.aside.set(self.aside is not None and self.aside.is_up)
        # What was told of a version that is not live any more would stay for ever.
        self.metrics.version.clear()
        self.metrics.drift.clear()
        for scenario in self.scenarios.values():
            self.metrics.version.labels(scenario.name, scenario.live.name, "live").set(1)
            if scenario.canary is not None:
                self.metrics.version.labels(scenario.name, scenario.canary[0].name, "canary").set(1)
            self.metrics.broken.labels(scenario.name).set(len(scenario.problems))
            self.metrics.behind.labels(scenario.name).set(scenario.behind)
            for what, value in scenario.live.watch.gauges().items():
                self.metrics.drift.labels(scenario.name, what).set(value)

    def _answered(self, asked: Sequence[tuple[LiveVersion, Ask]]) -> Sequence[list[Recommended] | Exception]:
        answers: list[list[Recommended] | Exception] = [[] for _ in asked]
        by_version: dict[int, list[int]] = {}
        for at, (version, _) in enumerate(asked):
            by_version.setdefault(id(version), []).append(at)
        for places in by_version.values():
            found = asked[places[0]][0].recommend([asked[at][1] for at in places])
            for at, answer in zip(places, found, strict=True):
                answers[at] = answer
        return answers

    def _instead(self, scenario: Scenario, version: LiveVersion, ask: Ask) -> tuple[AnsweredBy, Sequence[Recommended]]:
        """Return what stands in for the model: the last list less what was seen since, if that is enough."""
        before = self._remembered.get((scenario.name, ask.user_id or "")) if ask.history is None else None
        left = [] if before is None else version.still_good(before, ask)
        enough = len(left) >= ask.n
        self.metrics.looked("lists", found=enough)
        return ("memory", left[: ask.n]) if enough else ("popular", version.popular(ask))

    def _remember(self, who: tuple[str, str], items: Sequence[Recommended]) -> None:
        self._remembered[who] = items[:_LONGEST]
        self._remembered.move_to_end(who)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def _decided(self, scenario: str, decision: str) -> None:
        self.metrics.gate.labels(scenario, decision).inc()

    def _watched(self, size: int, waited: float, took: float) -> None:
        self.metrics.batch.observe(size)
        self.metrics.stages.labels("queue").observe(waited)
        self.metrics.stages.labels("model").observe(took)

    def _follow(self) -> None:
        """Read again and again what others have written; while the database is gone, go on with what is known."""
        while not self._stop.wait(self.config.refresh):
            answered = [self._tried(partial(one.follow, wait=False)) for one in self.scenarios.values()]
            self.metrics.database.set(all(answered))

    def _watch_keys(self) -> None:
        """Read the keys, so that nobody who asks waits for the database, and save how much of the quotas is used."""
        saved = time.monotonic()
        while not self._stop.wait(_KEYS):
            if self._tried(self.keys.refresh) and time.monotonic() - saved > _SAVE:
                saved = time.monotonic()
                self._tried(self.keys.save)

    def _tried(self, work: Callable[[], Any]) -> bool:
        """Do something with the stores, and return whether they answered."""
        try:
            work()
        except ResourceError as error:
            if self.database_up:
                log.warning("the stores cannot be followed: %s", error)
            return False
        except Exception:
            log.exception("following the stores failed")
        return True
