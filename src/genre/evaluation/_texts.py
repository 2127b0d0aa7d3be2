"""What the report shows of the texts that a run has written: a table of kinds, plots, and samples of comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from genre.evaluation import plots
from genre.evaluation._measures import number, percent
from genre.evaluation._pictures import Picture
from genre.evaluation._view import interval_of
from genre.generation.sentences import length_of
from genre.generation.stage import account_of_texts

NUM_TEXTS: Final = 24
"""Texts that are shown, of all that were written."""
_COUNTS: Final = {
    "texts": "texts",
    "by the model": "by the language model",
    "repaired": "with sentences left out",
    "fell back": "put together from the facts instead",
}
_MEASURES: Final = {
    "words": ("words", "%.0f"),
    "distinct_2": ("distinct-2", "%.2f"),
    "bits_per_byte": ("bits per byte", "%.2f"),
    "claims_true": ("claims in the facts", "%.1%"),
    "texts_true": ("texts with all claims in the facts", "%.1%"),
    "drawn_claims_true": ("claims in the facts, of all drawn", "%.1%"),
    "drawn_texts_true": ("texts with all, of all drawn", "%.1%"),
    "reading_ease": ("reading ease", "%.0f"),
    "school_grade": ("school grade", "%.1f"),
    "sentence_characters": ("characters a sentence", "%.1f"),
    "clause_characters": ("characters a clause", "%.1f"),
    "rare_characters": ("rare characters", "%.1%"),
    "rouge_1": ("ROUGE-1", "%.3f"),
    "rouge_2": ("ROUGE-2", "%.3f"),
    "rouge_l": ("ROUGE-L", "%.3f"),
    "bleu": ("BLEU", "%.3f"),
    "chrf": ("chrF", "%.3f"),
}
"""What a measure is called in the table, and how it is written there."""


@dataclass(frozen=True)
class TextsView:
    """The section on texts."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """A row for each kind; the first cell is its name."""
    pictures: tuple[Picture, ...]
    sentences: tuple[str, ...]
    """What was found by comparing, in words."""
    personal: Mapping[str, Sequence[Mapping[str, Any]]]
    """By kind, texts about one item for several people."""
    judged: Mapping[str, Sequence[Mapping[str, Any]]]
    """By kind, texts with what they were compared with, and the outcome."""
    texts: Sequence[Mapping[str, Any]]


def view_of_texts(texts: Sequence[Mapping[str, Any]], measured: Mapping[str, Any]) -> TextsView:
    """Put together what is shown.

    Args:
        texts: What was written.
        measured: What took more than the texts: `reasons`, and by kind `personal` and `judge`.
    """
    account = account_of_texts(texts)
    known = [name for name in _MEASURES if any(math.isfinite(kind.get(name, math.nan)) for kind in account)]
    head = ("kind", *_COUNTS.values(), *(_MEASURES[name][0] for name in known), "refused on the way, by check")
    rows = tuple(
        (
            kind["kind"],
            *(f"{kind[name]:,}" for name in _COUNTS),
            *(_written(kind.get(name, math.nan), _MEASURES[name][1]) for name in known),
            "; ".join(f"{check}: {count:,}" for check, count in kind["refused"].items()) or "none",
        )
        for kind in account
    )
    personal, judge = measured.get("personal", {}), measured.get("judge", {})
    return TextsView(
        head,
        rows,
        (*_lengths(texts), *_against_chance(measured)),
        tuple(_sentences(measured)),
        {kind: one["samples"] for kind, one in personal.items()},
        {kind: one["samples"] for kind, one in judge.items()},
        texts[:NUM_TEXTS],
    )


def _written(value: float, form: str) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:.1%}".replace("%", " %") if form == "%.1%" else form % value


def _lengths(texts: Sequence[Mapping[str, Any]]) -> Iterator[Picture]:
    """Draw which share of the texts of each kind is no longer than so many words."""
    lines = []
    for place, kind in enumerate(dict.fromkeys(text["kind"] for text in texts)):
        sizes = np.sort([length_of(text["text"]) for text in texts if text["kind"] == kind])
        share = (np.arange(len(sizes)) + 1) / len(sizes)
        lines.append(plots.Curve(kind, [0, *sizes.tolist()], [0, *share.tolist()], plots.tone(place)))
    if lines:
        svg = plots.curves(lines, x_axis="words, and of Chinese characters", y_axis="Share of texts no longer")
        yield Picture("How long the texts are", svg)


def _against_chance(measured: Mapping[str, Any]) -> Iterator[Picture]:
    """Draw the shares that tell whether texts are for their readers, reasons true, and models better than templates."""
    rows = []
    for kind, one in measured.get("personal", {}).items():
        rows.append((f"Own text found: {kind}", one["first"], f"chance {percent(1 / one['among'])}"))
    if (reasons := measured.get("reasons")) is not None:
        rows.append(("Cited events count", reasons["share"], f"chance {percent(0.5)}"))
    for kind, one in measured.get("judge", {}).items():
        rows.append((f"Judge prefers the model: {kind}", one["share"], f"even {percent(0.5)}"))
    drawn = [
        plots.Row(label, (plots.Dot(interval_of(share), plots.tone(0)),), note)
        for label, share, note in rows
        if share["mean"] is not None
    ]
    if drawn:
        yield Picture(
            "Texts against chance",
            plots.dots(drawn, axis="share"),
            "Dots are shares, lines are 95 % intervals. At the right stands what chance alone would give.",
        )


def _sentences(measured: Mapping[str, Any]) -> Iterator[str]:
    for kind, one in measured.get("personal", {}).items():
        among = one["among"]
        if one["first"]["mean"] is None:
            yield f"Personal fit of {kind}: too few people have enough likes for a comparison among {among} texts."
        else:
            yield (
                f"Personal fit of {kind}: of {among} texts about the same item, the one for a person is nearest to "
                f"what they liked later for {percent(one['first']['mean'])} of {one['people']} people (chance "
                f"{percent(1 / among)}); its mean rank is {number(one['rank']['mean'], 1)}, its MRR "
                f"{number(one['mrr']['mean'], 2)}. Distinct-2 across people is {number(_known(one['distinct_2']), 2)}."
            )
    if (one := measured.get("reasons")) is not None:
        yield _on_reasons(one)
    for kind, one in measured.get("judge", {}).items():
        bias = "unknown" if one["position_bias"] is None else f"{one['position_bias']:+.2f}"
        yield (
            f"A judge compared {kind} by the language model with what is put together from the facts: {one['wins']} "
            f"better, {one['ties']} equal or undecided, {one['losses']} worse, {one['invalid']} without an answer that "
            f"can be read. Its position bias is {bias} (1: always the text in front)."
        )


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _on_reasons(one: Mapping[str, Any]) -> str:
    text = f"{percent(one['coverage'] or 0)} of {one['reasons']} reasons name an event of the history."
    if one["share"]["mean"] is None:
        return text
    return (
        f"{text} Without the events that a reason cites, the item loses more than without as many others in "
        f"{percent(one['share']['mean'])} of the comparisons (chance {percent(0.5)}; {one['cases']} reasons)."
    )
