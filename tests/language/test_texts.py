"""Keys, estimates of tokens, and where an answer ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.language.texts import cut_at_stop, estimated_tokens, held_back, short_key


def test_keys_follow_every_part_and_no_order() -> None:
    assert short_key("a", x=1, y="é") == short_key("a", y="é", x=1)
    assert len({short_key("a", x=1), short_key("a", x=2), short_key("b", x=1), short_key("a", y=1)}) == 4
    assert short_key("a").startswith("a-")


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("four", 1), ("fives", 2), ("流浪地球", 3), ("\ud800", 1)]
)
def test_estimates(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [
        ("one\ntwo", ("\n",), "one"),
        ("abc", ("c", "b"), "a"),
        ("abc", ("x",), None),
        ("abc", (), None),
        ("x", ("x",), ""),
    ],
)
def test_the_first_stop_text_ends_it(text: str, stop: tuple[str, ...], kept: str | None) -> None:
    assert cut_at_stop(text, stop) == kept


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_what_is_shown_never_has_to_be_taken_back(text: str, stop: list[str]) -> None:
    """Given letter by letter, what is shown is always a beginning of what stands before the first stop text."""
    final = cut_at_stop(text, stop)
    shown = ""
    for end in range(len(text) + 1):
        part = text[:end]
        if cut_at_stop(part, stop) is not None:
            break
        shown = part[: len(part) - held_back(part, stop)]
        assert (text if final is None else final).startswith(shown)
    assert held_back(shown, stop) <= max((len(one) - 1 for one in stop), default=0)
