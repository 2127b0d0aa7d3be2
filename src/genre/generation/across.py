"""Whether a text says in one language what another says in the other: the same numbers, dates, prices and names.

It cannot be seen here whether a translation is a good one. What can be seen is what somebody could be misled by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from genre.core.words import is_unspaced
from genre.features.enrich.checks import in_language
from genre.features.text import Language
from genre.generation.claims import Claim, claims_of, name_words, normal
from genre.generation.facts import Facts
from genre.generation.numerals import CHINESE_DIGITS, chinese_number
from genre.generation.sentences import length_of

_COUNTS: Final = frozenset({"number", "percent", "decade", "month", "amount"})
_ORDINALS: Final = {
    word: str(value)
    for value, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "  # noqa: SIM905
        "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth".split(),
        1,
    )
}
_OTHER_WORDS: Final = {"one": "1", "once": "1", "both": "2", "twice": "2", "double": "2", "pair": "2", "couple": "2"}
_TWO: Final = re.compile("两|俩|双")
_ENGLISH: Final = re.compile(rf"\b(?:{'|'.join([*_ORDINALS, *_OTHER_WORDS])})\b", re.IGNORECASE)
_CHINESE: Final = re.compile(f"[{CHINESE_DIGITS}]+")
_LENGTHS: Final[dict[Language, tuple[float, float]]] = {"zh": (0.8, 4.0), "en": (0.2, 1.4)}
"""How many words, or Chinese characters, a translation into a language may have for each one of its source."""
_SHORT: Final = 8
"""Words of a source up to which the proportion says nothing."""


@dataclass(frozen=True)
class Loss:
    """What a translation lacks, or has too much of."""

    check: Literal["whole", "length"]
    detail: str


def source_of(own: Facts, other: Facts, language: Language) -> Facts | None:
    """Return what has to be translated: nothing where the catalogue has the item's text in the language.

    What people wrote in a language is not translated once more.

    Args:
        own: What the catalogue says in the language, or in whatever it has.
        other: What it says in the other language.
        language: That is wanted.
    """
    if not other.text or (own.text and in_language(own.text, language)):
        return None
    return other


def spoken(labels: Mapping[str, str], language: Language) -> dict[str, str]:
    """Return the labels whose values somebody understands who reads a language: those in its script, and numbers."""
    return {
        name: value
        for name, value in labels.items()
        if in_language(value, language) or not re.search(r"[^\W\d_]", value)
    }


def counted(text: str) -> frozenset[str]:
    """Return all numbers that a text can be said to name, also where "second" or 两 counts nothing."""
    plain = normal(text)
    found = {claim.key for claim in claims_of(plain) if claim.kind in _COUNTS}
    words = (one.group().lower() for one in _ENGLISH.finditer(plain))
    found |= {_ORDINALS.get(word) or _OTHER_WORDS[word] for word in words}
    found |= {str(chinese_number(one.group())) for one in _CHINESE.finditer(plain)}
    return frozenset(found | ({"2"} if _TWO.search(plain) else set()))


def losses(source: Facts, own: Facts, text: str, language: Language, common_words: frozenset[str]) -> Iterator[Loss]:
    """Yield what a translation leaves out, and whether it is far too short or too long.

    What it adds is found by the facts, as in every text. A name of several words, and every Chinese one that its form
    gives away, must stand in it: as it is, or as the catalogue writes the title or the label in the other language.
    Names of one word are let go, since Paris is 巴黎.

    Args:
        source: What was to be translated.
        own: What the catalogue says of the item in the language of the translation.
        text: The translation.
        language: Of the translation.
        common_words: Words that are no names though a sentence begins with them.
    """
    wanted = claims_of(source.text, common_words=common_words)
    numbers, said = counted(text), {(claim.kind, claim.key) for claim in claims_of(text)}
    for claim in dict.fromkeys(claim for claim in wanted if claim.kind in _COUNTS):
        known = claim.key in numbers if claim.kind == "number" else (claim.kind, claim.key) in said
        # "The twenties" and 1920年代 are the same decade, as far as can be known.
        alike = claim.kind == "decade" and any(kind == "decade" and key[-1] == claim.key[-1] for kind, key in said)
        if not known and not alike:
            yield Loss("whole", f"{claim.kind} {claim.said!r} is missing")
    for claim in dict.fromkeys(claim for claim in wanted if claim.kind == "name"):
        if not _is_kept(claim, source, own, text):
            yield Loss("whole", f"name {claim.said!r} is missing")
    size = length_of(source.text)
    least, most = _LENGTHS[language]
    if size > _SHORT and not least <= (share := length_of(text) / size) <= most:
        yield Loss("length", f"{share:.1f} words for each of the source's, {least} to {most} are in proportion")


def _is_kept(claim: Claim, source: Facts, own: Facts, text: str) -> bool:
    words = [word for word in claim.key.split() if len(word) > 1]
    if len(words) < 2 and claim.key.isascii():
        return True
    there = " ".join(name_words(text))
    if all(word in there for word in words):
        return True
    columns = " ".join(name_words(" ".join([source.title, *source.labels.values()])))
    if not all(word in columns for word in words):
        return False
    parts = [part.strip() for value in own.labels.values() for part in re.split("[,、]", value)]
    counterparts = [name for name in (own.title, *parts) if name and is_unspaced(name) != is_unspaced(claim.said)]
    return any(name in text for name in counterparts)
