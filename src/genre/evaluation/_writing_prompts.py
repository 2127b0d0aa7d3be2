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
from inspect import signature
from pathlib import Path
from typing import Any, Final

from genre.core.errors import ConfigError, DataError
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


def instructions(languages: Sequence[str], path: Path | None = None) -> list[Instruction]:
    """Return the prompts that can be checked: those that ship with Genre in these languages, or all of a file.

    Args:
        languages: Which are taken where there is no file.
        path: A .jsonl file with `kind`, `prompt` and what that kind wants in each line, as those that ship have it.

    Raises:
        ConfigError: The file cannot be read, or holds nothing.
        DataError: A line of it is no such instruction.
    """
    if path is None:
        every = [_instruction(line) for line in _lines("writing_instructions.jsonl")]
        return [one for one in every if one.lang in languages]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the instructions cannot be read ({error})", place=str(path), remedy="Give a .jsonl file in UTF-8."
        ) from error
    found = [_parsed(line, f"{path}:{at}") for at, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError("the file of instructions is empty", place=str(path), remedy="Write some into it.")
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


def _instruction(line: Mapping[str, Any]) -> Instruction:
    wanted = {name: value for name, value in line.items() if name not in ("lang", "kind", "prompt")}
    return Instruction(line.get("lang", "en"), line["kind"], line["prompt"], wanted)


def _parsed(line: str, place: str) -> Instruction:
    """Return the instruction of a line that somebody wrote."""
    try:
        one = _instruction(json.loads(line))
        if not isinstance(one.prompt, str) or not one.prompt.strip():
            raise ValueError("no prompt")
        one.follows("Something.")  # Asks the checker, which tells what it lacks.
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        wants = {kind: [*signature(check).parameters][1:] for kind, check in CHECKS.items()}
        forms = "; ".join(f"{kind} with {' and '.join(names)}" if names else kind for kind, names in wants.items())
        raise DataError(
            f"{line[:60]!r} is no instruction that can be checked",
            place=place,
            remedy=f"Give `prompt` and one `kind`: {forms}.",
        ) from error
    return one


@cache
def _lines(name: str) -> list[dict[str, Any]]:
    text = files("genre.evaluation").joinpath(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
