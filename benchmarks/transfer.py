"""What a model that was made for one catalogue is worth in another, by how many users are known there.

    python benchmarks/transfer.py amazon-office --work runs/transfer
    python benchmarks/transfer.py --write --work runs/transfer

The first fits and measures one target (the source is run before, once), and keeps each figure below `--work`; the
second writes the result of all targets that are there.

Protocol: leave-one-out in the files' own order, on the source and on every target. Of a target, the training and
validation events of a share of the users are known, drawn once for each seed; every user is asked in the test, whose
history is what is known of them at that time; seen items hidden, every other item ranked, equal scores count half. From
scratch, `content` (which learns next to nothing), `two_tower`, `sasrec` with text and their fusion are fitted on what
is known; moved are the `two_tower` and the `sasrec` of amazon-beauty; `distill` teaches a new `sasrec` what the moved
model says; `fusion with moved` has the two that were moved beside those from scratch, `moved fusion` `content` and the
two that were moved, with the weights that such a fusion has in the source, and `content and domain` those two, `sasrec`
being moved. All read texts by one encoder. Of those from scratch, and of the moved ones, the one counts that is best on
the validation questions known at that share; without any, `content` and the moved fusion. What the source keeps of its
NDCG@10 is that of the moved model's weights as they answer in the target; of a fusion, of its moved member with least.
It is measured on the source's validation questions, 2,000 at most: the same by which the share of what was learned is
chosen that counts, so that it is too favourable by what that choice is worth. On its test questions the source has not
been asked.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import data_files, device_name, table, write_result
from distillation import kept
from numpy.typing import NDArray
from sequences import values_of

from genre import pipeline
from genre.adaptation.adapted import AdaptedConfig
from genre.adaptation.distil import DistilledConfig
from genre.config import Experiment
from genre.console import Bars
from genre.core.files import atomic_file
from genre.core.run import RunContext
from genre.data.files import load_split
from genre.data.splits import Split
from genre.few_users import with_users
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.content import ContentConfig
from genre.recommenders.fusion import FusionConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model
from genre.recommenders.two_tower import TwoTowerConfig
from genre.stages import prepare
from genre.workspace import STORE

SOURCE = "amazon-beauty"
TARGETS = ("amazon-office", "amazon-industrial", "movielens-100k")
SHARES = (0.0, 0.01, 0.05, 0.2, 1.0)
QUIET = {"tracker": "none"}
PLAIN: dict[str, RecommenderConfig] = {
    "content": ContentConfig(),
    "two_tower": TwoTowerConfig.model_validate({"training": QUIET}),
    "sasrec": SasrecConfig.model_validate({"text": {}, "training": QUIET}),
}
METHODS: dict[str, dict[str, Any]] = {
    "zero-shot": {"learn": "nothing", "align": False},
    "zero-shot, aligned": {"learn": "nothing", "align": True},
    "finetune": {"learn": "all", "align": False},
    "domain": {"learn": "all", "align": True},
}
SOURCES = ("two_tower", "sasrec")
DISTILL = "distill"
SCRATCH, MOVED, WEIGHTED, PAIR = "fusion from scratch", "fusion with moved", "moved fusion", "content and domain"
LEARNING = {"finetune", "domain", DISTILL, SCRATCH, MOVED, PAIR}
"""What needs events of the target."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
Values = NDArray[np.float64]


def experiment_of(name: str, models: Mapping[str, Any], **more: Any) -> Experiment:
    """Return an experiment on a data set."""
    files = {table: path for table, path in data_files(name).items() if table != "users"}
    split = {"kind": "leave_one_out", "ties": "file"}
    settings = {"name": name, "data": {"kind": "files", **files}, "split": split, "models": models, **more}
    return Experiment.model_validate(settings)


def source_of(work: Path) -> Path:
    """Return the run of the source."""
    models = {name: PLAIN[name].model_dump(mode="json") for name in SOURCES}
    silent = {"answer": {"examples": 0, "reasons": None}, "evaluation": {"bootstrap": 200}}
    return pipeline.run(experiment_of(SOURCE, models, **silent), work / "runs", progress=Bars())


def weights_of(source: Path, work: Path) -> dict[str, float]:
    """Return how much `content` and the models that are moved say in a fusion, chosen on the source's own questions."""
    path = work / "weights.json"
    if not path.exists():
        part = load_split(source / "data" / "split-0")
        run = RunContext(validation=part.validation, progress=Bars(), store=work / "runs" / STORE)
        members: dict[str, Recommender] = {"content": PLAIN["content"].build({}).fit(part.train, run)}
        members |= {name: load_model(source / "models" / name, type(PLAIN[name]), {}) for name in SOURCES}
        found = FusionConfig(members=tuple(members), new_items=None).build(members).fit(part.train, run)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(dict(zip(members, found.weights.tolist(), strict=True))), encoding="utf-8")
    weights: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return weights


def ways(source: Path, weights: Mapping[str, float], *, known: bool) -> dict[str, RecommenderConfig]:
    """Return the settings of every model; `known` says whether anything is known of the target's users."""
    moved = {
        f"{method}, {model}": AdaptedConfig(source=source, model=model, **settings)
        for model in SOURCES
        for method, settings in METHODS.items()
    }
    student = PLAIN["sasrec"].model_dump(mode="json")
    taught = {
        f"{DISTILL}, {model}": DistilledConfig.model_validate({"teacher": f"domain, {model}", "student": student})
        for model in SOURCES
    }
    both = [f"domain, {model}" for model in SOURCES]
    fusions = {
        SCRATCH: FusionConfig(members=tuple(PLAIN)),
        MOVED: FusionConfig(members=(*PLAIN, *both)),
        PAIR: FusionConfig(members=("content", both[-1])),
    }
    best_moved = "domain" if known else "zero-shot, aligned"
    names = {"content": "content", **{model: f"{best_moved}, {model}" for model in SOURCES}}
    said = {names[model]: weight for model, weight in weights.items()}
    fusions[WEIGHTED] = FusionConfig(members=tuple(said), weights=said, new_items=None)
    return {**PLAIN, **moved, **taught, **fusions}


def measure(name: str, given: argparse.Namespace) -> None:
    """Fit and ask all models at each share, as far as that has not been done."""
    source = source_of(given.work)
    whole = prepare(experiment_of(name, {"content": {"kind": "content"}})).splits[0]
    weights = weights_of(source, given.work)
    for seed in given.seeds:
        for share in given.shares:
            run = RunContext(seed=seed, progress=Bars(), store=given.work / "runs" / STORE)
            part = with_users(whole, share, run)
            asked = part.validation if len(part.validation) else None
            one = RunContext(**{**vars(run), "validation": asked})
            models: dict[str, Recommender] = {}
            for label, config in ways(source, weights, known=share > 0).items():
                if share == 0 and label.partition(",")[0] in LEARNING:
                    continue  # There is nothing to learn from.
                members = {member: models[member] for member in config.member_names}
                models[label] = kept(place_of(given.work, name, seed, share, label), config, members, part, one)
                path = place_of(given.work, name, seed, share, label).with_suffix(".json")
                if not path.exists():
                    found = judged(models[label], part, asked)
                    print(name, seed, share, label, f"{np.mean(found['test']):.4f}", flush=True)
                    with atomic_file(path) as temporary:
                        temporary.write_text(json.dumps(found), encoding="utf-8")


def place_of(work: Path, name: str, seed: int, share: float, label: str) -> Path:
    """Return where a model is kept, and, with another ending, what it is worth."""
    return work / "models" / f"{name}-{seed}-{100 * share:g}-{label.replace(', ', '-').replace(' ', '-')}"


def judged(model: Any, part: Split, asked: Any) -> dict[str, Any]:
    """Return what a model is worth by each question, and its account."""
    test = values_of(model, part.test, part.train)["NDCG@10"]
    validation = None if asked is None else values_of(model, asked, part.train)["NDCG@10"]
    return {
        "test": test.tolist(),
        "validation": None if validation is None else float(validation.mean()),
        "account": model.account() if hasattr(model, "account") else {},
    }


def read(name: str, given: argparse.Namespace) -> dict[float, dict[str, list[dict[str, Any]]]]:
    """Return what was measured of a target: by share and model, one for each seed that was begun at that share."""
    found: dict[float, dict[str, list[dict[str, Any]]]] = {}
    for share in given.shares:
        seeds = [
            seed
            for seed in given.seeds
            if place_of(given.work, name, seed, share, "content").with_suffix(".json").exists()
        ]
        for label in ways_named() if seeds else ():
            paths = [place_of(given.work, name, seed, share, label).with_suffix(".json") for seed in seeds]
            if all(path.exists() for path in paths):
                values = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
                found.setdefault(share, {})[label] = values
    return found


def ways_named() -> list[str]:
    """Return what the models are called."""
    moved = [f"{method}, {model}" for method in (*METHODS, DISTILL) for model in SOURCES]
    return [*PLAIN, SCRATCH, *moved, MOVED, WEIGHTED, PAIR]


def best(values: Mapping[str, list[dict[str, Any]]], labels: Sequence[str], otherwise: str) -> str | None:
    """Return the one with the highest NDCG@10 on the validation questions that are known; `otherwise` without any."""
    there = [label for label in labels if label in values]
    if any(one["validation"] is None for label in there for one in values[label]):
        return otherwise if otherwise in there else None
    if not there:
        return None
    return max(there, key=lambda label: float(np.mean([one["validation"] for one in values[label]])))


def test_of(values: list[dict[str, Any]]) -> Values:
    """Return (B,) NDCG@10 of each test question, the mean over seeds."""
    return np.asarray(np.mean([one["test"] for one in values], axis=0), np.float64)


def told(name: str, found: Mapping[float, Mapping[str, list[dict[str, Any]]]]) -> str:
    """Return what a person reads of one target."""
    rng = np.random.default_rng(0)
    labels = ways_named()
    shares = list(found)
    head = ["model", *(f"{share:.0%} of users" for share in shares)]
    rows: list[list[object]] = [["seeds", *(len(next(iter(found[share].values()))) for share in shares)]]
    for label in labels:
        row: list[object] = [label]
        for share in shares:
            values = found[share].get(label)
            row.append("-" if values is None else f"{test_of(values).mean():.4f}")
        rows.append(row)
    lines = []
    for share in shares:
        values = found[share]
        scratch = best(values, [*PLAIN, SCRATCH], "content")
        moved = best(values, [label for label in labels if label not in {*PLAIN, SCRATCH}], WEIGHTED)
        if scratch is None or moved is None:
            continue
        one, other = test_of(values[moved]), test_of(values[scratch])
        gain, span = paired_difference(one, other, rng=rng), bootstrap_interval(one, rng=rng)
        ratio = one.mean() / other.mean() - 1 if other.mean() else float("nan")
        lines.append(
            [
                f"{share:.0%}",
                scratch,
                f"{other.mean():.4f}",
                moved,
                f"{span.mean:.4f} [{span.low:.4f}, {span.high:.4f}]",
                f"{ratio:+.0%}",
                f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
                source_kept(values, moved),
            ]
        )
    chosen = ["users", "scratch", "N@10", "moved", "N@10 [95 %]", "over it", "difference [95 %]", "source keeps"]
    count = len(next(iter(found[shares[0]].values()))[0]["test"])
    return (
        f"## {SOURCE} to {name}, {count:,} test questions\n\n{table(head, rows)}\n\n"
        f"Chosen on validation:\n\n{table(chosen, lines)}"
    )


def source_kept(values: Mapping[str, list[dict[str, Any]]], label: str) -> str:
    """Return which share of its NDCG@10 the source has left, with the weights that answer here."""
    members = {MOVED: SOURCES, WEIGHTED: SOURCES, PAIR: SOURCES[-1:]}.get(label)
    labels = [label] if members is None else [f"domain, {name}" for name in members if f"domain, {name}" in values]
    left = []
    for name in labels:
        moved = [one["account"].get("moved") for one in values[name]]
        if None in moved:
            return "-"  # A new model: the source stays as it is.
        shares = []
        for one in moved:
            after = next(point["source"] for point in one["points"] if point["share"] == one["share"])
            shares.append(after / one["points"][0]["source"])
        left.append(float(np.mean(shares)))
    return f"{min(left):.1%}" if left else "100.0%"  # Nothing was learned.


def main() -> None:
    """Measure one target, or write what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="to measure now")
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"), help="where runs and figures are kept")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--shares", type=float, nargs="*", default=list(SHARES))
    parser.add_argument("--write", action="store_true", help="write the result of all that was measured")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name in given.targets:
        measure(name, given)
    if not given.write:
        return
    found = {name: values for name in TARGETS if (values := read(name, given))}
    parts = [told(name, values) for name, values in found.items()]
    plain = {
        name: {
            f"{share:g}": {label: [float(np.mean(one["test"])) for one in seeds] for label, seeds in models.items()}
            for share, models in values.items()
        }
        for name, values in found.items()
    }
    about = f"On {device_name()}. {PROTOCOL}\n\n"
    write_result("transfer", {"seeds": given.seeds, "NDCG@10": plain}, about + "\n\n".join(parts))


if __name__ == "__main__":
    main()
