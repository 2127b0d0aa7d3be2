from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genre.evaluation
from genre.evaluation._matrix import matrix
from genre.evaluation._moved import moved
from genre.evaluation._pictures import Picture, overview
from genre.evaluation._view import read_models
from genre.evaluation.report import render_report
from genre.evaluation.results import (
    AgainstBest,
    Clicks,
    Comparison,
    Curve,
    GroupResult,
    ModelResult,
    Results,
    SliceResult,
)
from genre.evaluation.slices import Gap
from genre.metrics.ranking import METRICS
from genre.metrics.statistics import Interval

EVIL = "<script>alert('重庆')</script>"
VOID = {"meta", "link", "br", "hr", "img", "input"}
FACTORS = {"NDCG": 1.0, "Recall": 0.9, "HitRate": 0.9, "MRR": 0.8, "MAP": 0.8, "Precision": 0.1, "F1": 0.2}
MEANS = {"ease": 0.3, "item_knn": 0.29, "内容": 0.2, "popularity": 0.1}


def around(mean: float) -> Interval:
    return Interval(mean, mean - 0.01, mean + 0.01)


def model_result(mean: float) -> ModelResult:
    alone = Interval(1 - mean, math.nan, math.nan)
    groups = {"FR": GroupResult(around(mean), 40), "中国": GroupResult(around(mean / 2), 60)}
    return ModelResult(
        test={f"{name}@{k}": around(FACTORS[name] * mean * k / 10) for name in METRICS for k in (5, 10)},
        validation={f"{name}@{k}": around(mean + 0.05) for name in METRICS for k in (5, 10)},
        beyond={"coverage": alone, "gini": alone, "popularity_lift": alone, "novelty": around(9 - mean)},
        clicks=Clicks(
            {"auc": alone, "gauc": alone, "log_loss": alone, "calibration_error": alone},
            Curve([0.1, 0.3], [0.12, 0.28], [10, 20]),
        ),
        slices={"user.country": SliceResult(groups, Gap(mean / 2, "FR", "中国"))},
        seeds={},
        seconds={"fit": 10 * mean, "evaluate": 1.0},
        memory={"fit": 3 << 20, "evaluate": 1 << 20},
    )


def make_results(means: dict[str, float] = MEANS, *, p_adjusted: float = 0.001) -> Results:
    best, *others = means
    tests = {name: AgainstBest(0.1, 0.0, 0.2, 0.001, p_adjusted) for name in others}
    if "item_knn" in tests:
        tests["item_knn"] = replace(tests["item_knn"], p_adjusted=0.4)
    return Results(
        primary="NDCG@10",
        protocol={
            "confidence": 0.95,
            "queries": {"validation": 90, "test": 1100},
            "candidates": {"kind": "full"},
            "clicks_from": "sampled",
            "click_negatives": 10,
            "probabilities": "Platt scaling",
            "slices": {"min_queries": 30},
        },
        models={name: model_result(mean) for name, mean in means.items()},
        comparison=Comparison(best, tests),
        per_query={name: np.full(3, mean) for name, mean in means.items()},
    )


def bare(results: Results) -> Results:
    """Return the ranking metrics alone, which makes a small and quick report."""
    clicks = Clicks({"auc": Interval(math.nan, math.nan, math.nan)}, Curve([], [], []))
    models = {name: replace(model, beyond={}, slices={}, clicks=clicks) for name, model in results.models.items()}
    return replace(results, models=models)


def render(results: Results | None = None, **changes: Any) -> str:
    results = results or make_results()
    plan = [
        {"name": name, "kind": "popularity" if name == "popularity" else "ease", "memory": 1, "seconds": 1}
        for name in results.models
    ]
    step = {
        "rule": "bots",
        "table": "interactions",
        "looked_at": "more than 500 events (2 users)",
        "rows_before": 4000,
        "rows_dropped": 1000,
        "cells_filled": 0,
    }
    example = {"user_id": "u1", "item_id": "i1", "score": 0.5, "source": "personal", "reason": "Because you liked A."}
    arguments: dict[str, Any] = {
        "title": "films",
        "config_yaml": "name: films\n",
        "manifest": {
            "genre": "0.1.0",
            "python": "3.11.9",
            "libraries": {"numpy": "2.0", "lightgbm": None},
            "finished": "2026-03-01T10:22:03+00:00",
            "key": {"config": "ab12"},
            "chosen": "ease",
            "ranking": ["ease", "item_knn"],
            "seeds": [0, 1],
        },
        "account": {
            "before": {"events": 4000, "users": 120, "items": 50, "catalogue": 60},
            "users": 100,
            "items": 60,
            "events": 3000,
            "likes": 2500,
            "cold_items": 4,
            "queries": {"validation": 90, "test": 1100},
            "privacy": {
                "users_hashed": 120,
                "masked": [
                    {"table": "items", "column": "title", "kind": "email", "rows": 2, "places": 3},
                    {"table": "items", "column": "title", "kind": "phone", "rows": 0, "places": 0},
                ],
            },
            "cleaning": {"steps": [step]},
            "fingerprint": "9f2c51",
        },
        "reading": [
            {"encoder": "minilm", "models": ["content", "towers"], "items": 60, "with_text": 58, "seconds": 1.5}
        ],
        "accounts": {},
        "plan": [*({**planned, "skipped": None} for planned in plan)],
        "results": json.loads(json.dumps(results.to_dict())),
        "examples": [
            {**example, "history": ["oldest", "newest"], "rank": 2, "title": "second"},
            {**example, "history": ["oldest", "newest"], "rank": 1, "title": "first"},
        ],
        "texts": [],
        "measured": {},
        "few_users": {},
        "beside": {},
        "notice": None,
    }
    return render_report(**arguments | changes)


class Page(HTMLParser):
    """Reads a page: its elements with their text, and whether every one is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in [("", None), *attrs]]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in [("", None), *attrs]]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data.strip()))

    @property
    def tags(self) -> Counter[str]:
        return Counter(tag for tag, name, _ in self.attributes if name == "")

    @property
    def words(self) -> str:
        """What a person reads, with single blanks."""
        return re.sub(r"\s+([.,;:)])", r"\1", " ".join(" ".join(text for _, text in self.texts).split()))


@pytest.fixture(scope="module")
def html() -> str:
    return render()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_is_well_formed_and_its_ids_are_unique(page: Page) -> None:
    assert not page.open
    ids = Counter(value for _, name, value in page.attributes if name == "id")
    assert max(ids.values()) == 1
    wanted = {value for _, name, value in page.attributes if name == "href" and value.startswith("#")}
    assert {f"#{name}" for name in ids} >= wanted
    assert "#leaderboard" in wanted


def test_the_page_asks_for_nothing_from_anywhere(html: str, page: Page) -> None:
    assert not re.findall(r"https?:|//[a-z]|@import|url\((?!#)", html)
    assert {value for _, name, value in page.attributes if name == "src"} == set()
    links = {value for tag, name, value in page.attributes if name in ("href", "data", "action", "poster")}
    assert all(value.startswith("#") or value == "data:," for value in links)


def test_the_headline_names_the_best_model_its_interval_and_its_gain_over_popularity(page: Page) -> None:
    assert (
        "ease ranks best: its NDCG@10 is 0.300 (95 % interval 0.290–0.310), 3.0 times that of popularity" in page.words
    )
    assert "item_knn is not significantly different from it." in page.words
    assert "By other measures: ease is best by Recall@10, MRR@10;" in page.words  # Hit rate and MAP repeat these here.
    assert "内容 is best by" not in page.words
    assert "popularity is best by coverage, novelty" in page.words


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        (
            {"ease": 0.15, "popularity": 0.1},
            "is 0.150 (95 % interval 0.140–0.160), 50 % above that of popularity, 0.100.",
        ),
        (
            {"popularity": 0.2, "ease": 0.1},
            "popularity ranks best: its NDCG@10 is 0.200 (95 % interval 0.190–0.210); no model beats",
        ),
        ({"ease": 0.2}, "ease ranks best: its NDCG@10 is 0.200 (95 % interval 0.190–0.210)."),
        ({"ease": 0.2, "popularity": 0.0}, "ease ranks best: its NDCG@10 is 0.200 (95 % interval 0.190–0.210)."),
    ],
)
def test_the_headline_says_what_popularity_leaves_to_say(means: dict[str, float], sentence: str) -> None:
    assert sentence in Page(render(bare(make_results(means)))).words


def test_a_gain_that_may_be_chance_is_called_so() -> None:
    results = bare(make_results({"ease": 0.15, "popularity": 0.1}, p_adjusted=0.2))
    assert "50 % above that of popularity, 0.100; this may be chance." in Page(render(results)).words


def test_the_notice_stands_above_all_results(html: str) -> None:
    noticed = render(bare(make_results()), notice="Viewers are simulated.")
    assert 0 < noticed.index("Viewers are simulated.") < noticed.index("ranks best")
    assert 'class="notice"' not in html


def test_the_leaderboard_shows_test_and_validation_with_intervals_and_marks_best_and_equal_models(html: str) -> None:
    board = html[html.index('id="leaderboard"') :]
    rows = re.findall(r"<tr.*?</tr>", board[: board.index("</table>")], re.DOTALL)
    assert [re.findall(r"</i>([^<]+)", row)[0].strip() for row in rows[1:]] == list(MEANS)
    heads = ["NDCG@10", "Validation", "Recall@10", "MRR@10", "Coverage", "Novelty", "Time to fit", "Memory"]
    assert re.findall(r'data-descending="\d">([^<]+)', rows[0]) == heads  # Hit rate and MAP repeat others here.
    assert "≈" in rows[2]
    assert "≈" not in rows[1] + rows[3] + rows[4]
    cells = re.findall(r'<td data-value="([^"]+)"( class="best")?>([^<]+)(?:<small>([^<]*))?', rows[1])
    assert cells[0] == ("0.3", ' class="best"', "0.300", "0.290–0.310")
    assert cells[1][2:] == ("0.350", "0.340–0.360")
    assert [cell[2] for cell in cells[-2:]] == ["3 s", "3.0 MiB"]
    assert 'class="best"' in rows[4].partition("0.900")[0][-30:]  # Popularity covers most.


def test_models_that_were_skipped_are_named_with_the_reason(html: str) -> None:
    skipped = {"name": "big", "kind": "ease", "memory": 1, "seconds": 1, "skipped": "needs about 64.0 GiB"}
    plan = [{**skipped, "name": name, "skipped": None} for name in MEANS]
    assert "big (ease): needs about 64.0 GiB" in Page(render(bare(make_results()), plan=[*plan, skipped])).words
    assert "Not fitted" not in html


def test_every_plot_is_there_and_draws_every_model(html: str) -> None:
    figures = dict(re.findall(r"<figure.*?<h3>(.*?)</h3>(.*?)</figure>", html, re.DOTALL))
    assert list(figures) == [
        "Accuracy: NDCG@10",
        "At other list lengths",
        "Accuracy and time to fit",
        "Accuracy and coverage",
        "Accuracy and novelty",
        "How much popular items are favoured",
        "Country",
        "Are the probabilities true?",
    ]
    for title, figure in figures.items():
        assert all(re.search(rf">{name}<|</i>{name}", figure) for name in MEANS), title
    assert ">中国</text>" in figures["Country"]


def test_groups_come_with_the_gap_between_best_and_worst_served(page: Page) -> None:
    assert "0.150 FR over 中国" in page.words
    assert "at least 30 queries" in page.words


def test_cleaning_shows_what_each_rule_dropped_and_kept(html: str, page: Page) -> None:
    assert "bots interactions more than 500 events (2 users) 4,000 1,000 0 75.0 %" in page.words
    assert 'style="width: 75.0%"' in html
    assert "4,000 → 3,000" in page.words


def test_privacy_says_what_was_hidden(page: Page) -> None:
    assert (
        "120 user ids are replaced by pseudonyms. Personal data was masked in texts: email in items.title: 3 in 2 rows"
        in page.words
    )
    assert "phone" not in page.words


def test_reading_says_which_encoder_read_how_many_texts_for_whom(page: Page) -> None:
    assert "minilm read 58 of 60 items for content, towers, in 1.5 s" in page.words


def guard(**changes: Any) -> dict[str, Any]:
    """Return the account of a search with three points, the last of them kept."""

    def point(protection: str | None, share: float, accuracy: float, bits: float, *breaches: str) -> dict[str, Any]:
        told = {"protection": protection, "share": share, "NDCG@10": accuracy, "breaches": list(breaches)}
        return told | {"writing": {"bits_per_byte": bits}}

    over = point("free", 1.0, 0.25, 1.1, "bits per byte rose by 10.0 %")
    points = [point(None, 1.0, 0.1, 1.0), over, point("free", 0.5, 0.2, 1.01)]
    gain = {"mean": 0.1, "low": 0.08, "high": 0.12, "p_value": 0.001}
    choice = {"protection": "free", "share": 0.5, "gain": gain, "share_of_free_gain": 2 / 3, "nearest": over}
    samples = [{"prompt": "Write.", "before": "A <b>bridge</b>.", "after": "Film film."}]
    curves = {"frozen base": {"NDCG@10": [0.05, 0.1]}, "free": {"NDCG@10": [0.1, 0.2], "rise": [0.02, 0.1]}}
    return {"points": points, "choice": choice, "samples": samples, "curves": curves, **changes}


def test_the_frontier_shows_every_way_that_was_tried_and_what_more_would_cost() -> None:
    page = Page(render(accounts={"llm": guard()}))
    assert (
        "Kept: free, 50 % of it. It gains +0.1000 NDCG@10 [+0.0800, +0.1200] over the frozen base, 67 %" in page.words
    )
    assert "More accurate outside the budget: free, 0.2500, with bits per byte rose by 10.0 %." in page.words
    for words in ("frozen base 0.1000 +0.0 % inside the budget", "free, 50 % of it (kept) 0.2000 +1.0 %"):
        assert words in page.words
    assert "Write. A <b>bridge</b>. Film film." in page.words
    for words in ("Learning to recommend: llm", "Forgetting to write: llm"):
        assert words in page.words
    once = Page(render(accounts={"llm": guard(curves={"free": {"NDCG@10": [0.1], "rise": [0.02]}})}))
    assert "Forgetting to write" not in once.words, "one epoch is no curve"


def classes(**changes: Any) -> dict[str, Any]:
    """Return the account of a classifier that was judged on ten pairs."""
    values = {"precision": 0.75, "recall": 0.5, "f1": 0.6}
    told = {
        "labels": "binary",
        "learned": 1234,
        "judged": 10,
        "drawn": 4,
        "from_profiles": False,
        "classes": [{"label": "not liked", "pairs": 6, **values}, {"label": "liked", "pairs": 4, **values}],
        "macro": {"precision": 0.7, "recall": 0.65, "f1": 0.66},
        "accuracy": 0.8,
        "commonest": 0.6,
    }
    return {"classification": told | changes}


def test_a_classifier_s_precision_recall_and_f1_are_told_beside_what_guessing_reaches() -> None:
    graded = classes(labels="graded", mean_error=0.42, drawn=0, from_profiles=True)
    page = Page(render(accounts={"words": classes(), EVIL: graded, "few": classes(judged=0, classes=[])}))
    assert "judged on 10 of other people, 4 of them drawn and taken for dislikes. It is right in 80 %" in page.words
    assert "always saying the commonest class would be in 60 %." in page.words
    assert "liked 4 0.750 0.500 0.600" in page.words
    assert "mean of the classes 10 0.700 0.650 0.660" in page.words
    assert "its expected grade is 0.42 off on the mean. Profiles were written from the likes themselves" in page.words
    assert "too few people were left to judge it by others" in page.words
    assert "What fine-tuning costs the writing" not in page.words


def test_the_report_says_how_often_a_ranker_answers_as_asked() -> None:
    page = Page(render(accounts={"ranker": {"validity": {"asked": 32, "share": 0.75}}}))
    assert "ranker was asked about 32 first answers of its retriever, and would say yes or no to 75 %" in page.words


def test_where_the_frozen_base_is_kept_the_report_says_so() -> None:
    choice = {"protection": None, "share": 1.0, "gain": {}, "share_of_free_gain": None, "nearest": None}
    page = Page(render(accounts={"llm": guard(choice=choice, samples=[])}))
    assert "No fine-tuned model inside the budget recommends better than the frozen one, which was kept." in page.words


def test_texts_stand_with_who_wrote_them_and_what_was_refused(page: Page) -> None:
    text = {"user_id": "u1", "item_id": "i1", "title": "Alien", "kind": "ad", "language": "en", "rank": 1}
    drawn = {"fell_back": False, "repaired": True, "refused": {"true": 2}}
    plain = {"fell_back": True, "repaired": False, "refused": {"true": 1}}
    texts = [
        {**text, "text": "Fear it.", "writer": "model", "provenance": drawn},
        {**text, "text": "For you.", "writer": "template", "provenance": plain},
    ]
    written = Page(render(texts=texts))
    assert "Fear it." in written.words
    assert "put together from the facts" in written.words
    assert "true: 3" in written.words
    assert "distinct-2" in written.words
    for absent in (
        "ROUGE-L",
        "bits per byte",
        "claims in the facts",
        "rare characters",
        "against chance",
        "position bias",
    ):
        assert absent not in written.words
    assert "reading ease" in written.words
    assert "How long the texts are" in written.words
    assert not written.open
    assert "Texts" not in page.words


def test_moved_models_and_few_users_stand_in_tables_and_a_plot() -> None:
    points = [{"share": 0.0, "target": 0.05, "source": 0.15}, {"share": 0.6, "target": 0.3, "source": 0.148}]
    told = {"source": "runs/films", "model": "reader", "same_ids": 5, "same_items": 2, "points": points, "share": 0.6}

    def one(mean: float, over: float) -> dict[str, object]:
        return {"mean": mean, "low": 0.0, "high": 1.0, "over": {"mean": over, "low": over - 0.01, "high": over + 0.01}}

    shares = [(0.0, 0, 0.02), (0.05, 10, 0.1), (1.0, 200, 0.3)]
    few = {
        "metric": "NDCG@10",
        "models": ["scratch", EVIL],
        "points": [
            {
                "share": share,
                "users": users,
                "events": 9,
                "models": {"scratch": one(mean, 0), EVIL: one(mean + 0.02, 0.02)},
            }
            for share, users, mean in shares
        ],
    }
    text = render(accounts={EVIL: {"moved": told}}, few_users=few)
    assert EVIL not in text
    page = Page(text)
    assert (
        "From reader of films. Kept: 60 % of what it learned here. 2 items are in both. 3 ids stand in both"
        in page.words
    )
    assert "0.1200 (+0.0200 [+0.0100, +0.0300])" in page.words
    assert "With few users" in page.words
    assert "At 0, nobody's events were known." in page.words
    del few["points"][0]["models"]["scratch"]  # type: ignore[index]
    few["points"][0]["models"][EVIL]["over"] = None  # type: ignore[index]
    without = Page(render(few_users=few))
    assert "0 % (0) - 0.0400 5 % (10) 0.1000" in without.words, "it could not be fitted with nothing"
    assert "With few users" in without.words
    few["points"][0]["models"] = {"scratch": one(0.02, 0), EVIL: one(0.04, 0.02)}  # type: ignore[index]
    alone = Page(render(few_users=few | {"points": few["points"][:1]}))  # type: ignore[index]
    assert "With few users" not in alone.words, "one share is no curve"
    assert "0.0400 (+0.0200" in alone.words


def test_a_compressed_model_stands_beside_the_whole_one_and_its_teacher() -> None:
    results = make_results({"small": 0.3, "popularity": 0.1})
    answers = {"small": 0.001, "popularity": 0.0005}
    timed = {
        name: replace(one, seconds={**one.seconds, "answer": answers[name]}) for name, one in results.models.items()
    }
    results = replace(results, models=timed)
    others = {"teacher": {"accuracy": 0.35, "answer": 0.2}, "popularity": {"accuracy": 0.1, "answer": 0.0005}}
    whole = {"accuracy": 0.31, "answer": 0.002}
    beside = {"run": "films", "model": "small", "metric": "NDCG@10", "whole": whole, "others": others}
    models = read_models(json.loads(json.dumps(results.to_dict())), [])

    def drawn(given: dict[str, Any]) -> Picture:
        return next(
            one for one in overview(models, results.to_dict(), given) if one.title == "Accuracy and time to answer"
        )

    found = drawn(beside)
    labels = [name for name in ("small", "small, whole", "teacher", "popularity") if f">{name}</text>" in found.svg]
    assert labels == ["small", "small, whole", "teacher", "popularity"]
    assert found.caption.endswith(
        "small, whole was measured when it was compressed, the other grey ones when films was run."
    )
    assert found.svg.count(">popularity</text>") == 1, "which is in both"
    for other in ({}, beside | {"metric": "Recall@5"}):
        assert ">teacher</text>" not in drawn(other).svg
        assert "was compressed" not in drawn(other).caption
    assert "small, whole was measured" in Page(render(results, beside=beside)).words


def test_each_model_stands_on_each_scenario() -> None:
    def told(source: str, share: float, *points: tuple[float, float | None]) -> dict[str, Any]:
        shares = (0.0, 1.0)[: len(points)]
        found = [
            {"share": one, "target": here, "source": there} for one, (here, there) in zip(shares, points, strict=True)
        ]
        about = {"source": source, "model": "reader", "same_ids": 0, "same_items": 0}
        return {"moved": {**about, "points": found, "share": share}}

    results = json.loads(json.dumps(make_results({"scratch": 0.2, "fine": 0.3, "popularity": 0.1}).to_dict()))
    accounts = {
        "fine": told("runs/films", 1.0, (0.05, 0.15), (0.31, 0.148)),
        "kept": told("runs/films", 0.0, (0.05, 0.15), (0.02, 0.1)),
        "other": told("runs/news", 0.0, (0.04, None)),
        "small": {"distillation": {}},
    }
    found = matrix(accounts, results, {"models": ["scratch", "fine"]}, "courses")
    assert found is not None
    own = ("reader as it was (films)", "reader as it was (news)")
    assert found.heads == ("NDCG@10", *own, "scratch", "fine", "kept", "other")
    assert found.lines == (
        ("films", "0.1500", "-", "-", "0.1480", "0.1500", "-"),
        ("news", "-", "-", "-", "-", "-", "-"),
        ("courses", "0.0500", "0.0400", "0.2500", "0.3500", "0.0500", "0.0400"),
    )
    for word in ("0.1480", "courses", "fine"):
        assert f">{word}</text>" in found.picture.svg
    assert matrix({"small": accounts["small"]}, results, {}, "courses") is None
    page = Page(render(make_results({"from_scratch": 0.2, "popularity": 0.1}), accounts={"kept": accounts["kept"]}))
    assert "Each model on each scenario" in page.words
    assert "reader as it was (films) from_scratch kept films 0.1500 - 0.1500" in page.words
    assert "films 0.0500 0.2500 0.0500" in page.words, "this scenario is called films, too"


JUDGED = {
    "questions": 5,
    "own": 0.1,
    "others": 0.2,
    "none": 0.0,
    "over_others": {"mean": -0.1, "low": -0.2, "high": 0.01},
}


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"same_user_ids": 9, "people": 7}, "7 people are in both, and are answered by what they liked there, too."),
        ({"same_user_ids": 9, "people": 0}, "9 ids of users stand in both and are not used."),
        (
            {"same_user_ids": 9, "people": 0, "people_judged": JUDGED},
            "9 ids of users stand in both. What they liked there is not read: of 5 questions, the answer stands above "
            "10 % of all items by it, 20 % by what others of them liked (-10.0 points [-20.0, +1.0]), 0 % by neither.",
        ),
        (
            {"same_user_ids": 9, "people": 7, "people_judged": JUDGED},
            "7 people are in both, and are answered by what they liked there, too: of 5 questions, the answer stands "
            "above 10 % of all items by it, 20 % by what others of them liked (-10.0 points [-20.0, +1.0]), 0 % by "
            "neither.",
        ),
    ],
)
def test_people_of_both_scenarios_are_told_of(found: dict[str, object], sentence: str) -> None:
    point = {"share": 0.0, "target": 0.05, "source": 0.15}
    told = {"source": "films", "model": "reader", "same_ids": 0, "same_items": 0, "points": [point], "share": 0.0}
    assert moved({"a": {"moved": told | found}})[0].sentence.endswith(f"Kept: as it came. {sentence}")


def test_what_was_measured_of_texts_stands_in_words_columns_and_a_plot() -> None:
    claims = {"claims": {"made": 4, "grounded": 4}, "drawn_claims": {"texts": 4, "true": 3, "made": 9, "grounded": 8}}
    about = {"fell_back": False, "repaired": False, "scores": {"fluency": -1.25, "grounding": 1.0}, **claims}
    text = {"user_id": "u1", "item_id": "i1", "title": "异形", "kind": "ad", "language": "zh", "rank": 1}
    texts = [{**text, "text": "船员遇到怪物，逃走了。", "writer": "model", "provenance": about}]
    share = {"mean": 0.42, "low": 0.3, "high": 0.5}
    rest = {"rank": {"mean": 2.5}, "mrr": {"mean": 0.6}, "distinct_2": 0.3, "texts": 40, "people": 20, "among": 10}
    unknown = {"mean": None, "low": None, "high": None}
    verdict = {"wins": 5, "ties": 3, "losses": 2, "invalid": 1, "position_bias": 0.25, "share": share}
    measured = {
        "reasons": {"reasons": 60, "coverage": 0.9, "cases": 50, "share": {"mean": 0.7, "low": 0.6, "high": 0.8}},
        "personal": {
            "ad": {**rest, "first": share, "samples": [{"user_id": "u7", "title": "T", "text": f"For you, {EVIL}"}]},
            "title": {**rest, "first": unknown, "samples": []},
        },
        "judge": {"ad": {**verdict, "samples": [{"title": "T", "text": "Own.", "other": "Plain.", "outcome": "win"}]}},
    }
    page = Page(render(texts=texts, measured=json.loads(json.dumps(measured))))
    for words in (
        "bits per byte", "1.25", "claims in the facts", "100.0 %", "88.9 %", "75.0 %", "rare characters",
        "characters a clause", "Texts against chance", "for 42 % of 20 people (chance 10 %)", "its mean rank is 2.5",
        "Personal fit of title: too few people", "90 % of 60 reasons name an event", "70 % of the comparisons",
        "5 better, 3 equal or undecided, 2 worse, 1 without an answer", "Its position bias is +0.25", "judged: win",
        "Plain.", "u7",
    ):  # fmt: skip
        assert words in page.words, words
    assert "reading ease" not in page.words
    assert EVIL not in render(texts=texts, measured=measured)
    assert not page.open


def test_examples_show_the_history_newest_first_beside_ranked_titles_with_reasons(page: Page) -> None:
    words = page.words[page.words.index("Examples", page.words.index("Privacy")) :]
    places = [words.index(text) for text in ("u1", "newest", "oldest", "first", "Because you liked A.", "second")]
    assert places[1] < places[2] < places[4] < places[5]
    assert words.index("first", places[2]) < places[4]


def test_what_is_needed_to_run_it_again_is_there(page: Page) -> None:
    for text in ("Genre 0.1.0", "Python 3.11.9", "numpy: 2.0; lightgbm: none", "Seeds 0, 1", "9f2c51", "config: ab12"):
        assert text in page.words
    assert ("pre", "name: films") in page.texts


def test_everything_that_comes_from_outside_is_escaped(html: str) -> None:
    results = make_results({EVIL: 0.3, "popularity": 0.1})
    evil = {
        "user_id": EVIL,
        "history": [EVIL],
        "rank": 1,
        "item_id": EVIL,
        "title": EVIL,
        "score": 1.0,
        "source": EVIL,
        "reason": EVIL,
    }
    bad = render(results, title=EVIL, config_yaml=EVIL, notice=EVIL, examples=[evil])
    assert bad.count("<script") == html.count("<script") == 1
    assert "<script>alert" not in bad
    page = Page(bad)
    assert page.tags["script"] == 1
    for tag in ("h1", "title", "pre", "li", "b", "p", "h3", "span", "text"):
        assert any(EVIL[:15] in text for where, text in page.texts if where == tag), tag


def test_parts_without_results_are_left_out() -> None:
    html = render(bare(make_results({"ease": 0.3})), examples=[])
    assert not Page(html).open
    for part in ("clicks", "groups", "examples"):
        assert f'id="{part}"' not in html
        assert f'href="#{part}"' not in html
    assert html.count("<figure") == 2
    assert "The dashed line is popularity" not in html


def test_unknown_numbers_are_dashes_and_a_column_without_any_number_is_left_out() -> None:
    results = bare(make_results())
    unknown = dict.fromkeys(results.models["ease"].validation, Interval(math.nan, math.nan, math.nan))
    one = {
        name: replace(model, validation=unknown if name == "ease" else model.validation)
        for name, model in results.models.items()
    }
    html = render(replace(results, models=one))
    assert '<td data-value="nan">–</td>' in html
    assert ">Validation</th>" in html
    every = {name: replace(model, validation=unknown) for name, model in results.models.items()}
    assert ">Validation</th>" not in render(replace(results, models=every))


def test_sampled_ranking_is_told_from_full_ranking(html: str) -> None:
    results = bare(make_results())
    sampled = replace(results, protocol={**results.protocol, "candidates": {"kind": "sampled", "num": 77}})
    assert "ranked among 77 sampled ones, not among all" in render(sampled)
    assert "sampled ones" not in html


def test_several_seeds_get_a_column(html: str) -> None:
    results = bare(make_results())
    models = {name: replace(model, seeds={"NDCG@10": around(0.25)}) for name, model in results.models.items()}
    assert ">Over seeds</th>" in render(replace(results, models=models))
    assert ">Over seeds</th>" not in html


def test_the_run_says_why_it_answers_with_another_model() -> None:
    manifest = {"genre": "1", "python": "3", "libraries": {}, "finished": "2026-03-01T10:22", "key": {}}
    chosen = render(bare(make_results()), manifest={**manifest, "chosen": "内容", "ranking": ["内容", "ease"]})
    assert "This run answers with 内容, the best on the validation events" in Page(chosen).words
    told = render(bare(make_results()), manifest={**manifest, "chosen": "内容", "ranking": ["ease", "内容"]})
    assert "This run answers with 内容, as its config says." in Page(told).words


def test_the_same_run_gives_the_same_report(html: str) -> None:
    assert render() == html


def test_the_style_sheet_knows_every_colour_in_light_and_in_dark(html: str) -> None:
    css = Path(genre.evaluation.__file__).with_name("report.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    used = set(re.findall(r"var\(--([\w-]+)\)", html))
    assert "tone-0" in used
    assert used <= set(re.findall(r"--([\w-]+):", light))
    assert set(re.findall(r"--([\w-]+):", light)) == set(re.findall(r"--([\w-]+):", dark))
