"""The studio as a person sees it, in a browser that may not look anywhere else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from genre.data.feedback import FeedbackConfig, weight_of
from genre.evaluation import gate
from genre.evaluation.gate import Check, Decision
from genre.serving.candidates import DECISION
from genre.serving.experiments import context_of
from genre.serving.keys import create_key
from genre.serving.service import Service
from genre.serving.settings import ServeConfig
from genre.serving.stores.events import Batch, Event
from genre.serving.stores.experiments import Experiments
from genre.serving.stores.keys import StoredKeys
from genre.serving.stores.models import Models, Version
from tests.evaluation.test_report import guard
from tests.serving.browser import MISSING, Seen, Serving, chromium, listening, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

if MISSING:
    pytest.skip(MISSING, allow_module_level=True)

DECIDED = Decision(
    True,
    (
        Check("accuracy", 0.2, -0.1, True, "NDCG@10 is 0.31 after 0.30"),
        Check("latency", 2.0, 1.0, False, "an <i>answer</i> takes 2 ms"),
    ),
)
NASTY = "<img src=x onerror=alert(1)> ${alert(1)} {{value}} `lantern`"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def serving(films: Path, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Serving]:
    """Return a service that needs no key, with a version that waits and an item with a bad title."""
    with listening(start(films, tmp_path_factory.mktemp("studio"), sqlite_template)) as found:
        service = found.service
        models = Models(service.database)
        (judged := tmp_path_factory.mktemp("judged") / DECISION).write_text(json.dumps(DECIDED.to_dict()))
        models.add("films", "judged", str(judged.parent))
        models.add("films", "second", str(films), reason="as good as the first: it may go live")
        service.items.put("films", {"nasty": {"title": NASTY, "description": "A lantern."}})
        service.scenario(None).follow()
        yield found


@pytest.fixture
def page(browser: Browser, serving: Serving) -> Iterator[Page]:
    """Return the page as it is opened; afterwards nothing went wrong and nobody else was asked."""
    with opened(browser) as (found, seen):
        found.goto(serving.address)
        rows(found).first.wait_for()
        yield found
        check(seen, serving)


def start(films: Path, directory: Path, template: Path, *more: str) -> Service:
    """Return a service over the run, under further names if some are given."""
    shutil.copy(template, directory / "service.db")
    config = {"database": f"sqlite:///{directory / 'service.db'}", "deadline": 20, "refresh": 0.05}
    return Service(ServeConfig.model_validate(config), dict.fromkeys(("films", *more), films))


def check(seen: Seen, serving: Serving) -> None:
    assert seen.hosts <= {f"localhost:{serving.port}"}
    assert seen.errors == []


def rows(page: Page) -> Locator:
    return page.locator("#list .ranked li")


def first(page: Page) -> str:
    return str(rows(page).first.get_attribute("data-item"))


def until(page: Page, sentence: str, argument: Any = None) -> None:
    page.wait_for_function(sentence, arg=argument)


def to_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).last.click()


def press(page: Page, what: str, place: int = 0) -> str:
    """Press a button of an item, wait until another one is in its place, and return which it was."""
    item = str(rows(page).nth(place).get_attribute("data-item"))
    rows(page).nth(place).locator(f".act-{what}").click()
    until(page, "item => !document.querySelector(`#list li[data-item='${item}']`)", item)
    return item


@pytest.mark.slow
def test_a_thumb_is_an_event_and_changes_the_next_list(page: Page, serving: Serving) -> None:
    user = page.locator("#user input").input_value()
    assert rows(page).count() == 10
    page.locator("#list .why").first.wait_for()
    liked = press(page, "up")
    until(page, "() => document.querySelectorAll('#past .liked').length > 0")
    disliked = press(page, "down", 1)
    events = [event for frame in serving.service.events.since("films", 0) for event in frame.iter_rows(named=True)]
    assert [(one["user_id"], one["item_id"], one["value"], one["position"]) for one in events] == [
        (user, liked, 3.0, 0), (user, disliked, 2.0, 1),
    ]  # fmt: skip
    assert len({one["list_id"] for one in events} - {None, ""}) == 2
    weights = {one.item_id: one.weight for one in serving.service.scenario(None).live.engine.recent.of(user)}
    assert weights == {liked: 1.0, disliked: 0.0}
    page.locator("#past .not_liked").first.wait_for()
    page.locator("#user input").fill("somebody-new")
    page.locator("#user input").press("Enter")
    until(page, "() => document.querySelector('#past').innerText.includes('Nothing is known yet')")
    assert "popular" in rows(page).first.inner_text()


def slide(page: Page, name: str, value: str) -> list[str]:
    """Move a slider, wait until the list is another one, and return it."""
    before = page.locator("#list .ranked").inner_html()
    page.locator(f"#{name} input[type=range]").fill(value)
    until(page, "before => document.querySelector('#list .ranked').innerHTML !== before", before)
    return rows(page).evaluate_all("all => all.map(row => row.dataset.item)")


@pytest.mark.slow
def test_the_sliders_change_the_list(page: Page) -> None:
    page.locator("#list .why").first.wait_for()
    plain = rows(page).evaluate_all("all => all.map(row => row.dataset.item)")
    chance = re.compile(r" · p [01]\.\d\d")
    assert not chance.search(page.locator("#list").inner_text())
    diverse = slide(page, "diversity", "1")
    assert diverse[0] == plain[0]
    assert diverse != plain
    page.locator("#list .why").first.wait_for()
    slide(page, "diversity", "0")
    page.locator("#list .why").first.wait_for()
    assert rows(page).evaluate_all("all => all.map(row => row.dataset.item)") == plain
    slide(page, "explore", "0.5")
    assert len(chance.findall(page.locator("#list").inner_text())) == 10


@pytest.mark.slow
def test_a_text_comes_sentence_by_sentence_and_the_list_stays(page: Page, serving: Serving) -> None:
    page.locator("#list .why").first.wait_for()
    lists = serving.service.metrics.answers.labels("films", "model")
    before = lists._value.get()
    page.evaluate(
        """() => { window.states = []; new MutationObserver(() => {
             const text = document.querySelector("#text .text");
             if (text) window.states.push([text.dataset.done, text.innerText]);
           }).observe(document.querySelector("#text"), {childList: true, subtree: true, characterData: true}); }"""
    )
    title = rows(page).nth(2).locator("b").inner_text()
    rows(page).nth(2).locator(".act-write").click()
    page.locator("#text [data-done='1']").wait_for()
    states = page.evaluate("() => window.states")
    lengths = sorted({len(text) for _, text in states})
    assert states[-1][0] == "1"
    assert title in states[-1][1]
    assert len(lengths) > 2  # Nothing, something, and all.
    assert any(done == "0" and len(text) == lengths[1] for done, text in states)
    assert lists._value.get() == before


@pytest.mark.slow
def test_what_was_chosen_counts_and_titles_do_no_harm(page: Page, serving: Serving) -> None:
    before = len(list(serving.service.events.since("films", 0)))
    page.locator("#mode label").nth(1).click()
    until(page, "() => document.querySelector('#list').innerText.includes('nothing is stored')")
    page.locator("#search textarea, #search input").last.fill("spirited")
    page.locator("#found .act-add").first.click()
    page.locator("#past .act-remove").first.wait_for()
    assert "Spirited Away" in page.locator("#past").inner_text()
    page.locator("#search textarea, #search input").last.fill("lantern")
    until(page, "() => document.querySelector('#found').innerText.includes('onerror')")
    assert NASTY in page.locator("#found li span").all_inner_texts()
    press(page, "down")
    liked = press(page, "up")
    until(page, "() => document.querySelectorAll('#past .act-remove').length === 3")
    page.locator(f"#past .act-remove[data-item='{liked}']").click()
    until(page, "() => document.querySelectorAll('#past .act-remove').length === 2")
    assert len(list(serving.service.events.since("films", 0))) == before


@pytest.mark.slow
def test_it_talks_in_both_languages(page: Page) -> None:
    to_tab(page, "Chat")
    page.locator("#message textarea").fill("a comedy from the 80s")
    page.locator("#message textarea").press("Enter")
    page.locator("#talk .turn.it li").first.wait_for()
    assert "1980" in page.locator("#talk .turn.it").first.inner_text()
    page.locator("#language label").nth(1).click()
    page.get_by_role("tab", name="为某人推荐").last.wait_for()
    page.locator("#message textarea").fill("不要喜剧")
    page.locator("#send").click()
    until(page, "() => document.querySelectorAll('#talk .turn.it:not(:has(.dots))').length === 2")
    assert "条件" in page.locator("#talk .turn.it").last.inner_text()
    to_tab(page, "为某人推荐")
    until(page, "() => /[\\u4e00-\\u9fff]/.test(document.querySelector('#list li b').innerText)")
    until(page, "() => (document.querySelector('#list .why') || {innerText: ''}).innerText.includes('因为')")


@pytest.mark.slow
def test_versions_experiments_and_what_goes_on(page: Page, serving: Serving) -> None:
    scenario = serving.service.scenario(None)
    to_tab(page, "Versions")
    until(page, "() => document.querySelector('#versions').innerText.includes('as good as the first')")
    assert "no frontier" in page.locator("#frontier").inner_text()
    assert "No checks lie beside it" in page.locator("#checks").inner_text()
    page.locator("#version input").click()
    page.get_by_role("option", name="judged").click()
    page.locator("#checks tbody tr").first.wait_for()
    assert page.locator("#checks h3").inner_text() == "What the gate found of judged"
    assert [line.split("\t") for line in page.locator("#checks tbody tr").all_inner_texts()] == [
        ["accuracy", "passed", "NDCG@10 is 0.31 after 0.30"],
        ["latency", "failed", "an <i>answer</i> takes 2 ms"],
    ]
    page.locator("#version input").click()
    page.get_by_role("option", name="second").click()
    until(page, "() => document.querySelector('#checks').innerText.includes('No checks lie beside it')")
    page.locator("#try-it").click()
    page.locator("#versions .state-canary").wait_for()
    assert scenario.canary is not None
    assert (scenario.canary[0].name, scenario.canary[1]) == ("second", 0.1)
    page.locator("#reason textarea, #reason input").last.fill("it did well")
    page.locator("#go-live").click()
    until(page, "() => document.querySelector('#versions').innerText.includes('it did well')")
    assert scenario.live.name == "second"
    page.locator("#go-back").click()
    until(page, "() => document.querySelector('#versions').innerText.includes('v1 went live')")
    assert scenario.live.name == "v1"

    to_tab(page, "Experiments")
    until(page, "() => document.querySelector('#arm-second input').value === 'second'")
    page.locator("#experiment-name textarea, #experiment-name input").last.fill("two of a kind")
    page.locator("#start").click()
    page.locator("#experiments .state-running").wait_for()
    page.locator("#outcomes table").wait_for()
    assert "No difference so far" in page.locator("#outcomes").inner_text()
    seen_in_arms(serving, "two of a kind")
    to_tab(page, "Live")
    to_tab(page, "Experiments")
    until(page, "() => document.querySelectorAll('#outcomes svg').length === 2")
    outcomes = page.locator("#outcomes table tbody tr")
    assert [row.split()[:5] for row in outcomes.all_inner_texts()] == [
        ["v1", "50", "%", "30", "60"], ["second", "50", "%", "30", "60"],
    ]  # fmt: skip
    assert "second is clicked more often than v1." in page.locator("#outcomes").inner_text()
    page.locator("#language label").nth(1).click()
    until(page, "() => document.querySelector('#outcomes').innerText.includes('second 的点击率高于 v1。')")
    page.locator("#language label").nth(0).click()
    until(page, "() => document.querySelector('#outcomes').innerText.includes('clicked more often')")
    page.locator("#stop").click()
    page.locator("#experiments .state-stopped").wait_for()
    until(page, "() => document.querySelector('#outcomes .tag').innerText === 'stopped'")

    to_tab(page, "Live")
    page.locator("#live .tiles").wait_for()
    until(page, "() => document.querySelector('#live polyline') !== null")
    assert "the model" in page.locator("#live").inner_text()


def seen_in_arms(serving: Serving, name: str) -> None:
    """Let 30 users of each arm see two items; of the first arm every tenth takes one, of the second every user."""
    service = serving.service
    (planned,) = [one for one in Experiments(service.database).all("films") if one.name == name]
    told: list[Event] = []
    left = dict.fromkeys(planned.arms, 30)
    for number in range(1000):
        user = f"somebody {number}"
        context = context_of(planned, user)
        if not left[context["arm"]]:
            continue
        left[context["arm"]] -= 1
        clicks = context["arm"] == "second" or left["v1"] % 10 == 0
        for event, item in [("impression", "a"), ("impression", "b"), ("like", "a")][: 2 + clicks]:
            told.append(
                Event(
                    event_id=f"{user} {event} {item}", user_id=user, item_id=item, event=event, list_id=user,
                    context=context if event == "impression" else None,
                )
            )  # fmt: skip
    assert not any(left.values())
    service.events.append([Batch("films", told, 1e9)])


def test_what_cannot_be_counted_is_said(films: Path, tmp_path: Path, sqlite_template: Path) -> None:
    from genre.serving.studio.operating import outcomes_of

    service = start(films, tmp_path, sqlite_template)
    try:
        scenario = service.scenario(None)
        assert outcomes_of(scenario, service, None, "en") == ""
        Experiments(service.database).begin("films", "<i>", {"a": 0.5, "b": 0.5})
        assert "No difference so far" in outcomes_of(scenario, service, "<i>", "en")
        shown = Event(
            event_id="1", user_id="u", item_id="i", event="impression", list_id="l",
            context={"experiment": "<i>", "arm": "<b>"},
        )  # fmt: skip
        service.events.append([Batch("films", [shown], 1e9)])
        words = outcomes_of(scenario, service, "<i>", "en")
        assert "name the arm &#x27;&lt;b&gt;&#x27;" in words
        assert words.startswith('<p class="wrong">')
    finally:
        service.close()


@pytest.mark.slow
def test_with_keys_it_asks_for_one(browser: Browser, films: Path, tmp_path: Path, sqlite_template: Path) -> None:
    with listening(start(films, tmp_path, sqlite_template, "courses")) as serving, opened(browser) as (page, seen):
        service, stored = serving.service, StoredKeys(serving.service.database)
        weak, _ = create_key(stored, "weak", ["read"])
        whole, _ = create_key(stored, "whole", ["read", "write", "events"], scenario="films")
        service.keys.refresh()
        refused = page.request.post(f"{serving.address}gradio_api/queue/join", data={"fn_index": 0, "data": []})
        assert refused.status == 401
        page.goto(serving.address)
        for secret in ("genre_no_key", weak):
            page.locator("#key").fill(secret)
            with page.expect_navigation() as said:
                page.locator("button").click()
            assert said.value.status == 403
        seen.errors.clear()  # The browser notes that it was refused.
        page.locator("#key").fill(whole)
        page.locator("button").click()
        rows(page).first.wait_for()
        assert not page.locator("#scenario").is_visible()
        to_tab(page, "Live")
        assert page.get_by_role("tab", name="Versions").count() == 0
        to_tab(page, "For somebody")
        press(page, "up")
        assert page.evaluate("() => document.cookie") == ""
        foreign = page.request.get(serving.address, headers={"origin": "http://somebody.example"})
        assert foreign.status == 403
        check(seen, serving)
        stored.revoke("whole", at=1.0, actor="test")
        service.keys.refresh()
        page.goto(serving.address)
        page.locator("#key").wait_for()
        page.request.get(f"{serving.address}leave")
        assert page.context.cookies() == []


@pytest.mark.slow
def test_scenarios_can_be_changed_and_an_open_page_does_not_hold_up_the_end(
    browser: Browser, films: Path, tmp_path: Path, sqlite_template: Path
) -> None:
    with listening(start(films, tmp_path, sqlite_template, "courses")) as serving, opened(browser) as (page, seen):
        page.goto(serving.address)
        rows(page).first.wait_for()
        assert page.locator("#place input").input_value() == "Courses"
        page.locator("#scenario input").click()
        page.get_by_role("option", name="films").click()
        until(page, "() => document.querySelector('#place input').value === 'Video'")
        press(page, "up")
        assert [len(list(serving.service.events.since(name, 0))) for name in ("courses", "films")] == [0, 1]
        check(seen, serving)
        assert serving.stop(5)


@pytest.mark.parametrize(
    ("settings", "up", "down"),
    [
        ({}, (None, None), None),
        ({"like_at": 3}, (None, 3.0), (None, 2.0)),
        ({"use_value": True}, (None, None), (None, 0.0)),
        ({"events": {"view": 0.2, "purchase": 1, "hide": 0}}, ("purchase", None), ("hide", None)),
        ({"events": {"view": 1, "like": 0.5, "dislike": 0}}, ("like", None), ("dislike", None)),
        ({"events": {"view": 1}}, ("view", None), None),
        ({"events": {"play": 1}, "use_value": True}, ("play", None), ("play", 0.0)),
        ({"like_at": 0, "use_value": True}, (None, None), (None, -1.0)),
    ],
)
def test_thumbs_are_told_in_the_scenario_s_own_events(
    settings: dict[str, Any], up: tuple[Any, Any], down: tuple[Any, Any] | None
) -> None:
    from genre.serving.studio.asking import thumb

    config = FeedbackConfig.model_validate(settings)
    assert thumb(True, config) == up
    assert thumb(False, config) == down
    assert weight_of(*up, config) > 0
    assert down is None or weight_of(*down, config) == 0


def test_times_are_read_from_histograms_as_prometheus_reads_them() -> None:
    from genre.serving.studio.watching import quantile

    counts = {0.1: 10.0, 0.2: 30.0, 0.5: 40.0, float("inf"): 40.0}
    assert quantile(counts, 0.5) == pytest.approx(0.15)  # The 20th of 40 is halfway through the second part.
    assert quantile(counts, 1.0) == pytest.approx(0.5)
    assert quantile({0.1: 0.0, float("inf"): 4.0}, 0.5) == 0.1
    assert quantile({0.1: 0.0, float("inf"): 0.0}, 0.5) is None
    assert quantile({}, 0.5) is None


def test_the_frontier_is_shown_where_a_run_has_one(tmp_path: Path) -> None:
    from genre.serving.studio.operating import frontier_of

    paths = (tmp_path / "gone", tmp_path)
    assert "no frontier" in frontier_of(paths, "en")
    (tmp_path / "account.json").write_text(json.dumps({"accounts": {"a <reader>": guard()}}))
    shown = frontier_of(paths, "en")
    assert "Kept: free, 50 % of it." in shown
    assert "<svg" in shown
    assert "<b>a &lt;reader&gt;</b>" in shown


def test_the_checks_of_a_version_are_shown_where_they_are_kept(tmp_path: Path) -> None:
    from genre.serving.studio.operating import checks_of
    from genre.serving.studio.words import _WORDS

    version = Version("films", "<v2>", str(tmp_path), "live", None, "", 1.0, 1.0)
    assert "没有检查记录" in checks_of(version, "zh")
    for damaged in ("{", "[]", '{"checks": [{}]}'):
        (tmp_path / DECISION).write_text(damaged)
        assert "No checks lie beside it" in checks_of(version, "en")
    (tmp_path / DECISION).write_text(json.dumps(DECIDED.to_dict()))
    shown = checks_of(version, "zh")
    assert "&lt;v2&gt;" in shown
    assert "<td>准确度</td><td>通过</td><td>NDCG@10 is 0.31 after 0.30</td>" in shown
    assert '<b class="wrong">未通过</b></td><td>an &lt;i&gt;answer&lt;/i&gt; takes 2 ms</td>' in shown
    names = re.findall(r'Check\("(\w+)"', Path(gate.__file__).read_text(encoding="utf-8"))
    assert {f"check_{name}" for name in names} <= _WORDS.keys()


def test_every_word_is_there_in_both_languages() -> None:
    from genre.serving.studio.words import _WORDS, language_of, say

    assert all(len(said) == 2 and all(said) for said in _WORDS.values())
    assert all(any("一" <= letter <= "鿿" for letter in zh) or key == "p99" for key, (_, zh) in _WORDS.items())
    assert say("kind_haiku", "zh") == "haiku"
    assert [language_of(told) for told in ("zh-CN,zh;q=0.9,en;q=0.8", "en-GB,en,zh", "")] == ["zh", "en", "en"]
