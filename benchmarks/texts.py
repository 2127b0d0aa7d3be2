"""Models that read texts: accuracy with three seeds, what each part adds, new items, and people with few events.

    python benchmarks/texts.py amazon-beauty --settings benchmarks/results/DATE-leaderboard-amazon-beauty.json

Protocol: leave-one-out in the files' own order; parameters fitted on everything but each user's last two events; epochs
and weights chosen on the last-but-one, tested once on the last with the last-but-one in the history; seen items hidden,
every other item ranked, equal scores count half. New items: of the distinct targets of the test, 5 % are held out of
training, of all histories and of the validation; recall@10 is over all items, of the users whose target is one of them.
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
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import data_files, table, write_result
from numpy.typing import NDArray
from sequences import METRICS, SASREC, ensemble_of, fused, neighbours, row, values_of

from genre.api import kinds_of_recommenders
from genre.config import Experiment
from genre.core.files import atomic_directory
from genre.core.queries import Holdout
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.new_items import reads_new_items
from genre.recommenders.store import load_model, save_model
from genre.stages import prepare

HASHING = {"encoder": {"kind": "hashing"}}
RAW = {"whitening": None}
VARIANTS: dict[str, dict[str, Any]] = {
    "content": {"kind": "content"},
    "content, raw": {"kind": "content", "vectors": RAW},
    "content, hashing": {"kind": "content", "vectors": HASHING},
    "content, hashing, raw": {"kind": "content", "vectors": HASHING | RAW},
    "two_tower": {"kind": "two_tower"},
    "sasrec, ids": {"kind": "sasrec"},
    "sasrec, text": {"kind": "sasrec", "text": {"own": False}},
    "sasrec, both": {"kind": "sasrec", "text": {}},
    "sasrec, both, hashing": {"kind": "sasrec", "text": {"vectors": HASHING}},
    "behaviour_content": {"kind": "behaviour_content"},
}
SEEDED = ("sasrec, both", "sasrec, ids")
"""Fitted with every seed; the others are deterministic, or only compared with seed 0."""
MEMBERS = ("content", "two_tower", "sasrec, both", "sasrec, ids", "behaviour_content")
"""What the fusion with text has beside the neighbours."""
COLD_MEMBERS = ("content", "sasrec, both", "behaviour_content")
"""The same where new items are held out: fewer, since each is fitted again."""
EVENTS = (1, 2, 3, 5, 10)
MOST_ASKED = 5000
"""Users that the curves of few events are drawn from."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


@dataclass(frozen=True)
class Job:
    """One fit of one variant."""

    name: str
    variant: str
    seed: int = 0
    cold: bool = False

    def directory(self, work: Path) -> Path:
        """Return where the model is kept."""
        plain = self.variant.replace(", ", "-").replace(" ", "_")
        return work / f"{self.name}-{plain}-{self.seed}{'-cold' if self.cold else ''}"

    def command(self, work: Path) -> list[str]:
        """Return how a process of its own fits it."""
        options = [f"--work={work}", f"--variant={self.variant}", f"--seed={self.seed}", *["--cold"] * self.cold]
        return [sys.executable, __file__, self.name, *options]

    @property
    def config(self) -> RecommenderConfig:
        """Return the settings."""
        settings = dict(VARIANTS[self.variant])
        if settings["kind"] == "sasrec":
            settings = SASREC.get(self.name, {}) | settings
        config = kinds_of_recommenders()[settings["kind"]].model_validate(settings)
        if "training" not in type(config).model_fields:
            return config
        return type(config).model_validate(settings | {"training": settings.get("training", {}) | {"tracker": "none"}})


def part_of(name: str) -> Split:
    """Return the split of a data set with its item columns."""
    base = {"data": {"kind": "files", **data_files(name)}, "split": {"kind": "leave_one_out"}}
    return prepare(Experiment.model_validate(base | {"models": {"popularity": {"kind": "popularity"}}})).splits[0]


def without_new(part: Split, share: float = 0.05) -> tuple[Split, NDArray[np.bool_]]:
    """Hold some of the test's targets out of training, histories and validation."""
    targets = np.unique(part.test.targets.values)
    new = np.zeros(part.train.num_items, bool)
    new[np.random.default_rng(0).choice(targets, round(share * len(targets)), replace=False)] = True

    def cleaned(holdout: Holdout) -> Holdout:
        history = holdout.queries.history
        queries = replace(holdout.queries, history=history.where(~new[history.item_rows]))
        return Holdout(queries, holdout.targets)

    log = part.train.interactions
    validation = cleaned(part.validation)
    kept = np.flatnonzero(~new[validation.targets.values])
    train = part.train.with_interactions(log.where(~new[log.item_rows]))
    return replace(part, train=train, validation=validation.take(kept), test=cleaned(part.test), cold_items=new), new


def fit_one(job: Job, work: Path) -> None:
    """Fit one variant and keep it."""
    part = part_of(job.name)
    if job.cold:
        part, _ = without_new(part)
    keep = work / "checkpoints" / job.directory(work).name
    run = RunContext(seed=job.seed, validation=part.validation, directory=keep, store=work / "store")
    began = time.perf_counter()
    model = job.config.build({}).fit(part.train, run)
    with atomic_directory(job.directory(work)) as directory:
        save_model(model, directory)
        about = {"seconds": time.perf_counter() - began}
        (directory / "about.json").write_text(json.dumps(about), encoding="utf-8")


def fit_all(jobs: list[Job], work: Path) -> dict[Job, Recommender]:
    """Fit those that are not kept yet, two at a time with a core each."""
    missing = [job for job in jobs if not job.directory(work).exists()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: subprocess.run(job.command(work), check=True, env=environment), missing))
    return {job: load_model(job.directory(work), type(job.config), {}) for job in jobs}


def accuracy(name: str, part: Split, settings: Mapping[str, Any], work: Path, seeds: int) -> dict[str, Any]:
    """Return the values of every model and of the fusions, and the fitted models of seed 0."""
    train, run = part.train, RunContext(validation=part.validation)
    jobs = [Job(name, variant, seed) for variant in VARIANTS for seed in range(seeds if variant in SEEDED else 1)]
    models = fit_all(jobs, work)
    found: dict[str, list[dict[str, NDArray[np.float64]]]] = {}
    chosen: dict[str, float] = {}
    for variant in VARIANTS:
        runs = [models[job] for job in jobs if job.variant == variant]
        found[variant] = [values_of(model, part.test, train) for model in runs]
        chosen[variant] = float(np.mean([values_of(model, part.validation, train)["NDCG@10"].mean() for model in runs]))
    near = neighbours(train, settings, run)
    fusions, weights = [], []
    for seed in range(seeds):
        members = {variant: models[Job(name, variant, seed if variant in SEEDED else 0)] for variant in MEMBERS}
        fusion = fused({**near, **members}, train, run)
        fusions.append(fusion)
        weights.append(dict(zip(fusion.config.member_names, np.round(fusion.weights, 3).tolist(), strict=True)))
    found["fusion with text"] = [values_of(model, part.test, train) for model in fusions]
    together = {
        f"{variant} x{seeds}": ensemble_of([models[Job(name, variant, seed)] for seed in range(seeds)], train)
        for variant in SEEDED
    }
    found |= {variant: [values_of(model, part.test, train)] for variant, model in together.items()}
    rest = {variant: models[Job(name, variant)] for variant in MEMBERS if variant not in SEEDED}
    best = fused({**near, **rest, **together}, train, run)
    found["fusion with text and ensembles"] = [values_of(best, part.test, train)]
    seconds = {
        f"{job.variant}, seed {job.seed}": json.loads((job.directory(work) / "about.json").read_text())["seconds"]
        for job in jobs
    }
    curves = few_events(
        {
            "fusion with text": fusions[0],
            **{variant: models[Job(name, variant)] for variant in MEMBERS},
            "graph": near["graph"],
        },
        part,
    )
    return {"found": found, "validation": chosen, "weights": weights, "seconds": seconds, "few events": curves}


def few_events(models: Mapping[str, Recommender], part: Split) -> dict[str, list[float]]:
    """Return NDCG@10 of each model where only the newest events of each history are known."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(part.test))[:MOST_ASKED])
    test = part.test.take(drawn)
    asked = [Holdout(replace(test.queries, history=test.queries.history.last(n)), test.targets) for n in EVENTS]
    return {
        name: [float(values_of(model, holdout, part.train)["NDCG@10"].mean()) for holdout in asked]
        for name, model in models.items()
    }


def new_items(name: str, part: Split, settings: Mapping[str, Any], work: Path) -> dict[str, dict[str, float]]:
    """Return warm NDCG@10 and recall@10 of new items for each model, fitted without the new items."""
    part, new = without_new(part)
    train, run = part.train, RunContext(validation=part.validation)
    is_new = new[part.test.targets.values]
    warm, cold = (part.test.take(np.flatnonzero(rows)) for rows in (~is_new, is_new))
    members = fit_all([Job(name, variant, cold=True) for variant in COLD_MEMBERS], work)
    named = {job.variant: model for job, model in members.items()}
    named |= neighbours(train, settings, run)
    with_text = fused(named, train, run)
    counting = {kind: model for kind, model in named.items() if not reads_new_items(model)}
    without = fused(counting, train, run)
    plain = copy(with_text)
    plain.says = np.zeros_like(with_text.says)
    named |= {"fusion with text": with_text, "fusion with text, new items not lifted": plain, "fusion without": without}
    return {
        kind: {
            "warm NDCG@10": float(values_of(model, warm, train)["NDCG@10"].mean()),
            "new Recall@10": float(values_of(model, cold, train)["Recall@10"].mean()),
            "new questions": len(cold),
            "new items": int(new.sum()),
        }
        for kind, model in named.items()
    }


def measure(name: str, settings: Mapping[str, Any], work: Path, seeds: int) -> None:
    """Measure one data set."""
    part = part_of(name)
    result = accuracy(name, part, settings, work, seeds)
    cold = new_items(name, part, settings, work)
    found = result.pop("found")
    head = ["model", "seeds", "validation N@10", "R@5", "N@5", "R@10", "N@10", "95 % over users", "95 % over seeds"]
    rows = [row(kind, runs, result["validation"].get(kind)) for kind, runs in found.items()]
    rows.sort(key=lambda line: -float(str(line[6])))
    colds = [[kind, f"{values['warm NDCG@10']:.4f}", f"{values['new Recall@10']:.4f}"] for kind, values in cold.items()]
    colds.sort(key=lambda line: -float(line[1]))
    asked = next(iter(cold.values()))
    few = [[kind, *(f"{value:.4f}" for value in values)] for kind, values in result["few events"].items()]
    text = (
        f"{part.train.num_users:,} users, {part.train.num_items:,} items. {PROTOCOL}\n\n{table(head, rows)}\n\n"
        f"Weights of the fusions: {result['weights']}.\n\n"
        f"New items: {asked['new items']} items held out, {asked['new questions']} questions for them, seed 0.\n\n"
        f"{table(['model', 'warm N@10', 'recall@10 of new items'], colds)}\n\n"
        f"NDCG@10 of {MOST_ASKED:,} users where only the newest events of each history are known, seed 0:\n\n"
        f"{table(['model', *(f'{n} events' if n > 1 else '1 event' for n in EVENTS)], few)}"
    )
    plain = {
        kind: [{metric: float(one[metric].mean()) for metric in METRICS} for one in runs]
        for kind, runs in found.items()
    }
    path = write_result(f"texts-{name}", {"models": plain, "new items": cold, **result}, text)
    draw(result["few events"], path.with_suffix(".svg"))


def draw(curves: Mapping[str, list[float]], path: Path) -> None:
    """Draw NDCG@10 against the events that are known."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(EVENTS, values, marker="o", label=name)
    axes.set(xlabel="events known of each user", ylabel="NDCG@10", ylim=(0, None), xticks=EVENTS)
    axes.legend(fontsize="small")
    figure.savefig(path)


def main() -> None:
    """Measure the named data set, or fit one model for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--settings", type=Path, help="result of leaderboard.py whose settings are taken")
    parser.add_argument("--work", type=Path, default=Path("runs/texts"), help="where fitted models are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--cold", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant is not None:
        fit_one(Job(arguments.name, arguments.variant, arguments.seed, arguments.cold), arguments.work)
        return
    if arguments.settings is None:
        parser.error("--settings is needed")
    settings = json.loads(arguments.settings.read_text(encoding="utf-8"))["chosen"]
    measure(arguments.name, settings, arguments.work, arguments.seeds)


if __name__ == "__main__":
    main()
