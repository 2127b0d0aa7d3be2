"""Deterministic stand-ins for models, for tests and for trying a pipeline out: no library, no weights, no waiting."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.errors import ConfigError
from genre.core.run import Progress, Silent
from genre.language.base import (
    Completion,
    EncoderConfig,
    GeneratorConfig,
    Prompt,
    Role,
    Sampling,
    Schema,
    unit_rows,
)
from genre.language.texts import cut_at_stop, estimated_tokens, short_key


class FakeEncoderConfig(EncoderConfig):
    """Random vectors that are the same for the same text: they carry no meaning."""

    kind: Literal["fake"] = "fake"
    dimensions: int = Field(default=32, ge=1)
    """Numbers of a vector."""
    seed: int = 0

    def build(self) -> FakeEncoder:
        """Return the encoder."""
        return FakeEncoder(self)


class FakeEncoder:
    """Draws each text's direction from its hash; equal texts have the same vector in both roles."""

    def __init__(self, config: FakeEncoderConfig) -> None:
        """Keep the settings."""
        self.config = config

    @property
    def key(self) -> str:
        """Return a hash of the settings."""
        return short_key(**self.config.model_dump())

    def encode(self, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None) -> NDArray[Any]:
        """Return (N, D) float32 vectors of length 1, or 0 for a text of white space."""
        shape = self.config.dimensions
        found = np.zeros((len(texts), shape))
        for row, text in enumerate((progress or Silent()).track(texts, "encoding", len(texts))):
            if text.strip():
                found[row] = _rng(self.config.seed, text).standard_normal(shape)
        return unit_rows(found)


class FakeGeneratorConfig(GeneratorConfig):
    """Answers without a model: what it is told to say, or an echo."""

    kind: Literal["fake"] = "fake"
    answers: tuple[str, ...] = ()
    """What to say, one answer for each prompt in the order of asking, and again from the start; what a schema asks
    for is then not looked at, so that wrong answers can be tried out. None: words of the prompt in an order that
    depends on its hash, or values drawn from its hash that are valid by the schema."""

    def build(self) -> FakeGenerator:
        """Return the generator."""
        return FakeGenerator(self)


class FakeGenerator:
    """Answers at once and for free; a token is four bytes."""

    def __init__(self, config: FakeGeneratorConfig) -> None:
        """Keep the settings."""
        self.config = config
        self._answers = itertools.cycle(config.answers)

    @property
    def key(self) -> str:
        """Return a hash of the settings."""
        return short_key(**self.config.model_dump())

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        progress: Progress | None = None,
    ) -> list[Completion]:
        """Return one completion for each prompt, in this order."""
        steps = (progress or Silent()).track(prompts, "generating", len(prompts))
        return [self._complete(prompt, sampling, schema) for prompt in steps]

    def stream(self, prompt: Prompt, *, sampling: Sampling, schema: Schema | None = None) -> Iterator[str]:
        """Yield the answer in pieces of four characters."""
        text = self._complete(prompt, sampling, schema).text
        for start in range(0, len(text), 4):
            yield text[start : start + 4]

    def count_tokens(self, text: str) -> int:
        """Return a fourth of the bytes."""
        return estimated_tokens(text)

    def _complete(self, prompt: Prompt, sampling: Sampling, schema: Schema | None) -> Completion:
        text = next(self._answers, None)
        if text is None:
            # As with real models, the seed has a say only where something is drawn.
            rng = _rng(sampling.seed + prompt.draw if sampling.temperature else 0, prompt.system or "", prompt.user)
            text = _echo(prompt, rng) if schema is None else json.dumps(filled(schema, rng), ensure_ascii=False)
        stopped = cut_at_stop(text, sampling.stop)
        text = text if stopped is None else stopped
        kept = text.encode()[: 4 * sampling.max_tokens].decode(errors="ignore")
        asked = sum(estimated_tokens(message["content"]) for message in prompt.messages)
        return Completion(kept, asked, estimated_tokens(kept), "stop" if kept == text else "length")


def filled(schema: Schema, rng: np.random.Generator) -> Any:
    """Return a value that is valid by a JSON schema, drawn at random.

    It knows the types, `enum`, `const`, `$ref`, `anyOf`, `oneOf`, `allOf` of one part, and the bounds of strings,
    numbers and arrays. All properties are filled, those that are not required too.

    Raises:
        ConfigError: The schema asks for what it does not know, such as a pattern.
    """
    return _filled(schema, rng, schema)


def _filled(schema: Schema, rng: np.random.Generator, root: Schema) -> Any:
    if "$ref" in schema:
        place: Any = root
        for name in schema["$ref"].removeprefix("#").strip("/").split("/"):
            place = place[name]
        return _filled(place, rng, root)
    if "const" in schema:
        return schema["const"]
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if choices:
        return _filled(choices[0], rng, root)
    if "enum" in schema:
        return schema["enum"][int(rng.integers(len(schema["enum"])))]
    if "properties" in schema:
        return {name: _filled(part, rng, root) for name, part in schema["properties"].items()}
    if schema.get("type") == "array":
        least = schema.get("minItems", 0)
        size = int(rng.integers(least, min(schema.get("maxItems", least + 3), least + 3) + 1))
        return [_filled(schema.get("items", {"type": "string"}), rng, root) for _ in range(size)]
    return _plain(schema, rng)


def _plain(schema: Schema, rng: np.random.Generator) -> Any:
    """Return a value without parts."""
    kind = schema.get("type", "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "string" and not {"pattern", "format"} & schema.keys():
        word = "".join(rng.choice(list("aeioubdgklmnprst"), 8))
        least = schema.get("minLength", 0)
        return (word * (1 + least // 8))[: schema.get("maxLength", max(8, least))]
    if kind == "integer":
        step = schema.get("multipleOf", 1)
        low, high = _bounds(schema, gap=step, width=10 * step)
        return int(rng.integers(-(-low // step), high // step + 1) * step)
    if kind == "number":
        low, high = _bounds(schema, gap=0, width=1)
        return float(low + (high - low) * rng.uniform(0.25, 0.75))
    if kind in _OTHERS:
        return _OTHERS[kind][int(rng.integers(len(_OTHERS[kind])))]
    raise ConfigError(
        f"the fake generator cannot fill {json.dumps(dict(schema))}",
        place="generator",
        remedy="Give it `answers`, or take a schema without `pattern` and `format`.",
    )


_OTHERS: dict[str, list[Any]] = {"boolean": [False, True], "null": [None], "object": [{}]}


def _bounds(schema: Schema, *, gap: float, width: float) -> tuple[Any, Any]:
    """Return the lowest and the highest value; `gap` is how far the next value is from one that is left out."""
    low = schema.get("minimum", schema["exclusiveMinimum"] + gap if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - gap if "exclusiveMaximum" in schema else None)
    if low is None:
        low = 0 if high is None else min(0, high - width)
    return low, low + width if high is None else high


def _echo(prompt: Prompt, rng: np.random.Generator) -> str:
    words = prompt.user.split()
    return " ".join(words[at] for at in rng.permutation(len(words))[:32])


def _rng(seed: int, *texts: str) -> np.random.Generator:
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, *digest])
