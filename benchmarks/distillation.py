"""What a small model keeps of a large one that taught it, and whether it is better than without a teacher.

    python benchmarks/distillation.py amazon-beauty --settings benchmarks/results/DATE-leaderboard-amazon-beauty.json

All that was fitted is kept under `--work` and not fitted again; a fit that was killed goes on.

Protocol: leave-one-out in the files' own order; parameters fitted on everything but each user's last two events;
epochs, weights of the fusion and the settings of the distillation (with the first seed) chosen on the last-but-one,
tested once on the last with the last-but-one in the history; seen items hidden, every other item ranked, equal scores
count half. The teacher is a fusion of neighbours, a SASRec, and a language model that begins with the SASRec's vectors,
fitted once; students are fitted from each seed, with the teacher and without, alike in all else. Shares of the
teacher's NDCG@10 and differences are of the means of the seeds for each question, with the paired bootstrap over
questions. Latency: the models take turns in one process, a request at a time (one history, ten answers) and 256 at
once; medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common import device_name, table, write_result
from forgetting import part_of
from numpy.typing import NDArray
from sequences import fused, sasrec_config, values_of

from genre.adaptation.distil import DistilledConfig
from genre.api import kinds_of_recommenders
from genre.console import Bars
from genre.core.files import atomic_directory, atomic_file
from genre.core.queries import Candidates
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.store import load_model, save_model

NEIGHBOURS = ("item_knn", "ease", "graph", "als")
"""Their settings are those that `leaderboard.py` chose on validation."""
SETTINGS: dict[str, dict[str, Any]] = {
    "weight 1": {"weight": 1.0},
    "weight 1, gaps": {"weight": 1.0, "gaps": True},
    "weight 3": {"weight": 3.0},
    "weight 1, 50 places": {"weight": 1.0, "num_places": 50, "decay": 25.0},
}
"""What is tried with the first seed. The validation questions flatter `gaps`: do not let them choose between it and the
others."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
Values = NDArray[np.float64]


def students(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the settings of every student."""
    sasrec = sasrec_config(given.name).model_dump(mode="json")
    towers = {"kind": "two_tower", "own": True, "training": {"tracker": "none"}}
    found = {"sasrec": sasrec, "two_tower": towers}
    for one in found.values():
        if given.epochs is not None:
            one["training"] = one["training"] | {"epochs": given.epochs}
    return {name: found[name] for name in given.students}


def kept(
    place: Path, config: RecommenderConfig, members: Mapping[str, Recommender], part: Split, run: RunContext
) -> Any:
    """Return a model that is fitted if it has not been yet."""
    if not place.exists():
        began = time.perf_counter()
        model = config.build(members).fit(part.train, run)
        with atomic_directory(place) as directory:
            save_model(model, directory)
            (directory / "seconds.json").write_text(json.dumps(time.perf_counter() - began), encoding="utf-8")
    return load_model(place, type(config), members)


def teacher_of(part: Split, settings: Mapping[str, Any], given: argparse.Namespace) -> Any:
    """Return the fusion, fitted with seed 0."""
    run = RunContext(validation=part.validation, progress=Bars(), store=given.work / "store")
    members: dict[str, Recommender] = {}
    for kind in NEIGHBOURS:
        config = kinds_of_recommenders()[kind].model_validate({"kind": kind, **settings[kind]["setting"]})
        members[kind] = config.build({}).fit(part.train, run)

    def trained(name: str, config: RecommenderConfig, needed: Mapping[str, Recommender]) -> Recommender:
        place = given.work / f"{given.base}-teacher-{name}"
        one = RunContext(**{**vars(run), "directory": given.work / "logs" / place.name})
        found: Recommender = kept(place, config, needed, part, one)
        return found

    sasrec = sasrec_config(given.name, given.epochs)
    members["sasrec"] = trained("sasrec", sasrec, {})
    language = LlmSequentialConfig.model_validate(
        {
            "length": 20,
            "start_from": "sasrec",
            "embedding_size": sasrec.embedding_size,
            "max_windows": given.windows,
            "vectors": {"encoder": {"kind": "hashing"}},
            "training": {
                "epochs": given.language_epochs, "batch_size": 16, "learning_rate": 1e-3, "clip_norm": 1.0,
                "warm_up_steps": 20, "patience": 2, "precision": "bf16", "tracker": "none",
            },
        }
    )  # fmt: skip
    members["llm"] = trained("llm", language, {"sasrec": members["sasrec"]})
    return fused(members, part.train, run)


def student_of(name: str, seed: int, taught: str | None, teacher: Any, part: Split, given: argparse.Namespace) -> Any:
    """Return one student, taught in one of the ways or not at all."""
    config = students(given)[name]
    label = f"{given.label}-{name}-{'alone' if taught is None else taught}-{seed}".replace(" ", "-").replace(",", "")
    # Students share what the teacher has said.
    directory = given.work / "logs" / (label if taught is None else f"{given.label}-taught")
    run = RunContext(
        seed=seed, validation=part.validation, progress=Bars(), directory=directory, store=given.work / "store"
    )
    if taught is None:
        settings = kinds_of_recommenders()[config["kind"]].model_validate(config)
        return kept(given.work / label, settings, {}, part, run)
    distilled = DistilledConfig.model_validate(
        {"teacher": "fusion", "student": config, "num_lists": given.lists, **SETTINGS[taught]}
    )
    return kept(given.work / label, distilled, {"fusion": teacher}, part, run)


def latencies(models: Mapping[str, Recommender], part: Split, requests: int) -> dict[str, dict[str, float]]:
    """Return seconds for one request, and for one of 256 at once, the models taking turns."""
    asked = part.test.queries
    times: dict[str, dict[str, list[float]]] = {name: {"one": [], "block": []} for name in models}
    rng = np.random.default_rng(0)
    for what, size, rounds in (("one", 1, requests), ("block", 256, max(2, requests // 50))):
        for number in range(rounds + 2):  # The first two warm up.
            queries = asked.take(rng.choice(len(asked), min(size, len(asked)), replace=False))
            for name, model in models.items():
                began = time.perf_counter()
                model.recommend(queries, 10, candidates=Candidates(excluded=queries.history.items))
                if number > 1:
                    times[name][what].append((time.perf_counter() - began) / len(queries))
    return {name: {what: statistics.median(each) for what, each in found.items()} for name, found in times.items()}


def measure(settings: Mapping[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """Fit what is missing, and answer the test questions."""
    part = part_of(given.name, given.work, given.users)
    teacher = teacher_of(part, settings, given)

    def judged(model: Any) -> dict[str, Any]:
        best = float(values_of(model, part.validation, part.train)["NDCG@10"].mean())
        told = model.account()["distillation"] if hasattr(model, "account") else None
        return {
            "validation": best,
            "NDCG@10": values_of(model, part.test, part.train)["NDCG@10"].tolist(),
            "account": told,
        }

    weights = dict(zip(teacher.config.member_names, teacher.weights.round(3).tolist(), strict=True))
    found: dict[str, Any] = {"device": device_name(), "weights": weights, "teacher": judged(teacher), "students": {}}
    timed: dict[str, Recommender] = {"teacher": teacher}
    for name in given.students:
        tried = {way: student_of(name, given.seeds[0], way, teacher, part, given) for way in given.settings_tried}
        values = {
            way: float(values_of(one, part.validation, part.train)["NDCG@10"].mean()) for way, one in tried.items()
        }
        chosen = max(values, key=lambda way: values[way])
        each = [
            {
                "alone": judged(student_of(name, seed, None, teacher, part, given)),
                "taught": judged(student_of(name, seed, chosen, teacher, part, given)),
            }
            for seed in given.seeds
        ]
        found["students"][name] = {"tried": values, "chosen": chosen, "seeds": each}
        timed[name] = tried[chosen]
    found["latency"] = latencies(timed, part, given.requests)
    return found


def share_kept(student: Values, teacher: Values) -> tuple[float, float, float]:
    """Return which share of the teacher's NDCG@10 a student has, with the paired bootstrap's interval of 95 %."""
    both, size, rng = np.stack([student, teacher], 1), len(teacher), np.random.default_rng(0)
    means = np.array([both[rng.integers(0, size, size)].mean(0) for _ in range(1000)])
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    return float(student.mean() / teacher.mean()), float(low), float(high)


def told(found: Mapping[str, Any], given: argparse.Namespace) -> str:
    """Return what a person reads."""
    rng, teacher = np.random.default_rng(0), np.array(found["teacher"]["NDCG@10"])
    seconds, span = found["latency"], bootstrap_interval(teacher, rng=rng)
    slow = seconds["teacher"]

    def times(name: str) -> list[str]:
        own = seconds[name]
        return [f"{1000 * own[what]:.2f} ms (1/{slow[what] / own[what]:.0f})" for what in ("one", "block")]

    lines: list[list[object]] = [
        ["teacher", f"{found['teacher']['validation']:.4f}", f"{span.mean:.4f} [{span.low:.4f}, {span.high:.4f}]",
         "100 %", "-", *times("teacher")]
    ]  # fmt: skip
    notes = []
    for name, about in found["students"].items():
        means = {way: np.mean([one[way]["NDCG@10"] for one in about["seeds"]], axis=0) for way in ("alone", "taught")}
        gain = paired_difference(means["taught"], means["alone"], rng=rng)
        for way, values in means.items():
            span, share = bootstrap_interval(values, rng=rng), share_kept(values, teacher)
            seen = np.mean([one[way]["validation"] for one in about["seeds"]])
            more = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}], p = {gain.p_value:.2g}"
            lines.append(
                [f"{name}, {way}", f"{seen:.4f}", f"{span.mean:.4f} [{span.low:.4f}, {span.high:.4f}]",
                 "{:.1%} [{:.1%}, {:.1%}]".format(*share), more if way == "taught" else "-", *times(name)]
            )  # fmt: skip
        each = [
            f"{np.mean(one['taught']['NDCG@10']):.4f} with and {np.mean(one['alone']['NDCG@10']):.4f} without"
            for one in about["seeds"]
        ]
        ended = [one["taught"]["account"]["ended"] for one in about["seeds"]]
        tried = ", ".join(f"{way} {value:.4f}" for way, value in about["tried"].items())
        notes.append(
            f"{name}: `{about['chosen']}` is the best on validation with seed {given.seeds[0]} ({tried}); seed by seed "
            f"{'; '.join(each)}; epochs after which the teacher was worse: {ended}."
        )
    head = ["model", "validation N@10", "N@10 [95 %]", "of the teacher's", "over the same alone", "a request",
            "of 256 at once"]  # fmt: skip
    return (
        f"{given.name}, {len(teacher):,} test questions, {len(given.seeds)} seeds, SmolLM2-135M-Instruct in the "
        f"teacher, on {found['device']}. Weights of the teacher's members: {found['weights']}. {PROTOCOL}\n\n"
        f"{table(head, lines)}\n\n" + "\n\n".join(notes)
    )


def main() -> None:
    """Measure one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["amazon-beauty", "movielens-100k"])
    parser.add_argument(
        "--settings", type=Path, required=True, help="result of leaderboard.py whose settings are taken"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/distillation"), help="where fitted models are kept")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--students", nargs="*", default=["sasrec"], choices=["sasrec", "two_tower"])
    plain = [name for name, settings in SETTINGS.items() if "gaps" not in settings]
    parser.add_argument("--settings-tried", nargs="*", default=plain, choices=list(SETTINGS))
    parser.add_argument("--users", type=int, default=1_000_000, help="drawn, where there are more")
    parser.add_argument("--lists", type=int, default=30_000, help="histories that the teacher is asked about")
    parser.add_argument("--epochs", type=int, help="of students and SASRec at most; by default as `sequences.py`")
    parser.add_argument("--language-epochs", type=int, default=3)
    parser.add_argument("--windows", type=int, help="that the language model learns from in an epoch; by default all")
    parser.add_argument("--requests", type=int, default=200, help="by which latency is measured")
    parser.add_argument("--only-measure", action="store_true", help="write the figures to --work, and no result file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    given.base = f"{given.name}-{given.users}-{given.epochs}-{given.language_epochs}-{given.windows}"
    given.label = f"{given.base}-{given.lists}"
    settings = json.loads(given.settings.read_text(encoding="utf-8"))["chosen"]
    path = given.work / f"{given.label}.json"
    found = measure(settings, given)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(found), encoding="utf-8")
    if given.only_measure:
        print(told(found, given))
        return
    means = {
        name: [{way: float(np.mean(one[way]["NDCG@10"])) for way in ("alone", "taught")} for one in about["seeds"]]
        for name, about in found["students"].items()
    }
    short = {**found, "teacher": float(np.mean(found["teacher"]["NDCG@10"])), "students": means}
    write_result(f"distillation-{given.name}", {"seeds": given.seeds, **short}, told(found, given))


if __name__ == "__main__":
    main()
