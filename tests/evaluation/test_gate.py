"""The gate: what passes, and what each check refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from genre.evaluation.gate import Asked, Check, Decision, Evidence, GateConfig, decide

RNG = np.random.default_rng(0)
B, ITEMS = 400, 50


def asked(
    accuracy: np.ndarray | float = 0.2, shown: np.ndarray | None = None, unsound: int = 0, empty: int = 0
) -> Asked:
    values = np.full(B, accuracy) if isinstance(accuracy, float) else accuracy
    return Asked(values, np.full(ITEMS, B * 10 // ITEMS) if shown is None else shown, B, unsound, empty)


def evidence(**changes: object) -> Evidence:
    return replace(Evidence("NDCG@10", asked(), asked(), np.zeros(ITEMS), np.zeros(ITEMS), 0, (0.01, 0.012)), **changes)  # type: ignore[arg-type]


def check(found: Decision, name: str) -> Check:
    return next(one for one in found.checks if one.name == name)


def verdict(given: Evidence, **config: float) -> Decision:
    return decide(given, GateConfig(**config), np.random.default_rng(1))  # type: ignore[arg-type]


def failed(given: Evidence, **config: float) -> list[str]:
    return [one.name for one in verdict(given, **config).checks if not one.passed]


def test_what_is_as_good_passes_and_says_how_good_it_is() -> None:
    found = verdict(evidence())
    assert found.promoted
    assert found.reason == "NDCG@10 0.2000 after 0.2000: +0.0000, between +0.0000 and +0.0000"
    assert json.loads(json.dumps(found.to_dict()))["checks"][0] == {
        "name": "questions", "value": 400.0, "bound": 100.0, "passed": True,
        "words": "400 questions of established users, 100 are needed",
    }  # fmt: skip


def test_a_loss_within_the_noise_passes_and_a_sure_one_does_not() -> None:
    before = RNG.random(B)
    noisy = before + RNG.normal(-0.005, 0.2, B)
    assert failed(evidence(live=asked(before), candidate=asked(noisy))) == []
    worse = before + RNG.normal(-0.05, 0.2, B)
    given = evidence(live=asked(before), candidate=asked(worse))
    assert failed(given) == ["accuracy"]
    assert failed(given, tolerance=0.2) == []
    bound = check(verdict(given), "accuracy")
    assert worse.mean() - before.mean() < bound.value < 0, "the upper bound lies between the change and no change"


def test_the_bound_of_the_accuracy_is_one_sided() -> None:
    change = RNG.normal(-0.01, 0.1, B)
    given = evidence(live=asked(0.5), candidate=asked(0.5 + change))
    spread = change.std() / np.sqrt(B)
    assert check(verdict(given), "accuracy").value == pytest.approx(change.mean() + 1.645 * spread, abs=0.1 * spread)


def test_too_few_questions_tell_nothing() -> None:
    few = Asked(np.full(20, 0.2), np.full(ITEMS, 4), 20, 0, 0)
    assert failed(evidence(live=few, candidate=few)) == ["questions"]
    none = Asked(np.empty(0), np.zeros(ITEMS, int), 0, 0, 0)
    assert failed(evidence(live=none, candidate=none)) == ["questions", "accuracy"]


def test_a_broken_model_is_refused() -> None:
    assert failed(evidence(candidate=asked(unsound=1))) == ["sound"]
    nothing = Asked(np.zeros(B), np.zeros(ITEMS, int), B, 0, B)
    assert failed(evidence(candidate=nothing)) == ["answered", "variety", "accuracy"]
    same = np.where(np.arange(ITEMS) < 10, B, 0)
    assert failed(evidence(candidate=asked(shown=same)), drift=1.0) == ["variety"]


def test_an_item_may_rise_as_far_as_established_users_like_it() -> None:
    shown = asked().shown.copy()
    shown[:] = 0
    before = shown.copy()
    shown[[7, 8]] = 40  # a tenth of the lists.
    given = evidence(live=asked(shown=before), candidate=asked(shown=shown))
    assert failed(given) == ["exposure"]
    assert "item 7 stands in 10.0% of the lists after 0.0%, and 5.0% could be explained" in verdict(given).reason
    assert "1 other items are over their bound" in verdict(given).reason
    backing = np.zeros(ITEMS)
    backing[[7, 8]] = 0.01
    assert failed(replace(given, backing=backing)) == []
    assert failed(replace(given, backing=backing), backing=1.0) == ["exposure"]
    half = asked(shown=np.where(shown > 0, 12, 0))
    assert failed(replace(given, live=half)) == [], "twice as often as before is no surprise"
    assert "item 'dune'" in verdict(replace(given, items=["dune"] * ITEMS)).reason


def test_writing_and_time_have_budgets() -> None:
    assert failed(evidence(breaches=["bits per byte +7 %"])) == ["writing"]
    assert failed(evidence(breaches=[])) == []
    assert failed(evidence(seconds=(0.01, 0.03))) == ["latency"]
    assert failed(evidence(seconds=(0.01, 0.03)), latency_ms=40) == []
    assert failed(evidence(seconds=(0.01, 0.03)), latency=4) == []


def test_a_handful_of_lists_is_no_evidence() -> None:
    shown = asked().shown.copy()
    shown[7] += 5
    few = [replace(one, lists=40) for one in (asked(), asked(shown=shown))]
    assert failed(evidence(live=few[0], candidate=few[1])) == []


def test_newcomers_do_not_want_one_thing_alone() -> None:
    newcomers, backing = np.full(ITEMS, 0.01), np.full(ITEMS, 0.01)
    assert failed(evidence(newcomers=newcomers, num_newcomers=1000, backing=backing)) == []
    newcomers[3] = 0.1
    given = evidence(newcomers=newcomers, num_newcomers=1000, backing=backing)
    assert failed(given) == ["origin"]
    assert (
        "item 3 is liked by 10.0% of 1,000 newcomers, and by 1.0% of the established users: 4.5%"
        in verdict(given).reason
    )
    assert failed(replace(given, num_newcomers=50)) == [], "five people may always agree"
    backing[3] = 0.03
    assert failed(given) == [], "who was there before wants it too"
