from __future__ import annotations

import pytest

from genre.conversation.references import ALL, PAIR, Places, find_places


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("the second one", (2,)),
        ("tell me about the 3rd", (3,)),
        ("number four", (4,)),
        ("#5", (5,)),
        ("the last film", (-1,)),
        ("the second to last one", (-2,)),
        ("the first two", (1, 2)),
        ("last three", (-3, -2, -1)),
        ("compare both", PAIR),
        ("i know all of them", ALL),
        ("the 0th one", (0,)),
        ("第零部", (0,)),
        ("第三部", (3,)),
        ("第十二个", (12,)),
        ("前两部", (1, 2)),
        ("最后一个", (-1,)),
        ("倒数第二个", (-2,)),
        ("头一部", (1,)),
        ("这两部", PAIR),
    ],
)
def test_places(text: str, places: Places) -> None:
    assert [found for _, _, found in find_places(text)] == [places]


@pytest.mark.parametrize(
    "text", ["wait a second", "the last ten years", "the second world war", "at first sight", "一部"]
)
def test_no_places(text: str) -> None:
    assert list(find_places(text)) == []
