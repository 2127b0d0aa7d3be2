"""What it is worth in a new scenario that its people are known from another one.

    python benchmarks/shared_users.py --work runs/shared-users

Each figure is kept below `--work` as soon as it is there, so that an interrupted run goes on.

Protocol: amazon-beauty by department: skin care is the source, makeup the target, with the people of each. What
people liked in the source is read as far as it is older than the question; the source's model has learned from the
first 80 % of all events. The target is divided in two ways. By time: learned from until that moment, the tenth after
it is the validation, the last one the test, and everybody who buys makeup in it is asked. By people: of those who are
in both, 30 % are new in the target, half of them for the validation and half for the test; nothing is learned of them
(what others did later is), and they are asked for their first three likes, one after the other. Seen items hidden,
every other item ranked, equal scores count half; whom a model cannot answer is answered by what is popular. The
source's model is a `sasrec` of 64 numbers with text. Moved, it answers as it came (`zero_shot`) or learns on
(`finetune`), in both cases with and without what people liked in the source; the same model from scratch, `content`
and `popularity` stand beside. Counted by how many likes are known of somebody in the target; intervals are over
people. Whether the ids mean the same people is asked of the validation questions, and once more with the target's ids
dealt at random among its people.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import data_files, device_name, table, write_result
from numpy.typing import NDArray
from sequences import values_of

from genre import pipeline
from genre.adaptation.adapted import AdaptedConfig
from genre.config import Experiment
from genre.console import Bars
from genre.core.files import atomic_file
from genre.core.queries import Holdout
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Vocabulary
from genre.data.files import load_dataset
from genre.data.sequences import before
from genre.data.splits import Split
from genre.metrics.statistics import Difference, paired_difference
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.content import ContentConfig
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.stages import prepare
from genre.workspace import STORE

DATA = "amazon-beauty"
SOURCE, TARGET = "Skin Care", "Makeup"
MODEL = "sasrec"
READER = SasrecConfig.model_validate({"text": {}, "embedding_size": 64, "training": {"tracker": "none"}})
GROUPS = {"none": (0, 0), "1 or 2": (1, 2), "2 or less": (0, 2), "3 or more": (3, np.inf)}
"""By likes that are known in the target."""
PAIRS = (
    ("zero_shot with people", "zero_shot"),
    ("finetune with people", "finetune"),
    ("finetune with people", "from_scratch"),
)
POPULAR, OTHERS = "popularity", "not in the source"
NEW_SHARE, SHOTS = 0.15, 3
"""Share of the people of both that are new, for the validation and for the test, and likes they are asked for."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


def written(name: str, work: Path) -> dict[str, Path]:
    """Write the items and events of a department, and return the files."""
    files = data_files(DATA)
    items = pl.read_parquet(files["items"])
    department = pl.col("categories").str.split(" > ").list.get(1, null_on_oob=True)
    items = items.filter(department == name)
    events = pl.read_parquet(files["interactions"]).drop_nulls("timestamp").join(items, on="item_id", how="semi")
    found = {part: work / f"{_slug(name)}-{part}.parquet" for part in ("items", "interactions")}
    items.write_parquet(found["items"])
    events.write_parquet(found["interactions"])
    return found


def moments() -> dict[str, str]:
    """Return when the validation and the test begin."""
    times = pl.read_parquet(data_files(DATA)["interactions"])["timestamp"].drop_nulls()
    cuts = {part: times.quantile(share, "higher") for part, share in (("validation_from", 0.8), ("test_from", 0.9))}
    return {part: str(np.datetime64(int(cut or 0), "s")) + "Z" for part, cut in cuts.items()}


def experiment_of(name: str, models: dict[str, Any], work: Path, **more: Any) -> Experiment:
    """Return an experiment on a department."""
    files = {part: str(path) for part, path in written(name, work).items()}
    data = {"kind": "files", **files}
    split = {"kind": "temporal", **moments()}
    return Experiment.model_validate({"name": _slug(name), "data": data, "split": split, "models": models, **more})


def source_of(work: Path) -> Path:
    """Return the run of the source."""
    silent = {"answer": {"examples": 0, "reasons": None}, "evaluation": {"bootstrap": 200}}
    models = {MODEL: READER.model_dump(mode="json")}
    return pipeline.run(experiment_of(SOURCE, models, work, **silent), work / "runs", progress=Bars())


def ways(source: Path) -> dict[str, RecommenderConfig]:
    """Return the settings of every model."""

    def moved(learn: str, same_users: bool | None) -> RecommenderConfig:
        settings = {"source": source, "model": MODEL, "align": False, "learn": learn, "same_users": same_users}
        return AdaptedConfig.model_validate(settings)

    return {
        POPULAR: PopularityConfig(),
        "content": ContentConfig(),
        "from_scratch": READER,
        "zero_shot": moved("nothing", same_users=False),
        "zero_shot with people": moved("nothing", same_users=None),
        "finetune": moved("all", same_users=False),
        "finetune with people": moved("all", same_users=None),
    }


def by_people(data: Dataset, shared: NDArray[np.bool_]) -> Split:
    """Return a split in which some of the people of both scenarios are new.

    Args:
        data: The target.
        shared: (U,) people of both.
    """
    log = data.interactions
    people = np.random.default_rng(0).permutation(np.flatnonzero(shared & (log.lengths > 0)))
    size = round(NEW_SHARE * len(people))
    gone = np.zeros(data.num_users, bool)
    gone[people[: 2 * size]] = True
    train = data.with_interactions(log.where(~gone[log.row_of_event]))
    return Split(
        train,
        _first_likes(data, np.sort(people[:size])),
        _first_likes(data, np.sort(people[size : 2 * size])),
        np.zeros(data.num_items, bool),
    )


def _first_likes(data: Dataset, people: NDArray[np.int64]) -> Holdout:
    """Return questions for the first likes of people, each asked when it happened."""
    log = data.interactions
    place = np.arange(log.num_events) - log.offsets[log.row_of_event]
    events = np.flatnonzero((place < SHOTS) & np.isin(log.row_of_event, people))
    queries = data.queries(log.row_of_event[events], history=before(log, events, SHOTS), times=log.timestamps[events])
    return Holdout(queries, Ragged(np.arange(len(events) + 1), log.item_rows[events]))


def measured(label: str, config: RecommenderConfig, part: Split, work: Path) -> dict[str, Any]:
    """Return a model's NDCG@10 by question, whom it answers at all, and its account."""
    path = work / "figures" / f"{_slug(label)}.json"
    if not path.exists():
        run = RunContext(validation=part.validation, progress=Bars(), store=work / "runs" / STORE)
        model: Any = config.build({}).fit(part.train, run)
        found: dict[str, Any] = {"account": model.account() if hasattr(model, "account") else {}}
        for name, asked in (("validation", part.validation), ("test", part.test)):
            found[name] = values_of(model, asked, part.train)["NDCG@10"].tolist()
            found[f"{name} answered"] = model.recommend(asked.queries, 1).filled[:, 0].tolist()
        print(label, f"{np.mean(found['validation']):.4f} {np.mean(found['test']):.4f}", flush=True)
        path.parent.mkdir(exist_ok=True)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def dealt(part: Split) -> Split:
    """Return the same split with its ids dealt at random among its people."""
    users = part.train.users
    ids = users.vocabulary.ids.shuffle(seed=0)
    others = Entities(Vocabulary(ids), users.frame.with_columns(ids.alias(users.frame.columns[0])), users.roles)
    data: Dataset = replace(part.train, users=others)
    return replace(part, train=data)


def filled(found: dict[str, dict[str, Any]], name: str) -> dict[str, NDArray[np.float64]]:
    """Return NDCG@10 by question, that of what is popular where a model answers nothing."""
    popular = np.array(found[POPULAR][name])
    return {label: np.where(one[f"{name} answered"], one[name], popular) for label, one in found.items()}


def groups_of(asked: Holdout, shared: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
    """Return the questions of people of both (U,) by what is known of them here, and those of the others."""
    known = asked.queries.history.liked().lengths
    theirs = shared[asked.queries.user_rows]
    found = {name: np.flatnonzero(theirs & (known >= low) & (known <= high)) for name, (low, high) in GROUPS.items()}
    return {name: rows for name, rows in (found | {OTHERS: np.flatnonzero(~theirs)}).items() if len(rows)}


def over(first: NDArray[np.float64], second: NDArray[np.float64], people: NDArray[np.integer]) -> Difference:
    """Return the difference of two models' values by question, with an interval over people."""
    _, place = np.unique(people, return_inverse=True)
    count = np.bincount(place)
    # Everybody's sum over the mean number of questions: their mean is that of the questions.
    one, other = (np.bincount(place, values) / count.mean() for values in (first, second))
    return paired_difference(one, other, rng=np.random.default_rng(0))


def compared(found: dict[str, dict[str, Any]], part: Split, shared: NDArray[np.bool_]) -> tuple[str, dict[str, Any]]:
    """Return what a person reads of one way to divide the target, and all figures."""
    tables, figures = [], {}
    for name, asked in (("validation", part.validation), ("test", part.test)):
        values, groups = filled(found, name), groups_of(asked, shared)
        heads = [name, *(f"{group} ({len(rows):,})" for group, rows in groups.items())]
        means = {
            label: {group: float(one[rows].mean()) for group, rows in groups.items()} for label, one in values.items()
        }
        lines: list[list[object]] = [[label, *(f"{mean:.4f}" for mean in one.values())] for label, one in means.items()]
        overs = {}
        for first, second in PAIRS:
            pair = f"{first} over {second}"
            overs[pair] = {
                group: over(values[first][rows], values[second][rows], asked.queries.user_rows[rows])
                for group, rows in groups.items()
            }
            lines.append(
                [pair, *(f"{one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}]" for one in overs[pair].values())]
            )
        plain = {pair: {group: asdict(one) for group, one in groups.items()} for pair, groups in overs.items()}
        figures[name] = {"NDCG@10": means, "over": plain}
        tables.append(table(heads, lines))
    return "\n\n".join(tables), figures


def main() -> None:
    """Measure what has not been measured, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("runs/shared-users"), help="where runs and figures are kept")
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    source = source_of(work)
    target = prepare(experiment_of(TARGET, {"content": {"kind": "content"}}, work))
    there = load_dataset(source / "data" / "all").users.vocabulary
    shared = there.rows(target.data.users.vocabulary.ids) >= 0
    parts = {"time": target.splits[0], "people": by_people(target.data, shared)}
    sections, figures, accounts = [], {}, {}
    for way, part in parts.items():
        found = {label: measured(f"{way}-{label}", config, part, work) for label, config in ways(source).items()}
        summary, figures[way] = compared(found, part, shared)
        sections.append(f"## By {way}: NDCG@10 of people of both, by likes known in {TARGET.lower()}\n\n{summary}")
        accounts |= {f"{label}, by {way}": one["account"]["moved"] for label, one in found.items() if one["account"]}
    strangers = measured("time-strangers", ways(source)["zero_shot with people"], dealt(parts["time"]), work)
    accounts["strangers"] = strangers["account"]["moved"]
    judged = [
        [label, told["same_user_ids"], *_judged(told)] for label, told in accounts.items() if "people_judged" in told
    ]
    ids = table(["model", "same ids", "questions", "own", "others'", "none", "own over others'", "used"], judged)
    told = {label: {part: value for part, value in one.items() if part != "source"} for label, one in accounts.items()}
    both = "\n\n".join(sections)
    write_result(
        "shared-users",
        {**figures, "moved": told},
        f"On {device_name()}. {PROTOCOL}\n\n{both}\n\n"
        "## Whether the ids mean the same people\n\nShare of the items that stand below the answer, over the "
        "validation questions about people of the same id: by their own likes in the source, by those of others, "
        f"and by none; `strangers` is `zero_shot with people` by time, with the ids dealt at random.\n\n{ids}",
    )


def _judged(told: dict[str, Any]) -> list[object]:
    one = told["people_judged"]
    over = one["over_others"]
    means = [f"{one[name]:.4f}" for name in ("own", "others", "none")]
    span = f"{over['mean']:+.4f} [{over['low']:+.4f}, {over['high']:+.4f}]"
    return [one["questions"], *means, span, f"{told['people']:,}" if told["people"] else "no"]


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


if __name__ == "__main__":
    main()
