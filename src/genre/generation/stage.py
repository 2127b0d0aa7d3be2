"""Which texts a run writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from genre.features.text import Language
from genre.generation.kinds import kind_of
from genre.generation.scenarios import ScenarioName
from genre.generation.writer import WriteConfig


class TextsConfig(WriteConfig):
    """What a run writes about what it recommends, into `content.jsonl` and the report."""

    kinds: tuple[str, ...] = Field(default=("synopsis",), min_length=1)
    """What is written, such as `title` or `synopsis`, or the paths of files of your own."""
    users: int = Field(default=20, ge=1)
    """For how many people: spread over those with the shortest to the longest histories."""
    n: int = Field(default=3, ge=1)
    """About how many items for each."""
    language: Language = "en"
    scenario: ScenarioName = "shop"
    """Where the texts are shown."""

    @field_validator("kinds")
    @classmethod
    def _are_different(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"{list(kinds)} names a kind twice")
        return kinds

    def check_kinds(self) -> None:
        """Make sure that all kinds can be read.

        Raises:
            ConfigError: There is no such kind, or a file is not of the form.
        """
        for name in self.kinds:
            kind_of(name, self.language)


def account_of_texts(texts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each kind in what was written, how many texts came from where, and what was refused."""
    found = []
    for kind in dict.fromkeys(text["kind"] for text in texts):
        own = [text for text in texts if text["kind"] == kind]
        about = [text["provenance"] for text in own]
        refused: Counter[str] = Counter()
        for one in about:
            refused.update(one.get("refused", {}))
        found.append(
            {
                "kind": kind,
                "texts": len(own),
                "by the model": sum(text["writer"] == "model" for text in own),
                "repaired": sum(one["repaired"] for one in about),
                "fell back": sum(one["fell_back"] for one in about),
                "refused": dict(refused.most_common()),
            }
        )
    return found
