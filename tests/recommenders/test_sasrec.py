"""SASRec in a world in which what comes next is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from genre.core.errors import ArtifactError, DependencyError
from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.recommenders.sasrec import Sasrec, SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.training.config import CHECKPOINT_FILE, TrainingConfig
from tests.recommenders.chains import NUM_ITEMS, chain, chain_of

FAST = TrainingConfig(epochs=24, batch_size=16, learning_rate=0.02, validate_every=4, patience=None, tracker="none")


def config(**settings: object) -> SasrecConfig:
    return SasrecConfig(**{"embedding_size": 16, "dropout": 0.1, "length": 8, "training": FAST, **settings})


def fitted(**settings: object) -> Sasrec:
    data, validation = chain()
    model = config(**settings).build({})
    return model.fit(data, RunContext(validation=validation))


def next_of(model: Sasrec, rows: list[list[int]]) -> list[int]:
    queries = Queries.of(Interactions.of(Ragged.of(rows)))
    return model.score(queries).argmax(axis=1).tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        *(
            pytest.param(settings, marks=pytest.mark.slow)
            for settings in (
                {"block": "ligr", "num_heads": 2},
                {"time_aware": True},
                {"temperature": 0.1},
                {"loss": "sampled", "num_negatives": 12},
                {"loss": "gbce", "num_negatives": 12, "training": FAST.model_copy(update={"epochs": 48})},
                {"augment": ("crop", "prefix"), "contrastive": 0.1},
                {"contrastive": 0.1},
                {"training": FAST.model_copy(update={"accumulate": 3, "average": 2})},
            )
        ),
    ],
    ids=str,
)
def test_it_learns_what_comes_next(settings: dict[str, object]) -> None:
    model = fitted(**settings)
    data, asked = chain(seed=1)
    answer = model.recommend(asked.queries, 1, candidates=Candidates(excluded=data.interactions.items))
    assert (answer.item_rows[:, 0] == asked.targets.values).mean() > 0.9
    assert np.nanmax(model.curve[:, 1]) > 0.95
    assert model.curve[-1, 0] < model.curve[0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["crop", "mask", "reorder", "substitute", "prefix"])
def test_it_learns_from_altered_histories(way: str) -> None:
    model = fitted(augment=(way,), augment_share=0.2)
    assert np.nanmax(model.curve[:, 1]) > 0.6


@pytest.mark.slow
def test_histories_longer_than_the_context_are_learned_and_answered_by_their_end() -> None:
    rows = [[(start + step) % NUM_ITEMS for step in range(40)] for start in range(12)]
    data = chain_of(rows)
    model = config(length=4).build({}).fit(data, RunContext())
    long, short = [list(range(20)), [16, 17, 18, 19]]
    assert next_of(model, [long, short]) == [20, 20]
    scores = model.score(Queries.of(Interactions.of(Ragged.of([long, short]))))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-5)


def test_users_with_one_event_teach_nothing_and_break_nothing() -> None:
    model = config().build({}).fit(chain_of([[1], [2], [], [3]]), RunContext())
    assert not np.isfinite(model.score(Queries.of(Interactions.of(Ragged.of([[1]]))))).any()


def test_items_that_nobody_liked_are_neither_read_nor_scored() -> None:
    data = chain_of([[1, 2, 3], [2, 3, 4]] * 5)
    model = config(training=FAST.model_copy(update={"epochs": 2})).build({}).fit(data, RunContext())
    asked = Queries.of(Interactions.of(Ragged.of([[1, 2], [1, 20, 2], [20]])))
    scores = model.score(asked)
    assert np.flatnonzero(np.isfinite(scores[0])).tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-5)
    assert not np.isfinite(scores[2]).any()


def test_it_reads_the_same_after_saving(tmp_path: Path) -> None:
    model = fitted(time_aware=True)
    save_model(model, tmp_path)
    queries = chain()[0].queries()
    again = load_model(tmp_path, SasrecConfig, {})
    np.testing.assert_array_equal(model.score(queries), again.score(queries))
    np.testing.assert_array_equal(model.curve, again.curve)


T = TypeVar("T")


class Interrupt:
    """A progress that stops the work after so many steps."""

    def __init__(self, after: int) -> None:
        self.after = after

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        for number, step in enumerate(steps):
            if number == self.after:
                raise KeyboardInterrupt
            yield step


def test_an_interrupted_fit_goes_on(tmp_path: Path) -> None:
    data, validation = chain()
    often = FAST.model_copy(update={"checkpoint_seconds": 0.0, "epochs": 5, "batch_size": 32, "validate_every": 1})
    whole = config(training=often).build({}).fit(data, RunContext(validation=validation))
    run = RunContext(validation=validation, directory=tmp_path, progress=Interrupt(9))
    with pytest.raises(KeyboardInterrupt):
        config(training=often).build({}).fit(data, run)
    assert (tmp_path / CHECKPOINT_FILE).exists()
    again = config(training=often).build({}).fit(data, RunContext(validation=validation, directory=tmp_path))
    np.testing.assert_array_equal(whole.score(data.queries()), again.score(data.queries()))
    np.testing.assert_array_equal(whole.curve, again.curve)


def test_a_checkpoint_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    data = chain()[0]
    short = config(training=FAST.model_copy(update={"epochs": 1}))
    short.build({}).fit(data, RunContext(directory=tmp_path))
    with pytest.raises(ArtifactError, match="the checkpoint is of another training: data is"):
        short.build({}).fit(chain(seed=1)[0], RunContext(directory=tmp_path))
    with pytest.raises(ArtifactError, match=r"model\.length is 8 there and 9 here"):
        short.model_copy(update={"length": 9}).build({}).fit(data, RunContext(directory=tmp_path))


def test_heads_must_divide_the_size() -> None:
    with pytest.raises(ValueError, match="`num_heads` 3 does not divide `embedding_size` 16"):
        config(num_heads=3)


def test_without_torch_the_remedy_is_named_before_work_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genre.recommenders.base.find_spec", lambda name: None if name == "torch" else name)
    with pytest.raises(DependencyError, match=r"sasrec: needs the library 'torch'.*pip install 'genre-rec\[torch\]'"):
        config().check_installed()


def test_similar_items_are_those_with_like_vectors() -> None:
    model = fitted()
    found = model.similar(np.array([3]))[0]
    assert found[3] == pytest.approx(1, abs=1e-5)
    assert found.shape == (NUM_ITEMS,)
