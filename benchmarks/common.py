"""What every benchmark needs: where the data is, on what machine and code it ran, and a dated file for the result."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("GENRE_DATA", ROOT.parent / "shared" / "data"))


def data_files(name: str) -> dict[str, str]:
    """Return the files of one data set by table; where there are none, say so and end the program."""
    files = {table: DATA / name / f"{table}.parquet" for table in ("interactions", "items", "users")}
    if not files["interactions"].exists():
        print(f"skipped: {files['interactions']} is not there; set GENRE_DATA to the directory with the data sets")
        raise SystemExit(0)
    return {table: str(path) for table, path in files.items() if path.exists()}


def machine() -> dict[str, Any]:
    """Return the hardware and the versions that a figure depends on."""
    names = ("numpy", "scipy", "polars", "scikit-learn", "lightgbm", "implicit")
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in names},
        "commit": _git("rev-parse", "--short", "HEAD") + ("+changes" if _git("status", "--porcelain", "src") else ""),
    }


def device_name() -> str:
    """Return what torch works on."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu()


def write_result(name: str, result: dict[str, Any], summary: str) -> Path:
    """Write `results/DATE-NAME.json` with everything, and `.md` with what a person reads."""
    RESULTS.mkdir(exist_ok=True)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    path = RESULTS / f"{today}-{name}.json"
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1), encoding="utf-8")
    about = machine()
    where = f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; commit {about['commit']}."
    head = f"# {name}, {today}\n\n{where}\n\n"
    path.with_suffix(".md").write_text(head + summary.rstrip() + "\n", encoding="utf-8")
    print(summary)
    return path


def table(head: list[str], rows: list[list[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
