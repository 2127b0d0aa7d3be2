"""A language model that recommends in one shop, moved to another: what it is worth there, and what it keeps.

    python benchmarks/transfer_language.py --work runs/transfer-language

What is fitted and measured is kept under `--work`, and not measured again. Where the language model itself has to learn
what items are like, as many windows as two cores learn from in half an hour are too few: the source then finds no more
than popularity, and nothing is there to be moved. So it begins with the items of a `sasrec`, which learns them in a
minute or two, and with what that knows of texts. Before it has learned anything it then answers with what is like the
newest item, which in Beauty is worth nearly as much as that `sasrec`; the first steps take from that (on 375 validation
questions of the source .058 before, .030 after 20 steps at 1e-3, .037 at 2e-4), and it is not known yet how many it
takes to bring that back.

Protocol: leave-one-out in the files' own order. The source is 3,000 users of amazon-beauty: a `sasrec` that reads texts
is fitted there, and `llm_sequential` (one token an item) begins with its vectors and with what it says of texts, and
learns by LoRA with divergence from the base held down. Of amazon-office, the training and validation events of a share
of the users are known, drawn with the seed; all are asked in the test, seen items hidden, all others ranked. From
scratch, the same two are fitted one after the other on what is known there: `sasrec` is the first alone, `from scratch`
the base language model that begins with it. Moved, the source's model goes on learning for as many steps; no `sasrec`
of the target has a part in it. It rehearses the source's log beside the new one, and keeps the larger share of what was
learned (all or half) that costs the source no more than 2 % of its NDCG@10 and its base no more than the budget; where
neither share does, or learning has made it worse on the known validation questions, it answers as it came. What the
source keeps is measured on 2,000 of its validation questions, by which that share is chosen. The budget is the one that
holds where none is set, and writing is measured as it is by default, with the weights active that recommend, on text of
other authors and registers than what is replayed; that of `zero-shot` is the source's. The learning rate is the better
of 1e-3 and 2e-4 on validation questions of the source, after 20 steps without protection; nothing else was chosen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import data_files, device_name, table, write_result
from forgetting import accuracy, general_texts, part_of
from numpy.typing import NDArray

from genre import pipeline
from genre.adaptation.adapted import AdaptedConfig
from genre.adaptation.scale import Scale
from genre.config import Experiment
from genre.console import Bars
from genre.core.files import atomic_file
from genre.core.run import RunContext
from genre.evaluation.writing import Budget, WritingConfig
from genre.features.text import TextConfig, item_texts
from genre.few_users import with_users
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.content import ContentConfig
from genre.recommenders.learning_language import load_base
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.stages import prepare

SOURCE, TARGET, MODEL, START, USERS = "amazon-beauty", "amazon-office", "llm", "sasrec", 3000
MEASURES = {"bits_per_byte": "bits/byte", "distinct_2": "distinct-2", "instructions": "instructions"}
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


def start_of() -> SasrecConfig:
    """Return the settings of what the model begins with; it reads texts as that does."""
    return SasrecConfig.model_validate({"text": {}, "training": {"tracker": "none"}})


def reader_of(epochs: int, windows: int, batch_size: int) -> LlmSequentialConfig:
    """Return the settings of the model, in the source and from scratch."""
    return LlmSequentialConfig.model_validate(
        {
            "length": 20,
            "start_from": START,
            "max_windows": windows,
            "tuning": {"method": "lora", "rank": 8},
            "protect": {"kl": 3.0, "answers": True, "tokens": 384},
            "training": {
                "epochs": epochs, "batch_size": batch_size, "learning_rate": 2e-4, "clip_norm": 1.0,
                "warm_up_steps": 10, "patience": None, "precision": "bf16", "tracker": "none",
            },
        }
    )  # fmt: skip


def source_of(given: argparse.Namespace) -> Path:
    """Return the run of the source."""
    part_of(SOURCE, given.work, USERS)
    tables = {name: str(given.work / f"{SOURCE}-{name}.parquet") for name in ("interactions", "items")}
    models = {START: start_of(), MODEL: reader_of(given.epochs, given.windows, 32)}
    experiment = {
        "name": SOURCE,
        "data": {"kind": "files", **tables},
        "split": {"kind": "leave_one_out", "ties": "file"},
        "models": {name: config.model_dump(mode="json") for name, config in models.items()},
        "answer": {"model": MODEL, "examples": 0, "reasons": None},
        "evaluation": {"bootstrap": 200},
    }
    return pipeline.run(Experiment.model_validate(experiment), given.work / "runs", progress=Bars())


def writing_of(work: Path) -> WritingConfig:
    """Return how writing is measured."""
    return WritingConfig(general=general_texts(work), languages=("en",))


def ways(given: argparse.Namespace, source: Path) -> dict[str, RecommenderConfig]:
    """Return what is compared."""
    scratch = reader_of(given.target_epochs, given.windows, 8)
    moved: dict[str, Any] = {"source": source, "model": MODEL, "training": scratch.training, "shares": (1.0, 0.5)}
    guarded = {**moved, "writing": writing_of(given.work)}
    return {
        "content": ContentConfig(),
        START: start_of(),
        "zero-shot": AdaptedConfig(**moved, budget=Budget.of({}), learn="nothing", align=False),
        "from scratch": scratch,
        "finetune": AdaptedConfig(**guarded, align=False),
        "domain": AdaptedConfig(**guarded),
    }


def measure(given: argparse.Namespace, source: Path) -> dict[str, dict[str, Any]]:
    """Return, by share and way, what a model is worth, what it has kept, and what it took."""
    files = {name: str(path) for name, path in data_files(TARGET).items() if name != "users"}
    experiment = {"data": {"kind": "files", **files}, "split": {"kind": "leave_one_out", "ties": "file"}}
    whole = prepare(Experiment.model_validate({**experiment, "models": {"content": {"kind": "content"}}})).splits[0]
    found: dict[str, dict[str, Any]] = {}
    for share in given.shares:
        run = RunContext(seed=given.seed, progress=Bars(), store=given.work / "store")
        part = with_users(whole, share, run)
        asking, members = replace(run, validation=part.validation), dict[str, Recommender]()
        for name, config in ways(given, source).items():
            path = given.work / f"{given.seed}-{100 * share:g}-{name.replace(' ', '-')}.json"
            if not path.exists():
                if config.member_names and not members:
                    members[START] = start_of().build({}).fit(part.train, asking)
                began = time.perf_counter()
                model: Any = config.build(members).fit(part.train, asking)
                row: dict[str, Any] = {
                    "seconds": time.perf_counter() - began,
                    "NDCG@10": accuracy(model, part).tolist(),
                }
                row["moved"] = model.account()["moved"] if isinstance(config, AdaptedConfig) else None
                if isinstance(config, LlmSequentialConfig):
                    _, base = load_base(config.base, run)
                    texts = [text for text in item_texts(part.train.items, TextConfig(), required=False) if text]
                    scale = Scale.of(base, writing_of(given.work), texts, run)
                    row["base"] = dict(scale.base.values)
                    row["writing"] = dict(scale.measured(model.language.writer()).values)
                print(share, name, f"{np.mean(row['NDCG@10']):.4f}", f"{row['seconds']:.0f} s", flush=True)
                with atomic_file(path) as temporary:
                    temporary.write_text(json.dumps(row), encoding="utf-8")
            found.setdefault(f"{share:.0%}", {})[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def told(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the table of the target."""
    rng, lines = np.random.default_rng(0), list[Sequence[object]]()
    for share, rows in found.items():
        scratch = np.array(rows["from scratch"]["NDCG@10"])
        for name, row in rows.items():
            values: NDArray[np.float64] = np.array(row["NDCG@10"])
            one, gain = bootstrap_interval(values, rng=rng), paired_difference(values, scratch, rng=rng)
            lines.append(
                [
                    share,
                    name,
                    f"{one.mean:.4f} [{one.low:.4f}, {one.high:.4f}]",
                    f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
                    *kept(row, rows),
                    f"{row['seconds']:.0f} s",
                ]
            )
    head = [
        "users",
        "model",
        "N@10 [95 %]",
        "over scratch [95 %]",
        "counts",
        "source keeps",
        *MEASURES.values(),
        "time",
    ]
    return table(head, lines)


def kept(row: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which share of what was learned counts, what the source keeps, and how it writes beside the base."""
    if "writing" in row:
        return ["-", "-", *_beside(row["writing"], row["base"])]
    moved = row["moved"]
    if moved is None:
        return ["-"] * (2 + len(MEASURES))
    points = moved["points"]
    counts = next(point for point in points if point["share"] == moved["share"])
    source = f"{counts['source'] / points[0]['source']:.1%}"
    measured = moved if "writing" in moved else rows["finetune"]["moved"]
    writing = counts.get("writing", measured["points"][0].get("writing"))
    return [f"{moved['share']:g}", source, *_beside(writing, measured["writing"]["base"])]


def looked_at(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the table of every share that was tried, on the validation questions of both shops."""
    lines: list[list[object]] = []
    for share, rows in found.items():
        for name, row in rows.items():
            for point in (row["moved"] or {}).get("points", ()):
                if "writing" in point:
                    writing = _beside(point["writing"], row["moved"]["writing"]["base"])
                    values = f"{point['target']:.4f}", f"{point['source']:.4f}"
                    lines.append([share, name, f"{point['share']:g}", *values, *writing, "; ".join(point["breaches"])])
    head = ["users", "model", "share", "N@10 here", "N@10 source", *MEASURES.values(), "over the budget"]
    return table(head, lines)


def of_source(source: Path) -> str:
    """Return the table of the source's own test questions."""
    models = json.loads((source / "metrics.json").read_text(encoding="utf-8"))["models"]
    found = {name: models[name]["test"]["NDCG@10"] for name in ("popularity", START, MODEL)}
    lines: list[list[object]] = [
        [name, f"{one['mean']:.4f} [{one['low']:.4f}, {one['high']:.4f}]"] for name, one in found.items()
    ]
    return table(["model", "N@10 [95 %]"], lines)


def _beside(writing: Mapping[str, float], base: Mapping[str, float]) -> list[str]:
    return [f"{100 * (writing[name] / base[name] - 1):+.1f} %" for name in MEASURES]


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=Path("runs/transfer-language"), help="where runs and figures are kept"
    )
    parser.add_argument("--windows", type=int, default=3000, help="of 20 likes, learned from in an epoch")
    parser.add_argument("--epochs", type=int, default=1, help="of the language model in the source")
    parser.add_argument("--target-epochs", type=int, default=2, help="of it in the target, moved or from scratch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.05], help="of the target's users")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    source = source_of(given)
    found = measure(given, source)
    text = (
        f"{SOURCE} to {TARGET}, SmolLM2-135M-Instruct, LoRA of rank 8; {given.epochs} epoch(s) of at most "
        f"{given.windows:,} windows in the source, 32 a step, {given.target_epochs} in the target, 8 a step; seed "
        f"{given.seed}, on {device_name()}. {PROTOCOL}\n\nThe source's own test questions:\n\n{of_source(source)}\n\n"
        f"The target's:\n\n{told(found)}\n\nWriting is beside the base's; the moved models' is of the weights that "
        f"answer in both shops. Every share that was tried, on validation questions:\n\n{looked_at(found)}"
    )
    plain = {
        share: {name: {**row, "NDCG@10": float(np.mean(row["NDCG@10"]))} for name, row in rows.items()}
        for share, rows in found.items()
    }
    write_result("transfer-language", {"settings": vars(given) | {"work": None}, "found": plain}, text)


if __name__ == "__main__":
    main()
