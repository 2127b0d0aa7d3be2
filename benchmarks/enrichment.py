"""Enrichment by the embedded model on real data: how often its answers can be used, how fast, and what they are worth.

    python benchmarks/enrichment.py movielens-100k amazon-industrial --items 150 --users 150 --work runs/enrichment

Answers and what was measured are kept in the directory, so that an interrupted run goes on.

The world of each data set is its most liked items and the users with most likes among them, so that everything in it
is written about. Protocol: leave-one-out; profiles and imagined items from each user's training events; test events
ranked among all items of this world, seen ones hidden; settings are the defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import data_files, table, write_result
from numpy.typing import NDArray

from genre.config import Experiment
from genre.config_file import to_yaml
from genre.console import Bars
from genre.core.files import atomic_file
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.ranking import evaluate_ranking, make_task
from genre.features.enrich.answers import ItemSummary, read_answer, schema_of
from genre.features.enrich.config import EnrichConfig, SummariseConfig
from genre.features.enrich.enrich import enrich, read_catalogue
from genre.features.enrich.prompts import make_prompt
from genre.features.enrich.result import Enrichment
from genre.features.store import ContentStore
from genre.language.base import Completion, Generator, Prompt
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.behaviour_content import BehaviourContentConfig
from genre.stages import Prepared, prepare

STAGES: list[dict[str, Any]] = [
    {"kind": "summarise"},
    {"kind": "profile"},
    {"kind": "imagine", "longest_history": 1000},
]
"""Everybody gets imagined items here: few of those with most likes have short histories."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
PRIMARY = "NDCG@10"


def world_of(name: str, items: int, users: int, directory: Path) -> Experiment:
    """Write the small world of a data set, and return the experiment that reads it."""
    files = data_files(name)
    log = pl.read_parquet(files["interactions"])
    if "value" in log.columns:
        log = log.filter(pl.col("value") >= 3)
    liked = log["item_id"].value_counts(sort=True).sort("count", "item_id", descending=[True, False]).head(items)
    log = log.filter(pl.col("item_id").is_in(liked["item_id"].implode()))
    busy = log["user_id"].value_counts(sort=True).sort("count", "user_id", descending=[True, False]).head(users)
    log = log.filter(pl.col("user_id").is_in(busy["user_id"].implode()))
    catalogue = pl.read_parquet(files["items"]).filter(pl.col("item_id").is_in(log["item_id"].unique().implode()))
    log.write_parquet(directory / "interactions.parquet")
    catalogue.write_parquet(directory / "items.parquet")
    tables = {name: str(directory / f"{name}.parquet") for name in ("interactions", "items")}
    return Experiment.model_validate(
        {
            "name": name,
            "data": {"kind": "files", **tables},
            "models": {"popularity": {"kind": "popularity"}},
            "enrich": {"stages": STAGES},
        }
    )


class Timed:
    """A generator, and how fast it was at what it has written: answers that are kept already are not asked of it."""

    def __init__(self, generator: Generator) -> None:
        """Begin to count."""
        self._generator, self.tokens, self.seconds = generator, 0, 0.0

    def __getattr__(self, name: str) -> Any:
        """Return what the generator has."""
        return getattr(self._generator, name)

    def generate(self, prompts: Sequence[Prompt], **how: Any) -> list[Completion]:
        """Let it write."""
        began = time.perf_counter()
        answers = self._generator.generate(prompts, **how)
        self.seconds += time.perf_counter() - began
        self.tokens += sum(answer.completion_tokens for answer in answers)
        return answers

    @property
    def rate(self) -> float | None:
        """Answer tokens per second, None where nothing was written."""
        return self.tokens / self.seconds if self.tokens else None


def valid_share(prepared: Prepared, generator: Generator, directory: Path, *, constrained: bool) -> dict[str, Any]:
    """Ask for a summary of every item, and count the answers that are valid at once and after one repair."""
    config = EnrichConfig(stages=(SummariseConfig(),), constrained=constrained)
    store = ContentStore.open(directory)
    stage = SummariseConfig()
    tasks = [task for task in read_catalogue(prepared.data.items, config).tasks() if task.source.words]
    prompts = [make_prompt(stage.kind, config.language, **task.values) for task in tasks]
    schema = schema_of(ItemSummary) if constrained else None
    timed = Timed(generator)
    first = store.completions(timed, prompts, sampling=stage.sampling, schema=schema, progress=Bars())
    valid = sum(not isinstance(read_answer(one.text, ItemSummary), str) for one in first)
    found = enrich(prepared.data, (), config, store=store, progress=Bars(), generator=generator)
    (account,) = found.account
    no_form = sum(account["dropped"].get(reason, 0) for reason in ("not valid by the schema", "cut off at max_tokens"))
    return {
        "asked": len(prompts),
        "valid at once": valid / len(prompts),
        "valid after one repair": 1 - no_form / len(prompts),
        "accepted": account["accepted"] / len(prompts),
        "dropped": account["dropped"],
        "tokens per second": timed.rate,
    }


def one_at_a_time(prepared: Prepared, generator: Generator, directory: Path, count: int) -> float | None:
    """Return the answer tokens per second of prompts that are asked one after another."""
    config = EnrichConfig(stages=(SummariseConfig(),))
    tasks = [task for task in read_catalogue(prepared.data.items, config).tasks() if task.source.words][:count]
    prompts = [make_prompt("summarise", config.language, **task.values) for task in tasks]
    schema = schema_of(ItemSummary)
    timed = Timed(generator)
    ContentStore.open(directory).completions(
        timed, prompts, sampling=SummariseConfig().sampling, schema=schema, at_once=1
    )
    return timed.rate


def kill_and_resume(experiment: Experiment, directory: Path, count: int) -> dict[str, int]:
    """Kill `genre enrich` with signal 9 when half is written, run it again, and count what the second run asked."""
    enrichment = {"stages": [{"kind": "summarise"}], "budget": {"max_items": count}, "at_once": 4}
    small = Experiment.model_validate(experiment.model_dump() | {"enrich": enrichment})
    config, runs = directory / "killed.yaml", directory / "runs"
    config.write_text(to_yaml(small), encoding="utf-8")
    command = [sys.executable, "-c", "from genre.cli import main; main()", "enrich", str(config), "--runs", str(runs)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
    while process.poll() is None and len(_kept(runs)) < count // 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = _kept(runs)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = _kept(runs)
    (account,) = json.loads((runs / f"{small.name}-enriched" / "account.json").read_text(encoding="utf-8"))
    assert all(after[content] == answer for content, answer in before.items()), "an answer was made again"
    return {
        "kept at the kill": len(before),
        "kept in the end": len(after),
        "asked after the kill": account["asked"],
        "done twice": account["asked"] - (len(after) - len(before)),
    }


def _kept(runs: Path) -> dict[bytes, bytes]:
    """Return the answers of the store by their content."""
    path = runs / ".store" / "index.sqlite"
    if not path.exists():
        return {}
    try:
        with sqlite3.connect(path, timeout=30) as connection:
            return dict(connection.execute("SELECT content, answer FROM completions").fetchall())
    except sqlite3.OperationalError:  # The tables are not there yet.
        return {}


def accuracy(prepared: Prepared, found: Enrichment) -> list[list[object]]:
    """Return a line of the table for each part of the enrichment, for a model that reads content."""
    part = prepared.splits[0]
    nothing = Enrichment(None, None, None, found.drops, [])
    worlds = {
        "as it is": nothing,
        "summaries": Enrichment(found.items, None, None, found.drops, []),
        "profiles": Enrichment(None, found.profiles, None, found.drops, []),
        "imagined items": Enrichment(None, None, found.imagined, found.drops, []),
        "all three": found,
    }
    values = {name: judged(world.apply_split(part, 0)) for name, world in worlds.items()}
    rng = np.random.default_rng(0)
    rows: list[list[object]] = []
    for name, scores in values.items():
        one = bootstrap_interval(scores, rng=rng)
        line: list[object] = [name, f"{one.mean:.4f} [{one.low:.4f}, {one.high:.4f}]"]
        if name == "as it is":
            rows.append([*line, "-", "-"])
            continue
        gain = paired_difference(scores, values["as it is"], rng=rng)
        rows.append([*line, f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]", f"{gain.p_value:.3f}"])
    return rows


def judged(part: Split) -> NDArray[np.float64]:
    """Return NDCG@10 of each test question."""
    model = BehaviourContentConfig().build({}).fit(part.train, RunContext(validation=part.validation))
    counts = part.train.interactions.item_counts(part.train.num_items)
    task = make_task(part.test, EvaluationConfig(), popularity=counts, rng=RunContext().rng("enrichment"))
    return evaluate_ranking(model, task, beyond=False).per_query[PRIMARY]


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """Return what was measured before, or measure it now."""
    if not path.exists():
        found = make()
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def measure(name: str, items: int, users: int, kills: int, directory: Path) -> None:
    """Measure one data set."""
    directory.mkdir(parents=True, exist_ok=True)
    experiment = world_of(name, items, users, directory)
    assert experiment.enrich is not None
    prepared = prepare(experiment)
    generator = experiment.enrich.generator.build()
    free, bound = (
        kept(directory / f"{kind}.json", partial(valid_share, prepared, generator, directory / kind, constrained=held))
        for kind, held in (("free", False), ("bound", True))
    )
    alone = kept(
        directory / "alone.json", lambda: one_at_a_time(prepared, generator, directory / "alone", min(items, 12))
    )
    killed = kept(directory / "killed.json", lambda: kill_and_resume(experiment, directory, kills))
    store = ContentStore.open(directory / "bound")
    found = enrich(prepared.data, prepared.splits, experiment.enrich, store=store, progress=Bars(), generator=generator)
    rows = accuracy(prepared, found)
    shares = ["valid at once", "valid after one repair", "accepted"]
    head = ["summaries", "asked", *shares, "dropped", "answer tokens / s"]
    forms = [
        [kind, one["asked"], *(f"{one[share]:.1%}" for share in shares), _words(one["dropped"]),
         _rate(one["tokens per second"])]
        for kind, one in (("free", free), ("held to the schema", bound))
    ]  # fmt: skip
    stages = [
        [stage["stage"], stage["subjects"], stage["accepted"], stage["repaired"], _words(stage["dropped"])]
        for stage in found.account
    ]
    data = prepared.account
    text = (
        f"{data['users']:,} users, {data['items']:,} items, {data['likes']:,} likes: the most liked items and the "
        f"users with most likes among them. SmolLM2-135M-Instruct. {PROTOCOL}\n\n"
        f"{table(head, forms)}\n\nOne prompt at a time: {_rate(alone)} answer tokens a second; where there "
        "is no rate, an earlier run had written the answers.\n\n"
        f"{table(['stage', 'items or users', 'accepted', 'at the second try', 'dropped'], stages)}\n\n"
        f"Killed with signal 9 and run again: {_words(killed)}.\n\n"
        f"{table(['`behaviour_content` with', 'NDCG@10 [95 %]', 'gain [95 %]', 'p'], rows)}\n\n"
        f"Everybody gets imagined items here, whatever the length of the history. Seed 0."
    )
    result = {"free": free, "constrained": bound, "one_at_a_time": alone, "killed": killed, "account": found.account}
    write_result(f"enrichment-{name}", {**result, "accuracy": rows}, text)


def _rate(found: float | None) -> str:
    return "-" if found is None else f"{found:.1f}"


def _words(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "-"


def main() -> None:
    """Measure the named data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=["movielens-100k", "amazon-industrial"])
    parser.add_argument("--items", type=int, default=150, help="items of the world")
    parser.add_argument("--users", type=int, default=150, help="users of the world")
    parser.add_argument("--kills", type=int, default=24, help="items to write about in the test of the kill")
    parser.add_argument("--work", type=Path, default=Path("runs/enrichment"), help="where answers are kept")
    arguments = parser.parse_args()
    for name in arguments.names:
        measure(name, arguments.items, arguments.users, arguments.kills, arguments.work / name)


if __name__ == "__main__":
    main()
