"""Other versions of the items' texts, for a network to read while it is trained, and never to answer from.

Shapes: V versions, K items that somebody liked.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.data.dataset import Entities, Vocabulary
from genre.features.text import TextConfig, cut_text, item_texts, texts_with_gaps

REWRITTEN: Final = "rewritten"
"""Item column with a list of what the stage `rewrite` has written. It has no role, so that nothing else reads it."""
_SEED: Final = 20
"""Which fields are left out is the same for all seeds of an experiment: so each version is encoded once for all of
them. Which version a step reads, its own seed decides."""


class VersionsConfig(Config):
    """Which other versions of an item's text a training step may read, so that a network hangs on no single wording.

    Answers are always given from the real texts, those about new items too, and so is whitening fitted.
    """

    field_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of each field of a text to be left out of a version; one that says something always stays."""
    num_dropouts: int = Field(default=4, ge=1)
    """Versions of each item with fields left out. They are encoded beforehand: each costs as much as the real texts."""
    rewritten: bool = False
    """Whether versions are read that a language model has written: see the stage `rewrite` of `enrich`."""
    share: float = Field(default=0.5, ge=0, le=1)
    """Share of the items that a training step reads in another version, drawn anew for every step and item; all
    versions of an item are equally likely."""

    @property
    def wanted(self) -> bool:
        """Whether there is anything but the real texts."""
        return self.share > 0 and (self.field_dropout > 0 or self.rewritten)


def version_texts(
    items: Entities, known: NDArray[np.bool_], text: TextConfig, config: VersionsConfig
) -> list[list[str]]:
    """Return V versions of the texts of the K `known` items; the real text where an item has fewer than others.

    Raises:
        ConfigError: Nothing was rewritten, or no item has a second field that could stay.
    """
    if not config.wanted:
        return []
    learned = Entities(Vocabulary(items.vocabulary.ids.filter(known)), items.frame.filter(known), items.roles)
    found: list[list[str]] = []
    if config.field_dropout and len(learned):
        rng = np.random.default_rng(_SEED)
        found += texts_with_gaps(learned, text, config.field_dropout, config.num_dropouts, rng)
    if config.rewritten:
        found += _rewritten(learned, text)
    return found


def with_versions(items: Entities, versions: pl.DataFrame) -> Entities:
    """Return the items with what was rewritten of each (`item_id`, `text`) as a list, null where there is nothing."""
    name = versions.columns[0]
    lists = versions.group_by(name, maintain_order=True).agg(pl.col("text").alias(REWRITTEN))
    return Entities(items.vocabulary, items.frame.join(lists, on=name, how="left", maintain_order="left"), items.roles)


def _rewritten(items: Entities, text: TextConfig) -> list[list[str]]:
    if REWRITTEN not in items.frame.columns:
        raise ConfigError(
            "is true, and nothing was rewritten: the items have no other versions",
            place="versions.rewritten",
            remedy="Add the stage `{kind: rewrite}` to `enrich.stages`, or set it to false.",
        )
    lists = [
        [cut_text(version, text.max_tokens) for version in versions or ()]
        for versions in items.frame[REWRITTEN].to_list()
    ]
    real = item_texts(items, text, required=False)
    return [
        [versions[at] if at < len(versions) else own for versions, own in zip(lists, real, strict=True)]
        for at in range(max(map(len, lists), default=0))
    ]
