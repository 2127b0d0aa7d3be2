"""Time and memory of the data path at 0.1, 1 and 10 million events: load, clean, split, matrix.

    python benchmarks/scale.py

Events are generated (long-tailed users and items, three years, duplicates among them) and written as CSV and Parquet
before the clock starts. Each size and format runs in a process of its own, so that the peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from common import RESULTS, table, write_result

SIZES = (100_000, 1_000_000, 10_000_000)
STEPS = ("load", "clean", "build", "split", "matrix")


def generate(size: int, directory: Path) -> None:
    """Write `size` events of size/50 users and size/250 items, some of them twice."""
    rng = np.random.default_rng(0)
    users = (rng.beta(1, 2, size) * (size // 50)).astype(np.int64)
    items = (rng.beta(1, 4, size) * (size // 250)).astype(np.int64)
    times = 1_600_000_000 + rng.integers(0, 3 * 365 * 86_400, size)
    frame = pl.DataFrame(
        {"user_id": users, "item_id": items, "rating": rng.integers(1, 6, size), "timestamp": times}
    ).with_columns(pl.format("u{}", "user_id").alias("user_id"), pl.format("i{}", "item_id").alias("item_id"))
    frame = pl.concat([frame[: size - size // 100], frame[: size // 100]])
    frame.write_csv(directory / "log.csv")
    frame.write_parquet(directory / "log.parquet")


def measure(path: Path) -> dict[str, float]:
    """Run the data path on one file; return the seconds of every step and the peak memory."""
    from genre.data.build import build_dataset
    from genre.data.cleaning import CleaningConfig, clean
    from genre.data.feedback import FeedbackConfig
    from genre.data.readers import FilesConfig, read_tables
    from genre.data.splits import LeaveOneOutConfig, split

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    marks = [time.perf_counter()]
    tables = read_tables(FilesConfig(interactions=path))
    marks.append(time.perf_counter())
    tables, _ = clean(tables, CleaningConfig(k_core={"user": 5, "item": 5}))
    marks.append(time.perf_counter())
    data = build_dataset(tables, FeedbackConfig(like_at=3))
    del tables
    marks.append(time.perf_counter())
    part = split(data, LeaveOneOutConfig(), np.random.default_rng(0))[0]
    marks.append(time.perf_counter())
    matrix = part.train.interactions.to_csr(part.train.num_items)
    marks.append(time.perf_counter())
    return {
        **dict(zip(STEPS, np.diff(marks).tolist(), strict=True)),
        "seconds": marks[-1] - marks[0],
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "gib_before": before,
        "events_left": data.num_events,
        "likes_in_matrix": int(matrix.sum()),
    }


def plot(rows: list[dict[str, float]], path: Path) -> None:
    """Draw time and memory against the number of events."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for form in ("csv", "parquet"):
        part = [row for row in rows if row["format"] == form]
        sizes = [row["events"] for row in part]
        left.plot(sizes, [row["seconds"] for row in part], "o-", label=form)
        right.plot(sizes, [row["gib"] for row in part], "o-", label=form)
    left.set(xscale="log", yscale="log", xlabel="events", ylabel="seconds", title="load to matrix")
    right.set(xscale="log", yscale="log", xlabel="events", ylabel="GiB", title="peak memory")
    left.legend()
    figure.savefig(path)


def main() -> None:
    """Measure all sizes and formats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=Path, help="measure one file and print JSON (used internally)")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as directory:
            generate(size, Path(directory))
            for form in ("csv", "parquet"):
                command = [sys.executable, __file__, "--one", f"{directory}/log.{form}"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append({"events": size, "format": form, **json.loads(done.stdout)})
    head = ["events", "format", *STEPS, "all, s", "peak GiB"]
    cells: list[list[object]] = []
    for row in rows:
        steps = [f"{row[step]:.2f}" for step in STEPS]
        cells.append([f"{row['events']:,}", row["format"], *steps, f"{row['seconds']:.1f}", f"{row['gib']:.2f}"])
    text = "Load, clean (exact duplicates, 5-core), build, leave-one-out split and matrix; seconds of each step.\n\n"
    text += table(head, cells) + "\n\nTarget at 10 million events: under 60 s and 6 GB."
    path = write_result("scale", {"rows": rows}, text)
    plot(rows, RESULTS / f"{path.stem}.svg")


if __name__ == "__main__":
    main()
