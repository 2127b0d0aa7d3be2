"""Sequence models and fusions of them without any item column: three seeds, and the protocol matrix.

    python benchmarks/sequences.py amazon-beauty --settings benchmarks/results/DATE-leaderboard-amazon-beauty.json

Protocol: leave-one-out in the files' own order; parameters fitted on everything but each user's last two events; epochs
and weights chosen on the last-but-one, tested once on the last with the last-but-one in the history; seen items hidden,
every other item ranked, equal scores count half. No model sees an item or user column, or when a question is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import data_files, table, write_result
from numpy.typing import NDArray

from genre.api import kinds_of_recommenders
from genre.config import Experiment
from genre.core.files import atomic_directory
from genre.core.queries import Holdout
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.data.splits import Split
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.ranking import evaluate_ranking, make_task
from genre.metrics.statistics import bootstrap_interval, seeds_interval
from genre.recommenders.base import Recommender
from genre.recommenders.bpr_mf import BprMfConfig
from genre.recommenders.ensemble import EnsembleConfig
from genre.recommenders.fusion import FusionConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.stages import prepare

NEIGHBOURS = ("popularity", "item_knn", "user_knn", "ease", "als", "graph")
"""Their settings are those that `leaderboard.py` chose on validation."""
SASREC: dict[str, dict[str, Any]] = {
    "amazon-beauty": {},
    "movielens-100k": {"dropout": 0.4, "length": 100, "time_aware": True, "training": {"batch_size": 32}},
    "food-com": {"training": {"epochs": 30}},
}
"""What differs from the defaults, chosen on validation with seed 0; the epochs of food-com by the time there was."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
METRICS = ("Recall@5", "NDCG@5", "Recall@10", "NDCG@10")
Values = dict[str, NDArray[np.float64]]
"""Of each metric, (B,) one for each question."""


@dataclass(frozen=True)
class Job:
    """One fit of SASRec."""

    name: str
    seed: int
    ties: str = "file"
    epochs: int | None = None
    """Given: fitted on training and validation events together for so many epochs."""

    def directory(self, work: Path) -> Path:
        """Return where the model is kept."""
        return work / f"{self.name}-{self.ties}-{self.seed}{'' if self.epochs is None else f'-refit-{self.epochs}'}"

    def command(self, work: Path) -> list[str]:
        """Return how a process of its own fits it."""
        options = [f"--seed={self.seed}", f"--ties={self.ties}"]
        options += [] if self.epochs is None else [f"--refit={self.epochs}"]
        return [sys.executable, __file__, self.name, f"--work={work}", *options]


def part_of(name: str, ties: str = "file") -> Split:
    """Return the split of a data set without item columns."""
    base = {"data": {"kind": "files", "interactions": data_files(name)["interactions"]}}
    experiment = {"split": {"kind": "leave_one_out", "ties": ties}, "models": {"popularity": {"kind": "popularity"}}}
    return prepare(Experiment.model_validate(base | experiment)).splits[0]


def merged(part: Split) -> Dataset:
    """Return training and validation events together."""
    log = part.train.interactions
    asked = part.test.queries
    rows = np.arange(len(log))
    at = np.full(len(log), -1)
    at[asked.user_rows] = np.arange(len(asked))
    if (at < 0).any():
        raise ValueError("some users have no test question: their validation events cannot be added")
    return part.train.with_interactions(asked.history.take(at[rows]))


def sasrec_config(name: str, epochs: int | None = None) -> SasrecConfig:
    """Return the settings for a data set."""
    config = SasrecConfig()
    changes = dict(SASREC[name])
    training = config.training.model_dump() | changes.pop("training", {}) | {"tracker": "none"}
    if epochs is not None:
        training |= {"epochs": epochs, "patience": None}
    return SasrecConfig.model_validate({**changes, "training": training})


def fit_one(job: Job, work: Path) -> None:
    """Fit one SASRec and keep it."""
    part = part_of(job.name, job.ties)
    keep = work / "checkpoints" / job.directory(work).name
    validation = part.validation if job.epochs is None else None
    data = part.train if job.epochs is None else merged(part)
    began = time.perf_counter()
    run = RunContext(seed=job.seed, validation=validation, directory=keep)
    model = sasrec_config(job.name, job.epochs).build({}).fit(data, run)
    with atomic_directory(job.directory(work)) as directory:
        save_model(model, directory)
        about = {"seconds": time.perf_counter() - began}
        (directory / "about.json").write_text(json.dumps(about), encoding="utf-8")


def fit_all(jobs: list[Job], work: Path) -> list[Recommender]:
    """Fit those that are not kept yet, two at a time with a core each, which is faster than one on two."""
    missing = [job for job in jobs if not job.directory(work).exists()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: subprocess.run(job.command(work), check=True, env=environment), missing))
    return [load_model(job.directory(work), SasrecConfig, {}) for job in jobs]


def neighbours(data: Dataset, settings: Mapping[str, Any], run: RunContext) -> dict[str, Recommender]:
    """Fit the models that need no torch, and BPR-MF."""
    found: dict[str, Recommender] = {}
    for kind in NEIGHBOURS:
        config = kinds_of_recommenders()[kind].model_validate({"kind": kind, **settings[kind]["setting"]})
        found[kind] = config.build({}).fit(data, run)
    return found


def values_of(model: Recommender, holdout: Holdout, data: Dataset, *, hide_seen: bool = True) -> Values:
    """Judge a model on some questions."""
    config = EvaluationConfig(ks=(5, 10), hide_seen=hide_seen)
    counts = data.interactions.item_counts(data.num_items)
    task = make_task(holdout, config, popularity=counts, rng=RunContext().rng("sequences"))
    return evaluate_ranking(model, task, beyond=False).per_query


def fused(members: Mapping[str, Recommender], data: Dataset, run: RunContext, **settings: Any) -> Recommender:
    """Return a fusion of the members with weights chosen on validation, or given."""
    return FusionConfig(members=tuple(members), **settings).build(members).fit(data, run)


def ensemble_of(models: list[Recommender], data: Dataset) -> Recommender:
    """Return the average of the same model fitted from several seeds."""
    named = {f"sasrec-{seed}": model for seed, model in enumerate(models)}
    return EnsembleConfig(members=tuple(named), num_seeds=1).build(named).fit(data, RunContext())


def row(name: str, runs: list[Values], validation: float | None = None) -> list[object]:
    """Return a line of the table: the mean over seeds, with intervals over users and over seeds."""
    means = [f"{np.mean([one[metric].mean() for one in runs]):.4f}" for metric in METRICS]
    users = bootstrap_interval(np.mean([one["NDCG@10"] for one in runs], axis=0), rng=np.random.default_rng(0))
    seeds = seeds_interval(np.array([one["NDCG@10"].mean() for one in runs])) if len(runs) > 1 else None
    over = f"[{seeds.low:.4f}, {seeds.high:.4f}]" if seeds else "-"
    chosen = "-" if validation is None else f"{validation:.4f}"
    return [name, len(runs), chosen, *means, f"[{users.low:.4f}, {users.high:.4f}]", over]


def measure(name: str, settings: Mapping[str, Any], work: Path, seeds: int, matrix: bool) -> None:
    """Measure one data set."""
    part = part_of(name)
    train, run = part.train, RunContext(validation=part.validation)
    members = neighbours(train, settings, run)
    bpr = BprMfConfig().build({}).fit(train, run)
    models = fit_all([Job(name, seed) for seed in range(seeds)], work)
    ensemble = ensemble_of(models, train)
    found: dict[str, list[Values]] = {kind: [values_of(model, part.test, train)] for kind, model in members.items()}
    found["bpr_mf"] = [values_of(bpr, part.test, train)]
    found["sasrec"] = [values_of(model, part.test, train) for model in models]
    found["ensemble of the sasrecs"] = [values_of(ensemble, part.test, train)]
    fusions = [fused({**members, "sasrec": model}, train, run) for model in models]
    found["fusion with sasrec"] = [values_of(model, part.test, train) for model in fusions]
    best = fused({**members, "ensemble": ensemble}, train, run)
    found["fusion with the ensemble"] = [values_of(best, part.test, train)]
    seen = [values_of(model, part.validation, train)["NDCG@10"].mean() for model in models]
    epochs = [int(np.nanargmax(model.curve[:, 1])) + 1 for model in models]
    head = ["model", "seeds", "validation N@10", "R@5", "N@5", "R@10", "N@10", "95 % over users", "95 % over seeds"]
    rows = [row(kind, runs, float(np.mean(seen)) if kind == "sasrec" else None) for kind, runs in found.items()]
    rows.sort(key=lambda line: -float(str(line[6])))
    seconds = [json.loads((Job(name, s).directory(work) / "about.json").read_text())["seconds"] for s in range(seeds)]
    weights = dict(zip(best.config.member_names, np.round(best.weights, 3).tolist(), strict=True))
    text = (
        f"{train.num_users:,} users, {train.num_items:,} items. {PROTOCOL}\n\n"
        f"{table(head, rows)}\n\nSASRec: {SASREC[name] or 'the defaults'}; best epochs {epochs}; "
        f"{', '.join(f'{value / 60:.1f}' for value in seconds)} minutes to the end of training with validation, one "
        f"core each, two at a time. Weights of the best fusion: {weights}. Neighbours' settings chosen on validation "
        "earlier."
    )
    if matrix:
        text += "\n\n" + protocol_matrix(name, settings, work, part, members, models, epochs)
    result = {
        kind: [{metric: float(one[metric].mean()) for metric in METRICS} for one in runs]
        for kind, runs in found.items()
    }
    write_result(
        f"sequences-{name}", {"models": result, "epochs": epochs, "seconds": seconds, "weights": weights}, text
    )


def protocol_matrix(
    name: str,
    settings: Mapping[str, Any],
    work: Path,
    part: Split,
    members: dict[str, Recommender],
    models: list[Recommender],
    epochs: list[int],
) -> str:
    """Return what the protocol alone does to the best three, seed 0."""
    train = part.train

    def three(data: Dataset, split: Split, near: dict[str, Recommender], net: Recommender, **how: Any) -> list[float]:
        run = RunContext(validation=split.validation)
        given = how.pop("weights", None)
        seen = how.get("hide_seen", True)
        fusion = fused({**near, "sasrec": net}, data, run, weights=given, hide_seen=seen)
        return [
            float(values_of(model, split.test, data, **how)["NDCG@10"].mean()) for model in (fusion, net, near["graph"])
        ]

    rows: list[list[object]] = []

    def add(what: str, values: list[float]) -> None:
        rows.append([what, *(f"{value:.4f}" for value in values)])
        print(rows[-1], flush=True)

    add("headline", three(train, part, members, models[0]))
    add("seen items not hidden", three(train, part, members, models[0], hide_seen=False))
    other = part_of(name, "shuffled")
    (net,) = fit_all([Job(name, 0, ties="shuffled")], work)
    add("same-day events shuffled", three(other.train, other, neighbours(other.train, settings, RunContext()), net))
    weights = fused({**members, "sasrec": models[0]}, train, RunContext(validation=part.validation)).weights
    (net,) = fit_all([Job(name, 0, epochs=epochs[0])], work)
    both = merged(part)
    near = neighbours(both, settings, RunContext())
    named = dict(zip([*near, "sasrec"], weights.tolist(), strict=True))
    add("fitted again on training and validation events", three(both, part, near, net, weights=named))
    return "NDCG@10 under other protocols, seed 0:\n\n" + table(
        ["protocol", "fusion with sasrec", "sasrec", "graph"], rows
    )


def main() -> None:
    """Measure the named data set, or fit one model for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(SASREC))
    parser.add_argument("--settings", type=Path, help="result of leaderboard.py whose settings are taken")
    parser.add_argument("--work", type=Path, default=Path("runs/sequences"), help="where fitted models are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-matrix", action="store_true")
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ties", default="file", help=argparse.SUPPRESS)
    parser.add_argument("--refit", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        fit_one(Job(arguments.name, arguments.seed, arguments.ties, arguments.refit), arguments.work)
        return
    if arguments.settings is None:
        parser.error("--settings is needed")
    settings = json.loads(arguments.settings.read_text(encoding="utf-8"))["chosen"]
    measure(arguments.name, settings, arguments.work, arguments.seeds, not arguments.no_matrix)


if __name__ == "__main__":
    main()
