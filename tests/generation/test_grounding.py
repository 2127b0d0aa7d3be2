"""Whether texts are true of an item, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.generation.facts import Facts
from genre.generation.grounding import Ground

KID = Facts(
    "kid",
    "The Kid",
    {"director": "Charlie Chaplin", "year": "1921", "price": "9.99"},
    "A penniless tramp finds a baby in Paris. Five years later the two are partners. Shown since 1921-02-06.",
)
CHINESE = Facts("kid", "寻子遇仙记", {"导演": "查理·卓别林", "年份": "1921"}, "流浪汉捡到一个弃婴，五年后相依为命。")
COMMON = frozenset("a after an and if in it on she the they this with you".split())  # noqa: SIM905


def wrong(text: str, facts: Facts = KID, **how: object) -> set[tuple[str, str]]:
    ground = Ground(facts, common_words=COMMON, protected=("price", "awards", "guarantees"), **how)  # type: ignore[arg-type]
    return {(claim.kind, claim.said) for claim in ground.ungrounded(text)}


@pytest.mark.parametrize(
    "text",
    [
        "The Kid (1921) by Charlie Chaplin.",
        "After five years, and after 5 years.",
        "In the 1920s, Chaplin's Kid cost $9.99.",
        "On February 6, the tramp finds 2 partners.",
        "It is “The Kid”.",
        "",
    ],
)
def test_what_stands_in_the_facts_is_true(text: str) -> None:
    assert wrong(text) == set()


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("It was made in 1922.", {("number", "1922")}),
        ("In the 1930s", {("decade", "1930s")}),
        ("It costs $19.21.", {("number", "19.21"), ("amount", "$19.21")}),
        ("It costs $1,921.", {("amount", "$1,921")}),
        ("On March 6, in Paris", {("month", "March")}),
        ("Buster Keaton is in it.", {("name", "Buster Keaton")}),
        ("An award-winning tramp, guaranteed.", {("awards", "award-winning"), ("guarantees", "guaranteed")}),
        ("It is “City Lights”.", {("title", "“City Lights”"), ("name", "City Lights")}),
    ],
)
def test_what_does_not_is_told(text: str, claims: set[tuple[str, str]]) -> None:
    assert wrong(text) == claims


def test_chinese_by_hand() -> None:
    assert wrong("《寻子遇仙记》由查理·卓别林执导，1921年上映，五年后相依为命。", CHINESE) == set()
    assert wrong("《城市之光》由查尔斯·卓别林执导，获奖影片，三个人。", CHINESE) == {
        ("title", "《城市之光》"),
        ("name", "由查尔斯·卓别林执导"),
        ("credit", "由查尔斯·卓别林执导"),
        ("awards", "获奖"),
        ("number", "三"),
    }


PAN = Facts("pan", "Acme Pan", {}, "2-year warranty. Not in stock. Nominated for a design award. 50 ml. 品牌：苏泊尔。")
CLASSES = ("price", "availability", "health", "awards", "guarantees")


@pytest.mark.parametrize(
    "text",
    [
        "It comes with a refund.",
        "It is risk-free.",
        "It is in stock.",
        "It won a design award.",
        "Now 50% off.",
        "With free shipping.",
        "It prevents cancer.",
        "现在半价，免运费。",
        "It holds 50%.",
        "For fifty dollars.",
    ],
)
def test_a_promise_needs_its_own_fact(text: str) -> None:
    assert Ground(PAN, common_words=COMMON | {"now", "for"}, protected=CLASSES).ungrounded(text)


def test_what_is_promised_may_be_said() -> None:
    ground = Ground(PAN, common_words=COMMON, protected=CLASSES)
    assert ground.ungrounded("It was nominated, with a warranty of 2 years.") == []
    assert ground.ungrounded("品牌是苏泊尔的。") == []


def test_what_else_was_given_may_be_named_and_not_promised() -> None:
    given_too = ["City Lights", "12 people liked both", "an award"]
    assert wrong("You liked “City Lights”, as 12 people.", given=given_too) == set()
    assert wrong("It won an award.", given=given_too) == {("awards", "award")}


@given(st.text(max_size=80))
def test_the_facts_themselves_are_true_whatever_they_are(text: str) -> None:
    facts = Facts("x", text, {"label": text}, text)
    assert [claim for claim in Ground(facts).ungrounded(text) if claim.kind != "decade"] == []


KETTLE = Facts(
    "kettle",
    "Steel Kettle",
    {"in stock": "false", "awards": "none", "warranty": "0", "price": "$15", "brand": "Acme"},
    "A kettle of steel.",
)
PLAIN_WORDS = frozenset("a an and it the this only of".split())  # noqa: SIM905
SHOP = ("price", "availability", "awards", "guarantees")


@pytest.mark.parametrize(
    "text",
    [
        "A steel kettle, in stock.", "An award-winning kettle of steel.", "A steel kettle with a warranty.",
        "It costs 15 euros.", "Only £15.", "Only $15k.", "It is 15 percent lighter.", "It is fifteen per cent lighter.",
        "钢制水壶，现货。", "保證免費。", "續航五百公里，三場。", "An English kettle.", "It boils on Monday.",
    ],
)  # fmt: skip
def test_what_the_facts_do_not_say_of_a_product_is_refused(text: str) -> None:
    assert Ground(KETTLE, common_words=PLAIN_WORDS, protected=SHOP).ungrounded(text)


@pytest.mark.parametrize(
    "text", ["It costs $15.", "It costs 15 dollars.", "It costs fifteen dollars.", "15美元的水壶。"]
)
def test_what_they_say_of_its_price_is_true(text: str) -> None:
    assert Ground(KETTLE, common_words=PLAIN_WORDS, protected=SHOP).ungrounded(text) == []


def test_a_title_of_the_history_is_named_as_a_whole_and_lends_no_word_to_the_item() -> None:
    facts = Facts("heat", "Heat", {"genres": "Crime"}, "A master thief plans a robbery.")
    ground = Ground(facts, titles=["Chicago Blues", "1917"], common_words=PLAIN_WORDS)
    assert ground.ungrounded("It is as Chicago Blues, a robbery.") == []
    assert [claim.kind for claim in ground.ungrounded("A thief plans a robbery in Chicago in 1917.")] == [
        "number",
        "name",
    ]


@pytest.mark.parametrize("text", ["导演张艺谋。", "张艺谋导演的影片。", "张艺谋执导了它。", "张艺谋主演，很好看。"])
def test_chinese_credits_without_a_copula_are_claims(text: str) -> None:
    facts = Facts("x", "长夜", {"导演": "张艺兴"}, "一部影片。")
    assert {claim.kind for claim in Ground(facts).ungrounded(text)} >= {"credit"}
    assert Ground(Facts("x", "长夜", {"导演": "张艺谋", "主演": "张艺谋"}, "一部影片。")).ungrounded(text) == []


def test_a_credit_ends_with_its_sentence() -> None:
    facts = Facts("heat", "Heat", {"director": "Michael Mann"}, "A master thief plans a robbery.")
    ground = Ground(facts, common_words=PLAIN_WORDS | {"directed"})
    assert ground.ungrounded("A crime drama directed by Michael Mann. A master thief plans a robbery.") == []
    assert {claim.kind for claim in ground.ungrounded("Star Wars and The Graduate")} == {"name"}


def test_an_item_is_called_what_the_catalogue_calls_it() -> None:
    facts = Facts("x", "Beerfest", {"genres": "Comedy, Science Fiction"}, "Two brothers defend their family.")
    labels = frozenset({"comedy", "romance", "science fiction", "family", "war"})
    ground = Ground(facts, common_words=PLAIN_WORDS | {"two"}, labels=labels)
    assert [claim.said for claim in ground.ungrounded("A comedy, a romance, and a Science Fiction film of wars.")] == [
        "romance",
        "wars",
    ]
    assert ground.ungrounded("A family comedy: the family defends itself.") == []
