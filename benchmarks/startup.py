"""Start-up time of the command line, and the whole demo.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import table, write_result

GENRE = Path(sys.executable).with_name("genre")


def seconds(*command: str) -> float:
    """Run a command and return how long it took."""
    started = time.perf_counter()
    subprocess.run([str(GENRE), *command], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure `genre --help` ten times and `genre demo` twice."""
    helps = [seconds("--help") for _ in range(10)]
    demos = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as directory:
            demos.append(seconds("demo", "--runs", directory))
    rows = [
        ["genre --help", f"{statistics.median(helps):.2f}", f"{max(helps):.2f}", "0.5"],
        ["genre demo", f"{statistics.median(demos):.1f}", f"{max(demos):.1f}", "60"],
    ]
    text = table(["command", "median, s", "worst, s", "target, s"], [list(row) for row in rows])
    write_result("startup", {"help_seconds": helps, "demo_seconds": demos}, text)


if __name__ == "__main__":
    main()
