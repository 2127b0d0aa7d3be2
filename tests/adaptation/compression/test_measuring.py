"""What is measured of two forms, and limits on it, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from genre.adaptation.compression import measuring
from genre.adaptation.compression.measuring import (
    Compression,
    Limits,
    bytes_held,
    bytes_on_disk,
    in_turns,
    of_calls,
    of_questions,
    of_two,
)
from genre.core.errors import ConfigError

RNG = np.random.default_rng(0)


def test_a_share_of_what_it_was() -> None:
    found = of_two("size", (4 * 2**20, 2**20))
    assert found.change.mean == -0.75
    assert (found.label, found.shown(found.before), found.shown(2048)) == ("size on disk", "4.0 MiB", "2 KiB")
    assert of_two("latency", (0.5, 0.25)).shown(0.0123) == "12.3 ms"
    assert np.isnan(of_two("cosine", (0.0, 1.0)).change.mean)


@pytest.mark.parametrize(
    ("limit", "breaks"), [("-50%", False), ("-76%", True), ("+10%", False), (-1.0, False), (-4 * 2.0**20, True)]
)
def test_less_of_what_costs_may_be_asked_for(limit: str | float, breaks: bool) -> None:
    assert bool(Limits({"size": limit}).breaches([of_two("size", (4 * 2**20, 2**20))])) == breaks


def test_what_is_good_may_fall_so_far() -> None:
    fell = of_two("cosine", (1.0, 0.985), "more")
    assert Limits({"cosine": -0.02}).breaches([fell]) == []
    assert Limits({"cosine": "-1.5%"}).breaches([fell]) == []
    (said,) = Limits({"cosine": -0.01}).breaches([fell])
    assert said == "cosine went from 1.0000 to 0.9850, −1.5 %; the limit is −0.01"
    assert Limits({"cosine": 0.01}).breaches([of_two("cosine", (1.0, 1.02), "more")]) == []


def test_a_loss_that_may_be_chance_passes_with_a_doubt_and_up_to_twice_the_limit() -> None:
    before = np.array([1.0, 0.0] * 20)
    by_chance, surely = before.copy(), 0.9 * before
    by_chance[:3] = [0.0, 1.0, 0.0]  # One of 20 less.
    chance = of_questions("NDCG@10", before, by_chance, RNG)
    assert chance.change.mean == pytest.approx(-0.05)
    assert chance.change.high > 0
    assert chance.count == 40
    for limit, breaks, doubts in (("-1%", 1, 0), ("-2.4%", 1, 0), ("-2.5%", 0, 1), ("-4%", 0, 1), ("-5%", 0, 0)):
        limits = Limits({"NDCG@10": limit})
        assert (len(limits.breaches([chance])), len(limits.doubts([chance]))) == (breaks, doubts), limit
    said = "NDCG@10 went from 0.5000 to 0.4750, −5.0 %, on 40 questions; the limit is −4 %"
    assert Limits({"NDCG@10": "-4%"}).doubts([chance]) == [
        f"{said}. That cannot be told from chance. More questions would tell"
    ]
    assert Limits({"NDCG@10": "-2%"}).breaches([chance]) == [said.replace("−4 %", "−2 %")]
    assert Limits({"NDCG@10": "+0%"}).breaches([chance]) != [], "twice nothing is nothing"
    worse = of_questions("NDCG@10", before, surely, RNG)
    assert worse.change.high < 0
    assert len(Limits({"NDCG@10": "-9%"}).breaches([worse])) == 1
    assert Limits({"NDCG@10": "-11%"}).breaches([worse]) == Limits({"NDCG@10": "-9%"}).doubts([worse]) == []


def test_no_number_keeps_no_limit() -> None:
    assert len(Limits({"bits_per_byte": "+3%"}).breaches([of_two("bits_per_byte", (1.0, float("nan")))])) == 1


def test_a_limit_that_is_none_or_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--budget: size = 'half' is no limit"):
        Limits({"size": "half"})
    with pytest.raises(ConfigError, match=r"'NDCG@5' has a limit and is not measured here\. Limit some of these: size"):
        Limits({"NDCG@5": "-1%"}).breaches([of_two("size", (2, 1))])


def test_calls_take_turns_and_the_order_turns_round() -> None:
    said: list[str] = []
    in_turns(lambda: said.append("a"), lambda: said.append("b"), 3)
    assert "".join(said) == "ab" + "ba" + "ab" + "ba"


def test_the_median_is_of_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 3.0, 4.0, 4.0, 6.0, 6.0, 16.0, 16.0, 20.0, 20.0, 21.0])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    found = of_calls("latency", lambda: None, lambda: None, turns=3, per=2)
    # The first: 1, 2 and 1; the second: 3, 10 and 4.
    assert (found.before, found.after) == (0.5 * 2.0, 0.5 * 4.0) or (found.before, found.after) == (0.5, 2.0)


def test_what_is_shared_is_held_once() -> None:
    table = np.zeros((10, 4), np.float32)
    assert bytes_held([table, table[2:], {"again": table}]) == 160
    tensor = torch.from_numpy(table)
    assert bytes_held([tensor, tensor.T, table]) == 160
    linear = nn.Linear(4, 3)
    assert bytes_held({"layer": linear, "weight": linear.weight}) == 4 * (12 + 3)
    assert bytes_held([b"12345", "text", 7, None]) == 5
    limits = Limits({})
    vars(limits)["table"] = table
    assert bytes_held(limits) == 160
    assert bytes_held(np.random.default_rng(0)) == 0  # Of another library.


def test_it_is_saved_with_a_picture(tmp_path: Path) -> None:
    compared = (of_two("size", (200.0, 50.0)), of_two("cosine", (0.0, 1.0), "more"))
    Compression("sasrec", "int8", compared, (), tmp_path, {"layers": [1]}).save(tmp_path)
    told = json.loads((tmp_path / "compression.json").read_text())
    assert (told["model"], told["method"], told["layers"]) == ("sasrec", "int8", [1])
    assert told["measures"][0]["change"] == {"mean": -0.75, "low": None, "high": None}
    assert "size on disk" in (tmp_path / "compression.svg").read_text()
    assert bytes_on_disk(tmp_path / "compression.json") < bytes_on_disk(tmp_path)
