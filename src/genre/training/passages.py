"""Short texts of many kinds that ship with Genre: what a model goes on reading while it learns to recommend.

A fine-tune that sees nothing but item lists forgets how to write. Replaying a little ordinary text is the oldest
remedy (Robins: Catastrophic forgetting, rehearsal and pseudorehearsal. Connection Science 1995). Two thirds of the
registers are for replay; the other third is held out, for measuring what replay has not shown.
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


@cache
def _all() -> tuple[Passage, ...]:
    lines = files("genre.training").joinpath("passages.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Passage(**json.loads(line)) for line in lines)
