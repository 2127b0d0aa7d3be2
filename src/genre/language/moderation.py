"""Somebody else's word on whether a text may be shown: an endpoint that speaks the OpenAI protocol of moderation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from genre.core.errors import GenreError
from genre.core.run import Progress, Silent
from genre.language._client import BadAnswerError, EndpointSettings, ask_all, gave_up, insist
from genre.language.base import LanguageConfig

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class ModerationConfig(EndpointSettings, LanguageConfig):
    """Where texts are judged. They leave this machine unless the server is on it."""

    libraries: ClassVar[Mapping[str, str]] = {"openai": "endpoint"}
    kind: Literal["moderation"] = "moderation"
    model: str = "omni-moderation-latest"
    """The name of the model on the server."""


class Moderator:
    """Asks a server about texts, one at a time, several at once."""

    def __init__(self, config: ModerationConfig) -> None:
        """Keep the settings."""
        self.config = config

    def flags(self, texts: Sequence[str], *, progress: Progress | None = None) -> list[tuple[str, ...]]:
        """Return for each text the categories for which it may not be shown, none where it may.

        Raises:
            ConfigError: No server answers, or it refuses the key or the model.
            ResourceError: There is no whole answer after all tries. Nothing has been judged then.
        """
        return ask_all(self._one, texts, self.config, progress=progress or Silent(), description="moderating")

    async def _one(self, client: AsyncOpenAI, text: str) -> tuple[str, ...]:
        async def ask() -> tuple[str, ...]:
            return _flags_of(await client.moderations.create(model=self.config.model, input=text))

        try:
            return await insist(ask, self.config)
        except GenreError:
            raise
        except Exception as error:
            raise gave_up(error, self.config) from error


def _flags_of(answer: Any) -> tuple[str, ...]:
    results = getattr(answer, "results", None)
    if not results or not isinstance(getattr(results[0], "flagged", None), bool):
        raise BadAnswerError("an answer without a judgement")
    if not results[0].flagged:
        return ()
    categories = results[0].categories.model_dump() if results[0].categories is not None else {}
    return tuple(sorted(name for name, value in categories.items() if value)) or ("flagged",)
