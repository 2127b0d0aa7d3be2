"""What a text claims, by hand."""

from __future__ import annotations

import pytest

from genre.generation.claims import claims_of

COMMON = frozenset("a after an and if in it journey on she storm the they this thrilling with".split())  # noqa: SIM905


def found(text: str, **how: object) -> set[tuple[str, str]]:
    return {(claim.kind, claim.key) for claim in claims_of(text, common_words=COMMON, **how)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("In 1,250.50 metres", {("number", "1250.5")}),
        ("On March 3, 2010", {("month", "3"), ("number", "3"), ("number", "2010")}),
        ("It may rain, they may march.", set()),
        ("a film of the 1980s", {("decade", "198")}),
        ("八十年代和1980年代", {("decade", "*8"), ("decade", "198")}),
        ("the nineties and the '80s", {("decade", "*9"), ("decade", "*8")}),
        ("共有1,250人，售出5万件", {("number", "1250"), ("number", "50000")}),
        ("iPhone 15，2023年发布", {("number", "15"), ("number", "2023"), ("name", "iphone")}),
        ("50 ml, 50% of it", {("number", "50"), ("percent", "50")}),
        ("百分之五十", {("percent", "50")}),
        ("十分感人，千万别错过", set()),
        ("20世纪20年代，二十世纪二十年代，20年代", {("decade", "192"), ("decade", "*2")}),
        ("他在五月离开，十二月24日回来", {("month", "5"), ("month", "12"), ("number", "24")}),
        ("12月24日，三个月后", {("month", "12"), ("number", "24"), ("number", "3")}),
        ("千万人喜欢", {("number", "10000000")}),
        ("片长三小时", {("number", "3")}),
        (
            "five dollars, 5 €, $ 5, .99 cents",
            {("amount", "5"), ("amount", "0.99"), ("number", "5"), ("number", "0.99")},
        ),
        ("只要五元", {("amount", "5"), ("number", "5")}),
        ("5 European countries", {("number", "5"), ("name", "european")}),
        ("This was by Łukasz Żal, as in 'Metropolis'", {("name", "lukasz zal"), ("name", "metropolis")}),
        (
            "由周星驰主演。张艺谋执导。",
            {("name", "周星驰"), ("name", "张艺谋"), ("credit", "player 周星驰"), ("credit", "maker 张艺谋")},
        ),
        ("They march in May, in October.", {("month", "5"), ("month", "10")}),
        ("It costs $9.99.", {("amount", "9.99"), ("number", "9.99")}),
        ("只要 99 元", {("amount", "99"), ("number", "99")}),
        ("She waits. It begins.", set()),
        ("Hanna waits.", {("name", "hanna")}),
        ("The Kid, by Charlie Chaplin", {("name", "kid"), ("name", "charlie chaplin")}),
        ("in Jean Vigo's “L'Atalante”", {("name", "jean vigo"), ("title", "l atalante"), ("name", "l atalante")}),
        ("三个人，一个女孩，一百二十分钟", {("number", "3"), ("number", "120")}),
        ("《千与千寻》，导演：宫崎骏", {("title", "千与千寻"), ("name", "宫崎骏"), ("credit", "maker 宫崎骏")}),
        ("这是 Robert Wiene 的作品", {("name", "robert wiene")}),
        ("A Thrilling Journey After the Storm With Buster Keaton", {("name", "buster keaton")}),
        ("Ingmar Bergman and Liv Ullmann", {("name", "ingmar bergman liv ullmann")}),
        ("", set()),
    ],
)
def test_claims_by_hand(text: str, claims: set[tuple[str, str]]) -> None:
    assert found(text) == claims


def test_protected_claims_are_looked_for_where_they_are_wanted() -> None:
    text = "An award-winning film, free of charge. 保证有效，获奖无数。"
    assert {kind for kind, _ in found(text, protected=("awards", "price", "guarantees"))} == {
        "awards",
        "price",
        "guarantees",
    }
    assert found(text) == set()


def test_words_that_come_to_the_same_have_one_key() -> None:
    assert found("won an Oscar", protected=("awards",)) & found("奥斯卡", protected=("awards",)) == {
        ("awards", "awards 1")
    }
    assert found("won an Oscar", protected=("awards",)) & found("获奖影片", protected=("awards",)) == set()
