"""Whether a text speaks to somebody of what they like."""

from __future__ import annotations

import pytest

from genre.features.text import Language
from genre.generation.tastes import strangeness

EVIDENCE: dict[Language, list[str]] = {
    "en": ["The Lion King", "Oldboy", "Drama", "Thriller"],
    "zh": ["狮子王", "老男孩", "剧情", "惊悚"],
}
TOLD: dict[Language, list[str]] = {
    "en": ["liked last: The Lion King and Oldboy", "chosen most often: Drama (3 times) and Thriller (2 times)"],
    "zh": ["最近喜欢: 《狮子王》、《老男孩》", "最常选: 剧情（3 次）、惊悚（2 次）"],
}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "You like dramas and thrillers, most of all Oldboy."),
        ("en", "Lately you enjoyed The Lion King. Your favourite genre is Drama (3 times)."),
        ("en", "You have a taste for dark thrillers such as Oldboy."),
        ("zh", "你最近喜欢《狮子王》和《老男孩》，最常选的是剧情。"),
        ("zh", "您偏爱剧情类影片，尤其是《老男孩》。"),
    ],
)
def test_a_text_of_taste(language: Language, text: str) -> None:
    assert list(strangeness(text, EVIDENCE[language], TOLD[language], language)) == []


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("en", "The Lion King and Oldboy are all puppets made of the screen.", 2),
        ("en", "You like drama. The Lion King is a great hit.", 1),
        ("en", "You, like Oldboy, eat raw octopus and walk long corridors with hammers.", 1),
        ("zh", "《狮子王》讲述小狮子的成长，气势恢宏。", 2),
        ("zh", "你像狮子王一样勇敢坚强，注定成就一番事业。", 1),
    ],
)
def test_a_text_of_something_else(language: Language, text: str, found: int) -> None:
    assert len(list(strangeness(text, EVIDENCE[language], TOLD[language], language))) == found
