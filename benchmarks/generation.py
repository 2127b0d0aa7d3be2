"""How many tokens per second the embedded model writes: batches against one prompt at a time.

    python benchmarks/generation.py

64 prompts as `summarise` makes them, with the texts of real items where the data is there; both ways take turns on the
same prompts, and each way's answers are counted in tokens that were written. Reading the prompts is part of the time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from common import DATA, table, write_result

from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGenerator
from genre.language.smollm import SmolLmConfig

COUNT, ROUNDS, TOKENS = 64, 2, 64
SYSTEM = "You write short, sober descriptions of products. Use only what you are told."
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 80}, "summary": {"type": "string", "maxLength": 240}},
    "required": ["title", "summary"],
    "additionalProperties": False,
}


def prompts() -> list[Prompt]:
    """Return 64 prompts about items, of which every tenth has a long text."""
    file = DATA / "amazon-beauty" / "items.parquet"
    if file.exists():
        frame = pl.read_parquet(file)
        names = [name for name in ("title", "description") if name in frame.columns]
        rows = frame.select(names).cast(pl.String).filter(pl.col("title").str.len_chars() > 0).rows()
        texts = [" ".join(filter(None, rows[at])) for at in np.random.default_rng(0).permutation(len(rows))[:COUNT]]
    else:
        texts = [f"Shampoo number {at} with " + ", ".join(["lavender", "aloe", "honey"] * (at % 9)) for at in range(64)]
    return [Prompt(f"Describe this product in two sentences.\n\n{text[:600]}", SYSTEM) for text in texts]


def timed(model: LocalGenerator, batches: list[list[Prompt]], **options: Any) -> dict[str, float]:
    """Return the tokens that were written, and the seconds it took."""
    began = time.perf_counter()
    found = [one for batch in batches for one in model.generate(batch, **options)]
    seconds = time.perf_counter() - began
    assert all(one.finish in {"stop", "length"} for one in found)
    return {
        "seconds": seconds,
        "tokens": sum(one.completion_tokens for one in found),
        "prompt_tokens": sum(one.prompt_tokens for one in found),
        "per_second": sum(one.completion_tokens for one in found) / seconds,
    }


def main() -> None:
    """Measure, with and without a schema."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=SmolLmConfig().batch_size)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--count", type=int, default=COUNT)
    arguments = parser.parse_args()
    asked = prompts()[: arguments.count]
    model = SmolLmConfig(batch_size=arguments.batch).build()
    dtype = str(model.load().model.dtype).removeprefix("torch.")
    found: dict[str, list[dict[str, float]]] = {}
    rows: list[list[object]] = []
    for label, schema in (("text", None), ("JSON by a schema", SCHEMA)):
        options = {"sampling": Sampling(max_tokens=TOKENS), "schema": schema}
        timed(model, [asked[:2]], **options)
        for _ in range(arguments.rounds):
            for way, batches in (("one at a time", [[one] for one in asked]), ("batches", [asked])):
                found.setdefault(f"{label}, {way}", []).append(timed(model, batches, **options))
                print(label, way, found[f"{label}, {way}"][-1], flush=True)
        alone, together = (
            float(np.median([run["per_second"] for run in found[f"{label}, {way}"]]))
            for way in ("one at a time", "batches")
        )
        rows.append([label, f"{alone:.1f}", f"{together:.1f}", f"{together / alone:.1f}"])
    text = (
        f"SmolLM2-135M-Instruct in {dtype}, {torch.get_num_threads()} threads, {len(asked)} prompts about items, "
        f"at most {TOKENS} tokens of answer, batches of {arguments.batch}. Tokens written per second, reading the "
        f"prompts included; medians of {arguments.rounds} rounds in which both ways take turns. The figure to reach "
        "was 3 times.\n\n" + table(["answers", "one at a time, tokens/s", "batches, tokens/s", "times as fast"], rows)
    )
    write_result("generation", {"runs": found, "model": Path(model.key).name}, text)


if __name__ == "__main__":
    main()
