"""Two towers in a world in which what comes next has the words of what went before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.core.interactions import Interactions
from genre.core.queries import Holdout, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.data.growth import extended
from genre.features.vectors import VectorsConfig
from genre.language.hashing import HashingEncoderConfig
from genre.recommenders.sasrec import ItemTextConfig, Sasrec, SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.two_tower import TwoTower, TwoTowerConfig
from genre.training.config import TrainingConfig

WORDS = VectorsConfig(encoder=HashingEncoderConfig(), whitening=None)
SUBJECTS = ["dragon castle knight", "bank robbery thief", "ocean whale sailor", "desert caravan mirage"]
NUM_ITEMS = 40
FAST = TrainingConfig(epochs=40, batch_size=64, learning_rate=5e-3, patience=10, patience_steps=0, tracker="none")


def world(num_users: int = 100, seed: int = 0) -> tuple[Dataset, Holdout]:
    """Return people who like one subject, and questions about their last like; the last four items are never liked."""
    rng = np.random.default_rng(seed)
    subject = np.arange(NUM_ITEMS) % len(SUBJECTS)
    liked = NUM_ITEMS - len(SUBJECTS)
    rows = [
        rng.choice(np.flatnonzero(subject[:liked] == user % len(SUBJECTS)), 5, replace=False).tolist()
        for user in range(num_users)
    ]
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(NUM_ITEMS)],
            "title": [
                f"{' '.join(rng.permutation(SUBJECTS[subject[row]].split()))} part {row}" for row in range(NUM_ITEMS)
            ],
        }
    )
    users = pl.DataFrame({"user_id": [f"u{row}" for row in range(num_users)]})
    data = Dataset(
        Interactions.of(Ragged.of([row[:-1] for row in rows])),
        Entities(Vocabulary(items["item_id"]), items, Roles(text=("title",))),
        Entities(Vocabulary(users["user_id"]), users),
    )
    return data, Holdout(data.queries(), Ragged.of([row[-1:] for row in rows]))


def fitted(**settings: object) -> TwoTower:
    data, asked = world()
    base = {"vectors": WORDS, "embedding_size": 16, "hidden": 16, "num_hard": 1, "training": FAST}
    return TwoTowerConfig(**{**base, **settings}).build({}).fit(data, RunContext(validation=asked))  # type: ignore[arg-type]


def reading(**settings: object) -> Sasrec:
    data, asked = world()
    text = ItemTextConfig(vectors=WORDS, own_dropout=0.3, **settings)  # type: ignore[arg-type]
    config = SasrecConfig(embedding_size=16, length=6, dropout=0.1, text=text, training=FAST)
    return config.build({}).fit(data, RunContext(validation=asked))


MODELS = [
    pytest.param(fitted, {}, id="two_tower"),
    pytest.param(fitted, {"own": True, "num_hard": 0}, id="two_tower-own"),
    pytest.param(reading, {}, id="sasrec"),
    pytest.param(reading, {"own": False, "hidden": 32}, id="sasrec-text-alone"),
    pytest.param(reading, {"start_from_text": True}, id="sasrec-start-from-text"),
]


@pytest.mark.parametrize(("make", "settings"), MODELS)
def test_subjects_are_learned_and_new_items_follow_them(make: object, settings: dict[str, object]) -> None:
    model = make(**settings)  # type: ignore[operator]
    data, asked = world()
    queries = asked.queries
    scores = model.score(queries)
    subject = np.arange(NUM_ITEMS) % len(SUBJECTS)
    own = subject[None] == (np.arange(len(queries)) % len(SUBJECTS))[:, None]
    assert scores[own].mean() > scores[~own].mean() + scores.std()
    never_liked = scores[:, -len(SUBJECTS) :]
    assert np.isfinite(never_liked).all(), "items that nobody likes have a text"
    assert (never_liked.argmax(axis=1) == np.arange(len(queries)) % len(SUBJECTS)).mean() > 0.9
    longer = model.index(
        extended(data.items, [{"item_id": "new", "title": "whale and sailor of the ocean"}, {"item_id": "bare"}]),
        RunContext(),
    )
    found = longer.score(queries)
    np.testing.assert_allclose(found[:, :NUM_ITEMS], scores, rtol=1e-4, atol=1e-5)
    sailors = np.arange(len(queries)) % len(SUBJECTS) == 2
    assert found[sailors, NUM_ITEMS].mean() > found[~sailors, NUM_ITEMS].mean() + 0.5 * scores.std()
    assert (found[:, NUM_ITEMS + 1] == -np.inf).all()
    after_new = longer.score(Queries.of(Interactions.of(Ragged.of([[NUM_ITEMS] * 4, [NUM_ITEMS + 1]]))))
    assert subject[after_new[0, :NUM_ITEMS].argmax()] == 2, "a history of nothing but a new item"
    assert (after_new[1] == -np.inf).all()


@pytest.mark.parametrize(("make", "settings"), MODELS[:3])
def test_saved_and_loaded_it_takes_new_items_alike(make: object, settings: dict[str, object], tmp_path: Path) -> None:
    model = make(**settings)  # type: ignore[operator]
    save_model(model, tmp_path)
    again = load_model(tmp_path, type(model.config), {})
    data, asked = world()
    items = extended(data.items, [{"item_id": "new", "title": "whale and sailor"}])
    before, after = (one.index(items, RunContext()).score(asked.queries) for one in (model, again))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(before, after)


def test_texts_find_items_by_what_was_learned() -> None:
    scores = fitted().similar_to_texts(["a sailor and a whale", ""])
    assert np.arange(NUM_ITEMS)[scores[0].argmax()] % len(SUBJECTS) == 2
    assert (scores[1] == -np.inf).all()


def test_layers_are_counted_from_the_output() -> None:
    network = TwoTower(TwoTowerConfig(embedding_size=4, hidden=6, own=True)).empty_network(text_size=5)
    found = {name: network.layer_of(name) for name in network.state_dict()}
    layers = {"item.": 0, "history.3.": 0, "history.0.": 1, "ages": 2, "vectors.read.": 2, "vectors.own.": None}
    for name, layer in found.items():
        assert [layer] == [value for start, value in layers.items() if name.startswith(start)]
