"""What a language model reads and writes for a service, counted in tokens, whoever asks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from genre.core.run import Progress
from genre.language.base import Completion, Generator, Prompt, Sampling, Schema
from genre.serving.metrics import Metrics


class CountedGenerator:
    """A language model, with a counter before it: texts, streams and conversations all come through here.

    What it wrote whole is counted as its completions say; of a stream, the tokens of its prompt and of what was read of
    it, without those that a template adds.
    """

    def __init__(self, generator: Generator, metrics: Metrics) -> None:
        """Stand before a language model."""
        self._generator, self._metrics = generator, metrics

    def __getattr__(self, name: str) -> Any:
        """Return what else the model has, such as its weights, with which texts are weighed."""
        return getattr(self._generator, name)

    @property
    def key(self) -> str:
        """Return the model's own: what it writes is the same."""
        return self._generator.key

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        progress: Progress | None = None,
    ) -> list[Completion]:
        """Return the model's completions."""
        answers = self._generator.generate(prompts, sampling=sampling, schema=schema, progress=progress)
        self._count(sum(one.prompt_tokens for one in answers), sum(one.completion_tokens for one in answers))
        return answers

    def stream(self, prompt: Prompt, *, sampling: Sampling, schema: Schema | None = None) -> Iterator[str]:
        """Yield the model's answer piece by piece."""
        said = ""
        try:
            for piece in self._generator.stream(prompt, sampling=sampling, schema=schema):
                said += piece
                yield piece
        finally:
            asked = sum(self.count_tokens(message["content"]) for message in prompt.messages)
            self._count(asked, self.count_tokens(said))

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes, as the model counts."""
        return self._generator.count_tokens(text)

    def _count(self, read: int, written: int) -> None:
        self._metrics.tokens.labels("read").inc(read)
        self._metrics.tokens.labels("written").inc(written)
