"""Facts that contradict each other."""

from __future__ import annotations

import polars as pl
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from genre.core.run import RunContext
from genre.data.dataset import Entities, Roles, Vocabulary
from genre.features.text import Language
from genre.generation.disputes import disputes_of, without_prices
from genre.generation.facts import FactBook, Facts
from genre.generation.grounding import Ground
from genre.generation.kinds import kind_of
from genre.generation.person import Person
from genre.generation.requests import Request
from genre.generation.scenarios import scenario_of
from genre.generation.write_config import WriteConfig
from genre.generation.writer import writer_of
from genre.language.fake import FakeGeneratorConfig


@pytest.mark.parametrize(
    ("labels", "text", "disputes"),
    [
        ({"year": "1979"}, "It is a 1981 film about a tramp.", {"year": ("1979", "1981")}),
        ({"year": "1979"}, "Released in 1979. A story of 1912.", {}),
        ({"年份": "1979"}, "1981年上映。", {"year": ("1979", "1981")}),
        ({"year": "1979", "release year": "1981"}, "", {"year": ("1979", "1981")}),
        ({"year": "1979", "release date": "1979-05-25"}, "", {}),
        ({"runtime": "100"}, "In 95 minutes all is told.", {"runtime": ("100", "95")}),
        ({"片长": "100"}, "全片95分钟。", {"runtime": ("100", "95")}),
        ({"price": "5", "sale price": "4"}, "", {"price": ("5", "4")}),
        ({"price": "5"}, "For $4 only.", {"price": ("5", "4")}),
        ({"price": "5.00"}, "For $5, not $9.", {}),
        ({"价格": "5"}, "只要4元。", {"price": ("5", "4")}),
        ({}, "For $4, then $5, a 1981 film, in 95 minutes or 96 minutes.", {}),
        ({"year": "1979"}, "", {}),
    ],
)
def test_disputes_by_hand(labels: dict[str, str], text: str, disputes: dict[str, tuple[str, ...]]) -> None:
    assert disputes_of(labels, text) == disputes


def test_without_prices_nothing_is_said_of_money() -> None:
    labels, text = without_prices({"price": "5", "year": "1979"}, "Fine salt. It costs $4. From the sea.")
    assert (labels, text) == ({"year": "1979"}, "Fine salt. From the sea.")


def facts(language: Language = "en") -> Facts:
    frame = pl.DataFrame(
        {
            "item_id": ["x"],
            "title": ["Stalker"],
            "year": [1979.0],
            "price": [5.0],
            "text": ["A 1981 film of a guide. It costs $4 today. He leads two men."],
        }
    )
    roles = Roles(text=("title", "text"), number=("year", "price"))
    return FactBook(Entities(Vocabulary(frame["item_id"]), frame, roles), language)[0]


def test_both_years_may_be_told_and_neither_price() -> None:
    found = facts()
    assert found.disputed == {"year": ("1979", "1981"), "price": ("5", "4")}
    ground = Ground(found, common_words=ENGLISH_STOP_WORDS, protected=("price",))
    assert ground.ungrounded("A film of 1979, a film of 1981.") == []
    assert ground.ungrounded("It costs $4.") != []
    assert ground.ungrounded("It costs 5 dollars.") != []
    assert ground.ungrounded("5 dollars of value for $4.") != []


@pytest.mark.parametrize("kind", ["synopsis", "summary", "ad", "answer"])
def test_no_text_tells_a_price_that_is_disputed_and_provenance_says_so(kind: str) -> None:
    wanted = Request(kind_of(kind, "en"), scenario_of("shop", "en"), facts(), Person("u"), question="How much is it?")
    for answer in ("It costs $4.", "Stalker is a film of a guide for 5 dollars."):
        config = WriteConfig(generator=FakeGeneratorConfig(answers=(answer,)), candidates=1, draws=1)
        for settings in (WriteConfig(), config):
            (text,) = writer_of(settings, RunContext(), common_words=frozenset({"it", "a"})).write([wanted])
            assert text.writer == "template"
            assert not {"$", "5", "4"} & set(text.text)
            assert text.provenance["disputed"] == {"year": ["1979", "1981"], "price": ["5", "4"]}
