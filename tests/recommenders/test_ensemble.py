"""Averages of several fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.recommenders.als import AlsConfig
from genre.recommenders.base import DataSize, Estimate
from genre.recommenders.ensemble import EnsembleConfig
from genre.recommenders.fusion import FusionConfig
from genre.recommenders.members import standardised
from genre.recommenders.store import load_model, save_model
from tests.conftest import make_dataset
from tests.recommenders.chains import chain


def test_scores_are_the_mean_of_standardised_scores_over_seeds() -> None:
    data = make_dataset()
    als = AlsConfig(embedding_size=4, epochs=3)
    member = als.build({}).fit(data, RunContext(seed=5))
    ensemble = EnsembleConfig(members=("als",), num_seeds=3).build({"als": member}).fit(data, RunContext(seed=5))
    queries = data.queries()
    others = [als.build({}).fit(data, RunContext(seed=5 + number * 1_000_003)) for number in (1, 2)]
    raw = [model.score(queries) for model in (member, *others)]
    assert not np.array_equal(raw[0], raw[1])
    scored = np.isfinite(np.stack(raw)).any(axis=0)
    expected = np.where(scored, np.mean([standardised(scores) for scores in raw], axis=0), -np.inf)
    np.testing.assert_allclose(ensemble.score(queries), expected, rtol=1e-4, atol=1e-5)


def test_the_further_models_are_saved_with_it(tmp_path: Path) -> None:
    data = make_dataset()
    member = AlsConfig(embedding_size=4, epochs=3).build({}).fit(data, RunContext())
    ensemble = EnsembleConfig(members=("als",)).build({"als": member}).fit(data, RunContext())
    save_model(ensemble, tmp_path)
    again = load_model(tmp_path, EnsembleConfig, {"als": member})
    np.testing.assert_array_equal(ensemble.score(data.queries()), again.score(data.queries()))


def test_what_is_made_of_others_is_refused() -> None:
    data, validation = chain()
    als = AlsConfig(embedding_size=4, epochs=3).build({}).fit(data, RunContext())
    fusion = FusionConfig(members=("als",)).build({"als": als}).fit(data, RunContext(validation=validation))
    with pytest.raises(ConfigError, match=r"ensemble\.members: 'mix' is made of other models .* combine the ensemble"):
        EnsembleConfig(members=("mix",)).build({"mix": fusion})


def test_it_is_not_rehearsed_and_its_refits_are_planned() -> None:
    config = EnsembleConfig(members=("a", "b"), num_seeds=4)
    assert not config.learns_from_validation
    own = config.estimate(DataSize(10, 10, 100))
    planned = own.with_again([Estimate(100, 2.0), Estimate(50, 1.0)], config.refits)
    assert planned == Estimate(own.memory + 100, own.seconds + 9.0)
    assert own.with_again([], 0) is own
