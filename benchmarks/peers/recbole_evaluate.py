"""Time RecBole's own collector and evaluator on a given score matrix.

Runs in the environment of ``recbole.txt`` and imports nothing of Genre::

    python recbole_evaluate.py --scores scores.npy --targets targets.npy \
        --seen seen.npz --topk 10 --batch 1024 --out out.json

Inputs: ``scores.npy``, float32, users x items; ``targets.npy``, one item per
user; ``seen.npz``, a scipy CSR matrix of the same shape as the scores whose
stored entries are the items to mask.

What is timed, per batch of users: masking the seen items as RecBole's trainer
does (``scores[history_index] = -np.inf``) and ``Collector.eval_batch_collect``;
and once at the end ``Collector.get_data_struct`` and ``Evaluator.evaluate``.
What is not: reading the batch from disk, and building the index tensors, which
RecBole does in its data loader.

Three things differ from a run inside RecBole. Columns are the items themselves:
RecBole's extra padding item 0 is left out, so that the number of items in
ItemCoverage and GiniIndex is the real one. Metrics are rounded to 12 places, not
4. And RecBole 1.2.1's ``get_data_struct`` calls ``.cpu()`` on everything
collected, which fails on the item count and the popularity counter that
``data_collect`` puts there (RecBole issue 2131); so ``data_collect`` is called on
the struct that ``get_data_struct`` returned, before it is evaluated.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.evaluator import Collector, Evaluator
from scipy import sparse

METRICS = [
    "Recall",
    "NDCG",
    "MRR",
    "Hit",
    "Precision",
    "MAP",
    "ItemCoverage",
    "AveragePopularity",
    "GiniIndex",
]


class TrainingData:
    """What ``Collector.data_collect`` asks of a training data loader."""

    def __init__(self, num_users: int, item_counts: np.ndarray) -> None:
        self.dataset = self
        self.num_users = num_users
        self.num_items = len(item_counts)
        self.item_counter = Counter({item: int(count) for item, count in enumerate(item_counts) if count})

    def num(self, field: str) -> int:
        """The number of distinct values of a field, as RecBole's Dataset has it."""
        return self.num_items if field == "item_id" else self.num_users


def make_config(topk: list[int], metrics: list[str]) -> Config:
    """A real RecBole Config, for the CPU, that needs no data set on disk."""
    # Config reads the command line as settings of its own.
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        return Config(
            model="Pop",  # any general recommender: only its type is read
            dataset="scores",
            config_dict={
                "gpu_id": "",
                "use_gpu": False,
                "show_progress": False,
                "metrics": metrics,
                "topk": topk,
                "valid_metric": f"{metrics[0]}@{topk[0]}",
                "metric_decimal_place": 12,
                "eval_args": {"mode": "full"},
                "USER_ID_FIELD": "user_id",
                "ITEM_ID_FIELD": "item_id",
            },
        )
    finally:
        sys.argv = arguments


def evaluate(
    scores: np.ndarray,
    targets: np.ndarray,
    seen: sparse.csr_matrix,
    config: Config,
    batch: int,
) -> tuple[dict[str, float], dict[str, float]]:
    """RecBole's metrics, and the seconds each step took."""
    num_users = scores.shape[0]
    collector = Collector(config)
    evaluator = Evaluator(config)
    training = TrainingData(num_users, np.bincount(seen.indices, minlength=seen.shape[1]))
    seconds = {"mask": 0.0, "collect": 0.0, "struct": 0.0, "evaluate": 0.0}

    for start in range(0, num_users, batch):
        stop = min(start + batch, num_users)
        block = torch.from_numpy(np.array(scores[start:stop], dtype=np.float32))
        rows = seen[start:stop]
        history_index = (
            torch.from_numpy(np.repeat(np.arange(stop - start), np.diff(rows.indptr))),
            torch.from_numpy(rows.indices.astype(np.int64)),
        )
        positive_u = torch.arange(stop - start)
        positive_i = torch.from_numpy(targets[start:stop].astype(np.int64))

        begin = time.perf_counter()
        block[history_index] = -np.inf
        masked = time.perf_counter()
        collector.eval_batch_collect(block, None, positive_u, positive_i)
        collected = time.perf_counter()
        seconds["mask"] += masked - begin
        seconds["collect"] += collected - masked

    begin = time.perf_counter()
    struct = collector.get_data_struct()
    collector.data_struct = struct
    collector.data_collect(training)
    ready = time.perf_counter()
    metrics = evaluator.evaluate(struct)
    done = time.perf_counter()
    seconds["struct"] = ready - begin
    seconds["evaluate"] = done - ready
    seconds["total"] = sum(seconds.values())
    return {name: float(value) for name, value in metrics.items()}, seconds


def main() -> None:
    """Read the arguments, evaluate, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--targets", type=Path, required=True)
    parser.add_argument("--seen", type=Path, required=True)
    parser.add_argument("--topk", type=int, nargs="+", default=[10])
    parser.add_argument("--batch", type=int, default=1024, help="users in a batch")
    parser.add_argument("--metrics", nargs="+", default=METRICS, choices=METRICS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    scores = np.load(arguments.scores, mmap_mode="r")
    targets = np.load(arguments.targets)
    seen = sparse.csr_matrix(sparse.load_npz(arguments.seen))
    if seen.shape != scores.shape or targets.shape != scores.shape[:1]:
        parser.error(f"shapes differ: {scores.shape}, {targets.shape}, {seen.shape}")
    if targets.min() < 0 or targets.max() >= scores.shape[1]:
        parser.error("every user needs one target that is an item of the matrix")

    config = make_config(arguments.topk, arguments.metrics)
    metrics, seconds = evaluate(scores, targets, seen, config, arguments.batch)
    report = {
        "library": "recbole",
        "versions": {name: version(name) for name in ("recbole", "torch", "numpy", "pandas", "scipy")},
        "python": platform.python_version(),
        "threads": arguments.threads,
        "device": str(config["device"]),
        "num_users": scores.shape[0],
        "num_items": scores.shape[1],
        "topk": arguments.topk,
        "batch": arguments.batch,
        "seconds": seconds,
        "metrics": metrics,
        # Kilobytes on Linux; the mapped pages of the score file count too.
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
