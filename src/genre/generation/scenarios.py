"""Where texts are shown: what items are called, what must stand in their facts, and what may not be said at all."""

from __future__ import annotations

import re
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
    banned: tuple[re.Pattern[str], ...] = ()
    """What may not be said there, whatever the facts say."""


_ALL: Final[tuple[Protected, ...]] = ("price", "availability", "health", "awards", "guarantees")
_MORE: Final[dict[ScenarioName, tuple[Protected, ...]]] = {
    "shop": ("superlatives",),
    "courses": ("superlatives",),
    "news": ("sensation",),
    "social": ("sensation",),
}
"""What must stand in the facts beside that. An invented tone is as false in a headline as an invented number."""
_BANNED: Final[dict[ScenarioName, tuple[str, ...]]] = {
    # A seller who says so in the description is not repeated either.
    "shop": (r"\bmiracle cures?\b|\bcures? (?:all|any|every|cancer|diabetes)\b|包治百病|药到病除|根治",),
    # The Advertising Law of China, article 24, forbids promises of admission, of passing and of what learning brings.
    "courses": (
        r"\bguarantee[ds]? (?:(?:you|your|an?|the) )?(?:\w+ )?"
        r"(?:jobs?|offer|pass(?:ing)?|admission|scores?|grades?|salary|placement|success)\b",
        r"\b(?:job|pass|admission|score|salary|placement|success)(?: is| are)? guarantee[ds]?\b|\b100 ?% pass\w*\b",
        r"包过|保过|必过|稳过|包就业|保就业|包分配|包录取|保录取|保分|包拿证|包学会|保证(?:通过|录取|就业|提分)|通过率(?:高达|为|达)?100",
    ),
}
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
    banned = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _BANNED.get(name, ()))
    return Scenario(name, *_WORDS[name][language], protected=_ALL + _MORE.get(name, ()), banned=banned)
