from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genre.conversation.phrases import Phrases, folded, key_of, plain

KNOWN = Phrases([("Sci-Fi", 1), ("Amélie", 2), ("千与千寻", 3), ("E.T.外星人", 4), ("It's a Wonderful Life", 5)])


def test_phrases_are_found_in_any_spelling() -> None:
    for text, value in [
        ("some sci fi please", 1),
        ("i loved amelie", 2),
        ("看过千与千寻吗", 3),
        ("e.t. 外星人好看", 4),
        ("its a wonderful life", 5),
    ]:
        assert [found for _, _, found in KNOWN.find(text)] == [value]


def test_places_are_those_of_the_text() -> None:
    text = folded(plain("Then Amélie, 千与千寻"))
    assert [(text[start:end], value) for start, end, value in KNOWN.find(text)] == [("amelie", 2), ("千与千寻", 3)]


def test_words_on_both_sides_of_chinese_make_no_phrase() -> None:
    assert list(Phrases([("new york", 1)]).find("new纽约york")) == []


def test_what_is_misspelt_is_near() -> None:
    found = KNOWN.nearest("千与千询", 0.6)
    assert found is not None
    assert found[0] == 3
    assert KNOWN.nearest("zanzibar", 0.6) is None
    assert KNOWN.whole("AMELIE") == 2


@given(st.text(max_size=40))
def test_folding_keeps_the_length(text: str) -> None:
    known = plain(text)
    assert len(folded(known)) == len(known)
    assert key_of(known) == key_of(known.upper().lower()) or not known.isascii()
    list(KNOWN.find(folded(known)))
