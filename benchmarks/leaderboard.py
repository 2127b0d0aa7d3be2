"""Leaderboards of all models on real data: settings chosen on validation, test reported once.

    python benchmarks/leaderboard.py amazon-beauty movielens-100k food-com

Protocol: leave-one-out in the files' own order; parameters fitted on everything but each user's last two events,
settings and weights chosen on the last-but-one, tested on the last with the last-but-one in the history; seen items
hidden, every other item ranked, equal scores count half. First every setting of GRID is fitted and judged on
validation; then one run with the best setting of each kind makes the leaderboard.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import data_files, table, write_result

from genre.api import kinds_of_recommenders
from genre.config import Experiment
from genre.console import Bars
from genre.core.meter import Meter
from genre.core.run import RunContext
from genre.evaluation.comparison import leaderboard
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.ranking import evaluate_ranking, make_task
from genre.evaluation.results import Results
from genre.pipeline import run
from genre.recommenders.base import DataSize
from genre.stages import Prepared, prepare
from genre.workspace import read_manifest

GRID: dict[str, list[dict[str, Any]]] = {
    "popularity": [{"half_life_days": days} for days in (None, 30, 180)],
    "item_knn": [{"k": k, "history_decay": decay} for k in (100, 1000) for decay in (0.6, 0.9)],
    "user_knn": [{"k": k, "history_decay": decay} for k in (100, 500) for decay in (0.7, 0.95)],
    "ease": [{"regularization": value, "history_decay": 0.6} for value in (100, 500, 2000)],
    "als": [{"confidence": value} for value in (5, 20)],
    "graph": [{"history_decay": value} for value in (0.5, 0.7, 0.9)],
    "segment": [{"num_segments": k} for k in (20, 50, 150)],
    "behaviour_content": [{"l2_behaviour": value} for value in (0.3, 1.0)],
}
FEWER: dict[str, list[dict[str, Any]]] = {
    "ease": [{"regularization": 500, "history_decay": 0.6}],
    "behaviour_content": [{}],
    "segment": [{}],
    "item_knn": [{"k": 100}],
    "als": [{"confidence": 20}],
}
"""In place of GRID for more than 30,000 items, where one fit of EASE takes a quarter of an hour."""
MEMBERS = ("graph", "item_knn", "user_knn", "ease", "als", "behaviour_content", "popularity")
EVALUATION = {"ks": [5, 10, 20], "slices": {"min_queries": 30}}
PRIMARY = "NDCG@10"
MOST_MEMORY = 18 * 2**30


def choose(prepared: Prepared, budget: float, without: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the setting of each kind that is best on validation, with all that were tried."""
    part = prepared.splits[0]
    popularity = part.train.interactions.item_counts(part.train.num_items)
    config = EvaluationConfig()
    run_context = RunContext(validation=part.validation)
    task = make_task(part.validation, config, popularity=popularity, rng=run_context.rng("choose"))
    size = DataSize(part.train.num_users, part.train.num_items, part.train.num_events)
    chosen: dict[str, dict[str, Any]] = {}
    for kind, settings in {**GRID, **(FEWER if size.num_items > 30_000 else {})}.items():
        if kind in without:
            continue
        if len(settings) == 1:
            chosen[kind] = {"setting": settings[0], "tried": []}
            continue
        tried = []
        for setting in settings:
            recommender = kinds_of_recommenders()[kind](**setting)
            estimate = recommender.estimate(size)
            if estimate.seconds > budget or estimate.memory > MOST_MEMORY:
                print(
                    f"{kind} {setting}: skipped, about {estimate.seconds:.0f} s and {estimate.memory / 2**30:.1f} GiB"
                )
                continue
            with Meter() as meter:
                model = recommender.build({}).fit(part.train, run_context)
            value = float(evaluate_ranking(model, task, beyond=False).per_query[PRIMARY].mean())
            tried.append({"setting": setting, PRIMARY: value, "fit_seconds": meter.seconds})
            print(f"{kind} {setting}: {value:.4f} on validation, {meter.seconds:.1f} s to fit", flush=True)
            del model
        if tried:
            best = max(tried, key=lambda entry: entry[PRIMARY])
            chosen[kind] = {"setting": best["setting"], "tried": tried}
    return chosen


def measure(name: str, budget: float, without: Sequence[str], earlier: Path | None) -> None:
    """Choose settings, make the leaderboard of one data set and write it down."""
    started = time.perf_counter()
    base = {
        "name": name,
        "data": {"kind": "files", **data_files(name)},
        "models": {"popularity": {"kind": "popularity"}},
    }
    prepared = prepare(Experiment.model_validate(base))
    chosen = json.loads(earlier.read_text("utf-8"))["chosen"] if earlier else choose(prepared, budget, without)
    models: dict[str, Any] = {kind: {"kind": kind, **found["setting"]} for kind, found in chosen.items()}
    members = [kind for kind in MEMBERS if kind in models]
    for kind in ("boosted", "fusion"):
        if kind not in without:
            models[kind] = {"kind": kind, "members": members}
    experiment = Experiment.model_validate(
        {**base, "models": models, "evaluation": EVALUATION, "answer": {"examples": 5}}
    )
    with tempfile.TemporaryDirectory() as directory:
        done = run(experiment, Path(directory), progress=Bars())
        results, manifest = Results.load(done), read_manifest(done)
    rows: list[list[object]] = []
    for model in leaderboard(results)["model"]:
        found = results.models[model]
        at = {metric: found.test[metric].mean for metric in ("Recall@5", "NDCG@5", "Recall@10")}
        main = found.test[PRIMARY]
        rows.append(
            [
                model,
                f"{found.validation[PRIMARY].mean:.4f}",
                *(f"{value:.4f}" for value in at.values()),
                f"**{main.mean:.4f}** [{main.low:.4f}, {main.high:.4f}]",
                f"{found.beyond['coverage'].mean:.3f}",
                f"{found.seconds['fit']:.1f}",
                f"{found.memory['fit'] / 2**20:.0f}",
            ]
        )
    account = prepared.account
    settings = ", ".join(f"{kind} {found['setting']}" for kind, found in chosen.items())
    head = ["model", f"validation {PRIMARY}", "R@5", "N@5", "R@10", "N@10 [95 %]", "coverage", "fit, s", "fit, MiB"]
    text = (
        f"{account['users']:,} users, {account['items']:,} items, {account['events']:,} events; "
        f"{account['queries']['test']:,} test queries. {(__doc__ or '').partition('Protocol: ')[2].strip()}\n\n"
        f"{table(head, rows)}\n\n"
        f"Settings chosen on validation: {settings}. "
        + (f"Left out: {', '.join(without)}. " if without else "")
        + f"Best on validation: {manifest['chosen']}. Seed 0. {time.perf_counter() - started:.0f} s in all."
    )
    write_result(f"leaderboard-{name}", {"chosen": chosen, "results": results.to_dict()}, text)


def main() -> None:
    """Measure the named data sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--budget", type=float, default=1200, help="seconds that fitting one setting may take")
    parser.add_argument("--chosen", type=Path, help="result of an earlier run whose settings are taken")
    parser.add_argument("--without", nargs="*", default=[], help="kinds to leave out")
    arguments = parser.parse_args()
    for name in arguments.names:
        measure(name, arguments.budget, arguments.without, arguments.chosen)


if __name__ == "__main__":
    main()
