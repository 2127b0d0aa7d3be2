"""An answer is put behind what it was to begin with, whatever a model makes of that."""

from __future__ import annotations

import pytest

from genre.generation.beginnings import after, pieces_after

COMMON = frozenset({"a", "it", "the"})
CASES = [
    ("", "A tramp finds a baby.", "A tramp finds a baby."),
    ("In The Kid,", " a tramp finds a baby.", "In The Kid, a tramp finds a baby."),
    ("In The Kid,", "a tramp finds a baby.", "In The Kid, a tramp finds a baby."),
    ("In The Kid,", "In The Kid, a tramp finds a baby.", "In The Kid, a tramp finds a baby."),
    ("You liked Jaws. In The Kid,", "In The Kid, a tramp.", "You liked Jaws. In The Kid, a tramp."),
    ("You liked Jaws. In The Kid,", "A tramp finds a baby.", "You liked Jaws. A tramp finds a baby."),
    ("You liked Jaws. In The Kid,", "The Kid is a film.", "You liked Jaws. The Kid is a film."),
    ("The Kid:", "A tramp finds a baby", "The Kid: A tramp finds a baby"),
    ("《流浪地球》：", "一段旅程", "《流浪地球》：一段旅程"),
]


@pytest.mark.parametrize(("begin", "text", "whole"), CASES)
def test_a_text_begins_once(begin: str, text: str, whole: str) -> None:
    assert after(begin, text, "The Kid", COMMON) == whole


@pytest.mark.parametrize(("begin", "text", "whole"), CASES)
@pytest.mark.parametrize("size", [1, 4, 100])
def test_so_does_a_stream(begin: str, text: str, whole: str, size: int) -> None:
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    assert "".join(pieces_after(begin, pieces, "The Kid", COMMON)) == whole
