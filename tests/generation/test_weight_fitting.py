"""Weights from what people preferred: known ones are found again, and what is malformed is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.core.errors import DataError
from genre.generation.weighing import Weights
from genre.generation.weight_fitting import Comparison, fit_weights, read_comparisons

TRUE = {"grounding": 3.0, "fluency": 0.8, "preference": 6.0}


def simulated(count: int, true: dict[str, float] = TRUE, seed: int = 0) -> list[Comparison]:
    """Return what somebody would prefer who goes by these weights, of two to five candidates."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        size = int(rng.integers(2, 6))
        scores = [
            {"grounding": rng.uniform(0.5, 1), "fluency": rng.uniform(-2, -0.5), "preference": rng.uniform(0, 0.6)}
            for _ in range(size)
        ]
        sums = np.array([sum(true[name] * one[name] for name in true) for one in scores])
        chances = np.exp(sums - sums.max())
        found.append(Comparison(tuple(scores), int(rng.choice(size, p=chances / chances.sum()))))
    return found


def test_known_weights_are_found_again() -> None:
    found = fit_weights(simulated(4000)).model_dump()
    assert found == pytest.approx(TRUE, abs=0.5)
    assert found["preference"] > found["grounding"] > found["fluency"]


def test_the_fitted_weights_choose_better_than_the_defaults() -> None:
    fitted, unseen = fit_weights(simulated(500)), simulated(2000, seed=1)

    def right(weights: Weights) -> float:
        best = [max(range(len(one.scores)), key=lambda at: weights.total(one.scores[at])) for one in unseen]
        return float(np.mean([at == one.preferred for at, one in zip(best, unseen, strict=True)]))

    assert right(fitted) > right(Weights())


def test_where_little_is_known_the_defaults_stay() -> None:
    default = Weights(grounding=2, fluency=0, preference=1)
    assert fit_weights([], default=default) == default
    same = ({"grounding": 0.5}, {"grounding": 0.5})
    assert fit_weights([Comparison(same, 0)] * 50, default=default) == default
    assert fit_weights([Comparison(({"grounding": 0.9},), 0)], default=default) == default
    few = fit_weights(simulated(3), default=default, ridge=100).model_dump()
    assert few == pytest.approx(default.model_dump(), abs=0.1)


def test_what_people_avoid_weighs_nothing() -> None:
    avoided = simulated(2000, {"grounding": -4.0, "fluency": 1.0, "preference": 2.0})
    assert fit_weights(avoided).grounding == 0


def test_what_is_not_known_adds_nothing() -> None:
    scores = ({"grounding": 1.0, "fluency": None}, {"grounding": 0.0, "fluency": None})
    found = fit_weights([Comparison(scores, 0)] * 20)
    assert found.fluency == Weights().fluency
    assert found.grounding > Weights().grounding


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 30), st.permutations(range(3)))
def test_the_order_of_candidates_does_not_count(seed: int, count: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    plain = [
        Comparison(tuple({"grounding": x, "preference": y} for x, y in rng.random((3, 2))), int(rng.integers(3)))
        for _ in range(count)
    ]
    mixed = [Comparison(tuple(one.scores[at] for at in order), order.index(one.preferred)) for one in plain]
    first, second = fit_weights(plain), fit_weights(mixed)
    assert first.model_dump() == pytest.approx(second.model_dump(), abs=1e-3)
    assert min(first.model_dump().values()) >= 0


def record(**changes: object) -> dict[str, object]:
    candidates = [{"text": "One.", "scores": {"grounding": 1.0}}, {"text": "Two.", "scores": {"grounding": 0.5}}]
    return {"text": "One.", "provenance": {"candidates": candidates}, "preferred": 1, **changes}


def read(tmp_path: Path, *lines: object) -> list[Comparison]:
    path = tmp_path / "feedback.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return read_comparisons(path)


def test_lines_of_what_was_written_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, record(), "", record(preferred=None), record(preferred=0))
    assert [one.preferred for one in found] == [1, 0]
    assert found[0].scores == ({"grounding": 1.0}, {"grounding": 0.5})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{not json", "'{not json' is no JSON"),
        ([1], r"\[1\] is no record"),
        (record(preferred=2), "`preferred` is 2, and there are 2 candidates"),
        (record(preferred="One."), "`preferred` is 'One.'"),
        (record(preferred=True), "`preferred` is True"),
        (record(provenance={}), "`provenance.candidates` is None"),
        (record(provenance={"candidates": []}), r"`provenance.candidates` is \[\]"),
        (record(provenance={"candidates": ["One."]}, preferred=0), "a candidate is 'One.', without `scores`"),
        (record(provenance={"candidates": [{"scores": {"charm": 1}}]}, preferred=0), "there is no score 'charm'"),
        (record(provenance={"candidates": [{"scores": {"fluency": "x"}}]}, preferred=0), "the score 'fluency' is 'x'"),
    ],
)
def test_what_is_malformed_is_named_with_file_line_and_value(tmp_path: Path, line: object, problem: str) -> None:
    with pytest.raises(DataError, match=rf"feedback.jsonl:2: {problem}"):
        read(tmp_path, record(), line)


def test_a_file_without_a_word_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no line says what was preferred"):
        read(tmp_path, record(preferred=None))
    with pytest.raises(DataError, match=r"none\.jsonl: the file cannot be read"):
        read_comparisons(tmp_path / "none.jsonl")
