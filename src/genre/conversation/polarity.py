"""Whether a message wants what it names: told by what stands before and behind the name in its clause.

The last word before it that says anything counts. Some negatives reach one name, or what they describe: of "a
non-American thriller" and 没有爱情的科幻片, the thriller and the science fiction are wanted.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from genre.conversation import cues

Stance: TypeAlias = Literal["wanted", "unwanted", "open", "aside"]
"""`open` is what may be and need not; `aside` is named for comparison alone, and nothing is asked of it."""
_MARK: Final = r"§[tulrp]\d+§"
_ENDED: Final = re.compile(rf"{_MARK}[^§]{{0,3}}的")
_JOINT: Final = r"\s*(?:,|/|\b(?:or|and|nor)\b|和|与|或|、)\s*"
_ONE: Final = re.compile(rf"{_MARK}(?!{_JOINT})")
"""A name that ends a list."""
_LISTED: Final = re.compile(rf"[- ]?(?:{_MARK}{_JOINT})*")


def stance(before: str, after: str) -> Stance:
    """Return what a clause says of something that it names.

    Args:
        before: What stands before it, with marks.
        after: What stands behind it.
    """
    if cues.BEFORE_ASIDE.search(before) or cues.AFTER_ASIDE.match(after):
        return "aside"
    if cues.AFTER_NOT_BAD.match(after):
        return "open"
    allowed, positive = _last(cues.BEFORE_OK, before), _last(cues.POSITIVE, before)
    negative = max((hit.end() for hit in cues.NEGATIVE.finditer(before) if _reaches(hit, before, after)), default=-1)
    if allowed >= 0 and allowed >= max(negative, positive):
        return "open"
    if (negative >= 0 and negative >= positive) or cues.AFTER_NO.match(after):
        return "unwanted"
    return "open" if cues.AFTER_OK.match(after) else "wanted"


def _last(cue: re.Pattern[str], text: str) -> int:
    return max((hit.end() for hit in cue.finditer(text)), default=-1)


def _reaches(negative: re.Match[str], before: str, after: str) -> bool:
    """Tell whether a negative reaches the end of what stands before a name."""
    between = before[negative.end() :]
    if negative.group() in {"non", "非"}:
        return _LISTED.fullmatch(between) is not None
    if negative.group().startswith("not "):
        return not _ONE.search(between)
    if negative.group() == "没有" and after.endswith(("吗", "么")):
        return False  # It asks whether there is one.
    if cues.DESCRIBES.fullmatch(negative.group()) and _ENDED.search(between):
        return cues.ALL_OF_IT.search(after) is not None
    return True
