"""What every recommender must do. A model imported in `config.py` is tested here without another line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from genre.adaptation.adapted import AdaptedConfig
from genre.config import RECOMMENDERS
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries, Recommendations, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.appending import appended
from genre.data.dataset import Dataset, Entities
from genre.data.files import save_dataset, save_split
from genre.data.growth import extended
from genre.data.splits import Split
from genre.recommenders.base import (
    DataSize,
    Recommender,
    RecommenderConfig,
    Scorer,
    Similar,
    Updatable,
)
from genre.recommenders.ease import EaseConfig
from genre.recommenders.growth import grown
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.semantic_id import SemanticIdConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.two_tower import TwoTowerConfig
from tests.conftest import make_dataset
from tests.language.models import write_tiny

N = 5
EXACT = ("popularity", "item_knn", "graph")
"""Models whose update is what fitting on all events would give."""


@cache
def tiny() -> str:
    """Return where a language model of two layers is."""
    directory = Path(tempfile.mkdtemp())
    write_tiny(directory, context=512)
    return str(directory)


def small_reader() -> dict[str, object]:
    """Return settings of a language model that reads histories."""
    return {
        "base": {"kind": "local", "model": tiny()},
        "vectors": {"encoder": {"kind": "hashing"}},
        "embedding_size": 16,
    }


@cache
def other_run() -> str:
    """Return where a run is whose model was fitted on the same sort of items."""
    train, validation = leave_last_out(make_dataset())
    model = TwoTowerConfig.model_validate(READS | {"training": BRIEF}).build({}).fit(train, RunContext())
    directory = Path(tempfile.mkdtemp())
    for part in ("data/split-0", "data/all", "models/towers"):
        (directory / part).mkdir(parents=True)
    nothing = Holdout(validation.queries.take(slice(0, 0)), validation.targets.take(slice(0, 0)))
    save_split(Split(train, validation, nothing, np.zeros(train.num_items, bool)), directory / "data" / "split-0")
    save_dataset(train, directory / "data" / "all")
    save_model(model, directory / "models" / "towers")
    return str(directory)


BRIEF = {"epochs": 2, "tracker": "none"}
ONCE = {"epochs": 1, "tracker": "none", "precision": "fp32"}
"""Not every processor multiplies bfloat16: for tiny models it takes twice as long."""
READS = {"vectors": {"encoder": {"kind": "hashing"}}}

SMALLER: dict[str, Callable[[], dict[str, object]]] = {
    "adapted": lambda: {"source": other_run(), "model": "towers", "training": BRIEF},
    "adapted_with_people": lambda: {"source": other_run(), "model": "towers", "training": BRIEF, "same_users": True},
    "distilled": lambda: {
        "teacher": "ease",
        "student": {"kind": "sasrec", "embedding_size": 16, "training": {"epochs": 3, "tracker": "none"}},
    },
    "guarded": lambda: {
        "model": {"kind": "llm_sequential", **small_reader(), "training": ONCE},
        "protections": {"unprotected": {}},
        "shares": [1.0],
        "writing": {"texts": 2, "max_text_tokens": 16, "max_answer_tokens": 8, "prompts": ["Write."]},
    },
    "llm_ranker": lambda: {
        "base": {"kind": "local", "model": tiny()},
        "retriever": "ease",
        "num_candidates": 8,
        "max_lists": 8,
        "title_tokens": 6,
        "length": 4,
        "training": ONCE,
    },
    "llm_sequential": lambda: small_reader() | {"training": BRIEF | {"batch_size": 16, "precision": "bf16"}},
    "text_classifier": lambda: {"vectors": {"encoder": {"kind": "hashing"}}},
    "semantic_id_pretrained": lambda: {
        "vectors": {"encoder": {"kind": "hashing"}},
        "codebook_size": 8,
        "levels": 2,
        "length": 8,
        "decoder": {
            "kind": "pretrained",
            "base": {"kind": "local", "model": tiny()},
            "training": ONCE,
        },
    },
}
"""Models whose defaults would take minutes."""


def leave_last_out(data: Dataset) -> tuple[Dataset, Holdout]:
    """Return everything but each user's newest event, and that event as the answer."""
    log = data.interactions
    newest = log.steps_from_end == 0
    train = data.with_interactions(log.where(~newest))
    return train, Holdout(train.queries(), log.where(newest).items)


def fit(config_class: type[RecommenderConfig], data: Dataset, seed: int = 0) -> Recommender:
    """Fit the model with its defaults; a composite one gets popularity and EASE for members."""
    train, validation = leave_last_out(data)
    run = RunContext(seed=seed, validation=validation)
    kind = config_class.model_fields["kind"].default
    settings: dict[str, object] = SMALLER[kind]() if kind in SMALLER else {}
    if kind not in SMALLER and "training" in config_class.model_fields:
        settings["training"] = BRIEF
    members: dict[str, Recommender] = {}
    if "members" in config_class.model_fields:
        settings["members"] = ["ease", "popularity"]
    if {"members", "retriever", "teacher"} & set(config_class.model_fields):
        members = {
            "ease": EaseConfig(regularization=10).build({}).fit(train, run),
            "popularity": PopularityConfig().build({}).fit(train, run),
        }
    return config_class(**settings).build(members).fit(train, run)


class Pretrained(SemanticIdConfig):
    """`semantic_id` in a language model, which answers in another way than from scratch."""

    kind: Literal["semantic_id_pretrained"] = "semantic_id_pretrained"  # type: ignore[assignment]


class WithPeople(AdaptedConfig):
    """`adapted` where everybody has a history in the source too."""

    kind: Literal["adapted_with_people"] = "adapted_with_people"  # type: ignore[assignment]


@pytest.fixture(
    scope="module",
    params=[*RECOMMENDERS, Pretrained, WithPeople],
    ids=lambda config: config.model_fields["kind"].default,
)
def config_class(request: pytest.FixtureRequest) -> type[RecommenderConfig]:
    """Return every recommender in turn."""
    return request.param


@pytest.fixture(scope="module")
def model(config_class: type[RecommenderConfig], dataset: Dataset) -> Recommender:
    """Return the model, fitted."""
    return fit(config_class, dataset)


def assert_sound(answer: Recommendations, queries: Queries, n: int, num_items: int) -> None:
    """Check the shape, the order, the padding and the range of an answer."""
    assert answer.item_rows.shape == answer.scores.shape == answer.sources.shape == (len(queries), n)
    filled = answer.filled
    assert (np.diff(filled.astype(int), axis=1) <= 0).all(), "an item stands behind an empty place"
    assert answer.item_rows[filled].min(initial=0) >= 0
    assert answer.item_rows.max(initial=NO_ITEM) < num_items
    assert np.isfinite(answer.scores[filled]).all()
    assert (answer.scores[~filled] == -np.inf).all()
    assert (answer.sources[~filled] == Source.NONE).all()
    assert (answer.sources[filled] != Source.NONE).all()
    for row, kept in zip(answer.item_rows, filled, strict=True):
        assert len(set(row[kept])) == kept.sum(), "an item stands twice in one answer"
    with np.errstate(invalid="ignore"):
        steps = np.diff(answer.scores, axis=1)
    assert (steps[filled[:, 1:]] <= 0).all(), "scores rise along an answer"


def test_answers_known_users_with_items(model: Recommender, dataset: Dataset) -> None:
    queries = dataset.queries()
    answer = model.recommend(queries, N)
    assert_sound(answer, queries, N, dataset.num_items)
    assert answer.filled.any(axis=1).mean() > 0.9


def test_answers_unknown_users_by_their_history(model: Recommender, dataset: Dataset) -> None:
    known = dataset.queries(np.arange(8))
    unknown = Queries.of(known.history, times=known.times)
    assert_sound(model.recommend(unknown, N), unknown, N, dataset.num_items)


def test_empty_history_is_answered_without_an_error(model: Recommender, dataset: Dataset) -> None:
    queries = Queries.of(Interactions.empty(3))
    assert_sound(model.recommend(queries, N), queries, N, dataset.num_items)


def test_no_queries(model: Recommender) -> None:
    assert model.recommend(Queries.of(Interactions.empty(0)), N).item_rows.shape == (0, N)


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_any_n(model: Recommender, dataset: Dataset, n: int) -> None:
    queries = dataset.queries(np.arange(4))
    assert_sound(model.recommend(queries, n), queries, n, dataset.num_items)


def test_candidates_are_obeyed(model: Recommender, dataset: Dataset) -> None:
    queries = dataset.queries(np.arange(6))
    allowed = np.arange(dataset.num_items) % 2 == 0
    only = Ragged.of([range(20)] * len(queries))
    candidates = Candidates(allowed=allowed, excluded=queries.history.items, only=only)
    answer = model.recommend(queries, N, candidates=candidates)
    assert_sound(answer, queries, N, dataset.num_items)
    for row, items in enumerate(answer.item_rows):
        chosen = set(items[items != NO_ITEM])
        assert chosen <= set(range(0, 20, 2)) - set(queries.history.items[row])


def test_everything_excluded_leaves_nothing(model: Recommender, dataset: Dataset) -> None:
    queries = dataset.queries(np.arange(2))
    nothing = Candidates(allowed=np.zeros(dataset.num_items, bool))
    assert not model.recommend(queries, N, candidates=nothing).filled.any()


def test_an_answer_does_not_depend_on_its_batch(model: Recommender, dataset: Dataset) -> None:
    queries = dataset.queries(np.arange(10))
    whole = model.recommend(queries, N)
    for row in range(10):
        alone = model.recommend(queries.take(np.array([row])), N)
        np.testing.assert_allclose(alone.scores[0], whole.scores[row], rtol=1e-3, atol=1e-4)


def test_same_seed_same_answers(config_class: type[RecommenderConfig], model: Recommender, dataset: Dataset) -> None:
    again = fit(config_class, make_dataset()).recommend(dataset.queries(), N)
    np.testing.assert_array_equal(model.recommend(dataset.queries(), N).item_rows, again.item_rows)


def test_fitting_and_asking_change_no_input(config_class: type[RecommenderConfig]) -> None:
    data = make_dataset(seed=3)
    before = data.fingerprint()
    fit(config_class, data).recommend(data.queries(), N)
    assert data.fingerprint() == before


@pytest.mark.parametrize(("num_users", "num_items"), [(1, 40), (60, 1), (2, 2)])
def test_tiny_data(config_class: type[RecommenderConfig], num_users: int, num_items: int) -> None:
    data = make_dataset(num_users=num_users, num_items=num_items)
    queries = data.queries()
    assert_sound(fit(config_class, data).recommend(queries, N), queries, N, num_items)


def test_scores_are_float32_and_fresh(model: Recommender, dataset: Dataset) -> None:
    if not isinstance(model, Scorer):
        pytest.skip("ranks without scoring every item")
    queries = dataset.queries(np.arange(3))
    first = model.score(queries)
    assert first.shape == (3, dataset.num_items)
    assert first.dtype == np.float32
    assert not np.isnan(first).any()
    assert (first < np.inf).all()
    kept = first.copy()
    first[:] = 0  # The caller may change what it was given.
    np.testing.assert_array_equal(model.score(queries), kept)


def test_similar_items(model: Recommender, dataset: Dataset) -> None:
    if not isinstance(model, Similar):
        pytest.skip("knows no similarity of items")
    found = model.similar(np.array([0, dataset.num_items - 1]))
    assert found.shape == (2, dataset.num_items)
    assert found.dtype == np.float32
    assert np.isfinite(found[0]).any()


def longer_catalogue(dataset: Dataset) -> Entities:
    """Return the items and three new ones: with words of the others, with other words, and without any text."""
    rows = [
        {"item_id": "new-0", "title": "western story 1", "genres": ["western"]},
        {"item_id": "new-1", "title": "something else", "price": 3.0},
        {"item_id": "new-2"},
    ]
    return extended(dataset.items, rows)


def test_new_items_join_without_learning(model: Recommender, dataset: Dataset) -> None:
    items = longer_catalogue(dataset)
    known = dataset.queries(np.arange(8))
    before = model.recommend(known, N)
    longer = grown(model, items, dataset.num_items, RunContext())
    history = Interactions.of(Ragged.of([[dataset.num_items, 3], [dataset.num_items + 2]]))
    for queries in (known, Queries.of(history)):
        assert_sound(longer.recommend(queries, len(items)), queries, len(items), len(items))
    answer = longer.recommend(known, len(items), candidates=Candidates(excluded=known.history.items))
    if model.config.scores_new_items:
        assert (answer.item_rows == dataset.num_items).any(axis=1).all(), "an item with a text is not recommended"
    if model.config.kind != "behaviour_content":
        assert not (answer.item_rows == dataset.num_items + 2).any(), "an item of which nothing is known is recommended"
    after = model.recommend(known, N)
    np.testing.assert_array_equal(after.item_rows, before.item_rows)
    if isinstance(model, Scorer) and isinstance(longer, Scorer):
        scores = longer.score(known)
        assert scores.shape == (8, len(items))
        if "members" not in type(model.config).model_fields:
            np.testing.assert_allclose(scores[:, : dataset.num_items], model.score(known), rtol=1e-4, atol=1e-5)


def events_that_came(dataset: Dataset) -> tuple[Dataset, np.ndarray]:
    """Return the data with three new items, somebody new, and likes of both; and which events the models did not see.

    The last event of each user was held out where the models were fitted: it is new to them too.
    """
    rows = [{"item_id": f"new-{number}", "title": "western story 1", "genres": ["western"]} for number in range(2)]
    events = pl.DataFrame(
        [
            ("somebody", "new-0", 1.0),
            ("somebody", str(dataset.items.vocabulary.ids[0]), 2.0),
            (str(dataset.users.vocabulary.ids[0]), "new-0", dataset.end_time + 5.0),
            (str(dataset.users.vocabulary.ids[1]), "new-0", dataset.end_time + 6.0),
        ],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )
    found = appended(dataset, events, items=rows)
    held_out = np.isin(found.data.interactions.row_of_event, np.arange(dataset.num_users)) & ~found.new
    newest = np.zeros(len(found.new), bool)
    for user in range(dataset.num_users):
        newest[np.flatnonzero(held_out & (found.data.interactions.row_of_event == user))[-1]] = True
    return found.data, found.new | newest


def test_new_events_are_learned(model: Recommender, dataset: Dataset) -> None:
    if not isinstance(model, Updatable):
        pytest.skip("learns nothing after it was fitted")
    data, new = events_that_came(dataset)
    old = dataset.queries(np.arange(8))
    before = model.recommend(old, N)
    fingerprint = data.fingerprint()
    found = model.update(data, new, RunContext())
    again = model.update(data, new, RunContext())
    queries = data.queries()
    answer = found.recommend(queries, data.num_items)
    assert_sound(answer, queries, data.num_items, data.num_items)
    assert (answer.item_rows == dataset.num_items).any(), "an item that was liked is not recommended to anybody"
    np.testing.assert_array_equal(again.recommend(queries, N).item_rows, found.recommend(queries, N).item_rows)
    np.testing.assert_array_equal(model.recommend(old, N).item_rows, before.item_rows)
    assert data.fingerprint() == fingerprint
    with tempfile.TemporaryDirectory() as directory:
        save_model(found, Path(directory))
        members = getattr(found, "members", {})
        if not isinstance(members, dict):
            members = dict(zip(found.config.member_names, members, strict=True))
        loaded = load_model(Path(directory), type(found.config), members)
    kept = loaded.recommend(queries, N)  # Items with equal texts may change places.
    np.testing.assert_allclose(kept.scores, found.recommend(queries, N).scores, rtol=1e-3, atol=1e-4)


def test_counts_are_those_of_all_events(config_class: type[RecommenderConfig], dataset: Dataset) -> None:
    if config_class.model_fields["kind"].default not in EXACT:
        pytest.skip("learns on, and does not count")
    data, new = events_that_came(dataset)
    model = fit(config_class, dataset)
    assert isinstance(model, Updatable)
    found, anew = model.update(data, new, RunContext()), config_class().build({}).fit(data, RunContext())
    queries = data.queries()
    assert isinstance(found, Scorer)
    assert isinstance(anew, Scorer)
    np.testing.assert_allclose(found.score(queries), anew.score(queries), rtol=1e-5)


def test_estimate_is_positive_and_grows(model: Recommender) -> None:
    small = model.config.estimate(DataSize(100, 100, 1_000))
    large = model.config.estimate(DataSize(10_000, 10_000, 1_000_000))
    assert 0 < small.memory < large.memory
    assert 0 < small.seconds < large.seconds
