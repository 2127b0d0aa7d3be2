"""How fast texts become vectors, beside a plain call of sentence-transformers, and how near the vectors are.

    python benchmarks/encoding.py
    python benchmarks/encoding.py --texts 2000

The texts are Beauty's items: title, brand and categories. The plain call is `SentenceTransformer(path).encode(texts)`
with default settings, in float32. All encode all texts once, in one process on the same two threads, and take turns
after every part of them, in an order that turns round, so that what else the machine does falls on all alike. Every
model has encoded some texts before its clock starts. Times are of the wall; processor seconds stand beside them, since
a shared machine stretches the wall.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from common import data_files, table, write_result
from numpy.typing import NDArray

from genre.language.hashing import HashingEncoderConfig
from genre.language.minilm import MiniLmConfig, model_directory
from genre.language.onnx import export_onnx

THREADS = 2
WARM_UP = 64
PARTS = 8
"""Parts of the texts, each encoded by all before the next."""
PLAIN = "SentenceTransformer.encode, fp32"
TARGET_SPEED, TARGET_COSINE = 3.0, 0.995

Encode: TypeAlias = Callable[[list[str]], NDArray[np.float32]]


def item_texts(count: int | None) -> list[str]:
    """Return the texts of all items, or of some drawn at random."""
    items = pl.read_parquet(data_files("amazon-beauty")["items"])
    rows = items.select("title", "brand", "categories").rows()
    texts = [". ".join(part for part in row if part) for row in rows]
    if count is None or count >= len(texts):
        return texts
    return [texts[at] for at in np.random.default_rng(0).permutation(len(texts))[:count]]


def contestants(texts: list[str], directory: Path) -> dict[str, Encode]:
    """Return what is compared, by name; the plain call is the first."""
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(model_directory()), device="cpu")
    found: dict[str, Encode] = {PLAIN: lambda some: np.asarray(plain.encode(some))}
    for precision in ("fp32", "bf16", "int8"):
        found[f"minilm, {precision}"] = MiniLmConfig(precision=precision).build().encode
    for int8 in (False, True):
        graph = export_onnx(MiniLmConfig(), directory / str(int8), int8=int8)
        found[f"onnx, {'int8' if int8 else 'fp32'}"] = graph.build().encode
    found["hashing"] = HashingEncoderConfig().build().fit(texts).encode
    return found


def race(encoders: dict[str, Encode], texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return the seconds of each part by each encoder, and the cosines to the plain vectors."""
    vectors: dict[str, list[NDArray[np.float32]]] = {name: [] for name in encoders}
    results: dict[str, dict[str, Any]] = {name: {"wall": [], "processor": []} for name in encoders}
    for encode in encoders.values():
        encode(texts[:WARM_UP])
    for turn in range(PARTS):
        part = texts[turn::PARTS]
        for name, encode in list(encoders.items())[:: -1 if turn % 2 else 1]:
            wall, processor = time.perf_counter(), time.process_time()
            vectors[name].append(encode(part))
            results[name]["wall"].append(time.perf_counter() - wall)
            results[name]["processor"].append(time.process_time() - processor)
            print(f"part {turn + 1} of {PARTS}: {name}, {results[name]['wall'][-1]:.1f} s", flush=True)
    plain = np.concatenate(vectors[PLAIN])
    for name, found in vectors.items():
        if found[0].shape[1] == plain.shape[1]:
            cosines = (np.concatenate(found) * plain).sum(axis=1)
            results[name] |= {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
    return results


def main() -> None:
    """Race all encoders and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, help="items drawn at random; all by default")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(THREADS)
    texts = item_texts(options.texts)
    with tempfile.TemporaryDirectory() as directory:
        results = race(contestants(texts, Path(directory)), texts)
    rows: list[list[object]] = []
    for name, one in results.items():
        speed = [sum(results[PLAIN][clock]) / sum(one[clock]) for clock in ("wall", "processor")]
        one |= {"times_as_fast": speed[0], "times_as_fast_by_processor": speed[1]}
        near = [f"{one[key]:.4f}" if key in one else "" for key in ("cosine_mean", "cosine_min")]
        rate = f"{len(texts) / sum(one['wall']):,.0f}"
        rows.append([name, rate, f"{sum(one['processor']):.1f}", *(f"{ratio:.2f}" for ratio in speed), *near])
    head = ["encoder", "texts/s", "processor s", "times as fast", "by processor s", "mean cosine", "lowest"]
    summary = (
        f"{len(texts):,} texts of Beauty's items, {THREADS} threads. "
        f"To reach: {TARGET_SPEED:g} times as fast at a mean cosine of {TARGET_COSINE:g}.\n\n{table(head, rows)}"
    )
    write_result("encoding", {"texts": len(texts), "parts": PARTS, "encoders": results}, summary)


if __name__ == "__main__":
    main()
