"""What fine-tuning costs a language model's writing: ways to learn, times ways to protect, on real data.

    python benchmarks/forgetting.py movielens-100k --tokens 20000 --work runs/forgetting

Rows that were measured are kept under `--work` and not measured again; `--jobs` processes measure at a time.
`--kept` writes the table of the rows that there are.

Protocol: leave-one-out in the files' own order; every row learns from as many likes, each one token, for one epoch, and
begins with the items' vectors of the same SASRec; NDCG@10 on the test questions, seen items hidden, all others ranked.
Writing is measured on text of other authors and registers than what is replayed, with the weights active that
recommend. Memory is what the process held at most, on a GPU what training took there beside the models that others
use. Nothing was chosen by these figures. With the adapter off while writing, the base writes, and a request's prompt is
read twice, once with the adapter and once without, since nothing of the first reading can be kept: the price is the
time of a reading of twenty titles.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pickle
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from common import data_files, device_name, table, write_result

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
PROTECTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "kl": {"kl": 1.0, "answers": True},
    "replay": {"replay": 0.1},
    "both": {"kl": 1.0, "replay": 0.1, "answers": True},
    "adaptive": {"kl": 1.0, "replay": 0.1, "hold": 0.01, "answers": True},
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


def part_of(name: str, directory: Path, most: int = USERS, draw: int = 0) -> Split:
    """Return the split of a data set, or of some of its users if it is large, with the items that they know.

    Each `draw` is of users who are in none before it.
    """
    files = data_files(name)
    log = pl.read_parquet(files["interactions"])
    users = log["user_id"].unique().sort()
    if len(users) > most:
        drawn = users.sample(most, seed=0)
        for _ in range(draw):
            users = users.filter(~users.is_in(drawn.implode()))
            drawn = users.sample(min(most, len(users)), seed=0)
        log = log.filter(pl.col("user_id").is_in(drawn.implode()))
    items = pl.read_parquet(files["items"]).filter(pl.col("item_id").is_in(log["item_id"].unique().implode()))
    label = label_of(name, draw)
    for table_name, frame in (("interactions", log), ("items", items)):
        with atomic_file(directory / f"{label}-{table_name}.parquet") as temporary:
            frame.write_parquet(temporary)
    tables = {table_name: str(directory / f"{label}-{table_name}.parquet") for table_name in ("interactions", "items")}
    experiment = {"data": {"kind": "files", **tables}, "split": {"kind": "leave_one_out", "ties": "file"}}
    whole = Experiment.model_validate({**experiment, "models": {"popularity": {"kind": "popularity"}}})
    return prepare(whole).splits[0]


def label_of(name: str, draw: int) -> str:
    """Return what files of a draw are called."""
    return f"{name}-draw-{draw}" if draw else name


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


def start_of(name: str, part: Split, directory: Path, epochs: int = 30) -> Any:
    """Return the SASRec whose vectors all rows begin with, fitted once."""
    path = directory / f"{name}-sasrec"
    config = SasrecConfig.model_validate(
        {"embedding_size": 128, "dropout": 0.4, "training": {"batch_size": 64, "epochs": epochs, "tracker": "none"}}
    )
    if not path.exists():
        model = config.build({}).fit(part.train, RunContext(validation=part.validation, progress=Bars()))
        path.mkdir()
        save_model(model, path)
    return load_model(path, SasrecConfig, {})


@cache
def shared(name: str, directory: Path) -> tuple[Split, Any]:
    """Return what all rows begin with."""
    part = part_of(name, directory)
    return part, start_of(name, part, directory)


@cache
def scale_of(name: str, directory: Path) -> Scale:
    """Return the base; what it says is kept for the processes of the other rows."""
    part, _ = shared(name, directory)
    catalogue = [text for text in item_texts(part.train.items, TextConfig()) if text]
    run, kept = RunContext(progress=Bars()), directory / f"{name}-base.pickle"
    _, base = load_base(SmolLmConfig(), run)
    config = WritingConfig(general=general_texts(directory), languages=("en",))
    if kept.exists():
        profile, reference = pickle.loads(kept.read_bytes())  # noqa: S301 - this benchmark wrote it.
        return Scale(base, profile, config, catalogue, reference, run)
    scale = Scale.of(base, config, catalogue, run)
    with atomic_file(kept) as path:
        path.write_bytes(pickle.dumps((scale.base, scale.reference)))
    return scale


def measured(name: str, method: str, protection: str, given: argparse.Namespace) -> None:
    """Fit one row, measure it, and write what was found."""
    part, begin = shared(name, given.work)
    rate = METHODS.get(method, METHODS["lora"])["learning_rate"]
    config = LlmSequentialConfig.model_validate(
        {
            "length": LENGTH,
            "start_from": "sasrec",
            "max_windows": max(1, given.tokens // LENGTH),
            # The vectors begin as SASRec's, and the text says nothing; no row needs an encoder for it.
            "vectors": {"encoder": {"kind": "hashing"}},
            "tuning": {"method": method, "rank": 8},
            "protect": PROTECTIONS[protection],
            "training": {
                "epochs": 1, "batch_size": given.batch_size, "learning_rate": rate, "clip_norm": 1.0,
                "warm_up_steps": 10, "precision": "bf16", "tracker": "none",
            },
        }
    )  # fmt: skip
    on_gpu = torch.cuda.is_available()
    gc.collect()  # The row before this one may still hold its model.
    before = torch.cuda.memory_allocated() if on_gpu else 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    model = config.build({"sasrec": begin}).fit(part.train, RunContext(progress=Bars()))
    seconds = time.perf_counter() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    scale = scale_of(name, given.work)
    found = {
        "seconds": seconds,
        "device": device_name(),
        "peak_bytes": torch.cuda.max_memory_allocated() - before if on_gpu else most,
        "learned": model.language.tuned.num_learned,
        "base": dict(scale.base.values),
        "shares": {},
    }
    for share in [1.0, *given.shares] if method not in ("frozen", "prefix") else [1.0]:
        with model.language.tuned.interpolated(share):
            began = time.perf_counter()
            profile = scale.measured(model.language.writer())
            found["shares"][str(share)] = {
                "writing": dict(profile.values),
                "profile_seconds": time.perf_counter() - began,
                "NDCG@10": accuracy(model, part).tolist(),
            }
    if (method, protection) == ("lora", "none"):
        found["second_reading"] = second_reading(model, part)
    with atomic_file(row_file(name, method, protection, given)) as path:
        path.write_text(json.dumps(found), encoding="utf-8")


def second_reading(model: Any, part: Split) -> float:
    """Return the seconds that the base takes to read twenty titles."""
    titles = "\n".join(item_texts(part.train.items, TextConfig(max_tokens=16))[:LENGTH])
    writer = model.language.writer()
    tokens = torch.tensor([writer.tokenizer(titles)["input_ids"]], device=writer.model.device)
    times = []
    with torch.inference_mode(), model.language.tuned.base_switched_on():
        for _ in range(10):
            began = time.perf_counter()
            writer.model(input_ids=tokens, logits_to_keep=1).logits.cpu()
            times.append(time.perf_counter() - began)
    return float(np.median(times))


def accuracy(model: Any, part: Split) -> Any:
    """Return NDCG@10 of each test question."""
    counts = part.train.interactions.item_counts(part.train.num_items)
    task = make_task(part.test, EvaluationConfig(), popularity=counts, rng=RunContext().rng("forgetting"))
    return evaluate_ranking(model, task, beyond=False).per_query["NDCG@10"]


def row_file(name: str, method: str, protection: str, given: argparse.Namespace) -> Path:
    """Return where a row is kept."""
    return Path(given.work) / f"{name}-{method}-{protection}-{given.tokens}-{given.batch_size}.json"


def measure_missing(missing: Sequence[tuple[str, str]], given: argparse.Namespace) -> None:
    """Measure rows in processes of their own: one each where a process's peak of memory cannot be set back."""
    shared(given.name, given.work)
    general_texts(given.work)
    if torch.cuda.is_available():
        loads = [list(missing[at :: given.jobs]) for at in range(min(given.jobs, len(missing)))]
    else:
        loads = [[way] for way in missing]

    def run(ways: Sequence[tuple[str, str]]) -> None:
        subprocess.run([sys.executable, *sys.argv, "--rows", *("/".join(way) for way in ways)], check=False)

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(run, loads))
    if failed := [way for way in missing if not row_file(given.name, *way, given).exists()]:
        raise SystemExit(f"not measured: {failed}; what went wrong is told above")


def rows_of(found: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[list[object]]:
    """Yield the lines of the table."""
    frozen = np.array(found["frozen", "none"]["shares"]["1.0"]["NDCG@10"])
    base = found["frozen", "none"]["base"]
    yield ["base", "-", "-", "-", "-", *(f"{base[column]:.3f}" for column in COLUMNS), "-", "-", "-", "-"]
    for (method, protection), row in found.items():
        for share, values in row["shares"].items():
            scores, rng = np.array(values["NDCG@10"]), np.random.default_rng(0)
            one, gain = bootstrap_interval(scores, rng=rng), paired_difference(scores, frozen, rng=rng)
            # Beside the base on the same machine: another one rounds otherwise.
            writing = [_beside(values["writing"].get(column), row["base"][column], column) for column in COLUMNS]
            memory = f"{row['peak_bytes'] / 2**30:.1f} GiB" if row["peak_bytes"] else "-"
            cost = [f"{row['learned']:,}", f"{row['seconds']:.0f} s", memory, row["device"]]
            yield [
                method, protection, "all" if share == "1.0" else share,
                f"{one.mean:.4f} [{one.low:.4f}, {one.high:.4f}]",
                f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
                *writing, *(cost if share == "1.0" else [""] * 4),
            ]  # fmt: skip
        if "second_reading" in row:
            scores = np.array(row["shares"]["1.0"]["NDCG@10"])
            yield [
                "lora, off while writing", protection, "all", f"{scores.mean():.4f}", "as above",
                *(_beside(base[column], base[column], column) for column in COLUMNS),
                "", f"{1000 * row['second_reading']:.0f} ms a request", "", "",
            ]  # fmt: skip


def places(values: Sequence[float]) -> str:
    """Return each question's place among the first ten as a digit, `a` for the tenth and 0 for none."""
    return "".join(f"{round(2 ** (1 / one) - 1):x}" if one else "0" for one in values)


def short(shares: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same with each question's place in the place of its NDCG@10."""
    return {share: {**values, "NDCG@10": places(values["NDCG@10"])} for share, values in shares.items()}


def _beside(value: float | None, before: float, column: str) -> str:
    if value is None:  # It wrote nothing that could be counted.
        return "-"
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
    parser.add_argument("--batch-size", type=int, default=16, help="windows of a step")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--kept", action="store_true", help="measure nothing more")
    parser.add_argument("--rows", nargs="*", metavar="METHOD/PROTECTION", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.rows:
        failed = 0
        for row in given.rows:
            try:
                measured(given.name, *row.split("/"), given)
            except Exception:  # The others are measured all the same.
                traceback.print_exc()
                failed += 1
        sys.exit(failed)
    missing = [way for way in WAYS if not row_file(given.name, *way, given).exists()]
    if missing and not given.kept:
        measure_missing(missing, given)
        missing = []
    ways = [way for way in WAYS if way not in missing]
    found = {way: json.loads(row_file(given.name, *way, given).read_text(encoding="utf-8")) for way in ways}
    profiles = [values["profile_seconds"] for row in found.values() for values in row["shares"].values()]
    head = [
        "learns", "protected by", "share", "N@10 [95 %]", "gain over frozen [95 %]", *COLUMNS.values(), "learned",
        "training", "memory", "on",
    ]  # fmt: skip
    text = (
        f"SmolLM2-135M-Instruct, `llm_sequential` with one token an item; {given.tokens:,} likes a row, "
        f"{given.batch_size} windows a step. {PROTOCOL}\n\n"
        f"{table(head, list(rows_of(found)))}\n\nBits per byte beside the base's. A profile took "
        f"{np.median(profiles):.0f} s (median), {max(profiles):.0f} at most. Learning rates: "
        f"{ {method: settings['learning_rate'] for method, settings in METHODS.items()} }; protections {PROTECTIONS}. "
        f"Seed 0." + (f" Not measured yet: {', '.join('/'.join(way) for way in missing)}." if missing else "")
    )
    plain = {"-".join(way): {**row, "shares": short(row["shares"])} for way, row in found.items()}
    write_result(f"forgetting-{given.name}", {"tokens": given.tokens, "rows": plain}, text)


if __name__ == "__main__":
    main()
