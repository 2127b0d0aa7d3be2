"""Small things that all encoders and generators share: keys, estimates of tokens, and where an answer ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def short_key(kind: str, **parts: object) -> str:
    """Return `kind-` and 16 hexadecimal digits that are the same for the same parts, on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return f"{kind}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def without_control(text: str, special: Sequence[str]) -> str:
    """Return a text in which nothing stands for a control token, and no half of a character, which tokenizers refuse.

    Args:
        text: From a catalogue or a user.
        special: Texts of the tokenizer's control tokens; they are broken up.
    """
    text = text.encode("utf-8", "replace").decode()
    for token in special:
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text takes where no tokenizer is at hand: a fourth of its bytes in UTF-8.

    That is four letters of English or one and a third Chinese characters, near what large vocabularies need.
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def cut_at_stop(text: str, stop: Sequence[str]) -> str | None:
    """Return what stands before the first stop text, or None where there is none."""
    places = [at for one in stop if one and (at := text.find(one)) >= 0]
    return text[: min(places)] if places else None


def held_back(text: str, stop: Sequence[str]) -> int:
    """Return how many characters at the end of a text may be the beginning of a stop text."""
    longest = max((len(one) for one in stop), default=0) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(one.startswith(text[-size:]) for one in stop):
            return size
    return 0
