"""Experiments on live users: assignment, counting, and what can be concluded."""

from __future__ import annotations

import html.parser
import json
import math
import re

import numpy as np
import polars as pl
import pytest
from scipy import stats

from genre.core.errors import DataError
from genre.serving.experiments import arm_of, context_of, outcomes, sample_ratio
from genre.serving.experiments_page import render_experiments
from genre.serving.stores.database import Database
from genre.serving.stores.events import SCHEMA, Batch, Event, Events
from genre.serving.stores.experiments import Experiment

PLANNED = Experiment("films", "diversity", {"control": 0.5, "diverse": 0.5}, "running", "", 1e9, 2e9)


def test_the_arm_of_a_user_never_changes() -> None:
    arms = {"a": 0.5, "b": 0.3, "c": 0.2}
    found = [arm_of("x", "films", arms, f"user {n}") for n in range(20_000)]
    assert found == [arm_of("x", "films", arms, f"user {n}") for n in range(20_000)]
    counts = [found.count(arm) for arm in arms]
    assert stats.chisquare(counts, [10_000, 6000, 4000]).pvalue > 0.01
    # These are written down: other arms after an upgrade would end every experiment.
    assert "".join(arm_of("x", "films", arms, name) for name in ("ann", "李", *"0123456789")) == "abbaabcbbaab"
    assert context_of(PLANNED, "ann") == {
        "experiment": "diversity",
        "arm": arm_of("diversity", "films", PLANNED.arms, "ann"),
    }


def test_arms_of_two_experiments_are_independent() -> None:
    arms = {"a": 0.5, "b": 0.5}
    for other in (("y", "films"), ("x", "books")):
        both = [(arm_of("x", "films", arms, str(n)), arm_of(*other, arms, str(n))) for n in range(8000)]
        table = [[both.count((one, two)) for two in "ab"] for one in "ab"]
        assert stats.chi2_contingency(table).pvalue > 0.01


def test_a_rounding_error_of_the_shares_leaves_nobody_out() -> None:
    assert arm_of("x", "films", {"a": 1e-300, "b": 1e-300}, "ann") == "b"


def events(rows: list[tuple[str, str, int, int]]) -> pl.DataFrame:
    """Return a log in which each user (id, arm, shown, clicked) saw so many items and clicked the first of them."""
    log = []
    for user, arm, shown, clicked in rows:
        context = json.dumps({"experiment": "diversity", "arm": arm})
        log += [(user, f"i{place}", "impression", f"list of {user}", context) for place in range(shown)]
        log += [(user, f"i{place}", "click", f"list of {user}", None) for place in range(clicked)]
    columns = ["user_id", "item_id", "event", "list_id", "context"]
    return pl.DataFrame(log, schema=dict.fromkeys(columns, pl.String), orient="row")


def test_outcomes_worked_by_hand() -> None:
    log = events([("a", "control", 4, 1), ("b", "control", 2, 0), ("c", "diverse", 3, 3), ("d", "diverse", 3, 1)])
    other = pl.DataFrame(
        [
            ("a", "i1", "like", "list of a", None),  # Does not count.
            ("a", "i0", "click", "list of a", None),  # An item is clicked once.
            ("z", "i0", "impression", "other", json.dumps({"experiment": "another", "arm": "control"})),
            ("z", "i0", "impression", "bare", None),
            ("a", "i3", "click", None, None),  # Not known from which list.
        ],
        schema=log.schema,
        orient="row",
    )
    found = outcomes(PLANNED, [log, other], clicks=["click"])
    control, diverse = found.arms
    assert (control.users, control.impressions, control.clicks) == (2, 6, 1)
    assert (diverse.users, diverse.impressions, diverse.clicks) == (2, 6, 4)
    assert control.rate.mean == pytest.approx(1 / 6)
    assert control.difference is None
    assert control.p_value is None
    # Residuals 1 - 4/6 and 0 - 2/6; 3 - 2 and 1 - 2. Variances 2 * sum of squares / 36.
    first, second = 2 * (2 / 9) / 36, 2 * 2 / 36
    error = math.sqrt(first + second)
    assert diverse.difference is not None
    assert diverse.difference.mean == pytest.approx(0.5)
    assert diverse.difference.high == pytest.approx(0.5 + 1.959964 * error, abs=1e-6)
    assert diverse.p_value == pytest.approx(2 * stats.norm.sf(0.5 / error))
    assert found.mismatch == 1.0
    assert found.divided_as_planned
    assert outcomes(PLANNED, [log, other]).arms[0].clicks == 2, "likes count too by default"


def test_a_test_over_users_holds_its_level_and_agrees_with_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    from genre.serving.experiments import _Rate

    p_values = []
    for _ in range(400):
        # People differ a lot: some click nearly all they see, others nothing; and they see 1 to 20 items.
        rates, shown = rng.beta(0.3, 0.7, 300), rng.integers(1, 21, 300)
        clicks = rng.binomial(shown, rates)
        first, second = (_Rate.of(clicks[half], shown[half]) for half in (slice(150), slice(150, 300)))
        p_values.append(second.against(first, 0.95)[1])
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.025)
    interval = first.interval(0.95)
    clicks, shown = clicks[:150], shown[:150]
    drawn = rng.integers(0, 150, (4000, 150))
    ratios = clicks[drawn].sum(1) / shown[drawn].sum(1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    assert interval.low == pytest.approx(low, abs=0.1 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.1 * (high - low))


def test_users_who_are_not_divided_as_planned_are_noticed() -> None:
    assert sample_ratio(np.array([50, 50]), [0.5, 0.5]) == 1.0
    # Chi-square of 60 and 40 against 50 and 50 is 4, with one degree of freedom.
    assert sample_ratio(np.array([60, 40]), [0.5, 0.5]) == pytest.approx(0.0455003, abs=1e-6)
    assert sample_ratio(np.array([0, 0]), [0.9, 0.1]) == 1.0
    log = events([(f"a{n}", "control", 1, 0) for n in range(200)] + [(f"b{n}", "diverse", 1, 1) for n in range(120)])
    found = outcomes(PLANNED, [log])
    assert not found.divided_as_planned
    page = render_experiments([found])
    assert "The users are not divided as planned" in page
    assert "200, 120 users" in page


def test_users_in_two_arms_are_counted_in_none() -> None:
    log = events([("a", "control", 2, 1), ("b", "control", 2, 1), ("c", "diverse", 2, 1)])
    again = events([("a", "diverse", 3, 0)]).with_columns(list_id=pl.lit("another"))
    found = outcomes(PLANNED, [log, again])
    assert found.moved == 1
    assert [arm.users for arm in found.arms] == [1, 1]


def test_an_arm_that_was_not_planned_is_an_error() -> None:
    with pytest.raises(DataError, match="events of the experiment 'diversity' name the arm 'c'"):
        outcomes(PLANNED, [events([("a", "c", 1, 0)])])


def test_nothing_was_shown_yet() -> None:
    for frames in ([], [SCHEMA.to_frame()]):
        found = outcomes(PLANNED, frames)
        assert [arm.users for arm in found.arms] == [0, 0]
        assert math.isnan(found.arms[1].rate.mean)
        assert found.arms[1].p_value == 1.0
        assert "No difference so far" in render_experiments([found])
    assert "No experiments yet" in render_experiments([])


def test_outcomes_of_a_database(database: Database) -> None:
    log = Events(database)
    told = [
        Event(
            event_id=f"{user} {event}",
            user_id=user,
            item_id="i0",
            event=event,
            list_id=f"of {user}",
            context=context_of(PLANNED, user) if event == "impression" else None,
        )
        for user in map(str, range(40))
        for event in ("impression", "click")[: 1 + int(user) % 2]
    ]
    log.append([Batch("films", told, 1e9)])
    found = outcomes(PLANNED, log.since("films", size=7))
    assert sum(arm.users for arm in found.arms) == 40
    assert sum(arm.clicks for arm in found.arms) == 20
    assert found.arms[0].users == sum(context_of(PLANNED, str(n))["arm"] == "control" for n in range(40))


def test_the_page_is_whole_and_everything_in_it_is_escaped() -> None:
    planned = Experiment("films", "<b>bold</b>", {"a & b": 0.5, "<i>": 0.5}, "stopped", 'said "no"', 1e9, 2e9)
    log = events([("u1", "a & b", 9, 1), ("u2", "a & b", 9, 2), ("u3", "<i>", 9, 8), ("u4", "<i>", 9, 9)])
    context = pl.col("context").str.replace_all('"diversity"', json.dumps("<b>bold</b>"), literal=True)
    found = outcomes(planned, [log.with_columns(context)])
    page = render_experiments([found], title="Films")

    seen: list[str] = []

    class Tags(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)

    Tags().feed(page)
    assert seen.count("svg") == 2
    assert "b" not in seen
    assert "i" not in seen
    assert "&lt;i&gt; is clicked more often than a &amp; b." in page
    assert "16.67" in page
    assert "+77.78" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    fragment = render_experiments([found], fragment=True)
    assert fragment.strip().startswith("<section")
    assert "<style" not in fragment


def test_the_page_speaks_chinese_and_leaves_names_as_they_are() -> None:
    log = events([("a", "control", 90, 1), ("b", "control", 90, 2), ("c", "diverse", 9, 8), ("d", "diverse", 9, 9)])
    page = render_experiments([outcomes(PLANNED, [log])], language="zh")
    assert '<html lang="zh">' in page
    assert "diverse 的点击率高于 control。" in page
    assert " 至 " in page
    shown = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z]{2,}", shown))
    assert words == {"Experiments", "Genre", "diversity", "films", "UTC", "control", "diverse", "delta"}
    uneven = events([(f"a{n}", "control", 1, 0) for n in range(200)])
    assert "没有按计划分组" in render_experiments([outcomes(PLANNED, [uneven])], language="zh")


def test_every_word_of_the_page_is_there_in_both_languages_with_the_same_places() -> None:
    from genre.serving.experiments_words import _WORDS

    for english, chinese in _WORDS.values():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese))
        assert not re.search(r"[一-鿿]", english)
