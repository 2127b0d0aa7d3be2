"""Clean text, and the places where it may be cut."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

from genre.core.words import CJK

# Regular expressions that look at each character once. `html.parser` takes 6 seconds for 45,000 crafted characters, and
# eats "x<y, z>w" as a tag.
_INLINE: Final = "a abbr b bdi bdo cite code del em font i ins kbd mark q s samp small span strike strong sub sup u var"
_BLOCK: Final = (
    "address article aside blockquote body br button caption center col dd details dfn div dl dt figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hr html iframe img input label li link main meta nav noscript object ol "
    "option p param picture pre script section select source style summary table tbody td textarea tfoot th thead "
    "title tr tt ul video wbr"
)
_TAG: Final = r"(?i)</?(?:{})(?:\s[^<>=]*=[^<>]*|\s*/?)>"
_INLINE_TAG: Final = re.compile(_TAG.format(_INLINE.replace(" ", "|")))
_BLOCK_TAG: Final = re.compile(_TAG.format(_BLOCK.replace(" ", "|")) + "|(?i:<!doctype[^<>]*>)")
_UNREAD: Final = tuple(
    (re.compile(start, re.I), re.compile(end, re.I))
    for start, end in (("<!--", "-->"), (r"<script\b[^<>]*>", r"</script\s*>"), (r"<style\b[^<>]*>", r"</style\s*>"))
)
"""What stands between these is for machines."""
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters, marks of direction, halves of surrogate pairs and the tag characters that hide text in text.
The joiners U+200C and U+200D stay: Persian words and emoji are spelled with them."""

_LONGEST_WORD: Final = 24
"""A stretch without a word's end may be cut inside: Thai has no spaces, and a link is one word."""
_LAST: Final = 5 * _LONGEST_WORD
_BEGINNING: Final = re.compile(f"[ {CJK}]")
_WORD_END: Final = re.compile(rf"(?<=[{CJK}])|(?<=\w)(?=[{CJK}])|(?<=\w)(?!\w)|(?<=[^\w\s])")


def clean_text(text: str) -> str:
    """Return a text as a person reads it: without HTML, control characters and spare white space.

    Tags of HTML go, those between blocks leave a space; entities become their characters. What only looks like a tag
    (`x<y, z>w`) stays. Characters keep their width and form.
    """
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        for start, end in _UNREAD:
            text = _without(text, start, end)
        # Tags may have held entities that were escaped twice.
        text = html.unescape(_BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", text)))
    return " ".join(_INVISIBLE.sub("", text).split())


def cuts(text: str) -> list[int]:
    """Return where a text may end, rising: behind words, signs and Chinese characters, never inside a character.

    What looks like one character may be several: a letter and its accents, the emoji of a family, a flag.
    """
    inside = _places_inside(text)
    found: list[int] = []
    start = 0
    for end in [*(match.start() for match in _WORD_END.finditer(text)), len(text)]:
        if end - start > _LONGEST_WORD:
            found += [at for at in range(start + 1, end) if at not in inside]
        in_word = end > 0 and text[end : end + 1].isalnum() and _extends(text[end - 1])
        if end > start and end not in inside and not in_word:
            found.append(end)
        start = end
    return found


def shortened(text: str, num_characters: int) -> str:
    """Return a text of so many characters at most, cut where it may end."""
    if len(text) <= num_characters:
        return text
    # Of a long text the last words are enough; they begin where surely no character is cut.
    begin = _BEGINNING.search(text, max(0, num_characters - _LAST), num_characters)
    start = begin.start() if begin else 0
    # A look beyond the limit, since the end of what is looked at may be inside a character; so it is left out.
    ends = [start + end for end in cuts(text[start : num_characters + _LONGEST_WORD])[:-1]]
    return text[: max((end for end in ends if end <= num_characters), default=start)].rstrip()


def _without(text: str, start: re.Pattern[str], end: re.Pattern[str]) -> str:
    """Return a text without what is between two marks; what is opened and never closed stays."""
    kept, at = [], 0
    while (opening := start.search(text, at)) and (closing := end.search(text, opening.end())):
        kept.append(text[at : opening.start()])
        at = closing.end()
    return " ".join([*kept, text[at:]])


def _places_inside(text: str) -> set[int]:
    """Return the places between two parts of what a reader takes for one character."""
    inside: set[int] = set()
    if text.isascii():
        return inside
    flag_halves = 0
    for at, character in enumerate(text):
        flag_halves = flag_halves + 1 if "\U0001f1e6" <= character <= "\U0001f1ff" else 0
        if at and (_extends(character) or text[at - 1] == "\u200d" or (flag_halves and flag_halves % 2 == 0)):
            inside.add(at)
    return inside


def _extends(character: str) -> bool:
    """Return whether a character belongs to the one before: accents, joiners, variants, skin tones, Hangul parts."""
    return (
        character in "\u200c\u200d"
        or unicodedata.category(character) in ("Mn", "Mc", "Me")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u1160" <= character <= "\u11ff"
    )
