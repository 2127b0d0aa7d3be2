"""A generator that reads its prompt, as a model would: it answers about the quoted part, or as it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from genre.core.run import Progress
from genre.language.base import Completion, Prompt, Sampling, Schema

Says = Callable[[str], str]


def lines_of(prompt: str) -> list[str]:
    """Return the first quoted part of a prompt, line by line."""
    quoted = re.search(r"<<<\n(.*?)\n>>>", prompt, re.DOTALL)
    assert quoted is not None
    return [re.sub(r"^(?:Title: |Text: |标题：|正文：|- )", "", line) for line in quoted[1].splitlines()]


def answer_about(prompt: str) -> dict[str, Any]:
    """Answer a prompt of any stage with words of what it quotes."""
    lines = lines_of(prompt)
    if "summary" in prompt or "摘要" in prompt:
        return {"title": lines[0][:100], "summary": f"{' '.join(lines)} {lines[0]}"[:300]}
    words = [word for word in re.findall(r"\w+", " ".join(lines)) if not word.isdigit()]
    if "Invent" in prompt or "构想" in prompt:
        return {"items": [{"title": f"More {words[0]}", "description": f"Another {words[0]} {words[1]} for them."}]}
    return {"topics": words[:2], "interests": words[2:4] or words[:1], "tone": "calm", "keywords": words[:4]}


class Reader:
    """Answers every prompt about what it quotes, unless `says` has another answer; counts what it is asked."""

    def __init__(self, says: Says | None = None, key: str = "reader") -> None:
        self.key = key
        self.says = says or (lambda prompt: json.dumps(answer_about(prompt), ensure_ascii=False))
        self.asked: list[str] = []

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        progress: Progress | None = None,
    ) -> list[Completion]:
        self.asked += [prompt.user for prompt in prompts]
        return [self._complete(prompt) for prompt in prompts]

    def stream(self, prompt: Prompt, *, sampling: Sampling, schema: Schema | None = None) -> Iterator[str]:
        yield self._complete(prompt).text

    def count_tokens(self, text: str) -> int:
        return len(text) // 4

    def _complete(self, prompt: Prompt) -> Completion:
        text = self.says(prompt.user)
        return Completion(text, len(prompt.user) // 4, len(text) // 4)
