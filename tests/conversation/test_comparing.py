from __future__ import annotations

import pytest

from genre.conversation.comparing import degrees, measures


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("newer", [("year", 1)]),
        ("too old", [("year", 1)]),
        ("再老一点", [("year", -1)]),
        ("太贵", [("price", -1)]),
        ("old films", []),
    ],
)
def test_comparisons(text: str, said: list[tuple[str, int]]) -> None:
    assert [(measure.name, direction) for measure, direction in measures(text)] == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("old films", [("year", -1)]),
        ("nothing old", [("year", 1)]),
        ("i don't mind old films", [("year", 0)]),
        ("for my 5 year old", []),
        ("老片", [("year", -1)]),
        ("不介意老片", [("year", 0)]),
    ],
)
def test_degrees(text: str, said: list[tuple[str, int]]) -> None:
    assert [(measure.name, direction) for measure, direction in degrees(text)] == said
