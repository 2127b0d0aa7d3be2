"""What a model is asked to write, and whether it did as it was told.

Zhou et al.: Instruction-Following Evaluation for Large Language Models. 2023. As there, a verdict needs no other
model: each instruction is one that a few lines of code can check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from genre.core.words import CJK

_SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’)\]]*(?=\s|$))|[。！？]+[”’」』）]*")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|Mr|Mrs|Ms|Dr|St|vs|[A-Z])\.(?=\s+\S)")
_COUNTED = re.compile(f"[{CJK}]|[^\\W_{CJK}]+(?:['’-][^\\W_{CJK}]+)*")
_POINT = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):、．]|[一二三四五六七八九十]+[、.．])\s*\S")
_FENCE = re.compile(r"^```(?:json)?\s*\n(.*?)\n?```$", re.DOTALL)


@dataclass(frozen=True)
class Instruction:
    """A prompt whose answer can be checked."""

    lang: str
    kind: str
    prompt: str
    wanted: Mapping[str, Any] = field(default_factory=dict)
    """What the checker of this kind is given beside the answer."""

    def follows(self, answer: str) -> bool:
        """Return whether an answer does as it was told; an empty one never does."""
        return bool(answer.strip()) and CHECKS[self.kind](answer.strip(), **self.wanted)


def tasks(languages: Sequence[str]) -> list[str]:
    """Return the prompts for free writing, in these languages."""
    return [line["prompt"] for line in _lines("writing_tasks.jsonl") if line["lang"] in languages]


def instructions(languages: Sequence[str]) -> list[Instruction]:
    """Return the prompts that can be checked, in these languages."""
    found = []
    for line in _lines("writing_instructions.jsonl"):
        wanted = {name: value for name, value in line.items() if name not in ("lang", "kind", "prompt")}
        if line["lang"] in languages:
            found.append(Instruction(line["lang"], line["kind"], line["prompt"], wanted))
    return found


def in_one_sentence(answer: str) -> bool:
    """Return whether an answer is one sentence that ends, on one line."""
    plain = _ABBREVIATION.sub("x", answer)
    ends = list(_SENTENCE_END.finditer(plain))
    return "\n" not in answer and len(ends) == 1 and ends[0].end() == len(plain)


def in_json(answer: str, keys: Sequence[str]) -> bool:
    """Return whether an answer is a JSON object with these keys and no others; a fence around it does no harm."""
    fenced = _FENCE.match(answer)
    try:
        value = json.loads(fenced[1] if fenced else answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(value) == set(keys)


def mentions(answer: str, words: Sequence[str]) -> bool:
    """Return whether an answer has all these words or titles, in any case, none of them inside a longer word."""

    def there(word: str) -> bool:
        inside = "" if re.search(f"[{CJK}]", word) else r"\b"
        return re.search(f"{inside}{re.escape(word)}{inside}", answer, re.IGNORECASE) is not None

    return all(there(word) for word in words)


def in_at_most_words(answer: str, most: int) -> bool:
    """Return whether an answer has some words and not too many; of Chinese, each character counts."""
    return 1 <= len(_COUNTED.findall(answer)) <= most


def in_points(answer: str, count: int) -> bool:
    """Return whether an answer has exactly so many points, each on a line of its own, and they differ."""
    points = [line.strip() for line in answer.splitlines() if _POINT.match(line)]
    contents = {re.sub(r"^\W*\d*\W*", "", point).casefold() for point in points}
    return len(points) == len(contents) == count


CHECKS: Final[Mapping[str, Callable[..., bool]]] = {
    "one_sentence": in_one_sentence,
    "json": in_json,
    "mention": mentions,
    "at_most_words": in_at_most_words,
    "list": in_points,
}


@cache
def _lines(name: str) -> list[dict[str, Any]]:
    text = files("genre.evaluation").joinpath(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
