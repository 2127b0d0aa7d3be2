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
from collections.abc import Mapping
from typing import Final

from genre.serving.scenario import Scenario
from genre.serving.settings import ServeConfig

_COMMAND: Final = "from genre.cli import main; main()"
_NICE: Final = 10
ACTOR: Final = "background job"
"""What the audit log calls it."""
_LONGEST: Final = 6 * 3600.0
"""Seconds after which a lesson is given up."""
log = logging.getLogger("genre.serving")


class Learner:
    """Calls `genre update` for each scenario in turn."""

    def __init__(self, config: ServeConfig, scenarios: Mapping[str, Scenario]) -> None:
        """Take the service's settings and scenarios."""
        self._config, self._scenarios = config, scenarios

    def work(self, stop: threading.Event) -> None:
        """Learn every so often, until the service ends."""
        hours = self._config.learn_every or 1.0
        while not stop.wait(3600 * hours):
            for name, scenario in self._scenarios.items():
                if stop.is_set():
                    return
                try:
                    self.learn(name, scenario, stop)
                except Exception:
                    # The next lesson may go better.
                    log.exception("a lesson failed", extra={"scenario": name})

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
        outcome = {0: "learned", 1: "not promoted"}.get(process.returncode, "failed")
        log.info("a lesson ended", extra={"scenario": name, "outcome": outcome, "said": words})
        return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
