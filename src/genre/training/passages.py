"""Short texts of many kinds that ship with Genre: what a model goes on reading while it learns to recommend.

A fine-tune that sees nothing but item lists forgets how to write. Replaying a little ordinary text is the oldest
remedy (Robins: Catastrophic forgetting, rehearsal and pseudorehearsal. Connection Science 1995). Two thirds of the
registers are for replay; the other third is held out, for measuring what replay has not shown.

Beside them stand requests, for a model to answer before it learns: how it takes a request is in no passage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

HELD_OUT: Final = frozenset(
    {
        "advice",
        "business",
        "forum",
        "gardening",
        "lecture",
        "memoir",
        "museum",
        "nature",
        "obituary",
        "puzzle",
        "radio",
        "weather",
    }
)
"""Registers that are never replayed."""


@dataclass(frozen=True)
class Passage:
    """A text of 40 to 120 words, written for Genre."""

    text: str
    lang: str
    """`en` or `zh`."""
    register: str
    """What kind of text it is: a letter, a recipe, a notice."""


def passages(lang: str | None = None) -> list[str]:
    """Return the texts to replay, in one language or in all."""
    return [one.text for one in _all() if one.register not in HELD_OUT and lang in (None, one.lang)]


def held_out_passages(lang: str | None = None) -> list[Passage]:
    """Return the passages to measure by; none has the register of one that is replayed."""
    return [one for one in _all() if one.register in HELD_OUT and lang in (None, one.lang)]


def requests(lang: str) -> list[str]:
    """Return what to ask a model for in a language; writing is measured by other requests."""
    return [line["request"] for line in _lines("requests.jsonl") if line["lang"] == lang]


@cache
def _all() -> tuple[Passage, ...]:
    return tuple(Passage(**line) for line in _lines("passages.jsonl"))


def _lines(name: str) -> list[dict[str, str]]:
    text = files("genre.training").joinpath(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
