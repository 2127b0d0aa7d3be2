from __future__ import annotations

import re

import pytest

from genre.conversation.catalogue import Catalogue
from genre.conversation.replies import Replies, _template
from genre.conversation.state import State
from genre.features.text import Language
from genre.strategies.rules import ColumnRuleConfig


@pytest.fixture(scope="module")
def replies(catalogue: Catalogue) -> Replies:
    return Replies(catalogue, "video")


def test_both_languages_say_the_same_things() -> None:
    assert _template("en").blocks.keys() == _template("zh").blocks.keys()


@pytest.mark.parametrize(
    ("settings", "english", "chinese"),
    [
        ({"kind": "deny", "column": "genres", "values": ("Horror",)}, "not Horror", "不要恐怖"),
        (
            {"kind": "allow", "column": "country", "values": ("France", "Italy")},
            "country: France or Italy",
            "国家：法国或意大利",
        ),
        (
            {"kind": "allow", "column": "year", "at_least": 1980, "at_most": 1989},
            "year 1980 to 1989",
            "年份 1980 到 1989",
        ),
        ({"kind": "allow", "column": "year", "at_least": 1994, "at_most": 1994}, "year 1994", "年份 1994"),
        ({"kind": "allow", "column": "year", "at_most": 1959}, "year 1959 or below", "年份 不大于 1959"),
        ({"kind": "deny", "column": "year", "at_least": 1960.5}, "not year 1960.5 or above", "不要年份 不小于 1960.5"),
    ],
)
def test_constraints_are_said(replies: Replies, settings: dict[str, object], english: str, chinese: str) -> None:
    rule = ColumnRuleConfig.model_validate(settings)
    assert replies.rule(rule, "en") == english
    assert replies.rule(rule, "zh") == chinese


def test_everything_that_narrows_a_list_is_said(replies: Replies) -> None:
    state = State(wishes=("space",), avoided=("war",), like=("alien-1979",), n=3)
    assert replies.conditions(state, "en") == ['about "space"', 'nothing about "war"', "like Alien", "3 films a list"]
    assert replies.conditions(state, "zh") == ["关于“space”", "不要关于“war”", "像《异形》", "每次 3 个"]
    assert replies.conditions(state, "en", without=["space"]) == ['nothing about "war"', "like Alien", "3 films a list"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_numbers_of_items_read_well(replies: Replies, language: Language) -> None:
    said = [
        replies.say("list", language, count=count, wanted=5, more=False, fits=count, caps=[]) for count in (1, 3, 5)
    ]
    assert len(set(said)) == 3
    assert all(re.search(r"[.。]$", text) for text in said)
    if language == "en":
        assert said == ["Only 1 film fits.", "Only 3 films fit.", "Here are 5 films."]
