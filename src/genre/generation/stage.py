"""Which texts a run writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl
from pydantic import Field, field_validator, model_validator

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.data.dataset import Entities
from genre.features.text import Language
from genre.generation.judging import JudgeConfig
from genre.generation.kinds import kind_of
from genre.generation.own_data import check_columns
from genre.generation.scenarios import ScenarioName
from genre.generation.sentences import length_of, sentences_of
from genre.generation.write_config import WriteConfig
from genre.language.encoders import AnyEncoder
from genre.language.minilm import MiniLmConfig
from genre.metrics.personal import AMONG
from genre.metrics.readability import chinese_reading, flesch
from genre.metrics.texts import bleu, check_sacrebleu, chrf, rouge_l, rouge_n
from genre.metrics.variety import distinct

_READING: Final = ("reading_ease", "school_grade")
_CHINESE_READING: Final = ("sentence_characters", "clause_characters", "rare_characters")


class PersonalFitConfig(Config):
    """Whether one can tell from a text for whom it was written. Texts about the same items are written for it."""

    encoder: AnyEncoder = MiniLmConfig()
    """What texts and people are compared with: another than `encoder`, or the writer would judge itself. The default
    knows next to no Chinese."""
    people: int = Field(default=20, ge=AMONG)
    """For how many people: spread over those with the shortest to the longest histories."""
    items: int = Field(default=2, ge=1)
    """About how many items, the same for all."""
    withheld: float = Field(default=0.33, gt=0, lt=1)
    """Share of the newest likes of each person that the writer is not shown, and the person is known by."""


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
    personal: PersonalFitConfig | None = None
    """Measures how well texts fit their readers; none writes no further texts."""
    judge: JudgeConfig | None = None
    """A language model that compares what `generator` wrote with what is put together from the facts; nobody by
    default."""
    reason_draws: int = Field(default=8, ge=0)
    """Where reasons are written: with how many choices of other events each is compared, to see whether the model goes
    by what it cites. Each takes the model another answer; 0 leaves it out."""

    @model_validator(mode="after")
    def _is_judged_by_others(self) -> TextsConfig:
        if self.personal is not None and self.personal.encoder == self.encoder:
            raise ValueError("`personal.encoder` is the `encoder` that texts are chosen with: take another")
        if self.judge is not None and self.generator is None:
            raise ValueError("a `judge` compares what a language model wrote, and there is no `generator`")
        return self

    def check_installed(self) -> None:
        """Make sure that the libraries of models and measures are there, and the files that are named can be used.

        Raises:
            ConfigError: The audit log cannot be written.
            DataError: What was preferred cannot be read.
            DependencyError: A library is not there.
        """
        super().check_installed()
        if self.references is not None:
            check_sacrebleu()
        if self.personal is not None:
            self.personal.encoder.check_installed()
        if self.judge is not None:
            self.judge.generator.check_installed()

    @field_validator("kinds")
    @classmethod
    def _are_different(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"{list(kinds)} names a kind twice")
        return kinds

    def check_columns(self, items: Entities, users: Entities) -> None:
        """Make sure that the references are there, and what people are addressed by.

        Raises:
            ConfigError: There is no such column, or it holds no texts.
        """
        check_columns(users, self.address_by)
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
    """Return what can be measured of texts of one kind: length, variety, readability, and nearness to references."""
    written = [text["text"] for text in texts]
    different, every = distinct(written, 2).sum(0)
    found = {
        "words": sum(map(length_of, written)) / len(written),
        "distinct_2": float(different / every) if every else float("nan"),
    }
    # All texts are read as one passage, since measures of readability are made for longer ones.
    passage = [[sentence for text in written for sentence in sentences_of(text)]]
    if texts[0]["language"] == "zh":
        found |= zip(_CHINESE_READING, chinese_reading(passage)[0].tolist(), strict=True)
    else:
        found |= zip(_READING, flesch(passage)[0].tolist(), strict=True)
    pairs = [(text["text"], text["reference"]) for text in texts if text.get("reference")]
    if pairs:
        own, wanted = zip(*pairs, strict=True)
        found |= {f"rouge_{n}": float(rouge_n(own, wanted, n).mean()) for n in (1, 2)}
        found |= {"rouge_l": float(rouge_l(own, wanted).mean()), "bleu": bleu(own, wanted), "chrf": chrf(own, wanted)}
    return found


def _told_of(about: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what the provenance of texts of one kind says of truth and fluency."""
    found: dict[str, float] = {}
    shown = [one["claims"] for one in about if "claims" in one]
    if made := sum(one["made"] for one in shown):
        found["claims_true"] = sum(one["grounded"] for one in shown) / made
    if shown:
        found["texts_true"] = sum(one["made"] == one["grounded"] for one in shown) / len(shown)
    drawn: Counter[str] = Counter()
    for one in about:
        drawn.update(one.get("drawn_claims", {}))
    if drawn["made"]:
        found["drawn_claims_true"] = drawn["grounded"] / drawn["made"]
    if drawn["texts"]:
        found["drawn_texts_true"] = drawn["true"] / drawn["texts"]
    fluency = [one["scores"]["fluency"] for one in about if one.get("scores", {}).get("fluency") is not None]
    if fluency:
        found["bits_per_byte"] = -sum(fluency) / len(fluency)
    return found


def account_of_texts(texts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each kind in what was written, how many texts came from where, what was refused, and measures.

    Args:
        texts: With `kind`, `language`, `text`, `writer` and `provenance`, and `reference` where there is one.
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
                **_told_of(about),
            }
        )
    return found
