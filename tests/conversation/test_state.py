from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.conversation.state import State
from genre.core.errors import DataError
from genre.strategies.rules import ColumnRuleConfig

RULES = (ColumnRuleConfig(kind="deny", column="genres", values=("Horror",)),)


@given(st.lists(st.text(max_size=8), max_size=5), st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_a_state_comes_back_as_it_was(ids: list[str], said: str) -> None:
    state = State(language="zh", turns=3, liked=tuple(ids), rules=RULES, wishes=(said,), said=said)
    assert State.from_json(state.to_json()) == state


def test_a_state_can_be_read_by_a_person() -> None:
    assert '"恐怖"' in State(wishes=("恐怖",)).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "chat.json: it is no JSON"),
        ("[" * 100_000, "chat.json: it is no JSON"),
        ('{"turns": -1}', "chat.json: turns: .*not -1. Correct it"),
        ('{"liked": [1]}', "chat.json: liked.0: .*not 1"),
        ('{"colour": "red"}', "chat.json: colour: .*not 'red'"),
        ('{"rules": [{"kind": "forbid", "column": "genres"}]}', "chat.json: rules.0.kind"),
        ("[]", "chat.json: the whole: "),
    ],
)
def test_what_is_no_state_is_an_error(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        State.from_json(text, "chat.json")


def test_what_a_catalogue_does_not_have_is_left_out() -> None:
    state = State(
        liked=("a", "gone"), shown=("gone",), rules=(*RULES, ColumnRuleConfig(kind="allow", column="x", values=("y",)))
    )
    kept = state.within(["a"], lambda rule: rule.column == "genres")
    assert (kept.liked, kept.shown, kept.rules) == (("a",), (), RULES)


def test_ids_are_kept_once_and_not_without_end() -> None:
    assert State().but(liked=("a", "b", "a")).liked == ("a", "b")
    assert len(State().but(hidden=tuple(map(str, range(1000)))).hidden) == 500
    assert json.loads(State().to_json())["log_counts"] is True
