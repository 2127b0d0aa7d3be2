"""A true name in a false role is untrue."""

from __future__ import annotations

import pytest

from genre.generation.credits import credited_by_labels, credits_of
from genre.generation.facts import Facts
from genre.generation.grounding import Ground

ALIEN = Facts(
    "alien",
    "Alien",
    {"director": "Ridley Scott", "cast": "Sigourney Weaver, Tom Skerritt"},
    "The crew of the Nostromo, led by Dallas, meets a creature. The story is by Dan O'Bannon. A novel by Alan Foster.",
)
CINEMA = Facts("cinema", "天堂电影院", {"导演": "朱塞佩·托纳多雷", "主演": "菲利浦·诺瓦雷"}, "小男孩多多爱看电影。")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A film by Ridley Scott and Jean Vigo.", [("maker", "Ridley Scott"), ("maker", "Jean Vigo")]),
        ("It was directed by Agnès Varda in 1962.", [("maker", "Agnès Varda")]),
        ("Lee directs. Director Ang Lee returns.", [("maker", "Lee"), ("maker", "Ang Lee")]),
        ("Written by Guy de Maupassant.", [("writer", "Guy de Maupassant")]),
        ("starring Sigourney Weaver, Tom Skerritt, and John Hurt", [("player", one) for one in
            ("Sigourney Weaver", "Tom Skerritt", "John Hurt")]),
        ("An album by Nina Simone's band", [("musician", "Nina Simone")]),
        ("由王家卫执导，由梁朝伟主演。", [("maker", "王家卫"), ("player", "梁朝伟")]),
        ("作者是老舍。", [("writer", "老舍")]),
        ("A star by night, made by hand, a story of Rome.", []),
        ("这部电影由此而来。", []),
    ],
)  # fmt: skip
def test_who_is_given_which_role(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(one.role, one.name) for one in credits_of(text)] == expected


def test_labels_give_roles() -> None:
    found = list(credited_by_labels({**ALIEN.labels, "genres": "Horror"}))
    assert [(one.role, one.name) for one in found] == [
        ("maker", "Ridley Scott"),
        ("player", "Sigourney Weaver, Tom Skerritt"),
    ]


@pytest.mark.parametrize(
    ("facts", "text", "wrong"),
    [
        (ALIEN, "A film by Ridley Scott.", False),
        (ALIEN, "A film by Scott, starring Tom Skerritt.", False),
        (ALIEN, "A novel by Alan Foster.", False),
        (ALIEN, "A film by Dallas.", True),
        (ALIEN, "Directed by Sigourney Weaver.", True),
        (ALIEN, "It features the crew of the Nostromo.", False),
        (ALIEN, "An Alien film starring Ridley Scott.", True),
        (CINEMA, "由朱塞佩·托纳多雷执导。", False),
        (CINEMA, "由菲利浦·诺瓦雷执导。", True),
        (CINEMA, "导演是多多。", True),
    ],
)
def test_a_credit_must_stand_in_the_facts(facts: Facts, text: str, *, wrong: bool) -> None:
    claims = Ground(facts, common_words=frozenset({"a", "an", "directed", "it"})).ungrounded(text)
    assert [claim.kind for claim in claims] == ["credit"] * wrong
