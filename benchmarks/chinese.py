"""Chinese retrieval: find a film by the first sentence of its plot, which is taken out of the film's text.

    python benchmarks/chinese.py
    python benchmarks/chinese.py --encoder '{"kind": "sentence_transformers", "model": "BAAI/bge-small-zh-v1.5"}'

Protocol: every film of douban-movies-zh whose plot has a second sentence; its text is title, directors, actors and the
plot without its first sentence; the sentence is the query. All films are ranked by cosine, equal ones count half.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
from common import DATA, table, write_result
from pydantic import TypeAdapter

from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Entities, Roles, Vocabulary
from genre.features.text import TextConfig
from genre.features.vectors import TextVectors, VectorsConfig
from genre.language.base import EncoderConfig
from genre.language.encoders import AnyEncoder
from genre.language.hashing import HashingEncoderConfig
from genre.language.minilm import MiniLmConfig
from genre.language.whitening import WhiteningConfig
from genre.metrics.ranks import target_ranks

_SENTENCE = re.compile(r"[^。！？!?]*[。！？!?]+[”」』]?")
_FEWEST = 8
"""Characters that a query must have: "他死了。" is no description of a film."""


def films() -> tuple[Entities, list[str]]:
    """Return the films without the first sentences of their plots, and these sentences."""
    frame = pl.read_parquet(DATA / "douban-movies-zh" / "items.parquet")
    rows, queries = [], []
    for row in frame.iter_rows(named=True):
        plot = " ".join((row["description"] or "").split())
        first = _SENTENCE.match(plot)
        if first is None or len(first[0]) < _FEWEST or len(plot) - len(first[0]) < _FEWEST:
            continue
        queries.append(first[0])
        people = {name: (row[name] or "").split(", ") for name in ("directors", "actors")}
        rows.append({"item_id": row["item_id"], "title": row["title"], "plot": plot[len(first[0]) :], **people})
    kept = pl.DataFrame(rows)
    roles = Roles(text=("title", "plot"), category=("directors", "actors"))
    return Entities(Vocabulary(kept["item_id"]), kept, roles), queries


def measure(
    encoder: EncoderConfig, whitening: WhiteningConfig | None, items: Entities, queries: list[str], run: RunContext
) -> list[float]:
    """Return mean reciprocal rank, and recall at 1 and at 10."""
    text = TextConfig(language="zh", max_tokens=256)
    config = VectorsConfig(text=text, encoder=encoder, whitening=whitening)
    vectors, found = TextVectors.fit(config, items, np.ones(len(items), bool), run)
    asked = vectors.of_texts(queries)
    ranks = target_ranks(asked @ found.T, Ragged.of([[row] for row in range(len(items))]))
    return [float((1 / ranks).mean()), float((ranks <= 1).mean()), float((ranks <= 10).mean())]


def main() -> None:
    """Measure the offline encoders, and any other one that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="another encoder, as JSON")
    arguments = parser.parse_args()
    if not (DATA / "douban-movies-zh" / "items.parquet").exists():
        print(f"skipped: {DATA / 'douban-movies-zh'} is not there; set GENRE_DATA to the directory with the data sets")
        return
    encoders: list[EncoderConfig] = [HashingEncoderConfig(), MiniLmConfig()]
    if arguments.encoder:
        encoders.append(TypeAdapter(AnyEncoder).validate_json(arguments.encoder))
    items, queries = films()
    rows, result = [], {}
    spreads = {"raw": None, "relaxed": WhiteningConfig(strength=0.5), "whitened": WhiteningConfig()}
    with tempfile.TemporaryDirectory() as directory:
        run = RunContext(store=Path(directory))
        for encoder, (name, whitening) in product(encoders, spreads.items()):
            values = measure(encoder, whitening, items, queries, run)
            label = f"{encoder.kind}, {name}"
            result[label] = dict(zip(("mrr", "recall@1", "recall@10"), values, strict=True))
            rows.append([label, *(f"{value:.3f}" for value in values)])
            print(*rows[-1], flush=True)
    protocol = (__doc__ or "").partition("Protocol: ")[2].strip()
    text = f"{len(items):,} films. {protocol}\n\n{table(['encoder', 'MRR', 'recall@1', 'recall@10'], rows)}"
    write_result("chinese", {"films": len(items), "encoders": result}, text)


if __name__ == "__main__":
    main()
