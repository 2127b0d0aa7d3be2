"""Where texts are shown: what an item is called there, and which claims must be covered by its facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from genre.features.text import Language
from genre.generation.protected import Protected

ScenarioName: TypeAlias = Literal["shop", "news", "video", "music", "social", "courses"]


@dataclass(frozen=True)
class Scenario:
    """One place."""

    name: ScenarioName
    noun: str
    """What an item is called."""
    person: str
    """What somebody is called who reads about it."""
    protected: tuple[Protected, ...]
    """Classes of claims that must stand in the facts."""


_ALL: Final[tuple[Protected, ...]] = ("price", "availability", "health", "awards", "guarantees")
_WORDS: Final[dict[ScenarioName, dict[Language, tuple[str, str]]]] = {
    "shop": {"en": ("product", "customer"), "zh": ("商品", "顾客")},
    "news": {"en": ("article", "reader"), "zh": ("文章", "读者")},
    "video": {"en": ("film", "viewer"), "zh": ("影片", "观众")},
    "music": {"en": ("recording", "listener"), "zh": ("音乐", "听众")},
    "social": {"en": ("post", "reader"), "zh": ("帖子", "读者")},
    "courses": {"en": ("course", "learner"), "zh": ("课程", "学员")},
}


def scenario_of(name: ScenarioName, language: Language) -> Scenario:
    """Return a scenario in a language."""
    return Scenario(name, *_WORDS[name][language], protected=_ALL)
