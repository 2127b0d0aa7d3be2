"""A tiny language model that re-ranks what another model has found."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genre.core.errors import ConfigError, ModelError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles
from genre.data.growth import extended
from genre.recommenders.base import Recommender
from genre.recommenders.llm_ranker import LlmRanker, LlmRankerConfig
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.store import load_model, save_model
from tests.language.models import write_tiny
from tests.recommenders.chains import NUM_ITEMS, chain


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, template=None)
    return directory


def named(data: Dataset, names: list[str | None]) -> Dataset:
    titled = data.items.frame.with_columns(pl.Series("title", names))
    return Dataset(data.interactions, Entities(data.items.vocabulary, titled, Roles(text=("title",))), data.users)


def letters(number: int) -> list[str | None]:
    return [chr(ord("a") + place) for place in range(number)]


def world() -> tuple[Dataset, Any]:
    """Return histories along a chain of items whose names are letters, but for one, and some questions."""
    data, asked = chain()
    return named(data, [*letters(NUM_ITEMS - 1), None]), asked.take(np.arange(30))


def fitted(base: Path, data: Dataset, **settings: Any) -> tuple[LlmRanker, Recommender]:
    retriever = PopularityConfig().build({}).fit(data, RunContext())
    training = {"epochs": 15, "batch_size": 8, "learning_rate": 0.01, "tracker": "none", "precision": "fp32"}
    chosen = {
        "base": {"kind": "local", "model": str(base)},
        "retriever": "popular",
        "num_candidates": 10,
        "num_negatives": 4,
        "length": 1,
        "max_lists": 64,
        **settings,
    }
    config = LlmRankerConfig.model_validate({**chosen, "training": training | chosen.pop("training", {})})
    assert config.member_names == ("popular",)
    model = config.build({"popular": retriever}).fit(data, RunContext())
    return model, retriever


@pytest.fixture(scope="module")
def taught(base: Path) -> tuple[LlmRanker, Recommender]:
    """Return a model that has learned a little, and its retriever."""
    return fitted(base, world()[0], training={"epochs": 1})


def unseen(queries: Queries) -> Candidates:
    return Candidates(excluded=queries.history.items)


@pytest.mark.slow
def test_it_learns_to_put_what_comes_next_first(base: Path) -> None:
    few, asked = chain(num_users=40, num_items=8, longest=4)  # Learned in a few steps.
    learning = {"epochs": 10, "batch_size": 4, "learning_rate": 0.003}
    model, retriever = fitted(
        base, named(few, letters(8)), judgement="likelihood", tuning={"method": "full"}, training=learning
    )
    assert model.curve[-1, 0] < 0.9 * model.curve[0, 0]
    target = asked.targets.values
    places = []
    for one in (retriever, model):
        rows = one.recommend(asked.queries, 8, candidates=unseen(asked.queries)).item_rows
        places.append(np.argmax(rows == target[:, None], axis=1).mean())
    assert places[1] < 0.75 * places[0]


@pytest.mark.slow
def test_it_learns_to_say_yes_to_what_came_next(base: Path) -> None:
    data, _ = world()
    model, _ = fitted(base, data, tuning={"method": "full"}, training={"epochs": 4, "learning_rate": 0.001})
    assert model.curve[-1, 0] < min(model.curve[0, 0], np.log(5)), "better than chance among five"


def test_the_same_items_in_another_order_and_the_rest_behind_them(base: Path) -> None:
    data, asked = world()
    model, retriever = fitted(base, data, tuning={"method": "frozen"})
    assert model.curve.shape == (0, 2)
    before, after = (one.recommend(asked.queries, 15) for one in (retriever, model))
    np.testing.assert_array_equal(np.sort(before.item_rows[:, :10]), np.sort(after.item_rows[:, :10]))
    np.testing.assert_array_equal(before.item_rows[:, 10:], after.item_rows[:, 10:])
    assert (before.item_rows[:, :10] != after.item_rows[:, :10]).any()
    assert (np.diff(after.scores, axis=1) <= 0).all()
    np.testing.assert_array_equal(model.recommend(asked.queries, 3).item_rows, after.item_rows[:, :3])
    assert model.valid_answers(asked.queries).shape == (len(asked.queries),)


def test_a_history_of_long_texts_is_told_by_what_matters_of_them(base: Path) -> None:
    data, _ = world()
    told = pl.Series("plot", [f"the tale of number {row} " * 60 for row in range(NUM_ITEMS)])
    items = Entities(data.items.vocabulary, data.items.frame.with_columns(told), Roles(text=("title", "plot")))
    model, _ = fitted(
        base, Dataset(data.interactions, items, data.users), tuning={"method": "frozen"}, title_tokens=6, length=5
    )
    liked = [name for name in model.names if name][: model.config.length]
    begin, _ = model.prompts.beginning(liked)
    without, _ = model.prompts.beginning([""] * len(liked))
    assert len(begin) - len(without) <= 7 * len(liked)


def test_it_tells_how_often_it_answers_as_asked(
    base: Path, taught: tuple[LlmRanker, Recommender], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = world()
    model, retriever = taught
    told = model.account()["validity"]
    assert 0 < told["asked"] <= 32, "of those who like something that has a name"
    # The same by the language model itself, for some of those who can be asked about.
    queries = Queries.of(data.interactions).take(np.arange(40))
    first = retriever.recommend(queries, 1).item_rows[:, 0]
    said = []
    for query, row in enumerate(first):
        named = [title for liked in queries.history.liked().items[query] if (title := model.names[liked])]
        if named:
            begin, after = model.prompts.beginning(named[-model.config.length :])
            tokens = torch.tensor([[*begin, *model.titles[row], *after]])
            with torch.inference_mode():
                answer = int(model.language.tuned.language(input_ids=tokens).logits[0, -1].argmax())
            said.append(answer)
    assert told["share"] == pytest.approx(np.isin(said, [model.prompts.yes, model.prompts.no]).mean(), abs=0.3)
    for likeliest in {said[0], model.prompts.yes}:
        monkeypatch.setattr(model.reader, "yes", likeliest)
        expected = np.isin(said, [likeliest, model.prompts.no])
        np.testing.assert_array_equal(model.valid_answers(queries), expected)
    assert fitted(base, data, judgement="likelihood", tuning={"method": "frozen"})[0].account() == {}


def test_somebody_of_whom_nothing_with_a_name_is_known_gets_the_retrievers_order(base: Path) -> None:
    data, _ = world()
    model, retriever = fitted(base, data, tuning={"method": "frozen"})
    queries = Queries.of(Interactions.of(Ragged.of([[], [NUM_ITEMS - 1]])))
    np.testing.assert_array_equal(model.recommend(queries, 10).item_rows, retriever.recommend(queries, 10).item_rows)
    assert not len(model.valid_answers(queries))


def test_saved_and_loaded_it_answers_alike(taught: tuple[LlmRanker, Recommender], tmp_path: Path) -> None:
    _, asked = world()
    model, retriever = taught
    save_model(model, tmp_path)
    again = load_model(tmp_path, LlmRankerConfig, {"popular": retriever})
    before, after = (one.recommend(asked.queries, 12) for one in (model, again))
    np.testing.assert_array_equal(before.item_rows, after.item_rows)
    np.testing.assert_allclose(before.scores, after.scores, rtol=1e-4, atol=1e-4)


def test_another_language_model_is_an_error_that_says_what_to_do(base: Path, tmp_path: Path) -> None:
    data, _ = world()
    own = tmp_path / "own"
    shutil.copytree(base, own)
    model, retriever = fitted(own, data, tuning={"method": "frozen"})
    save_model(model, tmp_path)
    write_tiny(own, seed=1)
    with pytest.raises(ModelError, match=r"Put the language model of that time back"):
        load_model(tmp_path, LlmRankerConfig, {"popular": retriever})


def test_new_items_are_told_and_protected_it_learns_too(base: Path) -> None:
    data, _ = world()
    model, _ = fitted(base, data, protect={"kl": 1.0, "tokens": 32}, max_lists=16, training={"epochs": 1})
    longer = model.index(extended(data.items, [{"item_id": "new", "title": "z"}]), RunContext())
    answer = longer.recommend(Queries.of(Interactions.of(Ragged.of([[NUM_ITEMS, 2]]))), 5)
    assert (answer.item_rows != NO_ITEM).all()
    assert longer.names[-1] == "z"
    assert len(model.names) == NUM_ITEMS


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("long")
    write_tiny(directory, template=None, context=1024)
    return directory


SHORT = {"tuning": {"method": "frozen"}, "title_tokens": 2}
"""Whose titles are letters."""


def test_examples_are_of_the_training_log_and_lead_the_model(long: Path, tmp_path: Path) -> None:
    data, asked = world()
    plain, retriever = fitted(long, data, **SHORT)
    model, _ = fitted(long, data, **SHORT, examples=4)
    assert model.account()["examples"] == {"wanted": 4, "shown": 4}
    assert "examples" not in plain.account()
    histories = ["".join(model.names[row] for row in rows) for rows in data.interactions.items]
    for place, example in enumerate(model.examples):
        assert example.fits == (place % 2 == 0)
        followed = [history for history in histories if history.endswith("".join(example.liked) + example.title)]
        assert example.fits == bool(followed), "what came next in somebody's history, or something else"
    before, after = (one.recommend(asked.queries, 10).item_rows for one in (plain, model))
    np.testing.assert_array_equal(np.sort(before), np.sort(after))
    assert (before != after).any()
    # Alone or among others: what is read once for all is not changed by what is asked of one.
    alone = model.recommend(asked.queries.take(np.array([5])), 10)
    np.testing.assert_array_equal(alone.item_rows[0], after[5])
    save_model(model, tmp_path)
    again = load_model(tmp_path, LlmRankerConfig, {"popular": retriever})
    np.testing.assert_array_equal(again.recommend(asked.queries, 10).item_rows, after)
    assert again.account() == model.account()  # type: ignore[attr-defined]


def test_who_is_told_of_is_not_learned_from_and_an_answer_is_named(long: Path) -> None:
    data, _ = world()
    few_lists = {"max_lists": 16, "training": {"epochs": 1}}
    model, _ = fitted(long, data, judgement="likelihood", examples=3, title_tokens=2, **few_lists)
    assert all(example.fits for example in model.examples)
    run = RunContext()
    told = model._people(data.interactions, run)
    assert len(told) == 3
    few = Dataset(data.interactions.take(told), data.items, data.users)
    assert fitted(long, few, examples=3, title_tokens=2)[0].curve.shape == (0, 2), "nobody is left"


def test_without_anybody_it_answers_as_without_examples(long: Path) -> None:
    data, asked = world()
    nobody = data.with_interactions(data.interactions.where(np.zeros(data.num_events, bool)))
    plain, none = (fitted(long, nobody, **SHORT, examples=count)[0] for count in (0, 4))
    assert none.account()["examples"] == {"wanted": 4, "shown": 0}
    before, after = (model.recommend(asked.queries, 10) for model in (plain, none))
    np.testing.assert_array_equal(before.item_rows, after.item_rows)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_examples_that_the_context_does_not_hold_are_left_out(base: Path) -> None:
    data, _ = world()
    write_tiny(base.parent / "middle", template=None, context=600)
    model, _ = fitted(base.parent / "middle", data, **SHORT, examples=8)
    assert 0 < len(model.examples) < 8
    room = 600 - model.prompts.longest(model.config.length)
    assert len(model.prompts.shared) <= room < len(model.prompts.shared) + 100
    with pytest.raises(ConfigError, match=r"llm_ranker\.examples: the language model reads 256 tokens, and an example"):
        fitted(base, data, **SHORT, examples=1)
