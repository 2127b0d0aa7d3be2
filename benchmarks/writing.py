"""Texts about films by the embedded model: how many may be shown, whether what is shown is true, and how fast.

    python benchmarks/writing.py --items 100 --work runs/writing

Protocol: films of tmdb-5000 with an overview, drawn by a seed; taglines are hidden. Each film is written about for
somebody who liked eight others with a genre in common. SmolLM2-135M-Instruct as it is, three candidates, drawn twice at
most. What is shown is judged by a checker of its own, which shares no code with the checks of the writer: digits and
spelled numbers, words with a capital inside a sentence, and a list of words of promise must stand in the film's row, in
the titles that were given, or in the reason. Speed: texts a second of batches against one prompt after the other, both
without checks, in this run.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import DATA, table, write_result

from genre.console import Bars
from genre.core.run import RunContext
from genre.data.dataset import Entities, Roles, Vocabulary
from genre.generation.facts import FactBook
from genre.generation.kinds import kind_of
from genre.generation.person import Person, labels_of
from genre.generation.requests import Request, Written
from genre.generation.scenarios import scenario_of
from genre.generation.stage import account_of_texts
from genre.generation.write_config import WriteConfig
from genre.generation.writer import writer_of
from genre.language.base import Sampling
from genre.language.smollm import SmolLmConfig

KINDS = ("title", "summary", "synopsis", "ad", "reason")
LIKED, TIMED = 8, 24
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
SPELLED = {
    word: str(value)
    for value, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"], 2)
}
PROMISES = [
    "award", "oscar", "emmy", "grammy", "nominat", "acclaim", "bestsell", "best-sell", "blockbuster", r"free\b",
    "discount", "cheap", r"on sale\b", r"price", "guarantee", "warrant(?:y|ies)", "refund", "certified", "cured?\\b",
    "clinical", r"stream(?:ing)? (?:on|now)\b", "in theat", "in cinema", "limited edition",
]  # fmt: skip
"""Words of promise, from where they begin."""


def films() -> Entities:
    """Return the films that have an overview, without their taglines."""
    frame = pl.read_parquet(DATA / "tmdb-5000" / "items.parquet").filter(pl.col("description").str.len_chars() > 80)
    frame = frame.with_columns(pl.col("genres").str.split(", "))
    roles = Roles(text=("title", "description"), category=("genres",), number=("year",))
    columns = ["item_id", "title", "description", "genres", "year"]
    return Entities(Vocabulary(frame["item_id"]), frame.select(columns), roles)


def requests(items: Entities, count: int) -> dict[str, list[Request]]:
    """Return what is wanted of each kind."""
    book, rng = FactBook(items, "en"), np.random.default_rng(0)
    genres = [set(labels_of(book[row])) for row in range(len(book))]
    found: dict[str, list[Request]] = {kind: [] for kind in KINDS}
    for row in rng.choice(len(book), count, replace=False).tolist():
        alike = [other for other in rng.permutation(len(book)).tolist() if other != row and genres[other] & genres[row]]
        person = Person.of(f"u{row}", np.array(alike[:LIKED]), book, but=row)
        shared = ", ".join(sorted(genres[row] & genres[person.items[0]])) if person.items else ""
        reason = f"Because you liked {person.liked[0]}: they share {shared}." if person.liked else "Often liked."
        texts = tuple(" ".join(book[other].lines) for other in person.items)
        for kind in KINDS:
            found[kind].append(
                Request(kind_of(kind, "en"), scenario_of("video", "en"), book[row], person, reason, texts)
            )
    return found


def untrue(request: Request, text: str) -> dict[str, list[str]]:
    """Return the numbers, promises and names of a text that are nowhere in what was given; see the protocol."""
    given = " ".join([*request.facts.lines, *request.person.liked, request.reason]).casefold()
    digits = {number.replace(",", "") for number in re.findall(r"\d[\d,.]*\d|\d", given)}
    digits |= {value for word, value in SPELLED.items() if re.search(rf"\b{word}\b", given)}
    said = {number.replace(",", "") for number in re.findall(r"\d[\d,.]*\d|\d", text)}
    said |= {value for word, value in SPELLED.items() if re.search(rf"\b{word}\b", text.casefold())}
    names = re.findall(r"(?<![.!?:“\"\n] )(?<!^)(?<![“\"])\b[A-Z][a-z]{2,}", text)
    return {
        "numbers": sorted(said - digits),
        "promises": [word for word in PROMISES if _has(word, text.casefold()) and not _has(word, given)],
        "names": [name for name in names if name.casefold().removesuffix("s") not in given],
    }


def _has(word: str, text: str) -> bool:
    return re.search(rf"\b{word}", text) is not None


def speeds(wanted: Sequence[Request]) -> dict[str, float]:
    """Return texts a second of batches and of one prompt after the other."""
    generator = SmolLmConfig().build()
    prompts = [one.kind.prompt(one.given) for one in wanted[:TIMED]]
    sampling = Sampling(max_tokens=96, temperature=0.7, top_p=0.95)
    generator.generate(prompts[:1], sampling=sampling)
    began = time.perf_counter()
    generator.generate(prompts, sampling=sampling)
    together = time.perf_counter() - began
    began = time.perf_counter()
    for prompt in prompts:
        generator.generate([prompt], sampling=sampling)
    return {"batched": len(prompts) / together, "alone": len(prompts) / (time.perf_counter() - began)}


def judged(kind: str, wanted: Sequence[Request], texts: Sequence[Written]) -> dict[str, Any]:
    """Return what became of the texts of a kind."""
    about = {"kind": kind, "language": "en"}
    rows = [about | {"writer": text.writer, "provenance": text.provenance, "text": text.text} for text in texts]
    wrong = [untrue(request, text.text) for request, text in zip(wanted, texts, strict=True)]
    by_model = [at for at, text in enumerate(texts) if text.writer == "model"]
    return {
        "account": account_of_texts(rows)[0],
        "true": {
            part: 1 - float(np.mean([bool(one[part]) for one in wrong])) for part in ("numbers", "promises", "names")
        },
        "true by the model": {
            part: 1 - float(np.mean([bool(wrong[at][part]) for at in by_model])) if by_model else None
            for part in ("numbers", "promises", "names")
        },
        "wrong": [{**wrong[at], "text": texts[at].text} for at in range(len(texts)) if any(wrong[at].values())],
        "sample": [
            {"title": wanted[at].facts.title, "facts": wanted[at].facts.text, "text": texts[at].text}
            for at in by_model[:10]
        ],
    }


def told(found: Mapping[str, Any], count: int) -> str:
    """Return what a person reads."""
    lines: list[list[object]] = []
    for kind, one in found["kinds"].items():
        account = one["account"]
        shares = [f"{account[name] / account['texts']:.0%}" for name in ("by the model", "repaired", "fell back")]
        lines.append(
            [
                kind,
                account["texts"],
                *shares,
                *(f"{value:.1%}" for value in one["true"].values()),
                _words(account["refused"]),
            ]
        )
    head = [
        "kind", "texts", "by the model", "of these, sentences left out", "from the facts instead", "numbers true",
        "promises true", "names true", "refused on the way",
    ]  # fmt: skip
    speed = found["speed"]
    return (
        f"{count} films, SmolLM2-135M-Instruct. {PROTOCOL}\n\n{table(head, lines)}\n\n"
        f"True: shares of the texts shown that have nothing untrue of the sort. {speed['batched']:.2f} texts a second "
        f"in batches of {TIMED}, {speed['alone']:.2f} one at a time: {speed['batched'] / speed['alone']:.1f} times."
    )


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "-"


def main() -> None:
    """Write, judge, and keep what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("runs/writing"), help="where what was written is kept")
    given = parser.parse_args()
    if not (DATA / "tmdb-5000").exists():
        print(f"skipped: {DATA / 'tmdb-5000'} is not there; set GENRE_DATA to the directory with the data sets")
        return
    items = films()
    wanted, common = requests(items, given.items), FactBook(items, "en").common_words
    config = WriteConfig(generator=SmolLmConfig(), sampling=Sampling(max_tokens=96, temperature=0.7, top_p=0.95))
    writer = writer_of(config, RunContext(store=given.work, progress=Bars()), common_words=common)
    found: dict[str, Any] = {"kinds": {}}
    for kind, ones in wanted.items():
        found["kinds"][kind] = judged(kind, ones, writer.write(ones))
        print(json.dumps(found["kinds"][kind]["account"]), flush=True)
    found["speed"] = speeds(wanted["synopsis"])
    write_result("writing", found, told(found, given.items))


if __name__ == "__main__":
    main()
