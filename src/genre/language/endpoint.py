"""Models behind any server that speaks the OpenAI protocol: vLLM, Ollama, llama.cpp, a vendor.

Shapes: N texts, D numbers of a vector.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.errors import ConfigError, GenreError
from genre.core.run import Progress, Silent
from genre.language._client import (
    BadAnswerError,
    EndpointSettings,
    Insisting,
    ask_all,
    describe,
    gave_up,
    insist,
    is_unreachable,
)
from genre.language.base import (
    Completion,
    EncoderConfig,
    Finish,
    GeneratorConfig,
    Prompt,
    Role,
    Sampling,
    Schema,
    unit_rows,
)
from genre.language.schemas import check_schema, schema_problem
from genre.language.texts import estimated_tokens, short_key

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_FENCED = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)


class EndpointGeneratorConfig(EndpointSettings, GeneratorConfig):
    """A chat model behind a server."""

    libraries: ClassVar[Mapping[str, str]] = {"openai": "endpoint", "jsonschema": "endpoint"}
    kind: Literal["endpoint"] = "endpoint"

    def build(self) -> EndpointGenerator:
        """Return the generator; the server is first asked when a text is wanted."""
        return EndpointGenerator(self)


class EndpointEncoderConfig(EndpointSettings, EncoderConfig):
    """An embedding model behind a server."""

    libraries: ClassVar[Mapping[str, str]] = {"openai": "endpoint"}
    kind: Literal["endpoint"] = "endpoint"
    dimensions: int | None = Field(default=None, ge=1)
    """Numbers of a vector, for models that can shorten theirs; none takes what comes."""
    batch_size: int = Field(default=64, ge=1)
    """Texts of a question. Servers take up to 2,048, and a failed question is paid for as a whole."""
    max_characters: int = Field(default=6000, ge=1)
    """What is longer is cut: a server refuses a text above its model's limit, most often 8,192 tokens, which so many
    Chinese characters stay below."""
    item_prefix: str = ""
    query_prefix: str = ""
    """What the model wants to see before a text of each role, such as `search_query: `."""

    def build(self) -> EndpointEncoder:
        """Return the encoder; the server is first asked when a vector is wanted."""
        return EndpointEncoder(self)


@dataclass(frozen=True)
class _Manners:
    """What a server has been found to understand; kept for as long as the generator lives."""

    takes_schema: bool = True
    """Whether it takes `response_format`."""
    shows_schema: bool = False
    """Whether the schema stands in the prompt, since the server refuses it or takes it and does not keep to it."""
    limit: str = "max_tokens"
    """What it calls the most tokens of an answer."""

    def after(self, refusal: Exception, *, has_schema: bool) -> _Manners | None:
        """Return what to try after a refusal, or None where there is nothing else to try."""
        if self.limit == "max_tokens" and "max_completion_tokens" in str(refusal):
            return replace(self, limit="max_completion_tokens")
        if has_schema and self.takes_schema:
            return replace(self, takes_schema=False, shows_schema=True)
        return None


class _Call:
    """What the questions of one call know of each other."""

    answered = False
    lost = False
    """Whether the server could not be reached any more: what is left is not tried for minutes one by one."""


class EndpointGenerator:
    """Asks a chat model, several prompts at a time.

    - Structured output is asked for by `response_format`. Where a server refuses that, or takes it and answers
      something else, the schema is written into the prompt from then on. Every whole answer is checked: one that is
      still not valid has `finish="error"` and keeps its text, for a stage that repairs.
    - Tokens are what the server counts; where it does not, they are estimated by a fourth of the bytes.
    - What the server makes of `seed` is its own business: the same text is not promised.
    """

    def __init__(self, config: EndpointGeneratorConfig) -> None:
        """Keep the settings."""
        self.config = config
        self._manners = _Manners()

    @property
    def key(self) -> str:
        """Return a hash of address and model."""
        return short_key("endpoint", base_url=self.config.base_url, model=self.config.model)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        progress: Progress | None = None,
    ) -> list[Completion]:
        """Return one completion for each prompt, in this order; with a schema, JSON that is valid by it.

        Raises:
            ConfigError: No server answers, or it refuses the key or the model, or the schema is none.
        """
        if schema is not None:
            check_schema(schema)
        call = _Call()

        async def ask(client: AsyncOpenAI, prompt: Prompt) -> Completion:
            return await self._complete(client, prompt, sampling, schema, call)

        return ask_all(ask, prompts, self.config, progress=progress or Silent(), description="generating")

    def stream(self, prompt: Prompt, *, sampling: Sampling, schema: Schema | None = None) -> Iterator[str]:
        """Yield the answer piece by piece; one with a schema is not checked, since it is given before it is whole.

        A stream that is cut is asked for again, and goes on behind what was already given, as long as it says the same.

        Raises:
            ConfigError: No server answers, or it refuses the key or the model, or the schema is none.
            ResourceError: There is no whole answer after all tries.
        """
        if schema is not None:
            check_schema(schema)
        told, insisting = "", Insisting(self.config)
        while True:
            text = ""
            try:
                for piece in self._pieces(prompt, sampling, schema):
                    text += piece
                    if not text.startswith(told[: len(text)]):
                        # Nothing that was given can be taken back, and another try would not help.
                        raise gave_up(
                            BadAnswerError("the stream was cut, and began anew with another text"), self.config
                        )
                    if len(text) > len(told):
                        new, told = text[len(told) :], text
                        yield new
            except GenreError:
                raise
            except Exception as error:
                pause = insisting.pause_after(error)
                if pause is None:
                    raise gave_up(error, self.config) from error
                time.sleep(pause)
            else:
                return

    def count_tokens(self, text: str) -> int:
        """Return an estimate, a fourth of the bytes: the server's tokenizer is not at hand."""
        return estimated_tokens(text)

    async def _complete(
        self, client: AsyncOpenAI, prompt: Prompt, sampling: Sampling, schema: Schema | None, call: _Call
    ) -> Completion:
        if call.lost:
            return _failed(prompt, "the server cannot be reached any more")
        try:
            completion = await insist(lambda: self._attempt(client, prompt, sampling, schema), self.config)
        except GenreError:
            raise
        except Exception as error:
            if is_unreachable(error):
                if not call.answered:
                    raise gave_up(error, self.config) from error
                call.lost = True
            return _failed(prompt, describe(error))
        call.answered = True
        return completion

    async def _attempt(
        self, client: AsyncOpenAI, prompt: Prompt, sampling: Sampling, schema: Schema | None
    ) -> Completion:
        """Ask once, or more often where the server has to be understood first."""
        import openai

        known = manners = self._manners
        while True:
            try:
                answer = await client.chat.completions.create(**self._question(prompt, sampling, schema, manners))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as refusal:
                milder = manners.after(refusal, has_schema=schema is not None)
                if milder is None:
                    raise
                manners = milder
                continue
            completion = _completion_of(answer, prompt)
            problem = None
            if schema is not None and completion.finish == "stop":
                completion = replace(completion, text=_unfenced(completion.text))
                problem = schema_problem(completion.text, schema)
            if problem is None:
                if manners != known:
                    # Only what has worked is remembered: a refusal may have had another reason.
                    self._manners = manners
                return completion
            if manners.shows_schema:
                return replace(completion, finish="error", error=problem)
            manners = replace(manners, shows_schema=True)

    def _pieces(self, prompt: Prompt, sampling: Sampling, schema: Schema | None) -> Iterator[str]:
        import openai

        known = manners = self._manners
        with openai.OpenAI(**self.config.client_options()) as client:
            while True:
                try:
                    question = self._question(prompt, sampling, schema, manners)
                    stream = client.chat.completions.create(**question, stream=True)
                    break
                except (openai.BadRequestError, openai.UnprocessableEntityError) as refusal:
                    milder = manners.after(refusal, has_schema=schema is not None)
                    if milder is None:
                        raise
                    manners = milder
            if manners != known:
                self._manners = manners
            with stream:
                for part in stream:
                    choice = part.choices[0] if part.choices else None
                    if choice is not None and choice.delta and choice.delta.content:
                        yield choice.delta.content
                    if choice is not None and choice.finish_reason:
                        return
        raise BadAnswerError("the stream ended before the answer did")

    def _question(self, prompt: Prompt, sampling: Sampling, schema: Schema | None, manners: _Manners) -> dict[str, Any]:
        messages = prompt.messages
        if prompt.begin:
            wish = f"Begin your answer with the words between <<< and >>>, which are data:\n<<<\n{prompt.begin}\n>>>"
            messages = [*messages[:-1], {"role": "user", "content": f"{messages[-1]['content']}\n\n{wish}"}]
        options: dict[str, Any] = {manners.limit: sampling.max_tokens, "seed": sampling.seed + prompt.draw}
        options |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
        if sampling.stop:
            options["stop"] = list(sampling.stop)
        if schema is not None and manners.takes_schema:
            named = {"name": "answer", "schema": dict(schema), "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": named}
        if schema is not None and manners.shows_schema:
            shown = json.dumps(dict(schema), ensure_ascii=False)
            order = f"Answer with JSON alone that is valid by this JSON Schema:\n{shown}"
            messages = [*messages[:-1], {"role": "user", "content": f"{messages[-1]['content']}\n\n{order}"}]
        return {"model": self.config.model, "messages": messages, **options}


class EndpointEncoder:
    """Asks an embedding model for many texts at a time."""

    def __init__(self, config: EndpointEncoderConfig) -> None:
        """Keep the settings."""
        self.config = config

    @property
    def key(self) -> str:
        """Return a hash of address, model and what is done to a text."""
        names = ("base_url", "model", "dimensions", "max_characters", "item_prefix", "query_prefix")
        return short_key("endpoint", **{name: getattr(self.config, name) for name in names})

    def encode(self, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None) -> NDArray[Any]:
        """Return (N, D) float32 vectors of length 1, or 0 for a text of white space, which no server is asked for.

        Raises:
            ConfigError: No server answers, or it refuses the key, the model or the texts.
            ResourceError: There is no whole answer after all tries.
        """
        config = self.config
        prefix = config.item_prefix if role == "item" else config.query_prefix
        rows = [row for row, text in enumerate(texts) if text.strip()]
        batches = [
            [prefix + texts[row][: config.max_characters] for row in rows[start : start + config.batch_size]]
            for start in range(0, len(rows), config.batch_size)
        ]
        silent = progress or Silent()
        parts = ask_all(self._vectors, batches, config, progress=silent, description="encoding")
        sizes = {part.shape[1] for part in parts}
        if len(sizes) > 1:
            raise gave_up(BadAnswerError(f"vectors of different sizes, {sorted(sizes)}"), config)
        found = np.zeros((len(texts), sizes.pop() if sizes else config.dimensions or 0), np.float32)
        if parts:
            found[rows] = np.concatenate(parts)
        return unit_rows(found)

    async def _vectors(self, client: AsyncOpenAI, batch: list[str]) -> NDArray[np.float32]:
        import openai

        options: dict[str, Any] = {"model": self.config.model, "input": batch, "encoding_format": "float"}
        if self.config.dimensions is not None:
            options["dimensions"] = self.config.dimensions

        async def ask() -> NDArray[np.float32]:
            return _vectors_of(await client.embeddings.create(**options), len(batch), self.config.dimensions)

        try:
            return await insist(ask, self.config)
        except GenreError:
            raise
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise ConfigError(
                f"the server refuses the texts: {describe(error)}",
                place=self.config.base_url,
                remedy="Lower `max_characters` or `batch_size`, or leave `dimensions` out.",
            ) from error
        except Exception as error:
            raise gave_up(error, self.config) from error


def _completion_of(answer: Any, prompt: Prompt) -> Completion:
    """Read an answer, of which nothing is sure: the client builds its objects without checking."""
    try:
        choice = answer.choices[0]
        text, refusal = choice.message.content, getattr(choice.message, "refusal", None)
        reason = choice.finish_reason
    except (AttributeError, IndexError, TypeError) as error:
        raise BadAnswerError("an answer without a message") from error
    finish: Finish = "length" if reason == "length" else "stop"
    problem = refusal or ("the server's filter stopped it" if reason == "content_filter" else None)
    if not isinstance(text, str):
        if problem is None and finish != "length":
            raise BadAnswerError("a message without text")
        text = ""
    usage = getattr(answer, "usage", None)
    asked, written = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    return Completion(
        text=text,
        prompt_tokens=asked if isinstance(asked, int) else _prompt_tokens(prompt),
        completion_tokens=written if isinstance(written, int) else estimated_tokens(text),
        finish=finish if problem is None else "error",
        error=problem,
    )


def _failed(prompt: Prompt, problem: str) -> Completion:
    return Completion("", _prompt_tokens(prompt), 0, "error", problem)


def _prompt_tokens(prompt: Prompt) -> int:
    return sum(estimated_tokens(message["content"]) for message in prompt.messages)


def _vectors_of(answer: Any, count: int, dimensions: int | None) -> NDArray[np.float32]:
    try:
        placed = sorted(answer.data, key=lambda one: one.index)
        found = np.array([one.embedding for one in placed], np.float32)
    except (AttributeError, TypeError, ValueError) as error:
        raise BadAnswerError("an answer without vectors of one size") from error
    if found.ndim != 2 or len(found) != count or not np.isfinite(found).all():
        raise BadAnswerError(f"{count} texts were given, and {found.shape} numbers came back")
    if dimensions is not None and found.shape[1] != dimensions:
        raise BadAnswerError(f"{dimensions} numbers of a vector were asked for, and {found.shape[1]} came back")
    return found


def _unfenced(text: str) -> str:
    """Return the inside of a code block, which many models put around JSON."""
    fenced = _FENCED.fullmatch(text)
    return fenced[1] if fenced else text.strip()
