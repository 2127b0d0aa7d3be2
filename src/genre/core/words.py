"""The words of a text, in any language, without a dictionary."""

from __future__ import annotations

import re
import unicodedata

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
"""Chinese characters and Japanese kana, scripts without spaces between words, as the inside of a character class."""
_RUNS = re.compile(f"([{CJK}]+)|[^\\W_{CJK}]{{2,}}")
_UNSPACED = re.compile(f"[{CJK}]")


def words_of(text: str) -> list[str]:
    """Return the words of a text, with repetition: case folded, and width variants made one.

    Runs of Chinese or Japanese characters give their single characters and their pairs, since nothing marks where a
    word ends. Other scripts give words of two characters or more.
    """
    found = []
    for run in _RUNS.finditer(unicodedata.normalize("NFKC", text).casefold()):
        if run[1]:
            found += [*run[1], *(run[1][at : at + 2] for at in range(len(run[1]) - 1))]
        else:
            found.append(run[0])
    return found


def is_unspaced(text: str) -> bool:
    """Return whether a text holds characters of a script without spaces between words."""
    return _UNSPACED.search(text) is not None
