"""A model is moved between two worlds whose items say where they stand in a chain, in words that both share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from genre.adaptation.adapted import Adapted, AdaptedConfig, same_items
from genre.adaptation.distil import DistilledConfig
from genre.adaptation.origin import opened
from genre.adaptation.shares import accuracy
from genre.core.errors import ArtifactError, ConfigError, DataError
from genre.core.queries import Candidates, Holdout
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.data.files import save_dataset, save_split
from genre.data.splits import Split
from genre.recommenders.base import Recommender
from genre.recommenders.ease import EaseConfig
from genre.recommenders.moving import shared
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.trained import among
from genre.recommenders.two_tower import TwoTowerConfig
from tests.recommenders.chains import NUM_ITEMS, chain

pytestmark = pytest.mark.usefixtures("undrawn")

WORDS = "amber birch cedar delta ember fjord grove heath inlet jetty knoll lagoon marsh nook oasis prairie quarry ridge"
PLACES = [*WORDS.split(), "shore", "tundra", "upland", "valley", "wharf", "yard"]
HASHING = {"encoder": {"kind": "hashing"}, "whitening": None}
TRAINING = {"epochs": 25, "batch_size": 32, "learning_rate": 0.01, "patience": None, "tracker": "none"}
SASREC = {"kind": "sasrec", "embedding_size": 32, "dropout": 0.1, "text": {"vectors": HASHING}, "training": TRAINING}
TOWERS = {"kind": "two_tower", "embedding_size": 32, "dropout": 0.0, "vectors": HASHING, "training": TRAINING}


def world(name: str, num_users: int = 120, seed: int = 0, words: list[str] = PLACES) -> tuple[Dataset, Holdout]:
    """Return a chain of items whose ids begin with a name, and whose texts are two places: their own and the next."""
    data, asked = chain(num_users, seed)
    ids = pl.Series("item_id", [f"{name}{row}" for row in range(NUM_ITEMS)])
    texts = pl.Series("title", [f"{words[row]} {words[(row + 1) % NUM_ITEMS]}" for row in range(NUM_ITEMS)])
    return Dataset(
        data.interactions, Entities(Vocabulary(ids), pl.DataFrame([ids, texts]), Roles(("title",))), data.users
    ), asked


def made(directory: Path, settings: dict[str, Any]) -> Path:
    """Fit a model, and write what a finished run has of it."""
    data, asked = world("a")
    kinds: dict[str, Any] = {"sasrec": SasrecConfig, "two_tower": TwoTowerConfig, "ease": EaseConfig}
    model = kinds[settings["kind"]].model_validate(settings).build({}).fit(data, RunContext(validation=asked))
    return written(directory, model, data, asked)


def written(directory: Path, model: Recommender, data: Dataset, asked: Holdout) -> Path:
    """Write what a finished run has of one model."""
    for part in ("data/split-0", "data/all", "models/m"):
        (directory / part).mkdir(parents=True)
    save_split(Split(data, asked, asked, np.zeros(NUM_ITEMS, bool)), directory / "data" / "split-0")
    save_dataset(data, directory / "data" / "all")
    save_model(model, directory / "models" / "m")
    return directory


@pytest.fixture(scope="module", params=["sasrec", "two_tower"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = SASREC if request.param == "sasrec" else TOWERS
    return made(tmp_path_factory.mktemp("source") / "run", settings)


def adapted(source: Path, where: tuple[Dataset, Holdout] | None = None, **settings: Any) -> Adapted:
    data, asked = where or world("b", seed=1)
    config = AdaptedConfig.model_validate({"source": source, "model": "m", "align": False, **settings})
    return config.build({}).fit(data, RunContext(validation=asked))


def hits(model: Any, asked: Holdout) -> float:
    hidden = Candidates(excluded=asked.queries.history.items)
    answer = model.recommend(asked.queries, 1, candidates=hidden).item_rows[:, 0]
    return float((answer == asked.targets.values).mean())


def test_without_learning_it_reads_another_catalogue(source: Path) -> None:
    model = adapted(source, learn="nothing")
    _, asked = world("b", seed=1)
    assert hits(model, asked) > 0.5, "by chance, one in twenty"
    (point,) = model.account()["moved"]["points"]
    assert point["share"] == 0
    assert point["target"] > 0.6
    assert point["source"] > 0.6


def learned(source: Path, **settings: Any) -> set[str]:
    """Return the names of what moved and is another now."""
    few = {**TRAINING, "epochs": 2} | settings.pop("training", {})
    model = adapted(source, keep=None, training=few, **settings)
    assert model.account()["moved"]["share"] == 1
    before, after = (shared(one.network) for one in (opened(source, "m"), model.model))
    assert before.keys() == after.keys()
    return {name for name in before if not np.array_equal(before[name].cpu(), after[name].cpu())}


def test_the_last_layers_learn_and_the_others_move_as_they_are(source: Path) -> None:
    own = shared(opened(source, "m").network).keys()
    beginnings = {"sasrec": ("blocks.1.", "norm."), "two_tower": ("item.", "history.3.")}
    heads = beginnings[AdaptedConfig(source=source, model="m").inner().kind]
    assert learned(source, layers=1) == {name for name in own if name.startswith(heads)}
    assert learned(source, layers=3) == learned(source) == own


def test_layers_learn_at_rates_of_their_own_and_one_after_the_other(source: Path) -> None:
    # At so small a rate no number in 32 bits changes.
    slow = learned(source, training={"epochs": 1, "layer_decay": 1e-30, "optimizer": "sgd"})
    later = learned(source, training={"epochs": 1, "unfreeze_every": 1, "optimizer": "sgd"})
    assert slow == later == learned(source, layers=1, training={"epochs": 1, "optimizer": "sgd"})
    third = learned(source, training={"epochs": 3, "unfreeze_every": 1, "validate_every": 9})
    assert third == set(shared(opened(source, "m").network))


def test_layers_are_chosen_for_what_is_learned_here_alone(source: Path) -> None:
    config = AdaptedConfig.model_validate({"source": source, "model": "m", "layers": 2, "training": TRAINING})
    assert (config.inner().training.layers, config.inner().training.epochs) == (2, 25)
    assert AdaptedConfig(source=source, model="m", layers=1).inner().training.layers == 1
    assert AdaptedConfig(source=source, model="m").inner().training.layers is None


@pytest.mark.slow
def test_with_few_histories_it_is_better_than_one_that_begins_anew(source: Path) -> None:
    few = world("b", num_users=6, seed=1)
    _, asked = world("b", seed=2)
    moved = adapted(source, few)
    scratch = moved.config.inner().build({}).fit(few[0], RunContext(validation=few[1]))
    assert hits(moved, asked) > hits(scratch, asked) + 0.05


@pytest.mark.slow
def test_of_what_was_learned_as_much_counts_as_keeps_the_source(source: Path) -> None:
    # The places mean something else here: what is learned of them must hurt there.
    other = world("b", seed=1, words=list(np.random.default_rng(0).permutation(PLACES)))
    free, kept = (adapted(source, other, keep=keep, rehearse=0.0) for keep in (None, 0.02))
    before, after = (free.account()["moved"]["points"][at] for at in (0, -1))
    assert after["share"] == 1
    assert after["source"] < 0.9 * before["source"]
    told = kept.account()["moved"]
    assert told["share"] < 1
    chosen = next(point for point in told["points"] if point["share"] == told["share"])
    assert chosen["source"] >= 0.98 * before["source"]


def test_learning_begins_with_what_the_moved_model_says(source: Path) -> None:
    data, asked = world("b", seed=1)
    origin: Any = opened(source, "m")
    start = origin.moved(data.items, RunContext(), same=np.full(NUM_ITEMS, -1), align=False)
    still = origin.config.training.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
    model = origin.config.model_copy(update={"training": still}).build({})
    model.begin_with(start)
    model.fit(data, RunContext())
    assert model.known.any()
    np.testing.assert_allclose(model.score(asked.queries), start.score(asked.queries), rtol=0, atol=1e-3)


@pytest.mark.slow
def test_what_is_rehearsed_is_not_forgotten(source: Path) -> None:
    other = world("b", seed=1, words=list(np.random.default_rng(0).permutation(PLACES)))
    points = [adapted(source, other, keep=None, rehearse=weight).account()["moved"]["points"] for weight in (0.0, 1.0)]
    forgotten, rehearsed = (found[-1] for found in points)
    assert rehearsed["source"] > forgotten["source"] + 0.1
    assert rehearsed["target"] > 0.8


@pytest.mark.slow
def test_what_was_kept_is_what_answers(source: Path) -> None:
    _, asked = world("b", seed=1)
    model = adapted(source)
    told = model.account()["moved"]
    hidden = Candidates(excluded=asked.queries.history.items)
    answer = model.recommend(asked.queries, 10, candidates=hidden).item_rows
    places = (answer == asked.targets.values[:, None]) / np.log2(np.arange(2, 12))
    chosen = next(point for point in told["points"] if point["share"] == told["share"])
    assert places.sum(1).mean() == pytest.approx(chosen["target"], abs=1e-6)


@pytest.mark.slow
def test_a_saved_one_needs_its_source_no_more(source: Path, tmp_path: Path) -> None:
    _, asked = world("b", seed=1)
    model = adapted(source)
    save_model(model, tmp_path)
    again = load_model(tmp_path, AdaptedConfig, {})
    assert isinstance(again, Adapted)
    assert np.array_equal(again.recommend(asked.queries, 5).item_rows, model.recommend(asked.queries, 5).item_rows)
    assert again.account() == model.account()


@pytest.mark.slow
def test_items_of_both_catalogues_keep_their_own_vectors(tmp_path: Path) -> None:
    source = made(tmp_path / "run", SASREC)
    model = adapted(source, world("a", seed=1), learn="nothing")
    assert (model.account()["moved"]["same_ids"], model.account()["moved"]["same_items"]) == (NUM_ITEMS, NUM_ITEMS)
    origin: Any = load_model(source / "models" / "m", SasrecConfig, {})
    assert np.allclose(model.model.table, origin.table)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_same_ids_may_mean_other_items(tmp_path: Path) -> None:
    source = made(tmp_path / "run", SASREC)
    moved = world("a", seed=1, words=list(np.random.default_rng(0).permutation(PLACES)))
    model = adapted(source, moved, learn="nothing")
    assert (model.account()["moved"]["same_ids"], model.account()["moved"]["same_items"]) == (NUM_ITEMS, 0)
    origin: Any = load_model(source / "models" / "m", SasrecConfig, {})
    half, _ = world("a", words=[*PLACES[:18], "x", "y", "z", "xx", "yy", "zz"])
    rows, told = same_items(half.items, world("a")[0].items, origin, RunContext())
    assert told["same_items"] == (rows >= 0).sum() < NUM_ITEMS
    assert (rows[:17] == np.arange(17)).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"source": "nowhere"}, ArtifactError, "nowhere: there is no model 'm'"),
        ({"model": "other"}, ArtifactError, "there is no model 'other'"),
    ],
)
def test_a_source_that_is_not_there(
    source: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        adapted(**({"source": source} | changes))


def test_models_that_know_items_by_their_likes_alone_cannot_be_moved(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"the model 'm' is a 'ease', which cannot be moved\. Name a `two_tower`.*guarded, taught or"
    ):
        adapted(made(tmp_path / "ease", {"kind": "ease"}))
    blind = made(tmp_path / "blind", {**SASREC, "text": None, "training": {**TRAINING, "epochs": 1}})
    with pytest.raises(ConfigError, match=r"blind: .* a `sasrec` without `text`: .* by their likes alone.*Give it"):
        AdaptedConfig(source=blind, model="m").inner()


@pytest.mark.parametrize("settings", [SASREC, TOWERS])
def test_a_small_form_only_answers(settings: dict[str, Any], tmp_path: Path) -> None:
    small = made(tmp_path / "small", {**settings, "form": "int8", "training": {**TRAINING, "epochs": 1}})
    with pytest.raises(ConfigError, match=r"small: the model 'm' has the form 'int8', which only answers\. Name it in"):
        AdaptedConfig(source=small, model="m").inner()


def test_a_catalogue_without_texts_is_told(source: Path) -> None:
    data, asked = chain()
    with pytest.raises(DataError, match="there is no text"):
        adapted(source, (data, asked))


def test_shares_must_hold_all_of_it() -> None:
    with pytest.raises(ValidationError, match=r"`shares` \(0.5,\) must be above 0 and at most 1, and hold 1"):
        AdaptedConfig(source=Path("x"), model="m", shares=(0.5,))


def test_a_budget_for_the_writing_of_what_writes_nothing_is_refused(source: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"adapted\.budget: `budget` is set, and the model 'm' is a .* writes nothing"
    ):
        adapted(source, budget={"bits_per_byte": "+2%"})
    with pytest.raises(ConfigError, match=r"adapted\.read_first: `read_first` is set, and the model 'm' is a"):
        adapted(source, read_first=1)


def test_where_nobody_likes_two_things_it_answers_as_it_came(source: Path) -> None:
    data, asked = world("b", seed=1)
    first = np.diff(data.interactions.row_of_event, prepend=-1) > 0
    model = adapted(source, (data.with_interactions(data.interactions.where(first)), asked))
    assert model.account()["moved"]["share"] == 0
    assert len(model.account()["moved"]["points"]) == 1
    assert hits(model, asked) > 0.5


def test_what_was_moved_moves_on(source: Path, tmp_path: Path) -> None:
    data, asked = world("b", seed=1)
    # Those of b are known from a, too, and answered by that; of whom c knows, nothing is said there.
    second = adapted(source, (data, asked), learn="nothing", same_users=True)
    assert second.model.elsewhere is not None
    middle = written(tmp_path / "middle", second, data, asked)
    config = AdaptedConfig(source=middle, model="m")
    assert config.inner() == second.model.config
    third, there = world("c", seed=2)
    moved = adapted(middle, (third, there), learn="nothing", same_users=False)
    assert moved.model.elsewhere is None
    assert hits(moved, there) > 0.5
    (point,) = moved.account()["moved"]["points"]
    assert point["source"] == pytest.approx(accuracy(second, asked).mean(), abs=1e-6), "it is the model of b"
    save_model(moved, tmp_path)
    again: Any = load_model(tmp_path, AdaptedConfig, {})
    np.testing.assert_array_equal(again.score(there.queries), moved.score(there.queries))


def test_only_items_with_vectors_are_rehearsed_of_a_source_that_has_learned_nothing(source: Path) -> None:
    data, _ = world("b", seed=1)
    model = adapted(source, learn="nothing").model
    assert not model.known.any()
    assert model.objective(data).num_batches == 0
    known = np.arange(NUM_ITEMS) % 2 == 0
    rows, found = data.interactions.item_rows, among(known, data.interactions)
    assert np.array_equal(2 * found.item_rows, rows[rows % 2 == 0])
    assert len(found) == data.num_users


@pytest.mark.slow
def test_what_was_moved_learns_on_and_keeps_where_it_was(source: Path, tmp_path: Path) -> None:
    third, there = world("c", seed=2)
    few = {**TRAINING, "epochs": 8}
    for learn in ("all", "nothing"):
        second = adapted(source, world("b"), same_users=True, learn=learn, training=few)
        middle = written(tmp_path / learn, second, *world("b"))
        told = adapted(middle, (third, there), same_users=False, training=few).account()["moved"]
        before = told["points"][0]
        after = next(point for point in told["points"] if point["share"] == told["share"])
        assert after["source"] >= 0.98 * before["source"]
        assert after["target"] >= before["target"] > 0.6


def test_what_was_taught_is_moved_without_its_teacher(tmp_path: Path) -> None:
    data, asked = world("a")
    teacher = EaseConfig().build({}).fit(data, RunContext())
    settings = {"kind": "distilled", "teacher": "teacher", "student": SASREC}
    taught = DistilledConfig.model_validate(settings).build({"teacher": teacher})
    source = written(tmp_path / "run", taught.fit(data, RunContext(validation=asked)), data, asked)
    inner = AdaptedConfig(source=source, model="m").inner()
    assert inner == taught.config.student
    assert hits(adapted(source, learn="nothing"), world("b", seed=1)[1]) > 0.5
    (source / "models" / "m" / "config.json").write_text(
        taught.config.model_copy(update={"student": SasrecConfig()}).model_dump_json(), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"the model in 'm' \(distilled\) is a `sasrec` without `text`"):
        adapted(source)


def people(source: Path, *, dealt: bool = False, **settings: Any) -> tuple[Adapted, Holdout]:
    """Return a model moved to a world whose people the source knows and asks of, and of whom nothing else is known.

    What comes next for them here is what would come next for them there.
    """
    data, asked = world("b")
    likes = data.interactions.where(np.zeros(data.num_events, bool))
    asked = Holdout(data.with_interactions(likes).queries(), asked.targets)
    if dealt:
        ids = data.users.vocabulary.ids.shuffle(seed=1)
        data = Dataset(likes, data.items, Entities(Vocabulary(ids), ids.to_frame()))
    return adapted(source, (data.with_interactions(likes), asked), learn="nothing", **settings), asked


def test_people_of_both_scenarios_are_answered_by_what_they_liked_in_the_source(source: Path) -> None:
    model, asked = people(source)
    told = model.account()["moved"]
    assert (told["same_user_ids"], told["people"], told["people_judged"]["questions"]) == (120, 120, 120)
    assert told["people_judged"]["own"] > told["people_judged"]["others"] > 0.4
    assert told["people_judged"]["none"] == 0.5, "nothing is said"
    assert hits(model, asked) > 0.5, "by chance, one in 24"
    without, asked = people(source, same_users=False)
    assert without.account()["moved"]["people"] == 0
    assert hits(without, asked) == 0


def test_ids_that_mean_other_people_are_found_out(source: Path) -> None:
    model, asked = people(source, dealt=True)
    told = model.account()["moved"]
    assert (told["same_user_ids"], told["people"]) == (120, 0)
    assert told["people_judged"]["over_others"]["low"] <= 0
    assert hits(model, asked) == 0
    assert people(source, dealt=True, same_users=True)[0].account()["moved"]["people"] == 120


def test_without_questions_about_them_people_are_used_only_when_told(source: Path) -> None:
    data, _ = world("b")
    for same_users, expected in ((None, 0), (True, 120)):
        config = AdaptedConfig(source=source, model="m", learn="nothing", same_users=same_users)
        assert config.build({}).fit(data, RunContext()).account()["moved"]["people"] == expected


@pytest.mark.slow
def test_it_learns_on_with_what_people_liked_in_the_source(source: Path, tmp_path: Path) -> None:
    data, asked = world("b")
    newest = data.interactions.where(data.interactions.steps_from_end < 2)
    asked = Holdout(data.with_interactions(newest).queries(), asked.targets)
    model = adapted(source, (data.with_interactions(newest), asked), same_users=True)
    assert model.account()["moved"]["people"] == 120
    assert hits(model, asked) > 0.6
    save_model(model, tmp_path)
    again = load_model(tmp_path, AdaptedConfig, {})
    empty = data.with_interactions(newest.where(np.zeros(newest.num_events, bool))).queries()
    answer = model.recommend(empty, 5)
    assert answer.filled.all()
    assert np.array_equal(again.recommend(empty, 5).item_rows, answer.item_rows)


def test_who_is_erased_is_known_here_no_more(source: Path) -> None:
    model, asked = people(source)
    left = model.without_users(np.array([3, 7]))
    answer = left.recommend(asked.queries, 3)
    assert not answer.filled[[3, 7]].any()
    others = np.setdiff1d(np.arange(120), [3, 7])
    expected = model.recommend(asked.queries, 3)
    assert np.array_equal(answer.item_rows[others], expected.item_rows[others])
    assert left.account() == model.account()
