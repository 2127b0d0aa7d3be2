"""How many tokens per second the embedded model writes: batches against one prompt at a time.

    python benchmarks/generation.py

64 prompts as `summarise` makes them, with the texts of real items where the data is there; both ways take turns on the
same prompts, and each way's answers are counted in tokens that were written. Reading the prompts is part of the time.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import polars as pl
import psutil
import torch
from common import DATA, table, write_result

from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGenerator
from genre.language.smollm import SmolLmConfig

COUNT, TOKENS = 64, 32
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
        texts = [
            f"Shampoo number {at} with " + ", ".join(["lavender", "aloe", "honey"] * (at % 9)) for at in range(COUNT)
        ]
    return [Prompt(f"Describe this product in two sentences.\n\n{text[:600]}", SYSTEM) for text in texts]


def timed(model: LocalGenerator, groups: list[list[Prompt]], **options: Any) -> dict[str, float]:
    """Return the tokens that were read and written, and the seconds of the clock and of the processors."""
    began, worked = time.perf_counter(), time.process_time()
    found = [one for group in groups for one in model.generate(group, **options)]
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    assert all(one.finish in {"stop", "length"} for one in found)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "tokens": sum(one.completion_tokens for one in found),
        "prompt_tokens": sum(one.prompt_tokens for one in found),
    }


def compared(model: LocalGenerator, asked: list[Prompt], **options: Any) -> dict[str, list[dict[str, float]]]:
    """Let both ways answer each block of prompts in turn, so that a busy machine is as busy for both."""
    found: dict[str, list[dict[str, float]]] = {"one at a time": [], "batches": []}
    timed(model, [asked[:2]], **options)
    size = model.settings.batch_size
    for start in range(0, len(asked), size):
        block = asked[start : start + size]
        for way, groups in (("one at a time", [[one] for one in block]), ("batches", [block])):
            found[way].append(timed(model, groups, **options))
            print(way, found[way][-1], flush=True)
    return found


def rate(runs: list[dict[str, float]], clock: str) -> float:
    """Return the tokens written per second of a clock."""
    return sum(run["tokens"] for run in runs) / sum(run[clock] for run in runs)


def main() -> None:
    """Measure, with and without a schema."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=SmolLmConfig().batch_size)
    parser.add_argument("--count", type=int, default=COUNT)
    arguments = parser.parse_args()
    asked = prompts()[: arguments.count]
    model = SmolLmConfig(batch_size=arguments.batch).build()
    dtype = str(model.load().model.dtype).removeprefix("torch.")
    load = psutil.getloadavg()[1]
    found: dict[str, Any] = {}
    rows: list[list[object]] = []
    for label, schema in (("text", None), ("JSON by a schema", SCHEMA)):
        runs = found[label] = compared(model, asked, sampling=Sampling(max_tokens=TOKENS), schema=schema)
        for clock in ("seconds", "cpu_seconds"):
            alone, together = rate(runs["one at a time"], clock), rate(runs["batches"], clock)
            rows.append([label, clock.replace("_", " "), f"{alone:.1f}", f"{together:.1f}", f"{together / alone:.1f}"])
    text = (
        f"SmolLM2-135M-Instruct in {dtype}, {torch.get_num_threads()} threads, {len(asked)} prompts about items, "
        f"at most {TOKENS} tokens of answer, batches of {arguments.batch}. Tokens written per second of the clock, and "
        "per second that the processors worked for this process; reading the prompts included; both ways take turns, "
        f"block by block. The machine had a load of {load:.1f} on {psutil.cpu_count()} cores before it began. The "
        "figure to reach was 3 times.\n\n"
        + table(["answers", "clock", "one at a time, tokens", "batches, tokens", "times as fast"], rows)
    )
    write_result("generation", {"runs": found, "load": load, "model": model.key}, text)


if __name__ == "__main__":
    main()
