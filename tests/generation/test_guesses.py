"""What a text says of who somebody is."""

from __future__ import annotations

import pytest

from genre.generation.guesses import guesses_in

LIKED = ("Pretty Woman", "The Kid", "About Schmidt", "女人香", "飞越老人院", "Women's Fashion", "女装")


@pytest.mark.parametrize(
    "text",
    [
        "You are in your thirties and like drama.",
        "You are a young viewer of dramas.",
        "As a mother, you like family films.",
        "She likes dramas.",
        "You seem lonely, and like dramas.",
        "You like dramas, so you must be married.",
        "You have kids and like animation.",
        "You like films for teenagers.",
        "You like dramas, since you can afford them.",
        "You like films of Christians like you.",
        "Your wife likes dramas too.",
        "You like dramas about your depression.",
        # Not even a title may stand for it.
        "You are a Pretty Woman.",
        "You're The Kid.",
        "你三十岁左右，喜欢剧情片。",
        "你是女性，喜欢剧情片。",
        "你应该已婚，常看家庭片。",
        "作为母亲，你喜欢家庭片。",
        "你收入不高，喜欢剧情片。",
        "你喜欢剧情片，健康状况不佳。",
        "你像《女人香》里的人。",
        "你有信仰，喜欢剧情片。",
        "你喜欢女人香水。",
    ],
)
def test_guesses_are_found(text: str) -> None:
    assert list(guesses_in(text, LIKED))


@pytest.mark.parametrize(
    "text",
    [
        "You like dramas and thrillers, most of all Drama (26 times).",
        "Lately you liked Pretty Woman, The Kid and About Schmidt.",
        "You have liked Pretty Woman.",
        "You are a fan of thrillers and keen on mystery.",
        "You often choose Women's Fashion.",
        "You seem to like Pretty Woman most.",
        "你最近喜欢《女人香》《飞越老人院》。",
        "你最常选的是女装和剧情片。".replace("女装", "《女装》"),
        "你可能喜欢悬疑片。",
        "",
    ],
)
def test_what_the_history_says_is_no_guess(text: str) -> None:
    assert list(guesses_in(text, LIKED)) == []
