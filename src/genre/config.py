"""The table of contents: what a config file may name.

A recommender is part of Genre once its config class is imported here: its `kind` may then stand in YAML, `genre models`
lists it and the contract tests run over it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, Union

from pydantic import Field

from genre.recommenders.base import RecommenderConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.popularity import PopularityConfig

RECOMMENDERS: tuple[type[RecommenderConfig], ...] = tuple(
    entry
    for entry in list(vars().values())
    if isinstance(entry, type) and issubclass(entry, RecommenderConfig) and entry is not RecommenderConfig
)
"""Every recommender imported above."""
