from __future__ import annotations

import pytest

from genre.conversation.polarity import Stance, stance


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("no ", "", "unwanted"),
        ("a ", " film", "wanted"),
        ("a non-§l0§ ", "", "wanted"),
        ("no §l0§ ", "", "unwanted"),
        ("i don't mind ", "", "open"),
        ("", " is fine", "open"),
        ("i prefer §l0§ to ", "", "aside"),
        ("anything but ", "", "unwanted"),
        ("nothing but ", "", "wanted"),
        ("不要", "片", "unwanted"),
        ("不要§l0§要", "", "wanted"),
        ("没有§l0§的", "片", "wanted"),
        ("不要§l0§的", "片", "unwanted"),
        ("除了§l0§的", "都行", "unwanted"),
        ("", "片我怕", "unwanted"),
        ("不讨厌", "片", "open"),
        ("比起", "我更喜欢§l1§", "aside"),
    ],
)
def test_stances(before: str, after: str, said: Stance) -> None:
    assert stance(before, after) == said
