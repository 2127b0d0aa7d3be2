"""Recommending by texts alone, in a small catalogue with two subjects, English and Chinese."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.data.growth import extended
from genre.features.vectors import VectorsConfig
from genre.language.hashing import HashingEncoderConfig
from genre.recommenders.content import Content, ContentConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.fusion import Fusion, FusionConfig
from genre.recommenders.members import standardised
from genre.recommenders.store import load_model, save_model

TEXTS = [
    "a dragon guards the castle",
    "the castle of the sleeping dragon",
    "a knight fights a dragon",
    "the bank fears a robbery",
    "robbery of the central bank",
    "a thief plans the bank robbery",
    "侦探追查银行劫案",
    "银行劫案的侦探",
    None,
]
WORDS = VectorsConfig(encoder=HashingEncoderConfig(), whitening=None)


def world(profiles: list[str | None] | None = None) -> Dataset:
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(len(TEXTS))], "title": TEXTS})
    users = pl.DataFrame({"user_id": ["u0", "u1", "u2"]})
    if profiles is not None:
        users = users.with_columns(profile=pl.Series(profiles, dtype=pl.String))
    log = Interactions.of(Ragged.of([[0, 1], [3, 4], [6]]))
    return Dataset(
        log,
        Entities(Vocabulary(items["item_id"]), items, Roles(text=("title",))),
        Entities(Vocabulary(users["user_id"]), users),
    )


def fitted(data: Dataset | None = None, **settings: object) -> Content:
    config = ContentConfig(vectors=WORDS, **settings)  # type: ignore[arg-type]
    return config.build({}).fit(data or world(), RunContext())


def test_scores_are_weighted_cosines() -> None:
    model = fitted(decay=0.5)
    history = Interactions(
        np.array([0, 2]), np.array([0, 3], np.int32), np.zeros(2, np.int64), np.array([1, 3], np.float32)
    )
    scores = model.score(Queries.of(history))
    cosines = model.items.vectors @ model.items.vectors.T
    np.testing.assert_allclose(scores[0, :8], ((0.5 * 1 * cosines[0] + 3 * cosines[3]) / 3.5)[:8], rtol=1e-5, atol=1e-6)
    assert scores[0, 8] == -np.inf, "an item without a text"


def test_one_like_is_enough_and_language_does_not_matter() -> None:
    queries = Queries.of(Interactions.of(Ragged.of([[0], [4], [6], [8], []])))
    answer = fitted().recommend(queries, 3)
    assert answer.item_rows[0, 0] == 0
    assert set(answer.item_rows[0, :2]) == {0, 1}
    assert set(answer.item_rows[1]) == {3, 4, 5}
    assert set(answer.item_rows[2, :2]) == {6, 7}
    assert (answer.item_rows[3:] == NO_ITEM).all(), "nothing readable is known"
    assert set(answer.sources[:3].ravel()) == {Source.CONTENT}


def test_a_profile_answers_for_somebody_without_likes() -> None:
    data = world(["banks and robbery", None, "a dragon and a castle"])
    model = fitted(data)
    nobody = data.queries(history=Interactions.empty(3))
    answer = model.recommend(nobody, 1)
    assert answer.item_rows[0, 0] in (3, 4, 5)
    assert answer.item_rows[1, 0] == NO_ITEM
    assert answer.item_rows[2, 0] in (0, 1)
    assert not fitted(data, profile_weight=0).recommend(nobody, 1).filled.any()


def test_new_items_are_recommended_at_once_and_the_old_model_stays() -> None:
    model = fitted()
    items = extended(world().items, [{"item_id": "new", "title": "the dragon and the knight of the castle"}])
    longer = model.index(items, RunContext())
    queries = Queries.of(Interactions.of(Ragged.of([[0, 1]])))
    assert 9 in longer.recommend(queries, 3).item_rows[0]
    assert model.score(queries).shape == (1, 9)
    assert longer.index(extended(items, [{"item_id": "newer"}]), RunContext()).score(queries).shape == (1, 11)


def test_texts_find_items() -> None:
    scores = fitted().similar_to_texts(["dragon in a castle", "银行", " "])
    assert scores[0].argmax() in (0, 1)
    assert scores[1].argmax() in (6, 7)
    assert (scores[2][:8] <= 0).all()


def test_a_saved_model_reads_texts_as_before(tmp_path: Path) -> None:
    model = fitted()
    save_model(model, tmp_path)
    again = load_model(tmp_path, ContentConfig, {})
    assert isinstance(again, Content)
    np.testing.assert_array_equal(again.similar_to_texts(["a knight"]), model.similar_to_texts(["a knight"]))


def test_a_catalogue_without_text_is_an_error_that_names_the_columns() -> None:
    data = world()
    bare = Entities(data.items.vocabulary, data.items.frame.select("item_id"))
    with pytest.raises(DataError, match="item_id"):
        fitted(Dataset(data.interactions, bare, data.users))


def test_a_fusion_lets_readers_speak_of_new_items(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genre.recommenders.fusion._FEWEST_NEW", 0.3)  # A twentieth of 40 items is too few to ask for.
    log = dataset.interactions
    newest = log.steps_from_end == 0
    train = dataset.with_interactions(log.where(~newest))
    run = RunContext(validation=Holdout(train.queries(), log.where(newest).items))
    members = {"content": fitted(train), "ease": EaseConfig(regularization=10).build({}).fit(train, run)}
    items = extended(dataset.items, [{"item_id": "new", "title": "western story", "genres": "western"}])
    fusion = FusionConfig(members=tuple(members), new_items=0.9).build(members).fit(train, run)
    assert fusion.says.tolist() == [1, 0]
    assert fusion.within > 0
    longer, reader = fusion.index(items, RunContext()), members["content"].index(items, RunContext())
    queries, new = dataset.queries(), dataset.num_items
    unseen = Candidates(excluded=queries.history.items)
    scores = reader.score(queries)
    unseen.hide(scores)
    early = (scores > scores[:, [new]]).sum(axis=1) < fusion.within
    assert 0 < early.sum() < len(queries)
    shown = longer.recommend(queries, 10, candidates=unseen).item_rows == new
    np.testing.assert_array_equal(shown.any(axis=1), early)
    hidden = FusionConfig(members=tuple(members), new_items=None).build(members).fit(train, run)
    assert not hidden.says.any()
    np.testing.assert_allclose(hidden.score(queries)[:, :30], fusion.score(queries)[:, :30], rtol=1e-4, atol=1e-5)


def test_where_new_items_are_asked_for_often_a_fusion_weighs_them_as_all_others(dataset: Dataset) -> None:
    new = np.flatnonzero(dataset.interactions.item_counts(dataset.num_items) == 0)
    liked = np.flatnonzero(dataset.interactions.item_counts(dataset.num_items) > 0)
    members = {
        "ease": EaseConfig().build({}).fit(dataset, RunContext()),
        "content": fitted(dataset),
    }

    def fusion(asked: list[int]) -> Fusion:
        queries = Queries.of(dataset.interactions.take(np.arange(len(asked))))
        validation = Holdout(queries, Ragged.of([[item] for item in asked]))
        return FusionConfig(members=tuple(members)).build(members).fit(dataset, RunContext(validation=validation))

    assert fusion([*liked[:20].tolist(), int(new[0])]).says.any()
    often = fusion([*liked[:8].tolist(), *new[[0, 1]].tolist()])
    assert not often.says.any()
    queries = Queries.of(dataset.interactions.take(np.arange(3)))
    scores = [member.score(queries) for member in members.values()]
    expected = sum(weight * standardised(one) for weight, one in zip(often.weights, scores, strict=True))
    np.testing.assert_allclose(often.score(queries)[:, new], expected[:, new], rtol=1e-4, atol=1e-5)
