"""The kinds of text that come with Genre, and a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from genre.core.errors import ConfigError
from genre.features.text import Language
from genre.generation.facts import Facts
from genre.generation.grounding import Ground
from genre.generation.kinds import kind_of, kinds
from genre.generation.paths import Step
from genre.generation.person import Person
from genre.generation.scenarios import scenario_of
from genre.generation.sentences import length_of, sentences_of

FACTS: dict[Language, Facts] = {
    "en": Facts("kid", "The Kid", {"genres": "Comedy, Drama", "year": "1921"}, "A tramp finds a baby. Years go by."),
    "zh": Facts("kid", "寻子遇仙记", {"类型": "喜剧、剧情", "年份": "1921"}, "流浪汉捡到一个弃婴。多年以后相依为命。"),
}
PERSON: dict[Language, Person] = {
    "en": Person("u", ("City Lights",), ("Comedy",), frozenset({"baby"})),
    "zh": Person("u", ("城市之光",), ("喜剧",), frozenset({"弃婴"})),
}
COMMON = ENGLISH_STOP_WORDS | {"lately", "start"}
REASON: dict[Language, str] = {"en": "Because you liked City Lights.", "zh": "因为你喜欢《城市之光》。"}
OWN = """
{% set inputs = ["facts"] %}
{% set sentences = 1 %}
{% set words = 8 %}
{% block system %}Short.{% endblock %}
{% block user %}{{ facts.title }} in {{ words }} words:{% endblock %}
{% block plain %}{{ facts.title }}!{% endblock %}
"""


def given_for(language: Language, facts: Facts | None = None, person: Person | None = None) -> dict[str, object]:
    return {
        "facts": facts or FACTS[language],
        "person": person or PERSON[language],
        "reason": REASON[language],
        "question": "Who finds the baby?" if language == "en" else "谁捡到弃婴？",
        "begin": "",
        "source": None,
        "step": Step(1, 2, later=("City Lights",)),
        "scenario": scenario_of("video", language),
    }


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", kinds())
@pytest.mark.parametrize("facts", ["all", "labels", "title", "nothing", "endless"])
def test_every_kind_is_faithful_and_within_its_limits_without_a_model(
    name: str, language: Language, facts: str
) -> None:
    whole = FACTS[language]
    known = {
        "all": whole,
        "labels": Facts("kid", whole.title, whole.labels),
        "title": Facts("kid", whole.title),
        "nothing": Facts("kid", ""),
        "endless": Facts(
            "kid", whole.title, {}, whole.text[:-1] + ("，流浪汉捡到" if language == "zh" else " and") * 200
        ),
    }[facts]
    kind = kind_of(name, language)
    text = kind.plain(given_for(language, known))
    assert text
    assert "  " not in text
    assert length_of(text) <= kind.words
    assert len(sentences_of(text)) <= kind.sentences + 1
    told = Ground(known, given=(REASON[language], *PERSON[language].liked), common_words=COMMON)
    assert told.ungrounded(text) == []


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", kinds())
def test_every_kind_asks_with_the_facts_between_marks(name: str, language: Language) -> None:
    prompt = kind_of(name, language).prompt(given_for(language))
    inside = prompt.user.split("<<<")[1].split(">>>")[0]
    assert all(line in inside for line in FACTS[language].lines)
    assert "<<<" in (prompt.system or "")
    assert "{" not in prompt.user


def test_a_title_with_its_own_mark_gets_no_second_one() -> None:
    mark, person = Facts("a", "Airplane!"), Person("u", ("Airplane!",), alike=("Airplane!",))
    plain = {name: kind_of(name, "en").plain(given_for("en", mark, person)) for name in ("ad", "summary", "profile")}
    assert plain == {
        "ad": "If you liked Airplane!: Airplane!",
        "summary": "Airplane!",
        "profile": "Lately you have liked Airplane!",
    }
    given = given_for("en", mark, Person("u")) | {"step": Step(2, 3, earlier=("A",))}
    assert kind_of("path", "en").plain(given) == "Go on with Airplane!"


def test_facts_without_a_text_read_as_a_list() -> None:
    mug = Facts("m", "Mug Set", {"brand": "Acme", "in stock": "yes", "price": "8"})
    assert kind_of("summary", "en").plain(given_for("en", mug)) == "Mug Set (brand: Acme; in stock: yes; price: 8)."
    chinese = Facts("m", "马克杯", {"品牌": "Acme", "有货": "是"})
    assert kind_of("summary", "zh").plain(given_for("zh", chinese)) == "《马克杯》（品牌：Acme；有货：是）。"


def test_no_space_stands_behind_a_chinese_mark() -> None:
    latin = Facts("s", "Statistics", text="Count everything.")
    text = kind_of("ad", "zh").plain(given_for("zh", latin, Person("u")))
    assert text == "为你推荐：《Statistics》。Count everything."


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_ad_takes_the_best_sentence_that_fits(language: Language) -> None:
    long = ("The baby cries" + " and cries" * 60 + ".") if language == "en" else "弃婴" + "哭了又哭" * 60 + "。"
    short = "A tramp finds it." if language == "en" else "流浪汉捡到他。"
    facts = Facts("kid", FACTS[language].title, text=f"{long} {short}")
    assert kind_of("ad", language).plain(given_for(language, facts)).endswith(short)


def test_a_personal_kind_depends_on_the_person() -> None:
    kind = kind_of("synopsis", "en")
    assert kind.plain(given_for("en")) != kind.plain(given_for("en", person=Person("v")))


def test_a_kind_of_ones_own_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "shout.en.j2"
    path.write_text(OWN, encoding="utf-8")
    kind = kind_of(str(path), "en")
    assert (kind.name, kind.inputs, kind.sentences, kind.words) == ("shout", ("facts",), 1, 8)
    assert kind.plain({"facts": FACTS["en"]}) == "The Kid!"
    assert kind.prompt({"facts": FACTS["en"]}).user == "The Kid in 8 words:"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('["facts"]', '["prices"]'), "no input 'prices'"),
        (("{{ facts.title }}!", "{{ person.liked }}"), "uses 'person', which is not among its `inputs`"),
        (("{% set words = 8 %}", ""), "does not set `words`"),
        (("plain", "text"), "no block `plain`"),
        (("words = 8", 'words = "many"'), "whole numbers above 0"),
        (("words = 8", "words = sentences * 8"), "does not set `words`"),
        (('["facts"]', "5"), "must be a list of names"),
        (("{% set words", '{% set about = "users" %}{% set words'), r"wrong.en.j2.*`about` is 'users'.*'person'"),
        (("{% set words", "{% set about = 3 %}{% set words"), "`about` is 3"),
        (("{% set words", '{% set about = ["item"] %}{% set words'), r"`about` is \['item'\]"),
        (('["facts"]', '["facts", "step"]'), "no input 'step' among .*, for texts about 'item'"),
        (("{% endblock %}", ""), "it is no template"),
    ],
)
def test_a_file_that_is_no_kind_is_explained(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    path = tmp_path / "wrong.en.j2"
    path.write_text(OWN.replace(*change), encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        kind_of(str(path), "en")


def test_an_input_that_is_not_there_for_a_person_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "wrong.en.j2"
    path.write_text('{% set about = "person" %}' + OWN.replace('["facts"]', '["reason"]'), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"no input 'reason' among \['facts', 'person', 'scenario'\], for .* 'person'"
    ):
        kind_of(str(path), "en")


def test_kinds_say_what_they_are_about() -> None:
    about = {name: kind_of(name, "en").about for name in kinds()}
    assert {name for name, one in about.items() if one != "item"} == {"profile", "path"}
    assert all(kind_of(name, "zh").about == one for name, one in about.items())
    assert {"title", "summary", "synopsis", "ad", "reason", "answer", "continuation", "translation"} < set(about)


def test_instructions_are_what_is_not_data() -> None:
    told = kind_of("path", "en").instructions(given_for("en"))
    assert "use only what it says" in told
    assert "A tramp finds a baby" not in told
    assert "Start with The Kid" not in told


def test_a_template_that_asks_for_what_there_is_not_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "wrong.en.j2"
    path.write_text(OWN.replace("{{ facts.title }}!", "{{ facts.director.name }}"), encoding="utf-8")
    with pytest.raises(ConfigError, match="its block `plain` cannot be filled"):
        kind_of(str(path), "en").plain({"facts": FACTS["en"]})


def test_a_kind_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"'poem' in 'en'(?s:.)*synopsis"):
        kind_of("poem", "en")


@pytest.mark.parametrize("reach", ["facts.__class__.__mro__", "facts.title.__class__", "''.__class__.__base__"])
def test_a_template_reaches_what_it_is_given_and_nothing_else(tmp_path: Path, reach: str) -> None:
    path = tmp_path / "wrong.en.j2"
    path.write_text(OWN.replace("{{ facts.title }}!", f"{{{{ {reach} }}}}"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"its block `plain` cannot be filled: access to attribute .* is unsafe"):
        kind_of(str(path), "en").plain({"facts": FACTS["en"]})
