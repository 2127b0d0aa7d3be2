"""The stages in their order: summaries of items, for each split profiles and imagined items, and texts rewritten.

After ONCE (Liu et al., WSDM 2024), whose GENRE uses a language model as summariser, profiler and generator, chained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import polars as pl

from genre.core.errors import ConfigError
from genre.core.run import Progress
from genre.data.columns import ITEM_ID, USER_ID
from genre.data.dataset import Dataset, Entities
from genre.data.privacy import mask_all
from genre.data.splits import Split
from genre.features.enrich.answers import ImaginedItems, ItemSummary, KeywordProfile, UserProfile
from genre.features.enrich.by_keywords import KeywordWriter
from genre.features.enrich.config import (
    EnrichConfig,
    ImagineConfig,
    ProfileConfig,
    RewriteConfig,
    SummariseConfig,
)
from genre.features.enrich.nearest import with_nearest
from genre.features.enrich.result import BETTER_TITLE, PROFILE, SUMMARY, Enrichment
from genre.features.enrich.rewrite import Rewriter, rewrite
from genre.features.enrich.subjects import Catalogue, Histories
from genre.features.enrich.writing import AnyWriter, Writer
from genre.features.store import ContentStore
from genre.features.text import Language, TextConfig, item_texts
from genre.features.versions import REWRITTEN
from genre.language.base import Generator

_PARTS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"topics": "Topics: {}.", "interests": "Interests: {}.", "tone": "Tone: {}.", "keywords": "Keywords: {}."},
    "zh": {"topics": "主题：{}。", "interests": "兴趣：{}。", "tone": "风格：{}。", "keywords": "关键词：{}。"},
}
_BETWEEN: Final[Mapping[Language, tuple[str, str]]] = {"en": (", ", " "), "zh": ("、", "")}
_ITEMS: Final[dict[str, Any]] = {ITEM_ID: pl.String, BETTER_TITLE: pl.String, SUMMARY: pl.String}
_DROPS: Final[dict[str, Any]] = dict.fromkeys(("stage", "id", "reason", "detail"), pl.String)
_PROFILES: Final[dict[str, Any]] = {
    USER_ID: pl.String,
    PROFILE: pl.String,
    "topics": pl.List(pl.String),
    "interests": pl.List(pl.String),
    "tone": pl.String,
    "keywords": pl.List(pl.String),
}


def enrich(
    data: Dataset,
    splits: Sequence[Split],
    config: EnrichConfig,
    *,
    store: ContentStore,
    progress: Progress,
    generator: Generator | None = None,
) -> Enrichment:
    """Write what is wanted of the items, and for each split of the users in its training part.

    Args:
        data: Its items are written about; its events are not looked at.
        splits: Profiles and imagined items are made of the training events alone; items that nobody liked in any of
            them are not rewritten.
        config: What is wanted.
        store: Where answers are kept: what is in it is not asked again.
        progress: Shows how far it has come.
        generator: Who writes, by default the one of the config.

    Raises:
        ConfigError: A table has one of the new columns already.
        DataError: The items have no text.
    """
    check_columns(data, config)
    writer = make_writer(config, store, progress, generator)
    catalogue = read_catalogue(data.items, config)
    summaries: dict[str, ItemSummary] = {}
    wanted = config.stage(SummariseConfig)
    if wanted is not None:
        summaries = writer.write(wanted, catalogue.tasks(), ItemSummary, name=wanted.kind, masked=catalogue.masked)
    profiles, imagined = [], []
    for place, part in enumerate(splits):
        histories = Histories(catalogue, summaries, part.train)
        label = "" if len(splits) == 1 else f", split {place + 1}"
        written = _profiles(writer, histories, config, label)
        profiles.append(written)
        imagined.append(_imagined(writer, histories, written, config, label, store, progress))
    again = config.stage(RewriteConfig)
    versions = None if again is None else rewrite(writer, Rewriter.of(data.items, splits, config, again))
    return Enrichment(
        None if wanted is None else _items_frame(summaries),
        None if config.stage(ProfileConfig) is None else tuple(profiles),
        None if config.stage(ImagineConfig) is None else tuple(imagined),
        pl.DataFrame([asdict(drop) for drop in writer.drops], schema=_DROPS),
        [account.to_dict() for account in writer.accounts],
        versions,
    )


def make_writer(
    config: EnrichConfig, store: ContentStore, progress: Progress, generator: Generator | None = None
) -> AnyWriter:
    """Return who writes by this config."""
    if config.method == "keywords":
        return KeywordWriter(config.language, progress)
    return Writer(config, generator or config.generator.build(), store, progress)


def read_catalogue(items: Entities, config: EnrichConfig) -> Catalogue:
    """Return what is read of the items; personal data is masked where the generator is not on this machine."""
    wanted = config.stage(SummariseConfig) or SummariseConfig()
    text = wanted.text.model_copy(update={"language": config.language})
    return Catalogue.read(items, text, mask=config.method == "llm" and not config.generator.local)


def check_columns(data: Dataset, config: EnrichConfig) -> None:
    """Make sure that no column would be written over.

    Raises:
        ConfigError: One would.
    """
    wanted: list[tuple[str, Entities, str]] = []
    if config.stage(SummariseConfig) is not None:
        wanted += [("items", data.items, BETTER_TITLE), ("items", data.items, SUMMARY)]
    if config.stage(ProfileConfig) is not None:
        wanted.append(("users", data.users, PROFILE))
    if config.stage(RewriteConfig) is not None:
        wanted.append(("items", data.items, REWRITTEN))
    for table, entities, column in wanted:
        if column in entities.frame.columns:
            raise ConfigError(
                f"the table has a column {column!r} already",
                place=f"enrich, table {table!r}",
                remedy="Give the column another name in the file, or leave the stage out that writes it.",
            )


def _profiles(writer: AnyWriter, histories: Histories, config: EnrichConfig, label: str) -> pl.DataFrame:
    stage = config.stage(ProfileConfig)
    if stage is None:
        return pl.DataFrame(schema=_PROFILES)
    form: type[UserProfile | KeywordProfile] = UserProfile if config.method == "llm" else KeywordProfile
    tasks = histories.profile_tasks(stage)
    found = writer.write(stage, tasks, form, name=f"{stage.kind}{label}", masked=histories.catalogue.masked)
    rows = []
    for user, answer in found.items():
        parts: dict[str, Any] = answer.model_dump()
        rows.append({USER_ID: user, PROFILE: _in_words(parts, config.language), **parts})
    return pl.DataFrame(rows, schema=_PROFILES)


def _imagined(
    writer: AnyWriter,
    histories: Histories,
    profiles: pl.DataFrame,
    config: EnrichConfig,
    label: str,
    store: ContentStore,
    progress: Progress,
) -> pl.DataFrame:
    stage = config.stage(ImagineConfig)
    if stage is None:
        return pl.DataFrame()
    tasks = histories.imagine_tasks(stage, dict(profiles.select(USER_ID, PROFILE).iter_rows()))
    found = writer.write(stage, tasks, ImaginedItems, name=f"{stage.kind}{label}", masked=histories.catalogue.masked)
    texts = pl.Series(item_texts(histories.data.items, TextConfig()), dtype=pl.String)
    if not stage.encoder.local:
        texts, _ = mask_all(texts)
    return with_nearest(found, histories.data, texts.to_list(), stage, store, progress)


def _items_frame(summaries: Mapping[str, ItemSummary]) -> pl.DataFrame:
    rows = [(item, answer.title, answer.summary) for item, answer in summaries.items()]
    return pl.DataFrame(rows, schema=_ITEMS, orient="row")


def _in_words(parts: Mapping[str, Any], language: Language) -> str:
    """Return a profile as a text: what it holds of topics, interests, tone and keywords."""
    comma, space = _BETWEEN[language]
    found = {name: part if isinstance(part, str) else comma.join(dict.fromkeys(part)) for name, part in parts.items()}
    return space.join(form.format(found[name]) for name, form in _PARTS[language].items() if found.get(name))
