"""How hard texts are to read: Flesch's measures of English, and lengths and rare characters of Chinese.

Sentences are given, since where one ends is not a matter of this package.

Shapes: N texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genre.core.words import CJK

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_VOWELS: Final = re.compile(r"[aeiouy]+")
_SILENT: Final = re.compile(r"(?:(?<![aeiouy])l)?e$|[^aeiouytd]ed$|(?<![sxzcg])(?<!ch)(?<!sh)es$")
"""Endings whose e may not be heard: `like`, `jumped`, `makes`, but not `wanted`, `pages`."""
_HEARD: Final = re.compile(r"[^aeiouy]les?$|[aeiouy]e[sd]?$")
"""Endings that look like these and are heard, or belong to the vowel before: `apple`, `tree`, `agreed`."""
_CHARACTER: Final = re.compile(f"[{CJK}]")
_CLAUSE: Final = re.compile("[，、；：,;:]")
_COMMON: Final = range(0xB0, 0xD8)
"""First bytes in GB 2312 of its first level: the 3,755 characters in most common use."""


def syllables(word: str) -> int:
    """Return how many syllables an English word has, 1 at least.

    They are counted by rule, without a dictionary: a run of vowels (y among them) is one, and an e that is not heard at
    the end, as in `like`, `jumped` and `makes`, is none. What the spelling does not tell is missed: `idea`, `science`
    and `café` have one too few, and `something` has one too many.
    """
    plain = unicodedata.normalize("NFKD", word.casefold())
    parts = re.findall("[a-z]+", plain.replace("'", "").replace("’", ""))
    return max(1, sum(map(_in_part, parts)))


def _in_part(part: str) -> int:
    count = len(_VOWELS.findall(part))
    return max(1, count - 1) if _SILENT.search(part) and not _HEARD.search(part) else max(1, count)


def flesch(texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return (N, 2): Flesch's reading ease and the Flesch-Kincaid grade of each text, NaN for one without words.

        ease  = 206.835 - 1.015 words / sentence - 84.6 syllables / word
        grade = 0.39 words / sentence + 11.8 syllables / word - 15.59

    Ease runs from about 0, for what takes a university to read, to about 100, for what a child can; the grade is years
    of school in the United States. Both were fitted to passages of a hundred words and more: of a headline they say
    little. Words are runs of letters; numbers are not counted.

    Flesch: A New Readability Yardstick. Journal of Applied Psychology 1948; Kincaid et al.: Derivation of New
    Readability Formulas for Navy Enlisted Personnel. 1975.

    Args:
        texts: The sentences of each English text.
    """
    found = np.full((len(texts), 2), np.nan)
    for at, sentences in enumerate(texts):
        words = [word for sentence in sentences for word in _WORD.findall(sentence)]
        if words:
            length, size = len(words) / _filled(sentences, _WORD), sum(map(syllables, words)) / len(words)
            found[at] = 206.835 - 1.015 * length - 84.6 * size, 0.39 * length + 11.8 * size - 15.59
    return found


def chinese_reading(texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return (N, 3): characters of a sentence and of a clause, and the share of rare characters; NaN where none is.

    A clause ends with a comma, a colon or a semicolon. Rare is what does not belong to the 3,755 characters of the
    first level of the standard GB 2312-80, which holds those in common use; it is a standard of simplified characters,
    so much of a traditional text is rare by it. There is no index that puts these together, since none is agreed on as
    Flesch's is.

    Args:
        texts: The sentences of each Chinese text.
    """
    found = np.full((len(texts), 3), np.nan)
    for at, sentences in enumerate(texts):
        characters = _CHARACTER.findall("".join(sentences))
        if characters:
            clauses = [clause for sentence in sentences for clause in _CLAUSE.split(sentence)]
            count = len(characters)
            rare = sum(not _is_common(character) for character in characters)
            found[at] = count / _filled(sentences, _CHARACTER), count / _filled(clauses, _CHARACTER), rare / count
    return found


def _is_common(character: str) -> bool:
    return character.encode("gb2312", "replace")[0] in _COMMON


def _filled(parts: Sequence[str], what: re.Pattern[str]) -> int:
    """Return how many of the parts hold a word or a character."""
    return sum(what.search(part) is not None for part in parts)
