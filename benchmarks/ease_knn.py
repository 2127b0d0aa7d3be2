"""EASE and item-kNN beside the same models of implicit, RecTools and LensKit: seconds and lists, in one run.

    for peer in implicit rectools lenskit; do sh benchmarks/peers/setup.sh $peer PEERS/$peer; done
    python benchmarks/ease_knn.py --peers PEERS

Beauty and MovieLens-100k, binary training matrix, plain cosine without shrinkage, 100 neighbours, EASE with
regularization 250, top 10 unseen items for every user. Each library has two threads. Where a peer's definition differs,
the note under the table says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import data_files, table, write_result
from numpy.typing import NDArray
from scipy import sparse

from genre.config import Experiment
from genre.core.queries import Candidates
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.item_knn import ItemKnnConfig
from genre.stages import prepare

PEERS = {"ease": ("rectools", "lenskit"), "item_knn": ("implicit", "rectools", "lenskit")}
OURS: dict[str, RecommenderConfig] = {
    "ease": EaseConfig(regularization=250, history_decay=1),
    "item_knn": ItemKnnConfig(k=100, shrinkage=0, history_decay=1.0),
}
Lists = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Items and scores, (users, 10) each."""
ROUNDS = 2
ONE_AT_A_TIME = 5_000
"""Users above which LensKit is left out: it answers one at a time, which takes many minutes."""


def train_of(name: str) -> Dataset:
    """Return the training part of a data set; every event counts."""
    data = {"kind": "files", "interactions": data_files(name)["interactions"]}
    experiment = Experiment.model_validate({"data": data, "models": {"popularity": {"kind": "popularity"}}})
    return prepare(experiment).splits[0].train


def ours(config: RecommenderConfig, train: Dataset) -> tuple[float, float, Lists]:
    """Return seconds of fit and of recommend, and the lists."""
    began = time.perf_counter()
    model = config.build({}).fit(train, RunContext())
    fitted = time.perf_counter()
    queries = train.queries()
    answer = model.recommend(queries, 10, candidates=Candidates(excluded=queries.history.items))
    return fitted - began, time.perf_counter() - fitted, (answer.item_rows, answer.scores)


def theirs(python: Path, library: str, model: str, directory: Path) -> tuple[float, float, Lists]:
    """Return the same of a peer."""
    script = Path(__file__).parent / "peers" / "ease_knn.py"
    lists, about = directory / "lists.npz", directory / "about.json"
    command = [str(python), str(script), f"--library={library}", f"--model={model}", "--n=10", "--k=100"]
    files = [f"--matrix={directory / 'train.npz'}", f"--out={lists}", f"--json={about}"]
    subprocess.run([*command, *files, "--regularization=250"], check=True, capture_output=True)
    seconds = json.loads(about.read_text(encoding="utf-8"))["seconds"]
    with np.load(lists) as found:
        return seconds["fit"], seconds["recommend"], (found["items"], found["scores"])


def agreement(mine: Lists, peer: Lists) -> tuple[float, float]:
    """Return the mean share of our items that the peer's list has, and the share of places with equal scores.

    Where similarities tie at the last neighbour kept, libraries keep different ones: then only scores agree.
    """
    shares = [
        len(set(a[a >= 0]) & set(b[b >= 0])) / (a >= 0).sum()
        for a, b in zip(mine[0], peer[0], strict=True)
        if (a >= 0).any()
    ]
    filled = mine[0] >= 0
    return float(np.mean(shares)), float(np.isclose(mine[1][filled], peer[1][filled], rtol=1e-3, atol=1e-5).mean())


def compare(name: str, peers: Path | None) -> tuple[list[list[object]], list[dict[str, Any]]]:
    """Measure one data set: Genre and its peers in turn, several rounds, medians."""
    train = train_of(name)
    rows: list[list[object]] = []
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        sparse.save_npz(directory / "train.npz", train.interactions.to_binary_csr(train.num_items))
        for model, config in OURS.items():
            libraries = [peer for peer in PEERS[model] if peers and (peers / peer / "bin" / "python").exists()]
            if train.num_users > ONE_AT_A_TIME:
                libraries = [peer for peer in libraries if peer != "lenskit"]
            seconds: dict[str, list[tuple[float, float]]] = {library: [] for library in ("genre", *libraries)}
            same = {"genre": (1.0, 1.0)}
            for _ in range(ROUNDS):
                *cost, mine = ours(config, train)
                seconds["genre"].append((cost[0], cost[1]))
                for library in libraries:
                    assert peers is not None
                    python = peers / library / "bin" / "python"
                    *cost, lists = theirs(python, library, model, directory)
                    seconds[library].append((cost[0], cost[1]))
                    same[library] = agreement(mine, lists)
            for library, found in seconds.items():
                fit, recommend = np.median(found, axis=0)
                items, scores = same[library]
                rows.append([name, model, library, f"{fit:.2f}", f"{recommend:.2f}", f"{items:.3f}", f"{scores:.3f}"])
                results.append({"data": name, "model": model, "library": library, "seconds": found})
                results[-1] |= {"same_items": items, "same_scores": scores}
                print(rows[-1], flush=True)
    return rows, results


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="directory with the peers' environments")
    arguments = parser.parse_args()
    rows: list[list[object]] = []
    results: list[dict[str, Any]] = []
    for name in ("movielens-100k", "amazon-beauty"):
        more_rows, more_results = compare(name, arguments.peers)
        rows += more_rows
        results += more_results
    head = ["data", "model", "library", "fit, s", "recommend all, s", "same items", "same scores"]
    note = (
        "RecTools 0.19's EASE ranks by the transposed weights (X B' in place of X B), so its lists differ by design; "
        "its work is the same. LensKit answers one user at a time, and is measured on MovieLens only. Medians of "
        f"{ROUNDS} rounds, in which the libraries alternate."
    )
    write_result("ease-knn", {"rows": results}, table(head, rows) + "\n\n" + note)


if __name__ == "__main__":
    main()
