"""What fine-tuning costs a language model's writing: ways to learn, times ways to protect, on real data.

    python benchmarks/forgetting.py movielens-100k --tokens 20000 --work runs/forgetting

Protocol: leave-one-out in the files' own order; every row learns from as many likes, each one token, for one epoch, and
begins with the items' vectors of the same SASRec; NDCG@10 on the test questions, seen items hidden, all others ranked.
Writing is measured on text of other authors and registers than what is replayed, with the weights active that
recommend. Nothing was chosen by these figures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import data_files, table, write_result

from genre.adaptation.scale import Scale
from genre.config import Experiment
from genre.console import Bars
from genre.core.files import atomic_file
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.ranking import evaluate_ranking, make_task
from genre.evaluation.writing import WritingConfig
from genre.features.text import TextConfig, item_texts
from genre.language.smollm import SmolLmConfig
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.learning_language import load_base
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.stages import prepare

CORPUS = Path(os.environ.get("GENRE_CORPUS", Path(__file__).parent.parent.parent / "shared" / "corpus"))
REGISTERS = ("wikipedia-general-en", "dolly-en", "gutenberg-books-en", "openstax-en")
"""What writing is measured on: an encyclopaedia, answers, older prose, textbooks."""
METHODS: dict[str, dict[str, Any]] = {
    "full": {"learning_rate": 2e-4},
    "lora": {"learning_rate": 1e-3},
    "last_layers": {"learning_rate": 5e-4},
    "adalora": {"learning_rate": 1e-3},
    "prefix": {"learning_rate": 1e-3},
    "ia3": {"learning_rate": 1e-3},
}
PROTECTIONS: dict[str, dict[str, float]] = {
    "none": {},
    "kl": {"kl": 1.0},
    "replay": {"replay": 0.1},
    "both": {"kl": 1.0, "replay": 0.1},
    "adaptive": {"kl": 1.0, "replay": 0.1, "hold": 0.01},
}
WAYS = [("frozen", "none")] + [
    (method, protection)
    for method in METHODS
    for protection in (PROTECTIONS if method in ("full", "lora") else ("none", "both"))
]
LENGTH, USERS = 20, 3000
"""Likes of a window, and users of a sample of a larger data set."""
COLUMNS = {
    "bits_per_byte": "bits/byte general",
    "bits_per_byte@catalogue": "catalogue",
    "distinct_2": "distinct-2",
    "self_bleu": "self-BLEU",
    "instructions": "instructions",
}
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


def part_of(name: str, directory: Path) -> Split:
    """Return the split of a data set, or of some of its users if it is large; the catalogue stays whole."""
    files = data_files(name)
    log = pl.read_parquet(files["interactions"])
    users = log["user_id"].unique().sort()
    if len(users) > USERS:
        log = log.filter(pl.col("user_id").is_in(users.sample(USERS, seed=0).implode()))
    items = pl.read_parquet(files["items"]).filter(pl.col("item_id").is_in(log["item_id"].unique().implode()))
    for table_name, frame in (("interactions", log), ("items", items)):
        frame.write_parquet(directory / f"{name}-{table_name}.parquet")
    tables = {table_name: str(directory / f"{name}-{table_name}.parquet") for table_name in ("interactions", "items")}
    experiment = {"data": {"kind": "files", **tables}, "split": {"kind": "leave_one_out", "ties": "file"}}
    whole = Experiment.model_validate({**experiment, "models": {"popularity": {"kind": "popularity"}}})
    return prepare(whole).splits[0]


def general_texts(directory: Path) -> Path:
    """Write some passages of each register to a file, and return it."""
    path = directory / "general.jsonl"
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    lines = []
    for register in REGISTERS:
        texts = pl.read_ndjson(CORPUS / f"{register}.jsonl.zst")["text"]
        texts = texts.filter(texts.str.len_chars().is_between(300, 4000))
        lines += [{"text": texts[int(at)][:1200], "lang": "en"} for at in rng.choice(len(texts), 12, replace=False)]
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    return path


def start_of(name: str, part: Split, directory: Path) -> Any:
    """Return the SASRec whose vectors all rows begin with, fitted once."""
    path = directory / f"{name}-sasrec"
    config = SasrecConfig.model_validate(
        {"embedding_size": 128, "dropout": 0.4, "training": {"batch_size": 64, "epochs": 30, "tracker": "none"}}
    )
    if not path.exists():
        model = config.build({}).fit(part.train, RunContext(validation=part.validation, progress=Bars()))
        path.mkdir()
        save_model(model, path)
    return load_model(path, SasrecConfig, {})


def measured(name: str, method: str, protection: str, tokens: int, shares: list[float], directory: Path) -> None:
    """Fit one row, measure it, and write what was found."""
    part = part_of(name, directory)
    begin = start_of(name, part, directory)
    rate = METHODS.get(method, METHODS["lora"])["learning_rate"]
    config = LlmSequentialConfig.model_validate(
        {
            "length": LENGTH,
            "start_from": "sasrec",
            "max_windows": max(1, tokens // LENGTH),
            "tuning": {"method": method, "rank": 8},
            "protect": PROTECTIONS[protection],
            "training": {
                "epochs": 1, "batch_size": 16, "learning_rate": rate, "precision": "bf16", "clip_norm": 1.0,
                "warm_up_steps": 10, "tracker": "none",
            },
        }
    )  # fmt: skip
    run = RunContext(progress=Bars())
    began = time.perf_counter()
    model = config.build({"sasrec": begin}).fit(part.train, run)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    catalogue = [text for text in item_texts(part.train.items, TextConfig()) if text]
    _, base = load_base(SmolLmConfig(), run)
    scale = Scale.of(base, WritingConfig(general=general_texts(directory), languages=("en",)), catalogue, run)
    found = {
        "seconds": seconds,
        "peak_bytes": peak,
        "learned": model.language.tuned.num_learned,
        "base": dict(scale.base.values),
        "shares": {},
    }
    for share in [1.0, *shares] if method not in ("frozen", "prefix") else [1.0]:
        with model.language.tuned.interpolated(share):
            began = time.perf_counter()
            profile = scale.measured(model.language.writer())
            found["shares"][str(share)] = {
                "writing": dict(profile.values),
                "profile_seconds": time.perf_counter() - began,
                "NDCG@10": accuracy(model, part).tolist(),
            }
    with atomic_file(row_file(name, method, protection, tokens, directory)) as path:
        path.write_text(json.dumps(found), encoding="utf-8")


def accuracy(model: Any, part: Split) -> Any:
    """Return NDCG@10 of each test question."""
    counts = part.train.interactions.item_counts(part.train.num_items)
    task = make_task(part.test, EvaluationConfig(), popularity=counts, rng=RunContext().rng("forgetting"))
    return evaluate_ranking(model, task, beyond=False).per_query["NDCG@10"]


def row_file(name: str, method: str, protection: str, tokens: int, directory: Path) -> Path:
    """Return where a row is kept."""
    return directory / f"{name}-{method}-{protection}-{tokens}.json"


def rows_of(found: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[list[object]]:
    """Yield the lines of the table."""
    frozen = np.array(found["frozen", "none"]["shares"]["1.0"]["NDCG@10"])
    base = found["frozen", "none"]["base"]
    yield ["base", "-", "-", "-", "-", *(f"{base[column]:.3f}" for column in COLUMNS), "-", "-", "-"]
    for (method, protection), row in found.items():
        for share, values in row["shares"].items():
            scores, rng = np.array(values["NDCG@10"]), np.random.default_rng(0)
            one, gain = bootstrap_interval(scores, rng=rng), paired_difference(scores, frozen, rng=rng)
            writing = [_beside(values["writing"][column], base[column], column) for column in COLUMNS]
            cost = [f"{row['learned']:,}", f"{row['seconds']:.0f} s", f"{row['peak_bytes'] / 2**30:.1f} GiB"]
            yield [
                method, protection, "all" if share == "1.0" else share,
                f"{one.mean:.4f} [{one.low:.4f}, {one.high:.4f}]",
                f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
                *writing, *(cost if share == "1.0" else ["", "", ""]),
            ]  # fmt: skip


def _beside(value: float, before: float, column: str) -> str:
    if column.startswith("bits"):
        return f"{100 * (value / before - 1):+.1f} %"
    return f"{value:.3f}"


def main() -> None:
    """Measure all rows that are not kept yet, each in a process of its own, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["movielens-100k", "amazon-beauty"])
    parser.add_argument("--tokens", type=int, default=20_000, help="likes that a row learns from")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.5], help="of what was learned, beside all of it")
    parser.add_argument("--work", type=Path, default=Path("runs/forgetting"), help="where rows are kept")
    parser.add_argument("--row", nargs=2, metavar=("METHOD", "PROTECTION"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.row:
        measured(given.name, *given.row, given.tokens, given.shares, given.work)
        return
    found = {}
    for way in WAYS:
        path = row_file(given.name, *way, given.tokens, given.work)
        if not path.exists():
            subprocess.run([sys.executable, *sys.argv, "--row", *way], check=True)
        found[way] = json.loads(path.read_text(encoding="utf-8"))
    profiles = [values["profile_seconds"] for row in found.values() for values in row["shares"].values()]
    head = [
        "learns", "protected by", "share", "N@10 [95 %]", "gain over frozen [95 %]", *COLUMNS.values(), "learned",
        "training", "memory",
    ]  # fmt: skip
    text = (
        f"SmolLM2-135M-Instruct, `llm_sequential` with one token an item; {given.tokens:,} likes a row. {PROTOCOL}\n\n"
        f"{table(head, list(rows_of(found)))}\n\nBits per byte beside the base's. A profile took "
        f"{np.median(profiles):.0f} s (median), {max(profiles):.0f} at most. Learning rates: "
        f"{ {method: settings['learning_rate'] for method, settings in METHODS.items()} }; protections {PROTECTIONS}. "
        f"Seed 0."
    )
    plain = {"-".join(way): row for way, row in found.items()}
    write_result(f"forgetting-{given.name}", {"tokens": given.tokens, "rows": plain}, text)


if __name__ == "__main__":
    main()
