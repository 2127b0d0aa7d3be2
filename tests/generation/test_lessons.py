"""Only what may be shown is learned from."""

from __future__ import annotations

from collections import Counter

from genre.core.run import RunContext
from genre.generation.lessons import Lessons, from_catalogue, from_drafts
from genre.generation.plain import PlainWriter
from genre.generation.write_config import WriteConfig
from genre.generation.writer import ModelWriter, writer_of
from tests.generation.test_writer import COMMON, MISCHIEF, MIXED, TRAMP, WRONG, config, request


def plain(**settings: object) -> PlainWriter:
    return PlainWriter(WriteConfig(**settings), RunContext(), common_words=COMMON)  # type: ignore[arg-type]


def from_texts(kind: str, *texts: str, **settings: object) -> Lessons:
    found = Lessons()
    from_catalogue(found, [request(kind=kind)] * len(texts), texts, plain(**settings))
    return found


def test_texts_of_the_catalogue_stand_behind_the_beginning_that_a_model_would_have() -> None:
    wanted = request(kind="title")
    (lesson,) = from_texts("title", "A tramp finds a baby").found
    assert lesson.prompt == wanted.kind.prompt(wanted.given)
    assert lesson.prompt.begin == "The Kid:"
    assert lesson.answer == " A tramp finds a baby"
    assert lesson.kind == "title"


def test_texts_that_the_checks_refuse_are_not_learned_from() -> None:
    lessons = from_texts(
        "title", "A tramp finds a baby", "A tramp finds a baby in 1931", "an orchestra without conductors", ""
    )
    assert [lesson.answer for lesson in lessons.found] == [" A tramp finds a baby"]
    assert lessons.asked == {"title": 4}
    assert lessons.refused == {"true": 1, "subject": 1, "answered": 1}
    assert from_texts("title", "A tramp finds a baby", banned=("baby",)).refused == {"allowed": 1}


def test_a_text_that_says_the_title_itself_is_not_given_it_twice() -> None:
    (lesson,) = from_texts("title", "The Kid: a tramp finds a baby").found
    assert lesson.answer == " a tramp finds a baby"


def drafted(*answers: str) -> Lessons:
    settings = config(*answers)
    writer = writer_of(settings, RunContext(), common_words=COMMON)
    assert isinstance(writer, ModelWriter)
    found = Lessons()
    from_drafts(found, [request()], writer)
    return found


def test_of_drafts_the_chosen_one_is_learned_from() -> None:
    lessons = drafted(WRONG, TRAMP)
    assert [(lesson.answer, lesson.kind) for lesson in lessons.found] == [(TRAMP, "free")]
    assert lessons.asked == Counter(free=1)
    assert not lessons.refused


def test_drafts_that_were_repaired_or_fell_back_are_not() -> None:
    repaired = drafted(MIXED)
    assert not repaired.found
    assert repaired.refused == {"repaired": 1}
    refused = drafted(WRONG)
    assert not refused.found
    assert refused.refused == {"true": 1}
    assert MISCHIEF in MIXED
