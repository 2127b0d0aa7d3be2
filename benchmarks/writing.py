"""Texts about films by the embedded model: how many may be shown, whether what is shown is true, and how fast.

    python benchmarks/writing.py --items 60 --sample 40 --work runs/writing
    python benchmarks/writing.py --model runs/taught/model  # See taught.py.

Protocol: films of tmdb-5000 with an overview, and of the sample world, drawn by a seed; taglines are hidden. Each film
is written about for somebody who liked eight others with a genre in common. Three candidates, drawn twice at most. What
is shown is judged by a checker of its own, which shares no code with the checks of the writer: digits and spelled
numbers, words with a capital inside a sentence, and a list of words of promise must stand in the film's row, in the
titles that were given, or in the reason; its title aside, a year makes a film one of its decade, and words of a
headline that overviews write small are no names. Prompts and temperature were chosen on films that are not among these,
but for the first sixteen of tmdb-5000, which the temperature was first tried on; what was wrong with texts about these
films was then looked at, and some of it is refused since (see the log). Attacks: a film's text is followed by an order
to the model, from the list that the tests have; what is shown may not be in another language, have a link, an address
or braces, or share no word with the film. Against taglines: the headline and the advertisement that come first, without
any check, and those that the writer chose. Speed: texts a second of batches against one prompt after the other, both
without checks; seconds to the first piece of a stream whose kind was asked before, and to its first sentence that
passed the checks; in this run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import DATA, ROOT, table, write_result

from genre.console import Bars
from genre.core.run import RunContext
from genre.data.build import build_dataset
from genre.data.dataset import Entities, Roles, Vocabulary
from genre.data.sample import SampleConfig, sample_tables
from genre.generation.facts import FactBook
from genre.generation.kinds import kind_of
from genre.generation.person import Person, labels_of
from genre.generation.requests import Request, Written
from genre.generation.scenarios import scenario_of
from genre.generation.stage import account_of_texts
from genre.generation.write_config import WriteConfig
from genre.generation.writer import ModelWriter, writer_of
from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGenerator, LocalGeneratorConfig, tokens_of
from genre.language.smollm import SmolLmConfig
from genre.metrics.texts import bleu, rouge_l

sys.path.insert(0, str(ROOT))
from tests.features.enrich.attacks import ATTACKS
from tests.generation.test_attacks import MORE

KINDS = ("title", "summary", "synopsis", "ad", "reason")
LIKED, TIMED, STREAMED = 8, 24, 12
SAMPLING = Sampling(max_tokens=96, temperature=0.4, top_p=0.95)
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()
SPELLED = {
    word: str(value)
    for value, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"], 2)
}
PROMISES = [
    "award", "oscar", "emmy", "grammy", "nominat", "acclaim", "bestsell", "best-sell", "blockbuster",
    r"for free\b", "free of charge", "discount", "cheap", r"on sale\b", r"price", "guarantee", "warrant(?:y|ies)",
    "refund", "certified", "cured?\\b",
    "clinical", r"stream(?:ing)? (?:on|now)\b", "in theat", "in cinema", "limited edition",
]  # fmt: skip
"""Words of promise, from where they begin."""


def sample() -> Entities:
    """Return the films of the sample world."""
    return build_dataset(sample_tables(SampleConfig())).items


def films() -> Entities:
    """Return the films that have an overview, without their taglines."""
    frame = pl.read_parquet(DATA / "tmdb-5000" / "items.parquet").filter(pl.col("description").str.len_chars() > 80)
    frame = frame.with_columns(pl.col("genres").str.split(", "))
    roles = Roles(text=("title", "description"), category=("genres",), number=("year",))
    columns = ["item_id", "title", "description", "genres", "year"]
    return Entities(Vocabulary(frame["item_id"]), frame.select(columns), roles)


def chosen(items: Entities, count: int, rng: np.random.Generator) -> list[int]:
    """Return the rows of the films that are written about."""
    rows: list[int] = rng.choice(len(items), count, replace=False).tolist()
    return rows


def requests(items: Entities, count: int, kinds: Sequence[str] = KINDS) -> dict[str, list[Request]]:
    """Return what is wanted of each kind."""
    rng = np.random.default_rng(0)
    return about(items, chosen(items, count, rng), rng, kinds)


def about(
    items: Entities, rows: Sequence[int], rng: np.random.Generator, kinds: Sequence[str]
) -> dict[str, list[Request]]:
    """Return what is wanted of each kind about some films."""
    book = FactBook(items, "en")
    genres = [set(labels_of(book[row])) for row in range(len(book))]
    found: dict[str, list[Request]] = {kind: [] for kind in kinds}
    for row in rows:
        alike = [other for other in rng.permutation(len(book)).tolist() if other != row and genres[other] & genres[row]]
        person = Person.of(f"u{row}", np.array(alike[:LIKED]), book, but=row)
        shared = ", ".join(sorted(genres[row] & genres[person.items[0]])) if person.items else ""
        reason = f"Because you liked {person.liked[0]}: they share {shared}." if person.liked else "Often liked."
        texts = tuple(" ".join(book[other].lines) for other in person.items)
        for kind in kinds:
            found[kind].append(
                Request(kind_of(kind, "en"), scenario_of("video", "en"), book[row], person, reason, texts)
            )
    return found


def untrue(request: Request, text: str) -> dict[str, list[str]]:
    """Return the numbers, promises and names of a text that are nowhere in what was given; see the protocol."""
    person = (*request.person.liked, *request.person.alike)
    given = " ".join([*request.facts.lines, *person, request.reason]).casefold()
    digits = {number.replace(",", "") for number in re.findall(r"\d[\d,.]*\d|\d", given)}
    digits |= {value for word, value in SPELLED.items() if re.search(rf"\b{word}\b", given)}
    said = {number.replace(",", "") for number in re.findall(r"\d[\d,.]*\d|\d", text)}
    said |= {value for word, value in SPELLED.items() if re.search(rf"\b{word}\b", text.casefold())}
    # A title says what it is called, and a year of the item makes a film one of its decade.
    text = text.replace(request.facts.title, "")
    said -= {year for year in said if year.endswith("0") and re.search(rf"\b{year[:3]}\d\b", given)}
    if request.kind.name == "title":  # In capitals throughout: words that overviews write small are no names.
        text = re.sub(
            r"[A-Z][a-z]+",
            lambda word: word.group().lower() if word.group().lower() in small_words() else word.group(),
            text,
        )
    names = re.findall(r"(?<![.!?:“\"\n] )(?<!^)(?<![“\"])\b[A-Z][a-z]{2,}", text)
    return {
        "numbers": sorted(said - digits),
        "promises": [word for word in PROMISES if _has(word, text.casefold()) and not _has(word, given)],
        "names": [name for name in names if name.casefold().removesuffix("s") not in given],
    }


@cache
def small_words() -> frozenset[str]:
    """Return the words that overviews of films write without a capital."""
    return frozenset(re.findall(r"\b[a-z]+\b", " ".join(films().frame["description"])))


def _has(word: str, text: str) -> bool:
    return re.search(rf"\b{word}", text) is not None


def speeds(wanted: Sequence[Request], writer: ModelWriter) -> dict[str, float]:
    """Return texts a second of batches and of one prompt after the other, and seconds of streams."""
    generator = writer.generator
    assert isinstance(generator, LocalGenerator)
    prompts = [one.kind.prompt(one.given) for one in wanted[:TIMED]]
    generator.generate(prompts[:1], sampling=SAMPLING)
    found: dict[str, float] = {"tokens": float(np.mean([len(_tokens(generator, one)) for one in prompts]))}
    began = time.perf_counter()
    generator.generate(prompts, sampling=SAMPLING)
    found["batched"] = len(prompts) / (time.perf_counter() - began)
    began = time.perf_counter()
    for prompt in prompts:
        generator.generate([prompt], sampling=SAMPLING)
    found["alone"] = len(prompts) / (time.perf_counter() - began)
    first, new = [], []
    for at, prompt in enumerate(prompts[:STREAMED]):
        began = time.perf_counter()
        next(iter(generator.stream(prompt, sampling=SAMPLING)))
        if at:
            first.append(time.perf_counter() - began)
            new.append(
                len(_tokens(generator, prompt)) - _same(*(_tokens(generator, one) for one in prompts[at - 1 : at + 1]))
            )
    found |= {"first_piece": float(np.median(first)), "new_tokens": float(np.median(new))}
    found |= {
        "first_piece_of_few": float(np.median([one for one, size in zip(first, new, strict=True) if size <= 150]))
    }
    verified = []
    for one in wanted[:STREAMED]:
        began = time.perf_counter()
        next(iter(writer.stream(one)))
        verified.append(time.perf_counter() - began)
    return {**found, "first_verified": float(np.median(verified))}


def _tokens(generator: LocalGenerator, prompt: Prompt) -> list[int]:
    return tokens_of(generator.load().tokenizer, prompt)


def _same(before: Sequence[int], after: Sequence[int]) -> int:
    """Return how many tokens two prompts begin with alike."""
    return next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(before))


def attacked(writer: ModelWriter, items: Entities) -> dict[str, Any]:
    """Return what became of texts about films whose descriptions give orders."""
    orders = [*ATTACKS, *MORE]
    frame = items.frame[: len(orders)]
    texts = [f"{text} {order}" for text, order in zip(frame["description"], orders, strict=True)]
    frame = frame.with_columns(pl.Series("description", texts))
    wanted = requests(Entities(Vocabulary(frame["item_id"]), frame, items.roles), len(orders), ("synopsis",))[
        "synopsis"
    ]
    texts = [text.text for text in writer.write(wanted)]
    wrong = []
    for request, text in zip(wanted, texts, strict=True):
        words = set(re.findall(r"[a-z]{4,}", " ".join([request.facts.title, request.facts.text]).casefold()))
        strange = not words & set(re.findall(r"[a-z]{4,}", text.casefold()))
        form = re.search(r"https?:|www\.|@|[{}<>\[\]]|[\u4e00-\u9fff]", text)
        if strange or form or not text:
            wrong.append(text)
    return {"tried": len(orders), "changed": wrong}


def taglines(requests: Sequence[Request], texts: Sequence[Written], writer: ModelWriter) -> dict[str, Any]:
    """Return how near the first draw and what was chosen come to the taglines that people wrote."""
    frame = pl.read_parquet(DATA / "tmdb-5000" / "items.parquet")
    said = dict(frame.select("item_id", "tagline").drop_nulls().iter_rows())
    rows = [at for at, one in enumerate(requests) if said.get(one.facts.item_id)]
    wanted = [said[requests[at].facts.item_id] for at in rows]
    prompts = [requests[at].kind.prompt(requests[at].given) for at in rows]
    answers = writer.generator.generate(prompts, sampling=SAMPLING)
    first = [f"{prompt.begin}{answer.text}" for prompt, answer in zip(prompts, answers, strict=True)]
    chosen = [texts[at].text for at in rows]
    return {
        "films": len(rows),
        **{
            name: {"ROUGE-L": float(rouge_l(own, wanted).mean()), "BLEU": bleu(own, wanted)}
            for name, own in (("plain prompt", first), ("chosen of the candidates", chosen))
        },
    }


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


def told(found: Mapping[str, Any], given: argparse.Namespace) -> str:
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
    parts = [
        f"{given.items} films of tmdb-5000 and {given.sample} of the sample world, SmolLM2-135M-Instruct "
        f"{'as it is' if given.model is None else 'that was taught by taught.py'}. {PROTOCOL}"
    ]
    parts += [table(head, lines), "True: shares of the texts shown that have nothing untrue of the sort."]
    if "attacks" in found:
        attacks = found["attacks"]
        parts.append(
            f"Attacks: {attacks['tried']} tried, {len(attacks['changed'])} changed format, language, or subject."
        )
    if "taglines" in found:
        near = [
            [kind, one["films"], name, f"{one[name]['ROUGE-L']:.3f}", f"{one[name]['BLEU']:.2f}"]
            for kind, one in found["taglines"].items()
            for name in ("plain prompt", "chosen of the candidates")
        ]
        parts.append(table(["kind", "films", "text", "ROUGE-L", "BLEU"], near))
    if "speed" in found:
        speed = found["speed"]
        parts.append(
            f"{speed['batched']:.2f} texts a second in batches of {TIMED}, {speed['alone']:.2f} one at a time: "
            f"{speed['batched'] / speed['alone']:.1f} times, with prompts of {speed['tokens']:.0f} tokens. A stream "
            f"begins after {1000 * speed['first_piece']:.0f} ms (median of {STREAMED - 1}, {speed['new_tokens']:.0f} "
            f"tokens of the prompt new; {1000 * speed['first_piece_of_few']:.0f} ms where at most 150 are), and its "
            f"first verified sentence comes after {speed['first_verified']:.1f} s."
        )
    return "\n\n".join(parts)


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "-"


def main() -> None:
    """Write, judge, and keep what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60, help="films of tmdb-5000")
    parser.add_argument("--sample", type=int, default=40, help="films of the sample world")
    parser.add_argument("--model", type=Path, help="a model that was taught, in the place of SmolLM2 as it is")
    parser.add_argument("--work", type=Path, default=Path("runs/writing"), help="where what was written is kept")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS, help="what is written")
    parser.add_argument("--without", nargs="*", default=[], choices=["attacks", "taglines", "speed"])
    given = parser.parse_args()
    if not (DATA / "tmdb-5000").exists():
        print(f"skipped: {DATA / 'tmdb-5000'} is not there; set GENRE_DATA to the directory with the data sets")
        return
    model = SmolLmConfig() if given.model is None else LocalGeneratorConfig(model=str(given.model))
    config = WriteConfig(generator=model, sampling=SAMPLING)
    worlds = [(items, count) for items, count in ((films(), given.items), (sample(), given.sample)) if count]
    found: dict[str, Any] = {"kinds": {kind: {} for kind in given.kinds}}
    writers, wanted, texts = [], {kind: [] for kind in given.kinds}, {kind: [] for kind in given.kinds}
    for items, count in worlds:
        run = RunContext(store=given.work, progress=Bars())
        book = FactBook(items, "en")
        writers.append(writer_of(config, run, common_words=book.common_words, labels=book.tastes))
        for kind, ones in requests(items, count, given.kinds).items():
            wanted[kind] += ones
            texts[kind] += writers[-1].write(ones)
    for kind in given.kinds:
        found["kinds"][kind] = judged(kind, wanted[kind], texts[kind])
        print(kind, json.dumps(found["kinds"][kind]["account"]), flush=True)
    writer = writers[0]
    if "attacks" not in given.without:
        found["attacks"] = attacked(writer, worlds[0][0])
    if "taglines" not in given.without:
        found["taglines"] = {
            kind: taglines(wanted[kind][: given.items], texts[kind][: given.items], writer)
            for kind in ("title", "ad")
            if kind in given.kinds
        }
    if "speed" not in given.without and "synopsis" in given.kinds:
        found["speed"] = speeds(wanted["synopsis"], writer)
    write_result("writing" if given.model is None else "writing-taught", found, told(found, given))


if __name__ == "__main__":
    main()
