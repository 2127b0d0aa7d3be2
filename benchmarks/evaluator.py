"""Full-ranking evaluation from score blocks to all metrics, beside RecBole 1.2.1's evaluator, in one run.

    sh benchmarks/peers/setup.sh recbole PEER
    python benchmarks/evaluator.py --recbole PEER/bin/python

Scores of all 22,363 Beauty users for 12,101 items come from one EASE model, in blocks of 1,024 users that are in memory
before a clock starts. Both hide seen items, rank, and compute accuracy, coverage, popularity and Gini. The two
alternate, several times. Then: exact ranks against a naive reference, memory above the model, the time to recommend.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from common import data_files, table, write_result
from scipy import sparse

from genre.config import Experiment
from genre.core.meter import Meter
from genre.core.queries import Candidates, Holdout
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.ranking import evaluate_ranking, make_task, rank_scores
from genre.metrics.beyond import average_popularity, coverage, exposure, gini
from genre.metrics.ranking import ranking_metrics
from genre.recommenders.base import Scorer
from genre.recommenders.ease import EaseConfig
from genre.stages import prepare

BLOCK = 1024
ROUNDS = 3


def beauty() -> tuple[Dataset, Holdout]:
    """Return the training part and the test questions."""
    data = {"kind": "files", "interactions": data_files("amazon-beauty")["interactions"]}
    experiment = Experiment.model_validate({"data": data, "models": {"popularity": {"kind": "popularity"}}})
    part = prepare(experiment).splits[0]
    return part.train, part.test


def ours(path: Path, holdout: Holdout, popularity: np.ndarray) -> tuple[float, dict[str, float], np.ndarray]:
    """Return the seconds from score blocks to all metrics, the metrics, and the ranks."""
    scores = np.load(path, mmap_mode="r")
    seen = Candidates(excluded=holdout.queries.history.items)
    seconds = 0.0
    ranks = np.empty(len(holdout), np.float32)
    rows = np.empty((len(holdout), 10), np.int32)
    for start in range(0, len(holdout), BLOCK):
        where = slice(start, start + BLOCK)
        block = np.array(scores[where])  # Reading is not measured.
        began = time.perf_counter()
        found = rank_scores([block], seen.take(where), holdout.targets.take(where), 10)
        ranks[where], rows[where] = found.ranks, found.item_rows
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    metrics = {
        name: float(value.mean()) for name, value in ranking_metrics(ranks, holdout.targets.offsets, [10]).items()
    }
    shown = exposure(rows, len(popularity))
    metrics |= {"coverage": coverage(shown), "gini": gini(shown)}
    metrics["popularity"] = float(np.nanmean(average_popularity(rows, popularity)))
    return seconds + time.perf_counter() - began, metrics, ranks


def theirs(python: str, directory: Path) -> tuple[float, dict[str, float]]:
    """Return the seconds and the metrics of RecBole's evaluator on the same blocks."""
    script = Path(__file__).parent / "peers" / "recbole_evaluate.py"
    files = [f"--{name}={directory / file}" for name, file in (("scores", "scores.npy"), ("targets", "targets.npy"))]
    out = directory / "out.json"
    command = [python, str(script), *files, f"--seen={directory / 'seen.npz'}", "--topk=10", f"--batch={BLOCK}"]
    subprocess.run([*command, f"--out={out}"], check=True, capture_output=True)
    found = json.loads(out.read_text(encoding="utf-8"))
    return found["seconds"]["total"], found["metrics"]


def naive_ranks(path: Path, holdout: Holdout, rows: np.ndarray) -> np.ndarray:
    """Return the targets' ranks by sorting out one query after the other in Python."""
    scores = np.load(path, mmap_mode="r")
    ranks = []
    for row in rows:
        values, target = np.array(scores[row], np.float32), holdout.targets[row][0]
        values[holdout.queries.history.items[row]] = -np.inf
        higher = sum(1 for value in values.tolist() if value > values[target])
        equal = sum(1 for value in values.tolist() if value == values[target])
        ranks.append(1 + higher + (equal - 1) / 2 if values[target] > -np.inf else np.inf)
    return np.array(ranks)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recbole", help="Python of RecBole's environment; without it only Genre is measured")
    arguments = parser.parse_args()
    train, holdout = beauty()
    popularity = train.interactions.item_counts(train.num_items)
    model = EaseConfig(regularization=300).build({}).fit(train, RunContext())
    assert isinstance(model, Scorer)
    mine, peers, metrics, peer_metrics = [], [], {}, {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        scores = np.lib.format.open_memmap(directory / "scores.npy", "w+", np.float32, (len(holdout), train.num_items))
        for start, part in holdout.queries.blocks(BLOCK):
            # RecBole's top-k cannot hold a user without a score: items that EASE does not know come last instead.
            scores[start : start + len(part)] = np.maximum(model.score(part), -1e9)
        scores.flush()
        np.save(directory / "targets.npy", holdout.targets.values)
        sparse.save_npz(directory / "seen.npz", holdout.queries.history.to_binary_csr(train.num_items))
        for _ in range(ROUNDS):
            seconds, metrics, ranks = ours(directory / "scores.npy", holdout, popularity)
            mine.append(seconds)
            if arguments.recbole:
                seconds, peer_metrics = theirs(arguments.recbole, directory)
                peers.append(seconds)
        some = np.random.default_rng(0).choice(len(holdout), 500, replace=False)
        exact = bool(np.array_equal(naive_ranks(directory / "scores.npy", holdout, some), ranks[some]))
    task = make_task(holdout, EvaluationConfig(), popularity=popularity, rng=np.random.default_rng(0))
    with Meter() as evaluation:
        evaluate_ranking(model, task)
    with Meter() as everybody:
        model.recommend(holdout.queries, 10, candidates=task.candidates)
    single = []
    for row in range(500):
        asked = holdout.queries.take(slice(row, row + 1))
        began = time.perf_counter()
        model.recommend(asked, 10, candidates=Candidates(excluded=asked.history.items))
        single.append(1000 * (time.perf_counter() - began))
    p50, p99 = np.percentile(single, [50, 99])
    ratio = statistics.median(peers) / statistics.median(mine) if peers else None
    rows: list[list[object]] = [["Genre", f"{statistics.median(mine):.2f}", f"{min(mine):.2f} to {max(mine):.2f}"]]
    if peers:
        rows.append(["RecBole 1.2.1", f"{statistics.median(peers):.2f}", f"{min(peers):.2f} to {max(peers):.2f}"])
    text = (
        f"{len(holdout):,} users, {train.num_items:,} items, from the same blocks to all metrics, {ROUNDS} rounds.\n\n"
        + table(["evaluator", "median, s", "range, s"], rows)
        + f"\n\nRatio: {ratio:.1f}x (target: at least 5x).\n" * bool(peers)
        + f"\nRanks equal to a naive reference on 500 random users: {exact}.\n"
        + f"Whole evaluation of EASE (scores included): {evaluation.seconds:.1f} s, "
        + f"{evaluation.memory / 2**20:.0f} MiB above the model (target: under 1 GB).\n"
        + f"`recommend` for all users: {everybody.seconds:.1f} s, "
        + f"{len(holdout) / everybody.seconds:,.0f} users a second. "
        + f"One user at a time: p50 {p50:.1f} ms, p99 {p99:.1f} ms."
    )
    result = {
        "genre_seconds": mine,
        "recbole_seconds": peers,
        "ratio": ratio,
        "metrics": metrics,
        "recbole_metrics": peer_metrics,
        "ranks_exact": exact,
        "evaluate": {"seconds": evaluation.seconds, "bytes": evaluation.memory},
        "recommend_all_seconds": everybody.seconds,
        "recommend_one_ms": {"p50": p50, "p99": p99},
    }
    write_result("evaluator", result, text)


if __name__ == "__main__":
    main()
