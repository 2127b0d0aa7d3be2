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
from collections.abc import Mapping
from typing import Final

from genre.serving.scenario import Scenario
from genre.serving.settings import ServeConfig

_COMMAND: Final = "from genre.cli import main; main()"
_NICE: Final = 10
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
                if not stop.is_set():
                    self.learn(name, scenario, stop)

    def learn(self, name: str, scenario: Scenario, stop: threading.Event) -> int | None:
        """Learn what has come in one scenario, and return how the process ended; None if it was stopped."""
        command = [sys.executable, "-c", _COMMAND, "update", str(scenario.run.absolute()), "--scenario", name]
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
                preexec_fn=_lower_priority if os.name == "posix" else None,
            )
            while process.poll() is None:
                if stop.wait(0.2):
                    process.terminate()
                    process.wait(10)
                    return None
            said.seek(0)
            words = said.read().decode(errors="replace").strip()[-2000:]
        outcome = {0: "learned", 1: "not promoted"}.get(process.returncode, "failed")
        log.info("a lesson ended", extra={"scenario": name, "outcome": outcome, "said": words})
        return process.returncode


def _lower_priority() -> None:
    os.nice(_NICE)
