"""Generative retrieval in a world in which what comes next is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.data.growth import extended
from genre.recommenders.fusion import FusionConfig
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.semantic_id import SemanticId, SemanticIdConfig
from genre.recommenders.store import load_model, save_model
from genre.training.config import CHECKPOINT_FILE, TrainingConfig
from tests.recommenders.chains import NUM_ITEMS, chain, chain_of

FAST = TrainingConfig(epochs=60, batch_size=32, learning_rate=0.01, patience=8, patience_steps=0, tracker="none")
WORDS = ("red", "green", "blue", "white")
HASHING = {"encoder": {"kind": "hashing"}, "whitening": {"strength": 0.5, "size": 16}}


def with_titles(data: Dataset, titles: list[str | None] | None = None) -> Dataset:
    """Return the data with a title for each item: its colour and its number, unless given."""
    known = [f"{WORDS[row // 6 % 4]} thing {row}" for row in range(data.num_items)]
    ids = pl.Series("item_id", [f"i{row}" for row in range(data.num_items)])
    frame = pl.DataFrame({"item_id": ids, "title": pl.Series(titles or known, dtype=pl.String)})
    return replace(data, items=Entities(Vocabulary(ids), frame, Roles(text=("title",))))


def config(**settings: object) -> SemanticIdConfig:
    small = {"embedding_size": 16, "dropout": 0.1, "length": 8, "codebook_size": 4, "levels": 2, "vectors": HASHING}
    return SemanticIdConfig(**{**small, "training": FAST, **settings})


def asking(*rows: list[int]) -> Queries:
    return Queries.of(Interactions.of(Ragged.of(rows)))


@cache
def fitted() -> SemanticId:
    data, validation = chain()
    return config().build({}).fit(with_titles(data), RunContext(validation=validation))


def test_it_learns_what_comes_next() -> None:
    model, (data, asked) = fitted(), chain(seed=1)
    answer = model.recommend(asked.queries, 1, candidates=Candidates(excluded=data.interactions.items))
    assert (answer.item_rows[:, 0] == asked.targets.values).mean() > 0.9
    assert np.nanmax(model.curve[:, 1]) > 0.95
    assert model.curve[-1, 0] < model.curve[0, 0]


def test_a_decoder_from_scratch_learns_as_it_always_did() -> None:
    data, validation = chain()
    few = config(training=FAST.model_copy(update={"epochs": 3}))
    assert few.decoder.kind == "scratch"
    model = few.build({}).fit(with_titles(data), RunContext(validation=validation))
    # What it learned before there was another decoder, to what another processor may round otherwise.
    np.testing.assert_allclose(model.curve[:, 0], [6.908306, 4.392013, 3.884231], rtol=1e-3)


def test_every_item_has_codes_of_its_own() -> None:
    model = fitted()
    assert model.codes.shape == (NUM_ITEMS, 3)
    assert len(np.unique(model.codes, axis=0)) == NUM_ITEMS
    assert model.codes[:, :2].max() < 4
    assert len(np.unique(model.codes[:, :2], axis=0)) < NUM_ITEMS


def test_all_items_are_ranked_by_probabilities_that_sum_to_one() -> None:
    answer = fitted().recommend(asking([3, 4, 5], [9]), NUM_ITEMS + 5)
    assert np.sort(answer.item_rows[:, :NUM_ITEMS], axis=1).tolist() == [list(range(NUM_ITEMS))] * 2
    np.testing.assert_allclose(np.exp(answer.scores[:, :NUM_ITEMS]).sum(axis=1), 1, rtol=1e-4)
    assert (answer.item_rows[:, NUM_ITEMS:] == NO_ITEM).all()


def test_lists_are_full_whatever_is_hidden() -> None:
    history = [3, 4, 5]
    candidates = Candidates(allowed=np.arange(NUM_ITEMS) % 2 == 0, excluded=Ragged.of([history]))
    answer = fitted().recommend(asking(history), NUM_ITEMS, candidates=candidates)
    assert set(answer.item_rows[answer.filled].tolist()) == set(range(0, NUM_ITEMS, 2)) - {4}


def test_a_history_without_an_item_that_has_codes_is_not_answered() -> None:
    data = chain_of([[1, 2, 3], [2, 3, 4]] * 5)
    titles = [f"{WORDS[row % 4]} {row}" if row != 20 else None for row in range(NUM_ITEMS)]
    model = (
        config(training=FAST.model_copy(update={"epochs": 2})).build({}).fit(with_titles(data, titles), RunContext())
    )
    answer = model.recommend(asking([20], [], [1, 20, 2], [1, 2]), NUM_ITEMS)
    assert not answer.filled[:2].any()
    assert 20 not in answer.item_rows
    assert answer.filled[2].sum() == NUM_ITEMS - 1
    np.testing.assert_array_equal(answer.item_rows[2], answer.item_rows[3])


def test_a_liked_item_without_text_is_known_by_its_likes_alone() -> None:
    data, _ = chain()
    titles = [None if row % 2 else f"{WORDS[row % 4]} {row}" for row in range(NUM_ITEMS)]
    few = FAST.model_copy(update={"epochs": 2})
    for share, expected in ((0.5, NUM_ITEMS), (0.0, NUM_ITEMS // 2)):
        model = config(training=few, collaborative=share).build({}).fit(with_titles(data, titles), RunContext())
        assert model.recommend(asking([2]), NUM_ITEMS).filled.sum() == expected


def test_users_with_one_event_teach_nothing_and_break_nothing() -> None:
    data = with_titles(chain_of([[1], [2], [], [3]]))
    model = config().build({}).fit(data, RunContext())
    assert not model.recommend(asking([1]), 3).filled.any()
    again = config().build({})
    again.restore(model.state())
    assert not again.recommend(asking([1]), 3).filled.any()
    longer = model.index(extended(data.items, [{"item_id": "new", "title": "red thing"}]), RunContext())
    assert not longer.recommend(asking([1]), 3).filled.any()


def test_without_texts_it_says_so() -> None:
    with pytest.raises(DataError, match="text"):
        config().build({}).fit(chain()[0], RunContext())


def test_new_items_have_codes_at_once() -> None:
    model = fitted()
    rows = [{"item_id": "new-0", "title": "red thing 5"}, {"item_id": "new-1"}]
    longer = model.index(extended(with_titles(chain()[0]).items, rows), RunContext())
    assert longer.coded.tolist() == [True] * (NUM_ITEMS + 1) + [False]
    assert longer.codes[NUM_ITEMS, 0] == model.codes[5, 0]  # It reads the same but for who likes it.
    np.testing.assert_array_equal(longer.codes[:NUM_ITEMS], model.codes)
    answer = longer.recommend(asking([3, 4], [NUM_ITEMS, NUM_ITEMS + 1]), NUM_ITEMS + 2)
    assert np.sort(answer.item_rows, axis=1)[:, 1:].tolist() == [list(range(NUM_ITEMS + 1))] * 2
    np.testing.assert_allclose(np.exp(answer.scores).sum(axis=1), 1, rtol=1e-4)
    before = model.recommend(asking([3, 4]), 1)
    np.testing.assert_array_equal(longer.recommend(asking([3, 4]), 1).item_rows, before.item_rows)


def test_it_reads_the_same_after_saving(tmp_path: Path) -> None:
    model = fitted()
    save_model(model, tmp_path)
    again = load_model(tmp_path, SemanticIdConfig, {})
    queries = chain()[0].queries()
    for name in ("item_rows", "scores", "sources"):
        kept, found = (getattr(one.recommend(queries, 5), name) for one in (model, again))
        np.testing.assert_array_equal(kept, found)
    np.testing.assert_array_equal(model.curve, again.curve)
    rows = [{"item_id": "new-0", "title": "red thing 5"}]
    items = extended(with_titles(chain()[0]).items, rows)
    longer = [one.index(items, RunContext()).recommend(queries, 5).item_rows for one in (model, again)]
    np.testing.assert_array_equal(*longer)


def test_a_fusion_is_told_of_its_best() -> None:
    data, validation = chain()
    popularity = PopularityConfig().build({}).fit(with_titles(data), RunContext())
    model = load_like(fitted(), max_ranked=5)
    fusion = FusionConfig(members=("codes", "popularity")).build({"codes": model, "popularity": popularity})
    fusion.fit(with_titles(data), RunContext(validation=validation))
    assert fusion.weights[0] == 1
    _, asked = chain(seed=1)
    answer = fusion.recommend(asked.queries, 1, candidates=Candidates(excluded=asked.queries.history.items))
    assert (answer.item_rows[:, 0] == asked.targets.values).mean() > 0.9


def load_like(model: SemanticId, **settings: object) -> SemanticId:
    other = config(**settings).build({})
    other.restore(model.state())
    return other


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ValidationError, match="`num_heads` 3 does not divide `embedding_size` 16"):
        config(num_heads=3)


T = TypeVar("T")


class Interrupt:
    """A progress that stops the work after so many steps."""

    def __init__(self, after: int) -> None:
        self.after = after

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        for number, step in enumerate(steps):
            if number == self.after and description.endswith("train"):
                raise KeyboardInterrupt
            yield step


def test_an_interrupted_fit_goes_on(tmp_path: Path) -> None:
    data, validation = chain()
    often = FAST.model_copy(update={"checkpoint_seconds": 0.0, "epochs": 3})

    def fit(run: RunContext) -> SemanticId:
        return config(training=often, max_validated=50).build({}).fit(with_titles(data), run)

    whole = fit(RunContext(validation=validation))
    with pytest.raises(KeyboardInterrupt):
        fit(RunContext(validation=validation, directory=tmp_path, progress=Interrupt(6)))
    assert (tmp_path / CHECKPOINT_FILE).exists()
    again = fit(RunContext(validation=validation, directory=tmp_path))
    np.testing.assert_array_equal(whole.curve, again.curve)
    queries = Holdout(data.queries(), validation.targets).queries
    np.testing.assert_array_equal(whole.recommend(queries, 5).scores, again.recommend(queries, 5).scores)
