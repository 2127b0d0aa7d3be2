"""Which texts a run writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field, field_validator

from genre.core.errors import ConfigError
from genre.data.dataset import Entities
from genre.features.text import Language
from genre.generation.kinds import kind_of
from genre.generation.scenarios import ScenarioName
from genre.generation.sentences import length_of
from genre.generation.write_config import WriteConfig
from genre.metrics.texts import bleu, check_sacrebleu, chrf, rouge_l, rouge_n
from genre.metrics.variety import distinct


class TextsConfig(WriteConfig):
    """What a run writes about what it recommends, into `content.jsonl` and the report."""

    kinds: tuple[str, ...] = Field(default=("synopsis",), min_length=1)
    """What is written, such as `title` or `synopsis`, or the paths of files of your own. Of a `profile` and a `path`
    there is one for each person, of the others one for each item."""
    users: int = Field(default=20, ge=1)
    """For how many people: spread over those with the shortest to the longest histories."""
    n: int = Field(default=3, ge=1)
    """About how many items for each; a `path` puts them in an order."""
    language: Language = "en"
    scenario: ScenarioName = "shop"
    """Where the texts are shown."""
    references: str | None = None
    """An item column with texts that people wrote of the same, such as taglines; no facts are read from it, and the
    report says how near to it what was written comes."""

    def check_installed(self) -> None:
        """Make sure that the libraries of model and measures are there.

        Raises:
            DependencyError: One of them is not.
        """
        super().check_installed()
        if self.references is not None:
            check_sacrebleu()

    @field_validator("kinds")
    @classmethod
    def _are_different(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"{list(kinds)} names a kind twice")
        return kinds

    def check_columns(self, items: Entities) -> None:
        """Make sure that the references are there.

        Raises:
            ConfigError: There is no such column, or it holds no texts.
        """
        texts = [name for name, dtype in items.frame.schema.items() if dtype == pl.String]
        if self.references is not None and self.references not in texts:
            raise ConfigError(
                f"there are no references in {self.references!r}: it is no column with texts",
                place="write.references",
                remedy=f"Choose from {', '.join(texts)}, or leave it out.",
            )

    def check_kinds(self) -> None:
        """Make sure that all kinds can be read.

        Raises:
            ConfigError: There is no such kind, a file is not of the form, or it answers questions.
        """
        for name in self.kinds:
            if "question" in kind_of(name, self.language).inputs:
                raise ConfigError(
                    f"{name!r} answers a question, and nobody asks one in a run",
                    place="write.kinds",
                    remedy="Leave it out; `genre write --kind answer --question` answers one.",
                )


def _measured(texts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean length in words, distinct-2 over all texts, and how near they come to their references."""
    written = [text["text"] for text in texts]
    different, every = distinct(written, 2).sum(0)
    found = {
        "words": sum(map(length_of, written)) / len(written),
        "distinct_2": float(different / every) if every else float("nan"),
    }
    pairs = [(text["text"], text["reference"]) for text in texts if text.get("reference")]
    if pairs:
        own, wanted = zip(*pairs, strict=True)
        found |= {f"rouge_{n}": float(rouge_n(own, wanted, n).mean()) for n in (1, 2)}
        found |= {"rouge_l": float(rouge_l(own, wanted).mean()), "bleu": bleu(own, wanted), "chrf": chrf(own, wanted)}
    return found


def account_of_texts(texts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each kind in what was written, how many texts came from where, what was refused, and measures.

    Args:
        texts: With `kind`, `text`, `writer` and `provenance`, and `reference` where there is one.
    """
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
                **_measured(own),
            }
        )
    return found
