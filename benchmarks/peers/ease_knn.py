"""Fit a peer's EASE or cosine item-kNN and recommend unseen items to all users.

Runs in the environment of the library it times and imports nothing of Genre::

    python ease_knn.py --library lenskit --model ease --matrix train.npz --n 10 \
        --regularization 250 --out lists.npz --json report.json

Input: a scipy CSR matrix, users x items. Stored values become 1.

Output: ``items`` and ``scores`` in the npz, users x n, best first, with -1 and
NaN where a list ends early. A user with no interaction is not asked about and
has an empty list. The JSON holds the seconds of three steps - ``prepare`` (from
CSR to what the library takes), ``fit`` and ``recommend`` (the library's own call
for all users, to its own result type) - the settings, and in ``differs`` what is
not plain EASE or plain cosine item-kNN.

Plain EASE is B = I - P / diag(P), P = (X'X + regularization I)^-1, and scores
X B. Plain cosine item-kNN keeps, for each item, its k most similar other items,
and scores an item by the sum of its similarities in the lists of the items the
user has seen.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits


@dataclass
class Task:
    """What is asked of a library."""

    matrix: sparse.csr_matrix
    users: np.ndarray  # those with at least one interaction
    n: int
    k: int
    regularization: float
    threads: int
    processes: int
    max_neighbours: int


@dataclass
class Answer:
    """Lists, seconds, and how they were made."""

    items: np.ndarray
    scores: np.ndarray
    seconds: dict[str, float]
    settings: dict[str, Any]
    differs: list[str] = field(default_factory=list)


def empty_lists(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Lists with nothing in them, to be filled."""
    shape = (task.matrix.shape[0], task.n)
    return np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan)


def implicit_item_knn(task: Task) -> Answer:
    """Implicit's CosineRecommender."""
    from implicit.nearest_neighbours import CosineRecommender

    clock = [time.perf_counter()]
    matrix = task.matrix.astype(np.float64)
    clock.append(time.perf_counter())
    model = CosineRecommender(K=task.k + 1, num_threads=task.threads)
    model.fit(matrix, show_progress=False)
    clock.append(time.perf_counter())
    found, found_scores = model.recommend(task.users, matrix[task.users], N=task.n, filter_already_liked_items=True)
    clock.append(time.perf_counter())

    items, scores = empty_lists(task)
    items[task.users] = found
    scores[task.users] = np.where(found >= 0, found_scores, np.nan)
    return Answer(
        items,
        scores,
        steps(clock),
        {"class": "CosineRecommender", "K": task.k + 1, "num_threads": task.threads},
        [
            "K counts the item itself as a neighbour, so K is k + 1",
            "only items with a stored similarity are scored",
            "a list that would end early is filled up with seen items, removed here",
            "recommend loops over the users in Python, in one thread",
        ],
    )


def rectools_model(task: Task, model: Any, settings: dict[str, Any]) -> Answer:
    """Time a RecTools model."""
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset

    clock = [time.perf_counter()]
    pairs = task.matrix.tocoo()
    dataset = Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: pairs.row,
                Columns.Item: pairs.col,
                Columns.Weight: 1.0,
                Columns.Datetime: "2020-01-01",
            }
        )
    )
    clock.append(time.perf_counter())
    model.fit(dataset)
    clock.append(time.perf_counter())
    frame = model.recommend(users=task.users, dataset=dataset, k=task.n, filter_viewed=True)
    clock.append(time.perf_counter())

    items, scores = empty_lists(task)
    rows, ranks = frame[Columns.User].to_numpy(), frame[Columns.Rank].to_numpy() - 1
    items[rows, ranks] = frame[Columns.Item].to_numpy()
    scores[rows, ranks] = frame[Columns.Score].to_numpy()
    return Answer(items, scores, steps(clock), settings)


def rectools_ease(task: Task) -> Answer:
    """RecTools' EASEModel."""
    from rectools.models import EASEModel

    settings = {
        "regularization": task.regularization,
        "recommend_n_threads": task.threads,
        "recommend_use_gpu_ranking": False,
    }
    answer = rectools_model(task, EASEModel(**settings), {"class": "EASEModel", **settings})
    # RecTools 0.19.0 computes B as above, then hands it to a ranker that takes one
    # row per item to recommend, where B has one column: it scores with X B', which
    # divides by the seen item's diagonal entry instead of the recommended item's.
    answer.differs = [
        "fit inverts in float32 with numpy.linalg.inv (a general inverse, not Cholesky)",
        "recommend multiplies by the transpose of B, so lists differ from plain EASE",
        "items with no interaction are not in the data set and are never recommended",
    ]
    return answer


def rectools_item_knn(task: Task) -> Answer:
    """Implicit's CosineRecommender in RecTools' wrapper."""
    from implicit.nearest_neighbours import CosineRecommender
    from rectools.models import ImplicitItemKNNWrapperModel

    settings = {"K": task.k + 1, "num_threads": task.threads}
    answer = rectools_model(
        task,
        ImplicitItemKNNWrapperModel(CosineRecommender(**settings)),
        {"class": "ImplicitItemKNNWrapperModel(CosineRecommender)", **settings},
    )
    answer.differs = [
        "implicit underneath: K counts the item itself, so K is k + 1",
        "recommend loops over the users in Python, in one thread",
    ]
    return answer


def lenskit_model(task: Task, scorer: Any, settings: dict[str, Any]) -> Answer:
    """Time a LensKit scorer in LensKit's standard top-n pipeline."""
    import pandas as pd
    from lenskit.batch import recommend
    from lenskit.data import DatasetBuilder
    from lenskit.parallel import initialize
    from lenskit.pipeline import topn_pipeline

    initialize(processes=task.processes, threads=task.threads, backend_threads=[task.threads, 1])
    clock = [time.perf_counter()]
    pairs = task.matrix.tocoo()
    builder = DatasetBuilder()
    builder.add_entities("user", np.arange(task.matrix.shape[0]))
    builder.add_entities("item", np.arange(task.matrix.shape[1]))
    builder.add_interactions(
        "rating",
        pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col}),
        entities=["user", "item"],
        allow_repeats=False,
        default=True,
    )
    dataset = builder.build()
    clock.append(time.perf_counter())
    pipeline = topn_pipeline(scorer, n=task.n)
    pipeline.train(dataset)
    clock.append(time.perf_counter())
    lists = recommend(pipeline, task.users.tolist(), task.n, n_jobs=task.processes)
    clock.append(time.perf_counter())

    items, scores = empty_lists(task)
    for key, found in lists.items():
        items[key.user_id, : len(found)] = found.ids()
        scores[key.user_id, : len(found)] = found.scores()
    return Answer(
        items,
        scores,
        steps(clock),
        {
            **settings,
            "pipeline": "topn_pipeline",
            "n_jobs": task.processes,
            "threads": task.threads,
            "backend_threads": task.threads,
        },
    )


def lenskit_ease(task: Task) -> Answer:
    """LensKit's EASEScorer."""
    from lenskit.knn import EASEScorer

    answer = lenskit_model(
        task,
        EASEScorer(regularization=task.regularization),
        {
            "class": "EASEScorer",
            "regularization": task.regularization,
            "LK_EASE_SOLVER": "default (torch, on a CUDA device if there is one)",
        },
    )
    answer.differs = [
        "fit inverts in float32 by Cholesky (torch.linalg.cholesky_ex, cholesky_inverse)",
        "recommend multiplies a dense vector by the weights for one user at a time",
        "each process of recommend (n_jobs) uses one thread when there are several",
    ]
    return answer


def lenskit_item_knn(task: Task) -> Answer:
    """LensKit's ItemKNNScorer with implicit feedback."""
    from lenskit.knn import ItemKNNScorer

    settings = {
        "feedback": "implicit",
        "save_nbrs": task.k,
        "max_nbrs": task.max_neighbours,
        "min_nbrs": 1,
        "min_sim": 1e-6,
    }
    answer = lenskit_model(task, ItemKNNScorer(**settings), {"class": "ItemKNNScorer", **settings})
    answer.differs = [
        "a score sums at most max_nbrs similarities, which can matter for long histories",
        "similarities below min_sim are dropped",
        "only items with a stored similarity are scored, so lists can end early",
        "fit and scores are float32",
    ]
    return answer


RUNS: dict[tuple[str, str], Callable[[Task], Answer]] = {
    ("implicit", "item_knn"): implicit_item_knn,
    ("rectools", "ease"): rectools_ease,
    ("rectools", "item_knn"): rectools_item_knn,
    ("lenskit", "ease"): lenskit_ease,
    ("lenskit", "item_knn"): lenskit_item_knn,
}


def steps(clock: list[float]) -> dict[str, float]:
    """Seconds between the four readings of the clock."""
    return dict(zip(("prepare", "fit", "recommend"), np.diff(clock).tolist(), strict=True))


def remove_seen(answer: Answer, matrix: sparse.csr_matrix) -> int:
    """Blank out seen items, close the gaps, and say how many there were."""
    removed = 0
    for user in range(matrix.shape[0]):
        seen = matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]
        items, scores = answer.items[user], answer.scores[user]
        keep = (items >= 0) & ~np.isin(items, seen)
        lost = int((items >= 0).sum() - keep.sum())
        if lost:
            removed += lost
            kept_items, kept_scores = items[keep], scores[keep]
            items[:], scores[:] = -1, np.nan
            items[: len(kept_items)], scores[: len(kept_items)] = kept_items, kept_scores
    return removed


def versions() -> dict[str, str]:
    """The versions of what is installed here."""
    found = {}
    for name in (
        "implicit",
        "pm-implicit",
        "rectools",
        "lenskit",
        "numpy",
        "scipy",
        "pandas",
        "torch",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Read the arguments, run, write the lists and the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--library", required=True, choices=["implicit", "rectools", "lenskit"])
    parser.add_argument("--model", required=True, choices=["ease", "item_knn"])
    parser.add_argument("--matrix", type=Path, required=True)
    parser.add_argument("--n", type=int, default=10, help="length of a list")
    parser.add_argument("--k", type=int, default=100, help="item_knn: neighbours of an item")
    parser.add_argument("--regularization", type=float, default=250.0, help="ease")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1, help="lenskit: n_jobs of recommend")
    parser.add_argument("--max-neighbours", type=int, help="lenskit item_knn: max_nbrs (default: k)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    run = RUNS.get((arguments.library, arguments.model))
    if run is None:
        parser.error(f"{arguments.library} has no {arguments.model}")

    matrix = sparse.csr_matrix(sparse.load_npz(arguments.matrix))
    matrix.sum_duplicates()
    matrix.data = np.ones(matrix.nnz, dtype=np.float32)
    task = Task(
        matrix=matrix,
        users=np.flatnonzero(np.diff(matrix.indptr)),
        n=arguments.n,
        k=arguments.k,
        regularization=arguments.regularization,
        threads=arguments.threads,
        processes=arguments.processes,
        max_neighbours=arguments.max_neighbours or arguments.k,
    )
    with threadpool_limits(arguments.threads):
        answer = run(task)
    removed = remove_seen(answer, matrix)
    np.savez(arguments.out, items=answer.items, scores=answer.scores)
    report = {
        "library": arguments.library,
        "model": arguments.model,
        "versions": versions(),
        "python": platform.python_version(),
        "threads": arguments.threads,
        "num_users": matrix.shape[0],
        "num_items": matrix.shape[1],
        "num_interactions": int(matrix.nnz),
        "num_users_asked": len(task.users),
        "n": arguments.n,
        "seconds": answer.seconds,
        "settings": answer.settings,
        "differs": answer.differs,
        "seen_items_removed_from_lists": removed,
        "lists_ending_early": int((answer.items[task.users, -1] < 0).sum()),
        # Kilobytes on Linux, the largest of this process; children are apart.
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "children_max_rss_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
