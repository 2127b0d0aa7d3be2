"""A tiny language model is moved between two worlds, and must go on writing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.adaptation.adapted import Adapted, AdaptedConfig
from genre.adaptation.guard import Guarded, GuardedConfig
from genre.adaptation.scale import Scale
from genre.adaptation.shares import accuracy
from genre.core.errors import ConfigError, ModelError
from genre.core.queries import Candidates, Holdout
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.data.growth import extended
from genre.evaluation._moved import moved
from genre.evaluation.writing import WritingConfig, WritingProfile
from genre.language.decoding import LoadedModel
from genre.recommenders.learning_language import LearningLanguage, load_base
from genre.recommenders.llm_sequential import LlmSequential, LlmSequentialConfig
from genre.recommenders.moving import shared
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model, save_model
from tests.adaptation.test_adapted import HASHING, hits, world, written
from tests.adaptation.test_guard import WRITING
from tests.language.models import write_tiny
from tests.recommenders.chains import NUM_ITEMS

pytestmark = pytest.mark.usefixtures("undrawn")

WIDE = {"bits_per_byte": 100.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, context=512)
    return directory


def settings(base: Path, **changes: Any) -> dict[str, Any]:
    training = {"epochs": 20, "batch_size": 16, "learning_rate": 0.01, "tracker": "none", "precision": "fp32"}
    return {
        "kind": "llm_sequential",
        "base": {"kind": "local", "model": str(base)},
        "vectors": HASHING,
        "embedding_size": 24,
        "tuning": {"method": "lora", "rank": 2},
        "training": training | changes.pop("training", {}),
        **changes,
    }


def write(directory: Path, model: Any) -> Path:
    """Write what a finished run has of one model."""
    return written(directory, model, *world("a"))


def fitted(base: Path, members: dict[str, Any] | None = None, **changes: Any) -> LlmSequential:
    data, asked = world("a")
    config = LlmSequentialConfig.model_validate(settings(base, **changes))
    return config.build(members or {}).fit(data, RunContext(validation=asked))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def source(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("source") / "run", fitted(base))


def adapted(source: Path, data: Dataset | None = None, **changes: Any) -> Adapted:
    given, asked = world("b", seed=1)
    few = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "tracker": "none", "precision": "fp32"}
    chosen = {"source": source, "model": "m", "align": False, "budget": WIDE, "writing": WRITING, "training": few}
    config = AdaptedConfig.model_validate({**chosen, **changes})
    return config.build({}).fit(data or given, RunContext(validation=asked))


@pytest.fixture(scope="module")
def wide(source: Path) -> Adapted:
    """Return one whose budget allows anything."""
    return adapted(source, keep=None)


def test_it_reads_another_catalogue_and_learns_on(wide: Adapted, tmp_path: Path) -> None:
    _, asked = world("b", seed=1)
    before, after = wide.account()["moved"]["points"]
    assert before["target"] > 0.45, "by chance, less than one in four"
    assert before["source"] > 0.8
    assert after["share"] == wide.account()["moved"]["share"] == 1
    assert after["target"] > before["target"]
    assert after["source"] > 0.8 * before["source"], "it is rehearsed"
    save_model(wide, tmp_path)
    again: Any = load_model(tmp_path, AdaptedConfig, {})
    np.testing.assert_allclose(again.score(asked.queries), wide.score(asked.queries), rtol=1e-4, atol=1e-4)
    assert again.account() == wide.account()
    assert again.language.config.tuning.rank == 2
    assert hits(again, asked) == hits(wide, asked)


def test_what_moves_is_what_was_learned_and_nothing_of_the_base(source: Path) -> None:
    origin: Any = load_model(source / "models" / "m", LlmSequentialConfig, {})
    names = set(shared(origin.network))
    assert {"into.weight", "out.weight", "items.read.0.weight"} < names
    assert any("lora_A" in name for name in names)
    assert not [name for name in names if "embed_tokens" in name or name.endswith("own.weight")]
    data, asked = world("a")
    moved = origin.moved(data.items, RunContext(), same=np.arange(NUM_ITEMS), align=False)
    np.testing.assert_array_equal(moved.score(asked.queries), origin.score(asked.queries))
    strange = origin.moved(data.items, RunContext(), same=np.full(NUM_ITEMS, -1), align=False)
    assert not strange.known.any()
    assert not np.allclose(strange.table, origin.table), "items' own vectors stay where they were"


def test_layers_whose_turn_never_came_are_moved_with_the_others(source: Path) -> None:
    training = {"epochs": 1, "unfreeze_every": 1, "batch_size": 16, "tracker": "none", "precision": "fp32"}
    told = adapted(source, budget={}, keep=None, training=training).account()["moved"]
    assert [point["share"] for point in told["points"]] == [0.0, 1.0]


def guarded(base: Path, **chosen: Any) -> Guarded:
    data, asked = world("a")
    protections = {"kl": {"kl": 0.1, "tokens": 32}}
    model = settings(base, training={"epochs": 4})
    config = GuardedConfig.model_validate({"model": model, "protections": protections, "writing": WRITING, **chosen})
    return config.build({}).fit(data, RunContext(validation=asked))


@pytest.mark.slow
def test_what_was_guarded_is_moved_with_its_protection(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def for_what_learned(model: Any, questions: Holdout, _: Candidates) -> NDArray[np.float64]:
        """So tiny a model is better than its frozen one by chance, and on some processors it is not."""
        return np.full(len(questions), float(model.language.config.tuning.method != "frozen"))

    monkeypatch.setattr("genre.adaptation.guard.accuracy_of", for_what_learned)
    model = guarded(base, budget=WIDE)
    assert model.choice["protection"] == "kl"
    source = write(tmp_path / "run", model)
    inner = AdaptedConfig(source=source, model="m").inner()
    assert isinstance(inner, LlmSequentialConfig)
    assert (inner.protect.kl, inner.tuning.method, inner.start_from) == (0.1, "lora", None)
    moved = adapted(source, learn="nothing", budget={})
    (point,) = moved.account()["moved"]["points"]
    assert point["source"] == pytest.approx(accuracy(model, world("a")[1]).mean(), abs=1e-6)


@pytest.mark.slow
def test_of_what_was_guarded_and_found_too_dear_the_frozen_one_is_moved(base: Path, tmp_path: Path) -> None:
    model = guarded(base, budget={"kl": 0.0}, shares=[1.0])
    assert model.choice["protection"] is None
    source = write(tmp_path / "run", model)
    inner = AdaptedConfig(source=source, model="m").inner()
    assert isinstance(inner, LlmSequentialConfig)
    assert inner.tuning.method == "frozen"
    told = adapted(source, budget={}, keep=None).account()["moved"]
    assert told["points"][0]["source"] == pytest.approx(accuracy(model, world("a")[1]).mean(), abs=1e-6)


def test_the_writing_of_each_share_is_measured_against_the_base(wide: Adapted) -> None:
    told = wide.account()["moved"]
    assert told["writing"]["budget"] == WIDE
    bits = [point["writing"]["bits_per_byte"] for point in told["points"]]
    assert len({told["writing"]["base"]["bits_per_byte"], *bits}) == 3, "learning has changed it, here and there"
    writing, data = WritingConfig.model_validate(WRITING), world("b", seed=1)[0]
    language = wide.language
    assert language is not None
    _, base = load_base(language.config.base, RunContext())
    scale = Scale.of(base, writing, data.items.title.to_list(), RunContext())
    assert dict(scale.base.values) == pytest.approx(told["writing"]["base"])


def test_the_largest_share_that_keeps_the_writing_counts(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rises = iter([0.0, 0.2, 0.06, 0.04])

    def measured(self: Scale, _: LoadedModel) -> WritingProfile:
        bits = self.base.values["bits_per_byte"] * (1 + next(rises))
        return replace(self.base, values={**self.base.values, "bits_per_byte": bits})

    monkeypatch.setattr(Scale, "measured", measured)
    model = adapted(source, keep=None, budget={"bits_per_byte": "+5%"})
    told = model.account()["moved"]
    assert [(point["share"], bool(point["breaches"])) for point in told["points"]] == [
        (0.0, False), (1.0, True), (0.9, True), (0.8, False),
    ]  # fmt: skip
    _, asked = world("b", seed=1)
    assert told["share"] == (0.8 if told["points"][-1]["target"] >= told["points"][0]["target"] else 0)
    places = accuracy(model, asked)
    assert places.mean() == pytest.approx(told["points"][-1 if told["share"] else 0]["target"], abs=1e-6)


def test_the_report_tells_how_each_share_writes(wide: Adapted) -> None:
    told = wide.account()
    (found,) = moved({"m": told, "other": {}})
    assert float(found.base) == pytest.approx(told["moved"]["writing"]["base"]["bits_per_byte"], abs=1e-4)
    assert [float(row.writes) for row in found.rows] == pytest.approx(
        [point["writing"]["bits_per_byte"] for point in told["moved"]["points"]], abs=1e-4
    )
    told["moved"]["points"][1]["breaches"] = ["too much"]
    assert moved({"m": told})[0].rows[1].writes.endswith("; too much")
    told["moved"]["points"][1]["breaches"] = []


@pytest.mark.slow
def test_where_no_share_writes_well_enough_it_answers_as_it_came(source: Path) -> None:
    model = adapted(source, keep=None, budget={"bits_per_byte": 0.0}, shares=(1.0, 0.5))
    told = model.account()["moved"]
    assert [point["share"] for point in told["points"]] == [0.0, 1.0, 0.5]
    assert all(point["breaches"] for point in told["points"])
    assert told["share"] == 0
    _, asked = world("b", seed=1)
    still = adapted(source, learn="nothing")
    np.testing.assert_array_equal(model.score(asked.queries), still.score(asked.queries))


def test_without_a_limit_nothing_is_measured_and_without_events_nothing_learned(source: Path) -> None:
    data, _ = world("b", seed=1)
    nobody = data.with_interactions(data.interactions.where(np.zeros(data.num_events, bool)))
    told = adapted(source, nobody, budget={}).account()["moved"]
    assert "writing" not in told
    (point,) = told["points"]
    assert point["share"] == told["share"] == 0
    assert "writing" not in point


def test_one_that_began_with_anothers_vectors_needs_it_no_more(base: Path, tmp_path: Path) -> None:
    data, _ = world("a")
    training = {"epochs": 1, "tracker": "none"}
    begin = SasrecConfig(embedding_size=24, training=training).build({}).fit(data, RunContext())  # type: ignore[arg-type]
    model = fitted(base, {"begin": begin}, start_from="begin", training={"epochs": 1})
    moved = adapted(write(tmp_path / "run", model), learn="nothing", budget={})
    save_model(moved, tmp_path)
    assert load_model(tmp_path, AdaptedConfig, {}).config == moved.config
    with pytest.raises(ConfigError, match="there is no model 'begin' to begin with"):
        fitted(base, start_from="begin")


def test_another_language_model_is_told_what_can_be_transferred(source: Path, tmp_path: Path) -> None:
    data, _ = world("b", seed=1)
    origin: Any = load_model(source / "models" / "m", LlmSequentialConfig, {})
    start = origin.moved(data.items, RunContext(), same=np.full(NUM_ITEMS, -1), align=False)
    write_tiny(tmp_path / "other", context=512, seed=1)
    for config, error in (
        (
            settings(tmp_path / "other"),
            "what moves was learned with .*`distilled`.* any dimensions, can be transferred",
        ),
        (settings(origin.config.base.model, embedding_size=16), r"parameters do not fit .*into\.weight \(32, 24\) for"),
    ):
        model: Any = LlmSequentialConfig.model_validate(config).build({})
        model.begin_with(start)
        with pytest.raises(ModelError, match=error):
            model.fit(data, RunContext())


@pytest.mark.slow
def test_it_reads_the_catalogue_first(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[list[str], int]] = []
    real = LearningLanguage.read

    def noted(self: Any, texts: list[str], epochs: int, run: RunContext, **how: Any) -> None:
        read.append((list(texts), epochs))
        real(self, texts, epochs, run, **how)

    monkeypatch.setattr(LearningLanguage, "read", noted)
    data, _ = world("b", seed=1)
    training = {"epochs": 1, "batch_size": 16, "learning_rate": 0.003, "tracker": "none", "precision": "fp32"}
    plain, first = (adapted(source, read_first=epochs, training=training) for epochs in (None, 2))
    assert read == [(data.items.title.to_list(), 2)]
    bits = [model.account()["moved"]["points"][1]["writing"]["bits_per_byte@catalogue"] for model in (plain, first)]
    assert bits[1] < bits[0], "what it has read, it expects"


def test_what_does_not_read_is_refused(base: Path, tmp_path: Path) -> None:
    run = write(tmp_path / "run", fitted(base, tuning={"method": "frozen"}, training={"epochs": 1}))
    with pytest.raises(
        ConfigError, match=r"adapted\.read_first: `read_first` is set, and with `tuning.method` 'frozen'"
    ):
        adapted(run, read_first=1)


def test_people_of_both_scenarios_are_answered_by_what_they_liked_in_the_source(source: Path) -> None:
    data, asked = world("a")
    nothing = data.with_interactions(data.interactions.where(np.zeros(data.num_events, bool)))
    origin: Any = load_model(source / "models" / "m", LlmSequentialConfig, {})
    known = adapted(source, nothing, learn="nothing", same_users=True)
    assert known.account()["moved"]["people"] == data.num_users
    found = known.score(nothing.queries())
    np.testing.assert_allclose(found, origin.score(asked.queries), rtol=1e-3, atol=1e-3)
    longer = known.index(extended(data.items, [{"item_id": "new", "title": "amber birch"}]), RunContext())
    np.testing.assert_allclose(longer.score(nothing.queries())[:, :NUM_ITEMS], found, rtol=1e-4, atol=1e-4)


def test_a_language_model_moves_on_from_where_it_was_moved_to(source: Path, tmp_path: Path) -> None:
    data, asked = world("b", seed=1)
    second = adapted(source, learn="nothing", same_users=True, budget={})
    middle = written(tmp_path / "middle", second, data, asked)
    third, there = world("c", seed=2)
    config = AdaptedConfig(source=middle, model="m", learn="nothing", align=False, budget={}, same_users=False)  # type: ignore[arg-type]
    moved = config.build({}).fit(third, RunContext(validation=there))
    assert moved.model.elsewhere is None
    (point,) = moved.account()["moved"]["points"]
    assert point["source"] == pytest.approx(accuracy(second, asked).mean(), abs=1e-6)
    assert point["target"] > 0.45, "by chance, less than one in four"


@pytest.mark.slow
def test_a_language_model_learns_on_with_them(source: Path, tmp_path: Path) -> None:
    data, _ = world("b")
    newest = data.with_interactions(data.interactions.where(data.interactions.steps_from_end < 2))
    model = adapted(source, newest, same_users=True, keep=None)
    save_model(model, tmp_path)
    nothing = data.with_interactions(data.interactions.where(np.zeros(data.num_events, bool))).queries()
    answer = model.recommend(nothing, 5)
    assert answer.filled.all()
    again = load_model(tmp_path, AdaptedConfig, {}).recommend(nothing, 5)
    assert np.array_equal(again.item_rows, answer.item_rows)
