"""Learning from what comes back: a log replayed in time order; a model stays, learns on, or begins anew.

    OMP_NUM_THREADS=1 python benchmarks/online.py --work runs/online

What was measured is kept under `--work`, period by period, and not measured again. `--settings` chooses on the first
60 % of the log alone, which are replayed in the same way.

Protocol: food-com, its most frequent items and a sample of the users (seed 0), every event a like. The
models are trained on the first 60 % of the events; the rest is cut into ten periods of equal event count. In each
period every user with a history is asked first for what they liked in it, from all that came before the period, seen
items hidden, all others ranked; then the period is learned. `frozen` never learns again. `updated` learns on from the
period with old histories beside it. `retrained` begins anew with all events so far, for as many epochs as were best
when the newest tenth of the first 60 % was held out; looking for them is not counted. Seconds are those of the core.
The gate: of each period the newest fifth is held back, and the model that was live before is compared with one that
has learned the rest, as it is, with events of bots in it, or broken. Bots are new accounts; five items that few know
are pushed, by these alone (`blunt`) or each after a popular item (`disguised`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import data_files, table, write_result
from numpy.typing import NDArray

from genre.core.files import atomic_directory, atomic_file
from genre.core.run import RunContext
from genre.data.appending import Appended, appended
from genre.data.build import build_dataset
from genre.data.dataset import Dataset
from genre.data.tables import Tables
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.gate import Decision, Evidence, GateConfig, decide
from genre.evaluation.shadow import ask, hold_back, time_both
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.growth import grown
from genre.recommenders.item_knn import ItemKnnConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.updating import updated

PERIODS, START = 10, 0.6
WAYS = ("frozen", "updated", "retrained")
POISON, PUSHED, ACCOUNT = 0.1, 5, 20
"""Share of the learned events that are the bots', items that they push, and events of an account."""
GATE_HEAD = ["model", "the update", "promoted", "refused for", "lists that show one item", "newcomers who like it"]
"""The last two are those that are furthest beyond what could be explained: median and most over the periods."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
Values = NDArray[np.float64]


def events_of(num_users: int, num_items: int) -> pl.DataFrame:
    """Return the events of a sample of the users with the most frequent items, in the order of time."""
    log = pl.read_parquet(data_files("food-com")["interactions"])
    items = log.group_by("item_id").len().sort("len", "item_id", descending=[True, False]).head(num_items)["item_id"]
    log = log.filter(pl.col("item_id").is_in(items.implode()))
    users = log["user_id"].unique().sort()
    if num_users < len(users):
        log = log.filter(pl.col("user_id").is_in(users.sample(num_users, seed=0).implode()))
    return log.sort("timestamp", maintain_order=True).drop("position")


def parts_of(log: pl.DataFrame, start: float = START, periods: int = PERIODS) -> list[pl.DataFrame]:
    """Return the events that the models begin with, and those of each period."""
    cuts = np.linspace(start, 1, periods + 1)
    ends = np.round(cuts * len(log)).astype(int)
    return [log[: ends[0]], *(log[low:high] for low, high in pairwise(ends))]


def begun(events: pl.DataFrame) -> Dataset:
    """Return the data set of the first events; items come with their first event."""
    return build_dataset(Tables(events, None))


def longer(data: Dataset, events: pl.DataFrame) -> Appended:
    """Return the data set with the events of a period and their items."""
    rows = events.select("item_id").unique(maintain_order=True)
    return appended(data, events, items=rows)


def sasrec(given: argparse.Namespace, epochs: int) -> SasrecConfig:
    """Return the settings of the network."""
    training = {
        "epochs": epochs,
        "batch_size": 128,
        "learning_rate": 3e-4,
        "patience": None,
        "tracker": "none",
    }
    updating = {
        "epochs": given.update_epochs,
        "replay": given.replay,
        "context": given.context,
        "learning_rate": given.rate,
    }
    return SasrecConfig.model_validate(
        {"embedding_size": 64, "num_blocks": 1, "dropout": 0.5, "training": training, "updating": updating}
    )


def best_epochs(data: Dataset, given: argparse.Namespace) -> int:
    """Return the epochs after which the newest tenth is predicted best."""
    log = data.interactions
    newest = np.argsort(log.timestamps, kind="stable")[round(0.9 * log.num_events) :]
    late = np.zeros(log.num_events, bool)
    late[newest] = True
    held = hold_back(data, late, share=1, established=2, most=2000, repeats=False, rng=np.random.default_rng(0))
    config = sasrec(given, 60)
    config = config.model_copy(update={"training": config.training.model_copy(update={"patience": 6})})
    train = data.with_interactions(log.where(~late))
    model = config.build({}).fit(train, RunContext(validation=held.questions))
    return int(np.nanargmax(model.curve[:, 1])) + 1


def timed(make: Callable[[], Recommender]) -> tuple[Recommender, float]:
    """Return what was made, and the seconds of the core that it took."""
    began = time.process_time()
    return make(), time.process_time() - began


class Replay:
    """One model over all periods."""

    def __init__(
        self, name: str, config: RecommenderConfig, parts: list[pl.DataFrame], work: Path, with_gate: bool
    ) -> None:
        """Keep what is measured under `work`."""
        self.name, self.config, self.parts, self.work = name, config, parts, work
        self.with_gate = with_gate
        self.data = begun(parts[0])

    def file(self, period: int) -> Path:
        """Return where the findings of a period are."""
        return self.work / f"{self.name}-{period}.json"

    def model(self, way: str, period: int, make: Callable[[], Recommender]) -> tuple[Recommender, float]:
        """Return a model as it was before a period, made if it is not kept."""
        path = self.work / f"{self.name}-{way}-{period}"
        if not path.exists():
            model, seconds = timed(make)
            with atomic_directory(path) as directory:
                save_model(model, directory)
                (directory / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
        seconds = json.loads((path / "seconds.json").read_text(encoding="utf-8"))
        model = load_model(path, type(self.config), {})
        model.config = self.config  # type: ignore[misc] # What is kept may have been made for another way to update.
        return model, seconds

    def run(self) -> list[dict[str, Any]]:
        """Go through the periods."""
        first, seconds = self.model("frozen", 0, lambda: self.config.build({}).fit(self.data, RunContext()))
        live: dict[str, tuple[Recommender, float]] = dict.fromkeys(WAYS, (first, seconds))
        found = []
        for period, events in enumerate(self.parts[1:]):
            step = longer(self.data, events)
            if not self.file(period).exists():
                told = self.period(period, step, live)
                with atomic_file(self.file(period)) as path:
                    path.write_text(json.dumps(told), encoding="utf-8")
            found.append(json.loads(self.file(period).read_text(encoding="utf-8")))
            print(self.name, period, {way: round(float(np.mean(found[-1]["NDCG@10"][way])), 4) for way in WAYS})
            before = live["updated"][0]
            made: dict[str, Callable[[], Recommender]] = {
                "updated": lambda one=before, step=step: updated(one, step.data, step.new, RunContext())[0],
                "retrained": lambda step=step: self.config.build({}).fit(step.data, RunContext()),
            }
            if period + 1 < len(self.parts) - 1:
                live |= {way: self.model(way, period + 1, make) for way, make in made.items()}
            self.data = step.data
        return found

    def control(self, periods: int = 5) -> dict[str, list[float]]:
        """Let the first model learn on from old events, drawn at random, as if they were the periods' new ones.

        Returns:
            NDCG@10 of each question of the periods after the first, and that of the model that stays.
        """
        path = self.work / f"{self.name}-control.json"
        if not path.exists():
            first = data = begun(self.parts[0])
            model, _ = self.model("frozen", 0, lambda: self.config.build({}).fit(first, RunContext()))
            rng, found = np.random.default_rng(5), {"control": [], "frozen": []}
            for period, events in enumerate(self.parts[1 : periods + 1]):
                step = longer(data, events)
                if period:
                    drawn = np.zeros(first.num_events, bool)
                    drawn[rng.choice(first.num_events, len(events), replace=False)] = True
                    model = updated(model, first, drawn, RunContext(seed=period))[0]
                    found["control"] += self.asked(model, step, period)
                    kept = json.loads(self.file(period).read_text(encoding="utf-8"))
                    found["frozen"] += kept["NDCG@10"]["frozen"]
                data = step.data
            path.write_text(json.dumps(found), encoding="utf-8")
        told: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8"))
        return told

    def asked(self, model: Recommender, step: Appended, period: int) -> list[float]:
        """Ask a model for a period before it learns it."""
        rng = np.random.default_rng(period)
        shadow = hold_back(step.data, step.new, share=1, established=1, most=10**9, repeats=False, rng=rng)
        wide = grown(model, step.data.items, num_known(model), RunContext())
        values: list[float] = ask(wide, shadow, step.data.num_items, EvaluationConfig()).accuracy.tolist()
        return values

    def period(self, period: int, step: Appended, live: Mapping[str, tuple[Recommender, float]]) -> dict[str, Any]:
        """Ask all models for a period before they learn it, and let the gate look at what would learn it."""
        asked = {way: self.asked(model, step, period) for way, (model, _) in live.items()}
        seconds = {way: cost for way, (_, cost) in live.items()}
        return {
            "NDCG@10": asked,
            "seconds": seconds,
            "gate": self.gate(period, live["updated"][0]) if self.with_gate else {},
        }

    def gate(self, period: int, live: Recommender) -> dict[str, Any]:
        """Let the gate decide about honest, poisoned and broken updates."""
        events = self.parts[period + 1]
        found = {"clean": self.decided(events, live).to_dict()}
        for kind in ("blunt", "disguised"):
            bots = poison(events, self.data, kind, np.random.default_rng(period))
            found[kind] = self.decided(pl.concat([events, bots]).sort("timestamp"), live).to_dict()
        if hasattr(live, "network"):
            for kind in ("shuffled", "nan"):
                found[kind] = self.decided(events, live, lambda model, kind=kind: broken(model, kind)).to_dict()
        return found

    def decided(
        self, events: pl.DataFrame, live: Recommender, change: Callable[[Any], Recommender] | None = None
    ) -> Decision:
        """Learn all but the newest fifth, and decide by that."""
        step = longer(self.data, events)
        rng = np.random.default_rng(0)
        shadow = hold_back(step.data, step.new, share=0.2, established=3, most=2000, repeats=False, rng=rng)
        log = step.data.interactions
        known = step.data.with_interactions(log.where(~shadow.held))
        candidate = updated(live, known, step.new[~shadow.held], RunContext())[0]
        if change is not None:
            candidate = change(candidate)
        live = grown(live, step.data.items, num_known(live), RunContext())
        config, size = EvaluationConfig(), step.data.num_items
        evidence = Evidence(
            "NDCG@10",
            ask(live, shadow, size, config),
            ask(candidate, shadow, size, config),
            shadow.backing,
            shadow.newcomers,
            shadow.num_newcomers,
            time_both(live, candidate, shadow.questions, config),
            items=step.data.items.vocabulary.ids.to_list(),
        )
        return decide(evidence, GateConfig(), rng)


def num_known(model: Any) -> int:
    """Return how many items a model knows the rows of."""
    return len(model.known) if hasattr(model, "known") else int(model.similarity.shape[0])


def poison(events: pl.DataFrame, data: Dataset, kind: str, rng: np.random.Generator) -> pl.DataFrame:
    """Return events of bots, as many that they are a tenth of all."""
    counts = data.interactions.item_counts(data.num_items)
    ids = data.items.vocabulary.ids
    few = rng.choice(np.argsort(counts)[: len(counts) // 10], PUSHED, replace=False)
    popular = np.argsort(-counts)[:100]
    number = round(len(events) * POISON / (1 - POISON))
    pushed = few[np.arange(number) % PUSHED]
    if kind == "disguised":
        pushed = np.where(np.arange(number) % 2 == 0, rng.choice(popular, number), few[np.arange(number) // 2 % PUSHED])
    low, high = events["timestamp"].min(), events["timestamp"].max()
    return pl.DataFrame(
        {
            "user_id": [f"bot-{at // ACCOUNT}" for at in range(number)],
            "item_id": ids.gather(pushed),
            "timestamp": np.sort(rng.integers(low, high, number)),
        }
    )


def broken(model: Any, kind: str) -> Recommender:
    """Return a network whose items' vectors were mixed up, or are no numbers."""
    import torch

    weight = model.network.items.own.weight.data
    weight[:] = weight[torch.randperm(len(weight))] if kind == "shuffled" else torch.nan
    model.settle()
    return model


def kept(values: Mapping[str, Values], rng: np.random.Generator) -> tuple[float, float, float]:
    """Return which share of the gain of training anew the updated model has, with a 95 % bootstrap interval."""
    frozen, online, anew = (values[way] for way in WAYS)
    pairs = np.stack([online - frozen, anew - frozen], axis=1)
    sums = np.array([pairs[rng.integers(0, len(pairs), len(pairs))].sum(0) for _ in range(2000)])
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(pairs[:, 0].sum() / pairs[:, 1].sum()), float(low), float(high)


def rows_of(name: str, found: list[dict[str, Any]]) -> tuple[list[list[object]], dict[str, Any]]:
    """Return the lines of the table, and what they say in numbers."""
    values = {way: np.concatenate([one["NDCG@10"][way] for one in found]) for way in WAYS}
    later = {way: np.concatenate([one["NDCG@10"][way] for one in found[1:]]) for way in WAYS}
    seconds = {way: [one["seconds"][way] for one in found[1:]] for way in WAYS}
    rng = np.random.default_rng(0)
    share, low, high = kept(later, rng)
    cost = sum(seconds["updated"]) / max(1e-9, sum(seconds["retrained"]))
    rows: list[list[object]] = []
    for way in WAYS:
        one, gain = bootstrap_interval(values[way], rng=rng), paired_difference(later[way], later["frozen"], rng=rng)
        spent = 0.0 if way == "frozen" else sum(seconds[way])
        rows.append([
            name, way, f"{one.mean:.4f} [{one.low:.4f}, {one.high:.4f}]",
            "" if way == "frozen" else f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
            f"{share:.0%} [{low:.0%}, {high:.0%}]" if way == "updated" else "",
            f"{spent:.1f} s" + (f", {cost:.1%}" if way == "updated" else ""),
        ])  # fmt: skip
    told = {"kept": [share, low, high], "cost": cost, "means": {way: float(values[way].mean()) for way in WAYS}}
    return rows, told


def gate_rows(name: str, found: list[dict[str, Any]]) -> list[list[object]]:
    """Return how many updates of each kind the gate promoted, and what it refused them for."""
    rows: list[list[object]] = []
    for kind in found[0]["gate"]:
        decisions = [one["gate"][kind] for one in found]
        failed = [check["name"] for one in decisions for check in one["checks"] if not check["passed"]]
        rises, came = (
            [check["value"] for one in decisions for check in one["checks"] if check["name"] == name]
            for name in ("exposure", "origin")
        )
        why = ", ".join(f"{check} {failed.count(check)}" for check in dict.fromkeys(failed))
        promoted = sum(one["promoted"] for one in decisions)
        shares = [f"{np.median(some):.1%}, {max(some):.1%}" for some in (rises, came)]
        rows.append([name, kind, f"{promoted} of {len(decisions)}", why, *shares])
    return rows


def rounded(value: Any) -> Any:
    """Return the same with four places behind the point, and long lists of numbers in one text."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        numbers = len(value) > 100 and isinstance(value[0], float)  # One line in the file, and not thousands.
        return " ".join(f"{part:.4g}" for part in value) if numbers else [rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Replay, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=8000)
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--periods", type=int, default=PERIODS)
    parser.add_argument("--models", nargs="*", default=["item_knn", "sasrec"])
    parser.add_argument("--epochs", type=int, help="of training anew; looked for without")
    parser.add_argument("--update-epochs", type=int, default=2)
    parser.add_argument("--replay", type=float, default=1.0)
    parser.add_argument("--context", type=int, default=10)
    parser.add_argument("--no-gate", action="store_true")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of an update")
    parser.add_argument("--settings", action="store_true", help="only the first 60 %%, to choose by; writes no result")
    parser.add_argument("--work", type=Path, default=Path("runs/online"), help="where what is measured is kept")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    log = events_of(given.users, given.items)
    if given.settings:
        log = log[: round(START * len(log))]
    parts = parts_of(log, periods=given.periods)
    configs: dict[str, RecommenderConfig] = {}
    epochs = given.epochs
    for name in given.models:
        if name == "sasrec":
            kept_at = given.work / "epochs.json"
            if epochs is None and not kept_at.exists():
                kept_at.write_text(json.dumps(best_epochs(begun(parts[0]), given)), encoding="utf-8")
            epochs = epochs or json.loads(kept_at.read_text(encoding="utf-8"))
            configs[name] = sasrec(given, epochs)
        else:
            configs[name] = ItemKnnConfig()
    replays = {name: Replay(name, config, parts, given.work, not given.no_gate) for name, config in configs.items()}
    found = {name: replay.run() for name, replay in replays.items()}
    control = ""
    if "sasrec" in replays:
        values = {name: np.array(some) for name, some in replays["sasrec"].control().items()}
        one = paired_difference(values["control"], values["frozen"], rng=np.random.default_rng(0))
        control = (
            f" Learning on from as many old events, drawn at random, in place of the new ones changes sasrec by "
            f"{one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}] in the periods 2 to 5: what an update gains is "
            "not that it trains longer."
        )
    lines, told, gates = [], {}, []
    for name, periods in found.items():
        rows, told[name] = rows_of(name, periods)
        lines += rows
        gates += gate_rows(name, periods)
    asked = {name: len(np.concatenate([one["NDCG@10"]["frozen"] for one in some])) for name, some in found.items()}
    head = ["model", "", "N@10 [95 %]", "gain over frozen [95 %]", "of the gain of retrained", "seconds of learning"]
    curve = [
        [name, period + 1, *(f"{np.mean(one['NDCG@10'][way]):.4f}" for way in WAYS)]
        for name, periods in found.items()
        for period, one in enumerate(periods)
    ]
    updating = (
        f"an update: {given.update_epochs} epochs, context {given.context}, replay {given.replay}, learning rate "
        f"{given.rate or 'as anew'}"
    )
    text = (
        f"{given.users:,} users, {len(log):,} events, {log['item_id'].n_unique():,} items; {asked} questions. "
        f"sasrec: {epochs} epochs anew; {updating}. {PROTOCOL}\n\n"
        "In the first period all three are the same model, and gains are those of the others."
        f"{control}"
        f"\n\n{table(head, lines)}\n\n"
        f"{table(GATE_HEAD, gates)}\n\n"
        f"{table(['model', 'period', *WAYS], curve)}"
    )
    if given.settings:
        print(text)
        return
    write_result("online", {"settings": {**vars(given), "work": None}, "found": told, "periods": rounded(found)}, text)


if __name__ == "__main__":
    main()
