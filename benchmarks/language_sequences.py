"""A language model that reads histories beside a sequence model, alone and in a fusion.

    python benchmarks/language_sequences.py --settings benchmarks/results/DATE-leaderboard-movielens-100k.json

Protocol: MovieLens-100K; of each user the last five likes are the test, the five before them the validation; seen items
hidden, every other item ranked. The language model begins with the vectors of the SASRec of the same seed. The variant
is chosen on validation by the mean of the seeds, as are epochs and weights of fusions; the test is asked once. Little
data: the third of the users with the shortest histories, and targets among the half of the items with the fewest
likes in training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import data_files, device_name, table, write_result
from numpy.typing import NDArray
from sequences import fused, neighbours, sasrec_config, values_of

from genre.config import Experiment
from genre.console import Bars
from genre.core.files import atomic_file
from genre.core.queries import Candidates
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.metrics.ranks import list_ranks
from genre.metrics.statistics import Difference, bootstrap_interval, paired_difference
from genre.recommenders.base import Recommender
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.stages import prepare

NAME, TARGETS, K = "movielens-100k", 5, 10
TRAINING = {
    "epochs": 8, "batch_size": 16, "clip_norm": 1.0, "warm_up_steps": 20, "patience": 2, "precision": "bf16",
    "tracker": "none",
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "LoRA, rate 1e-3": {"training": TRAINING | {"learning_rate": 1e-3}},
    "LoRA, rate 3e-4": {"training": TRAINING | {"learning_rate": 3e-4}},
}
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
Values = NDArray[np.float64]


def part_of() -> Split:
    """Return the split."""
    settings = {"data": {"kind": "files", **data_files(NAME)}, "split": {"kind": "leave_one_out", "targets": TARGETS}}
    return prepare(Experiment.model_validate({**settings, "models": {"popularity": {"kind": "popularity"}}})).splits[0]


def language_model(variant: str, start: Recommender, part: Split, run: RunContext) -> Recommender:
    """Fit one variant."""
    about = {
        "length": 100,
        "start_from": "sasrec",
        "embedding_size": start.config.embedding_size,  # type: ignore[attr-defined]
        "vectors": {"encoder": {"kind": "hashing"}},
    }
    config = LlmSequentialConfig.model_validate({**about, **VARIANTS[variant]})
    return config.build({"sasrec": start}).fit(part.train, run)


def judged(model: Recommender, part: Split) -> dict[str, list[float]]:
    """Return NDCG@10 of each question, and whether each target is among the first ten."""
    asked = part.test
    answer = model.recommend(asked.queries, K, candidates=Candidates(excluded=asked.queries.history.items))
    hits = list_ranks(answer.item_rows, asked.targets) <= K
    return {
        "validation": [float(values_of(model, part.validation, part.train)["NDCG@10"].mean())],
        "NDCG@10": values_of(model, asked, part.train)["NDCG@10"].tolist(),
        "hits": hits.astype(float).tolist(),
    }


def one_seed(seed: int, settings: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Fit and judge everything with one seed."""
    part, began = part_of(), time.perf_counter()
    run = RunContext(seed=seed, validation=part.validation, progress=Bars())
    sasrec = sasrec_config(NAME).build({}).fit(part.train, run)
    members = {**neighbours(part.train, settings, run), "sasrec": sasrec}
    found: dict[str, Any] = {"device": device_name(), "epochs": {}, "models": {"sasrec": judged(sasrec, part)}}
    found["models"]["fusion without it"] = judged(fused(members, part.train, run), part)
    for variant in VARIANTS:
        model: Any = language_model(variant, sasrec, part, run)
        found["epochs"][variant] = int(np.nanargmax(model.curve[:, 1])) + 1
        found["models"][variant] = judged(model, part)
        found["models"][f"fusion with {variant}"] = judged(fused({**members, "llm": model}, part.train, run), part)
    counts = part.train.interactions.item_counts(part.train.num_items)
    lengths = part.test.queries.history.lengths
    found["short"] = (lengths <= np.quantile(lengths, 1 / 3)).tolist()
    found["rare"] = (counts <= np.median(counts))[part.test.targets.values].tolist()
    found["seconds"] = time.perf_counter() - began
    with atomic_file(place) as temporary:
        temporary.write_text(json.dumps(found), encoding="utf-8")
    return found


def told(found: list[dict[str, Any]]) -> str:
    """Return what a person reads."""
    rng = np.random.default_rng(0)

    def mean(name: str, what: str) -> Values:
        return np.mean([one["models"][name][what] for one in found], axis=0)

    chosen = max(VARIANTS, key=lambda variant: float(mean(variant, "validation")[0]))
    short, rare = np.array(found[0]["short"]), np.array(found[0]["rare"])
    lines: list[list[object]] = []
    for name in found[0]["models"]:
        values, hits = mean(name, "NDCG@10"), mean(name, "hits")
        span = bootstrap_interval(values, rng=rng)
        lines.append(
            [name, f"{mean(name, 'validation')[0]:.4f}", f"{span.mean:.4f} [{span.low:.4f}, {span.high:.4f}]",
             f"{values[short].mean():.4f}", f"{hits.mean():.4f}", f"{hits[rare].mean():.4f}"]
        )  # fmt: skip

    def beside(first: str, second: str) -> list[list[object]]:
        pairs = [
            ("N@10, all", "NDCG@10", slice(None)),
            ("N@10, short histories", "NDCG@10", short),
            ("recall@10 of rare targets", "hits", rare),
        ]
        rows: list[list[object]] = []
        for label, what, rows_of in pairs:
            one = paired_difference(mean(first, what)[rows_of], mean(second, what)[rows_of], rng=rng)
            rows.append([f"{first} over {second}", label, _shown(one)])
        return rows

    head = ["model", "validation N@10", "N@10 [95 %]", "short histories", "recall@10", "of rare targets"]
    compared = beside(chosen, "sasrec") + beside(f"fusion with {chosen}", "fusion without it")
    epochs = {variant: [one["epochs"][variant] for one in found] for variant in VARIANTS}
    return (
        f"{len(short):,} users, {len(found)} seeds, SmolLM2-135M-Instruct, one token an item, on {found[0]['device']}; "
        f"{np.mean([one['seconds'] for one in found]):.0f} s a seed. {PROTOCOL}\n\n{table(head, lines)}\n\n"
        f"Means of the seeds for each question. On validation, `{chosen}` is the best variant. Best epochs: {epochs}."
        "\n\n"
        f"{table(['difference', 'of', 'mean [95 %, paired bootstrap]'], compared)}"
    )


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: float(np.mean(each)) for name, each in values.items()}


def _shown(one: Difference) -> str:
    return f"{one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}], p = {one.p_value:.2g}"


def main() -> None:
    """Measure all seeds that are not kept yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--settings", type=Path, required=True, help="result of leaderboard.py whose settings are taken"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/language-sequences"), help="where seeds are kept")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--only-measure", action="store_true", help="write the figures to --work, and no result file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    settings = json.loads(given.settings.read_text(encoding="utf-8"))["chosen"]
    found = []
    for seed in given.seeds:
        place = given.work / f"seed-{seed}.json"
        if not place.exists():
            one_seed(seed, settings, place)
        found.append(json.loads(place.read_text(encoding="utf-8")))
    if not given.only_measure:
        means = [{name: _means(values) for name, values in one["models"].items()} for one in found]
        write_result("language-sequences", {"seeds": given.seeds, "models": means}, told(found))


if __name__ == "__main__":
    main()
