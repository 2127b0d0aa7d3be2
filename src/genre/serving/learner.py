"""The background job: now and then, what has come is learned, in a process of its own.

Learning takes a core and memory for minutes. In the service's own process people would wait for it; in another one, of
lower priority, the worst that can happen is that nothing is learned. What it has learned comes through the stores, as
everything else does.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from genre.serving.scenario import Scenario
from genre.serving.settings import ServeConfig
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database

_COMMAND: Final = "from genre.cli import main; main()"
_NICE: Final = 10
ACTOR: Final = "background job"
"""What the audit log calls it."""
_LONGEST: Final = 6 * 3600.0
"""Seconds after which a lesson is given up."""
_LOOK: Final = 60.0
"""Seconds between two looks at whether a lesson is due: another process, or somebody by hand, may have given one."""
LESSON: Final = "lesson"
"""What the audit log calls one that has ended, whatever came of it."""
_OUTCOMES: Final[Mapping[int | None, str]] = {0: "learned", 1: "not promoted"}
"""How the process of a lesson says that it ended."""
log = logging.getLogger("genre.serving")


class Learner:
    """Calls `genre update` for each scenario in turn."""

    def __init__(
        self,
        config: ServeConfig,
        scenarios: Mapping[str, Scenario],
        database: Database,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the service's settings, scenarios and database, and the clock in seconds since 1970."""
        self._config, self._scenarios, self._audit, self._now = config, scenarios, Audit(database), now
        self._ended: dict[str, float] = {}
        """When the lessons of this process ended: what the database cannot take is not forgotten here."""

    def work(self, stop: threading.Event) -> None:
        """Learn every so often, until the service ends: a service that is started anew goes on counting."""
        every = 3600 * (self._config.learn_every or 1.0)
        while not stop.wait(min(_LOOK, every / 10)):
            for name, scenario in self._scenarios.items():
                if stop.is_set():
                    return
                try:
                    if self._now() - self.last(name, scenario) >= every:
                        self._teach(name, scenario, stop)
                except Exception:
                    # The next lesson may go better.
                    log.exception("a lesson failed", extra={"scenario": name})

    def last(self, name: str, scenario: Scenario) -> float:
        """Return when a scenario learned last, whoever had it do so: when a version was made, or a lesson ended.

        Raises:
            ResourceError: The database cannot be read.
        """
        ended = max(self._ended.get(name, 0.0), self._audit.time_of_last(LESSON, name))
        times = [ended, *(one.created for one in scenario.versions())]
        # What a clock that was ahead has noted shall not put the next lesson off for years.
        return max((time for time in times if time <= self._now()), default=0.0)

    def _teach(self, name: str, scenario: Scenario, stop: threading.Event) -> None:
        """Give a lesson, and note that there was one: where it found nothing or broke, it is not begun again at once.

        One that ended with the service is not noted: it is due when there is a service again.
        """
        code: int | None = None
        try:
            code = self.learn(name, scenario, stop)
        finally:
            if not stop.is_set():
                self._ended[name] = self._now()
                detail = {"outcome": _OUTCOMES.get(code, "failed")}
                self._audit.note(LESSON, name, actor="background job", detail=detail, time=self._now())

    def learn(self, name: str, scenario: Scenario, stop: threading.Event) -> int | None:
        """Learn what has come in one scenario, and return how the process ended; None if it was stopped."""
        command = [sys.executable, "-c", _COMMAND, "update", str(scenario.run.absolute()), "--scenario", name]
        command += ["--actor", ACTOR]
        for bound in self._config.learn_gate:
            command += ["--gate", bound]
        if self._config.learn_canary is not None:
            command += ["--canary", str(self._config.learn_canary)]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                # The database's URL may hold a password, and everybody can read what a process was started with.
                env={**os.environ, "GENRE_DATABASE": self._config.database, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            if hasattr(os, "setpriority"):
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
            until = time.monotonic() + _LONGEST
            while process.poll() is None:
                if stop.wait(0.2) or time.monotonic() > until:
                    _end(process)
                    return None
            said.seek(0)
            words = said.read().decode(errors="replace").strip()[-2000:]
        outcome = _OUTCOMES.get(process.returncode, "failed")
        log.info("a lesson ended", extra={"scenario": name, "outcome": outcome, "said": words})
        return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
