"""`genre serve` in a process of its own, with all that it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NOTICE = re.compile(r"^Genre answers at (http://127\.0\.0\.1:(\d+))(?:; the studio: (\S+))?$", re.MULTILINE)


@dataclass
class Running:
    """A service that runs."""

    url: str
    port: int
    studio: str | None
    process: subprocess.Popen[bytes]
    directory: Path

    def said(self) -> tuple[str, str]:
        """Return what has come to standard output, and to standard error."""
        return (self.directory / "out").read_text("utf-8"), (self.directory / "err").read_text("utf-8")

    def end(self, patience: float = 30) -> int:
        """Tell it to end, and return how it ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)


@contextmanager
def running(directory: Path, *arguments: str, patience: float = 100) -> Iterator[Running]:
    """Let `genre serve` run in a directory, which has what it says, and listen at a free port."""
    command = [sys.executable, "-c", "from genre.cli import main; main()", "serve", "--port", "0", *arguments]
    directory.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=directory)
    found, until = None, time.monotonic() + patience
    try:
        while found is None:
            said = (directory / "out").read_text("utf-8")
            assert process.poll() is None, said + (directory / "err").read_text("utf-8")
            assert time.monotonic() < until, said
            found = NOTICE.search(said)
            time.sleep(0.05)
        yield Running(found[1], int(found[2]), found[3], process, directory)
    finally:
        process.kill()
        process.wait(30)
