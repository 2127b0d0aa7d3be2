"""Which numbers a text compares by: "newer", "too long", "old", 再老一点, 新片."""

from __future__ import annotations

import re
from typing import Final

from genre.conversation import cues
from genre.conversation.lexicon import Measure, lexicon
from genre.conversation.polarity import Stance, stance

_SIGNS: Final[dict[Stance, int]] = {"wanted": 1, "unwanted": -1, "open": 0, "aside": 0}


def measures(text: str) -> list[tuple[Measure, int]]:
    """Return which measures a text compares by, and whether more or less of each is wanted."""
    found = []
    for measure in lexicon().measures.values():
        for said in measure.said.values():
            for words, direction in ((said.up, 1), (said.down, -1)):
                found += [(measure, direction) for word in words if _stands(word, text)]
            for words, direction in ((said.much, -1), (said.little, 1)):
                found += [
                    (measure, direction)
                    for word in words
                    if re.search(rf"\btoo {word}\b" if word.isascii() else f"(?:太|那么|这么){word}", text)
                ]
    return found


def degrees(text: str) -> list[tuple[Measure, int]]:
    """Return which measures a text wants much (1) or little (-1) of, or takes as they come (0)."""
    text = cues.AGE.sub(" ", text)
    found = []
    for measure in lexicon().measures.values():
        for said in measure.said.values():
            for words, direction in ((said.high, 1), (said.low, -1)):
                for word in words:
                    at = _stands(word, text)
                    if at is not None:
                        found.append((measure, direction * _SIGNS[stance(text[: at.start()], text[at.end() :])]))
    return found


def _stands(word: str, text: str) -> re.Match[str] | None:
    """Return where a word stands in a text as a word."""
    return re.search(rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word), text)
