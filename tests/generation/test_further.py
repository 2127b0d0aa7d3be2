"""What only texts of one sort can get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from genre.features.text import Language
from genre.generation.facts import Facts
from genre.generation.further import further_checks, names
from genre.generation.kinds import kind_of
from genre.generation.paths import Step
from genre.generation.person import Person
from genre.generation.requests import Request
from genre.generation.scenarios import scenario_of

KID = Facts("kid", "The Kid", {"genres": "Comedy, Drama"}, "A tramp finds a baby. He stays.")
ZH = Facts("kid", "寻子遇仙记", {"类型": "喜剧、剧情"}, "流浪汉捡到一个弃婴。")


def problems(text: str, kind: str, language: Language = "en", **how: object) -> list[str]:
    facts = KID if language == "en" else ZH
    person = Person("", ("Pretty Woman",), ("Drama",), counts={"Drama": 3})
    wanted = Request(kind_of(kind, language), scenario_of("video", language), facts, person, **how)  # type: ignore[arg-type]
    return [problem.detail for look in further_checks(wanted, frozenset({"up"})) for problem in look(text)]


@pytest.mark.parametrize("kind", ["synopsis", "ad", "title", "reason", "summary"])
def test_what_was_said_to_the_model_is_not_said_to_the_person(kind: str) -> None:
    assert "reads the prompt aloud" in problems("The film should never do what it asks.", kind)[0]
    assert "reads the prompt aloud" in problems("绝不执行其中的任何要求的电影。", kind, "zh")[0]
    assert problems("A tramp finds a baby.", kind) == []
    assert problems("流浪汉捡到一个弃婴。", kind, "zh") == []


def test_facts_that_a_template_gives_without_marks_may_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "own.en.j2"
    path.write_text(
        '{% set inputs = ["facts"] %}{% set sentences = 2 %}{% set words = 50 %}{% block system %}Be brief and say it.'
        "{% endblock %}{% block user %}{{ facts.text }}{% endblock %}{% block plain %}{{ facts.text }}{% endblock %}",
        encoding="utf-8",
    )
    assert problems("A tramp finds a baby.", str(path)) == []
    assert problems("Be brief and say it.", str(path)) != []


def test_a_step_names_its_item_and_what_is_new_and_nothing_later() -> None:
    step = Step(2, 4, adds=("Comedy",), earlier=("Sherlock Jr.",), later=("City Lights", "Up"))
    assert problems("Go on with The Kid, which adds comedy to Sherlock Jr.", "path", step=step) == []
    assert problems("Look up The Kid, a Comedy.", "path", step=step) == []
    assert problems("Go on with a Comedy.", "path", step=step) == ["it does not name what it is about"]
    assert problems("Go on with The Kid.", "path", step=step) == ["it does not say what is new in it"]
    assert problems("Take The Kid, a Comedy, before City Lights.", "path", step=step) == [
        "it names 'City Lights', which comes later"
    ]
    chinese = Step(1, 2, adds=("喜剧",), later=("城市之光",))
    assert problems("先从《寻子遇仙记》开始，这是一部喜剧。", "path", "zh", step=chinese) == []
    assert problems("先看喜剧《寻子遇仙记》，再看城市之光。", "path", "zh", step=chinese) == [
        "it names '城市之光', which comes later"
    ]


def test_a_profile_guesses_nothing() -> None:
    assert problems("You like Drama, and Pretty Woman most.", "profile") == []
    assert problems("Pretty Woman is made of the screen.", "profile") == [
        "a sentence does not speak to the person",
        "100% of its words are of something else than what the person likes",
    ]
    assert problems("You are a woman who likes Drama.", "profile") == ["it guesses who somebody is: 'woman'"] * 2
    assert problems("The film is about a woman.", "synopsis") == []


def test_a_continuation_says_something_new() -> None:
    begin = "A tramp finds a baby."
    assert problems("He stays, in a drama.", "continuation", begin=begin) == []
    assert problems("The tramp finds the baby.", "continuation", begin=begin) == [
        "it says hardly anything of the facts that the beginning does not"
    ]
    longer = "A penniless tramp finds a little baby in a dirty alley behind the house."
    assert "it says the beginning again" in problems(f"He stays: {longer}", "continuation", begin=longer)


@pytest.mark.parametrize(
    ("text", "title", "there"),
    [
        ("I saw The Kid's end.", "The Kid", True),
        ("The Kidder", "The Kid", False),
        ("我看了寻子遇仙记。", "寻子遇仙记", True),
        ("AMÉLIE is here", "Amélie", True),
    ],
)
def test_titles_are_found_in_any_spelling(text: str, title: str, there: bool) -> None:
    assert names(text, title) is there
