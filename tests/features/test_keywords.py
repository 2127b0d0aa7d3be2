"""Keywords and summaries by YAKE and jieba: both languages, odd texts, and the same answer every time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from genre.core.errors import ConfigError, DependencyError
from genre.features.keywords import keywords, language_of, summary_of

ENGLISH = (
    "A penniless tramp finds an abandoned baby in an alley and raises him in a shabby attic room. Five years later the "
    "two are partners in small mischief, until the authorities come to take the boy away. Slapstick and real "
    "tenderness sit side by side."
)
CHINESE = "流浪汉在巷子里捡到一个弃婴，含辛茹苦把他养大，两人相依为命。笑料之中满是温情，让人笑着笑着就红了眼眶。"


def test_keywords_are_words_of_the_text() -> None:
    english, chinese = keywords([ENGLISH, CHINESE], n=5)
    assert len(english) == len(chinese) == 5
    assert all(word in ENGLISH for word in english)
    assert all(word in CHINESE for word in chinese)
    assert "penniless tramp" in english
    assert "弃婴" in chinese


def test_the_language_is_that_of_the_letters() -> None:
    assert [language_of(text) for text in (ENGLISH, "", "123", "Netflix 出品", "看 the film 吧")] == ["en"] * 5
    assert [language_of(text) for text in (CHINESE, "日本語", "2012 年的 NBA 总决赛")] == ["zh"] * 3
    assert keywords([CHINESE], language="auto", n=4) == keywords([CHINESE], language="zh", n=4)
    assert keywords([ENGLISH], language="auto", n=4) == keywords([ENGLISH], language="en", n=4)


@pytest.mark.parametrize("text", ["", " ", "a", "!?", "。。", "😀😀", "\x00", "\ud83d", "1 2 3", "的"])
def test_a_text_without_words_has_no_keywords(text: str) -> None:
    assert keywords([text], language="en", n=3) == [[]]
    assert keywords([text], language="zh", n=3) == [[]]
    assert summary_of(text) == text


def test_other_languages_with_spaces_have_keywords() -> None:
    (found,) = keywords(["مرحبا بالعالم الجميل في هذا اليوم"], n=3)
    assert len(found) == 3


@pytest.mark.timeout(30)
@pytest.mark.parametrize("unit", ["a", "word ", "的", "电影很好。", "One sentence here. "])
def test_a_very_long_text_takes_no_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert len(keywords([text], n=5)[0]) <= 5
    assert len(summary_of(text, max_chars=100)) <= 100


@pytest.mark.slow
def test_nothing_depends_on_the_order_of_sets() -> None:
    script = (
        "import sys; from genre.features.keywords import keywords, summary_of\n"
        f"print(ascii(keywords([{ENGLISH!r}, {CHINESE!r}], n=12)), summary_of({ENGLISH!r}, max_chars=120))\n"
        "assert 'torch' not in sys.modules"
    )
    answers = set()
    for seed in "12":
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, env=environment, check=True
        )
        assert done.stderr == ""  # jieba says what it loads unless it is asked not to, and warns when imported.
        answers.add(done.stdout)
    assert len(answers) == 1


def test_a_summary_holds_the_telling_sentences_in_their_order() -> None:
    assert summary_of(ENGLISH, max_chars=1000) == ENGLISH
    first, second, third = ENGLISH.split(". ")[0] + ".", ENGLISH.split(". ")[1] + ".", ENGLISH.split(". ")[2]
    assert summary_of(ENGLISH, max_chars=200) in (f"{first} {second}", f"{first} {third}", f"{second} {third}")
    assert summary_of(ENGLISH, max_chars=100) == first
    assert summary_of("Well well well. So it is. " + ENGLISH, max_chars=100) == first
    assert summary_of(CHINESE, max_chars=40) == CHINESE[: CHINESE.index("。") + 1]


def test_a_summary_shorter_than_any_sentence_is_cut_between_words() -> None:
    assert summary_of(ENGLISH, max_chars=30) == "A penniless tramp finds an"
    assert summary_of(CHINESE, max_chars=7) == CHINESE[:7]


@pytest.mark.parametrize(("library", "text"), [("yake", ENGLISH), ("jieba", CHINESE)])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, library: str, text: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DependencyError, match=rf"{library}.*pip install 'genre-rec\[keywords\]'"):
        keywords([text], n=3)


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="n: 0 keywords are too few"):
        keywords([ENGLISH], n=0)
    with pytest.raises(ConfigError, match="max_chars: 0 characters are too few"):
        summary_of(ENGLISH, max_chars=0)
