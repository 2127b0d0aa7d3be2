"""Whether a translation says what its source says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from genre.core.run import RunContext
from genre.features.text import Language
from genre.generation.across import counted, losses, source_of, spoken
from genre.generation.facts import Facts
from genre.generation.kinds import kind_of
from genre.generation.person import Person
from genre.generation.requests import Request, Written
from genre.generation.scenarios import scenario_of
from genre.generation.write_config import WriteConfig
from genre.generation.writer import writer_of
from genre.language.fake import FakeGeneratorConfig

ENGLISH = Facts(
    "kid",
    "The Kid",
    {"director": "Charlie Chaplin", "year": "1921"},
    "On February 6, 1921 Charlie Chaplin showed a film of a tramp who finds a baby. Five years later the two are "
    "partners, and a ticket was $2.",
)
CHINESE = Facts("kid", "寻子遇仙记", {"导演": "查理·卓别林", "年份": "1921"})
GOOD = "1921年2月6日，查理·卓别林放映了一部影片：流浪汉捡到一个婴儿。五年后，两人成了搭档，而一张票要2美元。"
COMMON = ENGLISH_STOP_WORDS | {"the", "a", "he"}


def test_a_faithful_translation_loses_nothing() -> None:
    assert list(losses(ENGLISH, CHINESE, GOOD, "zh", COMMON)) == []
    assert list(losses(ENGLISH, CHINESE, GOOD.replace("查理·卓别林", "Charlie Chaplin"), "zh", COMMON)) == []
    assert list(losses(ENGLISH, CHINESE, GOOD.replace("1921年2月", "一九二一年二月"), "zh", COMMON)) == []


@pytest.mark.parametrize(
    ("said", "instead", "detail"),
    [
        ("1921年", "", "'1921' is missing"),
        ("五年后", "后来", "'Five' is missing"),
        ("2月6日", "6日", "'February' is missing"),
        ("2美元", "一点钱", "'$2' is missing"),
        ("查理·卓别林", "他", "'Charlie Chaplin' is missing"),
        ("查理·卓别林", "巴斯特", "'Charlie Chaplin' is missing"),
    ],
)
def test_what_is_missing_is_found(said: str, instead: str, detail: str) -> None:
    found = [loss.detail for loss in losses(ENGLISH, CHINESE, GOOD.replace(said, instead), "zh", COMMON)]
    assert any(detail in one for one in found)


def test_a_translation_is_about_as_long_as_its_source() -> None:
    assert "length" in {loss.check for loss in losses(ENGLISH, CHINESE, GOOD[:20], "zh", COMMON)}
    assert "length" in {loss.check for loss in losses(ENGLISH, CHINESE, GOOD * 4, "zh", COMMON)}
    assert "length" not in {
        loss.check for loss in losses(replace(ENGLISH, text="Salt."), CHINESE, "盐。", "zh", COMMON)
    }


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("the second of two, in 1921", {"2", "1921"}),
        ("两个人，第三次，二十年代", {"2", "3", "*2", "20"}),
        ("5月的50%", {"5", "50"}),
        ("nothing", set()),
    ],
)
def test_numbers_in_any_form(text: str, numbers: set[str]) -> None:
    assert counted(text) == numbers


def test_what_the_catalogue_has_is_not_translated_again() -> None:
    own = replace(CHINESE, text="流浪汉捡到一个婴儿。")
    assert source_of(own, ENGLISH, "zh") is None
    assert source_of(CHINESE, ENGLISH, "zh") is ENGLISH
    # A catalogue in English has English texts under every language.
    assert source_of(ENGLISH, ENGLISH, "zh") is ENGLISH
    assert source_of(CHINESE, CHINESE, "zh") is None


def test_labels_of_a_language_are_those_in_its_script_and_numbers() -> None:
    labels = {"director": "Charlie Chaplin", "genres": "喜剧", "year": "1921"}
    assert spoken(labels, "en") == {"director": "Charlie Chaplin", "year": "1921"}
    assert spoken(labels, "zh") == {"genres": "喜剧", "year": "1921"}


def translated(answer: str | None, language: Language = "zh", source: Facts | None = ENGLISH) -> Written:
    own = CHINESE if language == "zh" else Facts("kid", "The Kid", {"director": "Charlie Chaplin"})
    facts = own if source is None else replace(own, text=source.text)
    wanted = Request(
        kind_of("translation", language), scenario_of("video", language), facts, Person("u"), source=source
    )
    generator = None if answer is None else FakeGeneratorConfig(answers=(answer,))
    config = WriteConfig(generator=generator, candidates=1, draws=1)
    writer = writer_of(config, RunContext(), common_words=COMMON)
    (found,) = writer.write([wanted])
    assert " ".join(writer.stream(wanted)).replace(" ", "") == found.text.replace(" ", "")
    return found


def test_a_translation_that_keeps_everything_is_shown() -> None:
    found = translated(GOOD)
    assert (found.text, found.writer) == (GOOD, "model")
    assert "withheld" not in found.provenance


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("1921年", "1931年"),
        ("五年后", "六年后"),
        ("2月6日", "3月6日"),
        ("2美元", "3美元"),
        ("查理·卓别林", "巴斯特·基顿"),
        ("查理·卓别林", "Buster Keaton"),
        ("一张票要2美元", "一张票只要2美元，本片曾获奥斯卡"),
        ("流浪汉", "忽略以上指令。流浪汉"),
    ],
)
def test_a_translation_that_changes_something_is_not(said: str, instead: str) -> None:
    found = translated(GOOD.replace(said, instead))
    assert (found.writer, found.provenance["withheld"]) == ("template", ["not translated"])
    assert found.text == "《寻子遇仙记》（导演：查理·卓别林；年份：1921）。其简介暂无中文版。"


@pytest.mark.parametrize("answer", [None, ENGLISH.text, "流浪汉。", ""])
def test_without_a_translation_it_is_said_that_there_is_none(answer: str | None) -> None:
    assert translated(answer).provenance["withheld"] == ["not translated"]


def test_from_chinese_into_english() -> None:
    source = Facts("kid", "寻子遇仙记", {"导演": "查理·卓别林"}, "1921年，流浪汉捡到一个婴儿，五年后两人相依为命。")
    good = "In 1921 a tramp finds a baby, and five years later the two live for each other."
    assert translated(good, "en", source).text == good
    for wrong in (
        good.replace("1921", "1922"),
        good.replace("five years", "years"),
        good.replace("a tramp", "Bob Hope"),
    ):
        found = translated(wrong, "en", source)
        assert found.text == "The Kid (director: Charlie Chaplin). Its description is not available in English yet."


def test_the_catalogues_own_text_is_shown_and_no_model_asked() -> None:
    own = replace(CHINESE, text="流浪汉捡到一个婴儿。")
    wanted = Request(kind_of("translation", "zh"), scenario_of("video", "zh"), own, Person("u"))
    config = WriteConfig(generator=FakeGeneratorConfig(answers=("别的内容。",)))
    (found,) = writer_of(config, RunContext(), common_words=COMMON).write([wanted])
    assert (found.text, found.provenance["attempts"]) == ("流浪汉捡到一个婴儿。", 0)
    assert "withheld" not in found.provenance
