"""Whether texts fit those they are written for, and whether reasons are those of the model.

    python benchmarks/personal.py

Protocol, texts: people of a data set with at least nine likes, drawn by a seed; the newest third of each one's likes is
withheld from the writer. About the same items, those that are recommended to most of them and withheld from none, a
text is written for each: from the facts alone, and by SmolLM2-135M-Instruct with and without what is known of the
person. all-MiniLM-L6-v2, which the writer does not use, looks which of ten people's texts is nearest to the withheld
likes of one of them: chance is 10 %. Protocol, reasons: three recommended items for each of some people; the item that
the reason names is taken out of the history, or as many others instead, eight times. Intervals are over people.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from common import DATA, data_files, table, write_result

from genre.config import Experiment
from genre.console import Bars
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.engine import Engine
from genre.evaluation.personal_fit import personal_fit
from genre.generation.evidence import proven
from genre.generation.facts import FactBook
from genre.generation.faithfulness import faithfulness
from genre.generation.reasons import Reasons
from genre.generation.write_config import WriteConfig
from genre.language.base import Sampling
from genre.language.minilm import MiniLmConfig
from genre.language.smollm import SmolLmConfig
from genre.recommenders.base import Recommender
from genre.recommenders.ease import EaseConfig
from genre.recommenders.graph import GraphConfig
from genre.recommenders.item_knn import ItemKnnConfig
from genre.stages import prepare
from genre.strategies.rules import HideSeenConfig

KINDS = ("synopsis", "ad")
LEAST, WITHHELD, PROPOSED = 9, 1 / 3, 20
MODELS = {"item_knn": ItemKnnConfig(), "graph": GraphConfig(), "ease": EaseConfig()}
PROTOCOL = (__doc__ or "").partition("Protocol, texts: ")[2].strip()


def world(name: str) -> Dataset:
    """Return all events of a data set."""
    data = {"kind": "sample"} if name == "sample" else {"kind": "files", **data_files(name)}
    experiment = {"data": data, "models": {"popularity": {"kind": "popularity"}}}
    return prepare(Experiment.model_validate(experiment)).splits[0].train


def engine_of(data: Dataset, model: Recommender) -> Engine:
    """Return what recommends what is new to somebody."""
    return Engine(data, model, shaping=(HideSeenConfig(),))


def fits(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return how well texts fit, by writer and kind."""
    data = world(name)
    engine = engine_of(data, ItemKnnConfig().build({}).fit(data, RunContext()))
    ids, liked, rng = data.items.vocabulary.ids, data.interactions.liked(), np.random.default_rng(0)
    rows = rng.permutation(np.flatnonzero(liked.lengths >= LEAST))[: given.people]
    users = data.users.vocabulary.names(rows).to_list()
    kept = [liked.items[row][: round(len(liked.items[row]) * (1 - WITHHELD))] for row in rows]
    later = [liked.items[row][len(some) :] for row, some in zip(rows, kept, strict=True)]
    histories = [ids.gather(some).to_list() for some in kept]
    proposed = engine.recommend(users, histories=histories, n=PROPOSED)["item_id"]
    counts = np.bincount(data.items.vocabulary.rows(proposed), minlength=data.num_items)
    counts[np.concatenate(later)] = -1
    items = ids.gather(np.argsort(-counts, kind="stable")[: given.items]).to_list()
    book = FactBook(data.items, "en")
    withheld = {
        user: [" ".join(filter(None, book[int(item)].lines)) for item in some]
        for user, some in zip(users, later, strict=True)
    }
    scenario = "video" if name == "sample" else "shop"
    found: dict[str, Any] = {}
    model = WriteConfig(generator=SmolLmConfig(), sampling=Sampling(max_tokens=96, temperature=0.4, top_p=0.95))
    for label, config, shown in (
        ("from the facts", WriteConfig(), histories),
        ("SmolLM2", model, histories),
        ("SmolLM2 without the person", model, [[] for _ in users]),
    ):
        texts = engine.write(
            users, histories=shown, items=items, kinds=KINDS, scenario=scenario, config=config, progress=Bars()
        )
        for kind in KINDS:
            own = [text for text in texts if text["kind"] == kind]
            fit = personal_fit(
                [text["text"] for text in own],
                [text["user_id"] for text in own],
                [text["item_id"] for text in own],
                withheld,
                MiniLmConfig().build(),
                rng=np.random.default_rng(0),
            )
            by_model = sum(text["writer"] == "model" for text in own) / len(own)
            found[f"{label}, {kind}"] = {
                **asdict(fit),
                "by_model": by_model,
                "samples": [text["text"] for text in own[:3]],
            }
    return found


def reasons(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return how faithful reasons are, by model."""
    data = world(name)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(data.interactions.liked().lengths >= 2))[
        : given.reasoned
    ]
    found = {}
    for label, config in MODELS.items():
        engine = engine_of(data, config.build({}).fit(data, RunContext()))
        queries = data.queries(rows)
        answer, candidates = engine.answer(queries, 3), engine.candidates(queries)
        why = proven(engine.model, Reasons(data), queries, answer, candidates)
        rng = np.random.default_rng(0)
        ids = data.items.vocabulary
        found[label] = asdict(faithfulness(engine.model, queries, answer, why, ids, candidates, rng=rng))
    return found


def told(found: Mapping[str, Any]) -> str:
    """Return what a person reads."""
    fitted = [
        [
            name,
            label,
            one["people"],
            one["texts"],
            f"{one['by_model']:.0%}",
            _share(one["first"]),
            f"{one['distinct_2']:.3f}",
        ]
        for name, some in found["fits"].items()
        for label, one in some.items()
    ]
    faithful = [
        [name, label, one["reasons"], f"{one['coverage']:.0%}", one["cases"], _share(one["share"])]
        for name, some in found["reasons"].items()
        for label, one in some.items()
    ]
    return "\n\n".join(
        [
            PROTOCOL,
            table(
                ["data", "texts", "people", "texts", "by the model", "own text nearest [95 %]", "distinct-2"], fitted
            ),
            table(["data", "model", "items", "with a reason", "put to the test", "named costs more [95 %]"], faithful),
        ]
    )


def _share(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:.1%} [{interval['low']:.1%}, {interval['high']:.1%}]"


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--items", type=int, default=2, help="that texts are about")
    parser.add_argument("--reasoned", type=int, default=200, help="people whose reasons are put to the test")
    given = parser.parse_args()
    names = ["sample", *(name for name in ("amazon-beauty", "movielens-100k") if (DATA / name).exists())]
    found = {
        "reasons": {name: reasons(name, given) for name in names},
        "fits": {name: fits(name, given) for name in names if name != "movielens-100k"},
    }
    write_result("personal", {**found, "settings": vars(given)}, told(found))


if __name__ == "__main__":
    main()
