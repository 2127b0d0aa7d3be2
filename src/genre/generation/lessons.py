"""What a language model can learn to write from: texts that people wrote of the items, and its own best drafts.

Only what may be shown is learned from: a model that is taught texts which the checks refuse would be refused for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from genre.generation.beginnings import after
from genre.generation.plain import PlainWriter
from genre.generation.requests import Request
from genre.generation.writer import ModelWriter
from genre.language.base import Completion, Prompt


@dataclass(frozen=True)
class Lesson:
    """A prompt, and an answer that may be shown."""

    kind: str
    prompt: Prompt
    answer: str
    """What stands behind the prompt's beginning."""


@dataclass
class Lessons:
    """What was found to learn from, and why the rest was left."""

    found: list[Lesson] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    """Texts by kind that there might have been."""
    refused: Counter[str] = field(default_factory=Counter)
    """By the checks that refused them."""

    def add(self, request: Request, prompt: Prompt, text: str) -> None:
        """Add a text that may be shown."""
        answer = text.removeprefix(prompt.begin)
        if len(answer) + len(prompt.begin) == len(text) and answer.strip():
            self.found.append(Lesson(request.kind.name, prompt, answer))
        else:
            self.refused["beginning"] += 1


def from_catalogue(lessons: Lessons, requests: Sequence[Request], texts: Sequence[str], plain: PlainWriter) -> None:
    """Add texts that the catalogue has.

    Args:
        lessons: Where to.
        requests: One for each text; their facts must not hold it.
        texts: By people. They are put behind what a model's would begin with.
        plain: Knows the checks.
    """
    passed: list[tuple[Request, Prompt, str]] = []
    for request, text in zip(requests, texts, strict=True):
        lessons.asked[request.kind.name] += 1
        prompt, checker = request.kind.prompt(request.given), plain.checker(request)
        said = checker.tidied(Completion(text, 0, 0))
        whole = checker.tidied(Completion(after(prompt.begin, said, request.facts.name, plain.common_words), 0, 0))
        if problems := checker.problems(whole):
            lessons.refused.update({problem.check for problem in problems})
        else:
            passed.append((request, prompt, whole))
    for (request, prompt, whole), flags in zip(passed, plain.flags([whole for *_, whole in passed]), strict=True):
        if flags:
            lessons.refused["moderated"] += 1
        else:
            lessons.add(request, prompt, whole)


def from_drafts(lessons: Lessons, requests: Sequence[Request], writer: ModelWriter) -> None:
    """Add what a model writes where several candidates are drawn, checked and weighed.

    That is rejection sampling, as in RAFT (Dong et al., TMLR 2023). What had to be repaired is left: it would teach to
    stop in the middle.

    Args:
        lessons: Where to.
        requests: What is written.
        writer: Writes it.
    """
    for request, written in zip(requests, writer.write(requests), strict=True):
        lessons.asked[request.kind.name] += 1
        about = written.provenance
        if about.get("fell_back") or written.writer != "model":
            lessons.refused.update(set(about.get("refused", {})) or {"answered"})
        elif about["repaired"]:
            lessons.refused["repaired"] += 1
        else:
            lessons.add(request, request.kind.prompt(request.given), written.text)
