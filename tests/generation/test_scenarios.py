"""What may not be said depends on where: in English and in Chinese, by a model and by the facts."""

from __future__ import annotations

from typing import get_args

import pytest

from genre.core.run import RunContext
from genre.generation.facts import Facts
from genre.generation.kinds import kind_of
from genre.generation.person import Person
from genre.generation.requests import Request
from genre.generation.scenarios import ScenarioName, scenario_of
from genre.generation.write_config import WriteConfig
from genre.generation.writer import writer_of
from genre.language.fake import FakeGeneratorConfig
from tests.generation.test_writer import FREE

FACTS = {
    "en": Facts("x", "Tea", {}, "This tea comes from small farms in the hills."),
    "zh": Facts("x", "茶", {}, "这种茶来自山里的小农场。"),
}


def said(scenario: ScenarioName, answer: str, *, facts: Facts | None = None, banned: tuple[str, ...] = ()) -> str:
    """Return who wrote what is shown of an answer: the model, or the template where it was refused."""
    language = "en" if answer.isascii() else "zh"
    given = facts or FACTS[language]
    wanted = Request(kind_of(FREE, language), scenario_of(scenario, language), given, Person("u"))
    settings = WriteConfig(
        generator=FakeGeneratorConfig(answers=(answer,)), candidates=1, draws=1, least_told=0, banned=banned
    )
    common = frozenset("this tea comes you the it a from and with all what why".split())  # noqa: SIM905
    (text,) = writer_of(settings, RunContext(), common_words=common).write([wanted])
    return text.writer


SUPERLATIVES = [
    "This tea is the best from the hills.", "This tea is unrivalled.", "A world-class tea from the hills.",
    "这种茶是山里最佳的选择。", "山里第一的茶。", "来自山里的国家级好茶。", "山里农场的独家好茶。", "这种茶无与伦比。",
]  # fmt: skip
SENSATION = [
    "This shocking tea comes from farms.", "You won't believe where this tea comes from.", "This tea is incredible.",
    "山里的茶震惊小农场。", "你绝对想不到这种茶来自山里。", "揭秘山里的小农场。",
]  # fmt: skip
OUTCOMES = [
    "This tea comes with a guaranteed job.", "This tea comes from farms: your score is guaranteed.",
    "来自山里的茶，包过。", "这种茶保证通过。", "这种茶通过率100%。",
]  # fmt: skip
HEALTH = ["This tea cures colds.", "这种茶治疗感冒。"]


@pytest.mark.parametrize("answer", SUPERLATIVES)
def test_a_shop_invents_no_superlatives(answer: str) -> None:
    assert said("shop", answer) == said("courses", answer) == "template"
    assert said("music", answer) == "model"


@pytest.mark.parametrize("answer", SENSATION)
def test_the_news_invents_no_sensation(answer: str) -> None:
    assert said("news", answer) == said("social", answer) == "template"
    assert said("video", answer) == "model"


@pytest.mark.parametrize("answer", [*SUPERLATIVES, *SENSATION])
def test_what_the_facts_say_may_be_said(answer: str) -> None:
    facts = Facts("x", "Tea", {}, answer)
    assert said("shop", answer, facts=facts) == said("news", answer, facts=facts) == "model"


@pytest.mark.parametrize("answer", OUTCOMES)
def test_a_course_promises_no_outcome_even_where_its_facts_do(answer: str) -> None:
    facts = Facts("x", "Tea", {}, answer)
    assert said("courses", answer, facts=facts) == "template"
    assert said("video", answer, facts=facts) == "model"


@pytest.mark.parametrize("answer", HEALTH)
@pytest.mark.parametrize("scenario", get_args(ScenarioName))
def test_nobody_invents_what_is_healthy(scenario: ScenarioName, answer: str) -> None:
    assert said(scenario, answer) == "template"


def test_miracles_are_not_sold() -> None:
    facts = Facts("x", "Tea", {}, "This tea comes from the hills. It cures all. 包治百病。")
    assert said("shop", "This tea cures all.", facts=facts) == "template"
    wanted = Request(kind_of(FREE, "en"), scenario_of("shop", "en"), facts, Person("u"))
    (text,) = writer_of(WriteConfig(), RunContext()).write([wanted])
    assert text.text == "This tea comes from the hills."


def test_what_is_banned_by_name_comes_on_top() -> None:
    answer = "This tea comes from small farms."
    assert said("shop", answer) == "model"
    assert said("shop", answer, banned=("farms",)) == "template"
    assert said("shop", "这种茶来自小农场。", banned=("农场",)) == "template"


@pytest.mark.parametrize(
    "answer",
    [
        "This tea is at its best in the hills.", "This tea comes with farms.", "第一次来山里的小农场。",
        "这是山里的第一季茶。", "这种茶来自山里。",
    ],
)  # fmt: skip
def test_ordinary_words_are_no_claims(answer: str) -> None:
    assert {said(scenario, answer) for scenario in get_args(ScenarioName)} == {"model"}
