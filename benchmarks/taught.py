"""A model that is taught to write about films, and what that costs the rest of its writing.

    python benchmarks/taught.py --work runs/taught
    python benchmarks/writing.py --model runs/taught/model --without speed

Protocol: films of tmdb-5000 that `writing.py` does not write about. Taglines that pass every check teach titles; of
some films, SmolLM2's own best drafts teach titles, summaries, synopses and advertisements. A tenth of the films is held
back: ways to learn are compared on their texts. The budget is +2 % bits a byte of general text, -5 % distinct-2 and an
instruction in ten; general text is of other authors and registers than what is replayed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import DATA, device_name, table, write_result
from forgetting import general_texts
from writing import SAMPLING, about, chosen, films

from genre.adaptation.teaching import MEASURE, TeachConfig, teach
from genre.console import Bars
from genre.core.run import RunContext
from genre.features.text import TextConfig, item_texts
from genre.generation.facts import FactBook
from genre.generation.lessons import Lessons, from_catalogue, from_drafts
from genre.generation.plain import PlainWriter
from genre.generation.writer import ModelWriter
from genre.teach import label_of

TITLES, OTHERS = 120, 40
"""Films whose titles are drafted, and films of which the other kinds are."""
DRAFTED = ("summary", "synopsis", "ad")
TESTED = 60
USUAL = TeachConfig().training.model_dump()
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


def config_of(work: Path) -> TeachConfig:
    """Return how it is taught."""
    return TeachConfig.model_validate(
        {
            "columns": {"title": "tagline"},
            "drafts": ["title", *DRAFTED],
            "scenario": "video",
            "write": {"sampling": SAMPLING.model_dump()},
            "training": {**USUAL, "epochs": 1},
            "protections": {"kl": {"kl": 1.0, "answers": True}},
            "shares": [1.0, 0.75, 0.5],
            "writing": {"general": str(general_texts(work)), "languages": ["en"]},
        }
    )


def gathered(config: TeachConfig, work: Path) -> tuple[list[Lessons], list[str]]:
    """Return what is learned from, what is held back, and the texts of the catalogue."""
    items, rng = films(), np.random.default_rng(1)
    tested = set(chosen(items, TESTED, np.random.default_rng(0)))
    rows = rng.permutation([row for row in range(len(items)) if row not in tested]).tolist()
    cut = round(len(rows) * config.held_back)
    frame = pl.read_parquet(DATA / "tmdb-5000" / "items.parquet")
    said = dict(frame.select("item_id", "tagline").drop_nulls().iter_rows())
    book, run = FactBook(items, "en"), RunContext(store=work, progress=Bars())
    plain = PlainWriter(config.write, run, common_words=book.common_words, labels=book.tastes)
    writer = ModelWriter(config.write, config.base.build(), run, plain)
    parts = []
    for some, share in ((rows[cut:], 1 - config.held_back), (rows[:cut], config.held_back)):
        lessons = Lessons()
        asked = about(items, some, rng, ["title"])["title"]
        taglines = [(one, said[one.facts.item_id]) for one in asked if said.get(one.facts.item_id)]
        from_catalogue(lessons, [one for one, _ in taglines], [text for _, text in taglines], plain)
        wanted = asked[: round(TITLES * share)]
        for ones in about(items, some[: round(OTHERS * share)], rng, DRAFTED).values():
            wanted = [*wanted, *ones]
        from_drafts(lessons, wanted, writer)
        parts.append(lessons)
    return parts, [text for text in item_texts(items, TextConfig()) if text]


def told(account: dict[str, Any], seconds: float) -> str:
    """Return what a person reads."""
    base = account["points"][0]["writing"]
    lines = [
        [
            label_of(point),
            f"{point[MEASURE]:.3f}",
            f"{100 * (point['writing']['bits_per_byte'] / base['bits_per_byte'] - 1):+.1f} %",
            f"{point['writing']['distinct_2']:.3f}",
            f"{point['writing']['instructions']:.2f}",
            "; ".join(point["breaches"]) or "-",
        ]
        for point in account["points"]
    ]
    head = ["learned", "bits saved a byte", "bits/byte general", "distinct-2", "instructions", "over the budget"]
    gain = account["choice"]["gain"]
    return (
        f"SmolLM2-135M-Instruct, LoRA of rank 8, on {device_name()}. {PROTOCOL}\n\n{account['lessons']} texts "
        f"({account['kinds']}), {account['held_back']} held back; the base needs {account['base_bits']:.3f} bits a "
        f"byte for them. {seconds:.0f} s in all.\n\n{table(head, lines)}\n\nKept: {label_of(account['choice'])}, "
        f"{gain['mean']:.3f} [{gain['low']:.3f}, {gain['high']:.3f}] bits a byte saved."
    )


def main() -> None:
    """Gather, teach, write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/taught"), help="where drafts and the model are kept")
    given = parser.parse_args()
    if not (DATA / "tmdb-5000").exists():
        print(f"skipped: {DATA / 'tmdb-5000'} is not there; set GENRE_DATA to the directory with the data sets")
        return
    given.work.mkdir(parents=True, exist_ok=True)
    config, began = config_of(given.work), time.perf_counter()
    parts, catalogue = gathered(config, given.work)
    for part in parts:
        print(dict(part.asked), Counter(one.kind for one in part.found), dict(part.refused), flush=True)
    run = RunContext(progress=Bars(), directory=given.work / "training", store=given.work)
    teaching = teach(config, parts[0].found, parts[1].found, catalogue, run)
    kinds = dict(Counter(one.kind for one in parts[0].found))
    account = teaching.account | {"kinds": kinds, "refused": dict(parts[0].refused)}
    print(json.dumps(account["choice"]), flush=True)
    teaching.save(given.work / "model", run)
    write_result("taught", account, told(account, time.perf_counter() - began))


if __name__ == "__main__":
    main()
