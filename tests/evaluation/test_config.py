"""Evaluation settings and their mistakes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from genre.evaluation.config import EvaluationConfig, SampledRanking, SliceConfig


def test_lengths_are_sorted_and_the_primary_length_is_read() -> None:
    config = EvaluationConfig(ks=(20, 5, 5), primary="Recall@20")
    assert config.ks == (5, 20)
    assert config.primary_k == 20


@pytest.mark.parametrize("primary", ["NDCG@7", "nDCG@10", "NDCG", "NDCG@10@5"])
def test_a_primary_metric_that_is_not_measured_is_refused(primary: str) -> None:
    with pytest.raises(ValidationError, match=r"`primary` is '.*', which is not measured.*one of `ks` \[5, 10, 20\]"):
        EvaluationConfig(primary=primary)


@pytest.mark.parametrize("ks", [(), (0, 10)])
def test_lists_have_at_least_one_place(ks: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        EvaluationConfig(ks=ks)


@pytest.mark.parametrize("lengths", [(), (5, 1), (1, 1), (-1, 3)])
def test_bins_of_history_lengths_rise(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="must be rising numbers from 0 or more"):
        SliceConfig(history_lengths=lengths)


def test_candidates_are_told_apart_by_kind() -> None:
    config = EvaluationConfig.model_validate({"candidates": {"kind": "sampled", "num": 50, "by": "uniform"}})
    assert config.candidates == SampledRanking(num=50, by="uniform")
