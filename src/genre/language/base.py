"""What a text encoder and a generator are: texts in, vectors or texts out, and a key that says by whom.

Shapes: N texts, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import DependencyError
from genre.core.run import Progress

Role: TypeAlias = Literal["item", "query"]
"""What a text is: something to be found, or something to find it by. Some encoders put different words before them."""
Finish: TypeAlias = Literal["stop", "length", "error"]
Schema: TypeAlias = Mapping[str, Any]
"""A JSON Schema."""


class TextEncoder(Protocol):
    """Turns texts into vectors whose products say how alike the texts are."""

    @property
    def key(self) -> str:
        """Return a short hash of all that decides the vectors: kind, settings, weights. Needs no model in memory."""

    def encode(self, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None) -> NDArray[Any]:
        """Return (N, D) float32 vectors of length 1, or 0 for a text without any content."""


@runtime_checkable
class LearnsFromTexts(Protocol):
    """An encoder that has to see the texts it will encode first, for instance to know which words are rare."""

    def fit(self, texts: Sequence[str]) -> TextEncoder:
        """Return the encoder that has seen them."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned."""

    def restored(self, state: Mapping[str, NDArray[Any]]) -> TextEncoder:
        """Return the encoder that has learned what `state` returned."""


class Sampling(Config):
    """How a text is drawn from a generator."""

    max_tokens: int = Field(default=256, ge=1)
    """Tokens of the answer at most."""
    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest token every time."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draws from the likeliest tokens that have this share together."""
    stop: tuple[str, ...] = ()
    """Texts before which an answer ends."""
    seed: int = 0
    """The same seed, prompt and model give the same text, whatever else is in the batch."""


@dataclass(frozen=True)
class Prompt:
    """What a generator is asked."""

    user: str
    system: str | None = None
    draw: int = 0
    """Which of several answers to the same: it is added to the seed."""
    begin: str = ""
    """How the answer begins: small models then go on in its way. It is no part of the completion."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """Return the form that chat models take."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.user}]


@dataclass(frozen=True)
class Completion:
    """What a generator has written, and what it took."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Finish = "stop"
    """`length` where `max_tokens` cut it off, `error` where there is no answer."""
    error: str | None = None
    """What went wrong, after all tries."""


class Generator(Protocol):
    """Writes."""

    @property
    def key(self) -> str:
        """Return a short hash of all that decides the texts, apart from prompt and sampling. Needs no model loaded."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        progress: Progress | None = None,
    ) -> list[Completion]:
        """Return one completion for each prompt, in this order; with a schema, JSON that is valid by it.

        A single prompt that fails is a completion with `finish="error"`; an error is raised where none can succeed.
        """

    def stream(self, prompt: Prompt, *, sampling: Sampling, schema: Schema | None = None) -> Iterator[str]:
        """Yield the answer piece by piece."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes, exactly or by an estimate that is said in the class."""


class LanguageConfig(Config):
    """What is chosen of an encoder or a generator."""

    libraries: ClassVar[Mapping[str, str]] = {}
    """The libraries that it needs, by import name, and the extra of `genre-rec` that brings each."""
    kind: str

    @property
    def local(self) -> bool:
        """Whether texts stay on this machine."""
        return True

    def check_installed(self) -> None:
        """Make sure that the optional dependencies are there.

        Raises:
            DependencyError: One of them is not.
        """
        for library, extra in self.libraries.items():
            if find_spec(library) is None:
                raise DependencyError(
                    f"needs the library {library!r}, which is not installed",
                    place=self.kind,
                    remedy=f"Install it with `pip install 'genre-rec[{extra}]'`.",
                )


class EncoderConfig(LanguageConfig):
    """Settings of a text encoder."""

    def build(self) -> TextEncoder:
        """Return the encoder; its model is loaded when it is first asked."""
        raise TypeError(f"{type(self).__name__} must say what it builds")


class GeneratorConfig(LanguageConfig):
    """Settings of a generator."""

    def build(self) -> Generator:
        """Return the generator; its model is loaded when it is first asked."""
        raise TypeError(f"{type(self).__name__} must say what it builds")


def unit_rows(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Return (N, D) float32 vectors of length 1; those of length 0 stay."""
    given = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return np.asarray(given / np.where(lengths > 0, lengths, 1), np.float32)
