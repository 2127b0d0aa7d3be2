"""A classifier of pairs of texts, in a world in which words decide."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn import metrics

from genre.adaptation.guard import GuardedConfig
from genre.core.errors import ConfigError, DataError, ModelError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.data.growth import extended
from genre.recommenders import text_classifier
from genre.recommenders.base import Scorer
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.text_classifier import TextClassifier, TextClassifierConfig, TextReranker
from genre.training.config import CHECKPOINT_FILE
from tests.language.encoders import write_sentence
from tests.language.models import write_tiny
from tests.recommenders.tastes import NUM_ITEMS, kind_of, tastes

HEADS: list[dict[str, Any]] = [
    {"kind": "linear"},
    {"kind": "mlp"},
    {"kind": "svm"},
    {"kind": "forest", "num_trees": 30},
]
WORDS = {"vectors": {"encoder": {"kind": "hashing", "size": 64}}}
QUICK = {"tracker": "none", "precision": "fp32"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where a language model of two layers is."""
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, template=None, context=512)
    return directory


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where an encoder of two layers is."""
    directory = tmp_path_factory.mktemp("encoder")
    write_sentence(directory)
    return directory


def config_of(**settings: Any) -> TextClassifierConfig:
    return TextClassifierConfig.model_validate(settings)


def fitted(data: Dataset, run: RunContext | None = None, **settings: Any) -> Any:
    """Return a model, with popularity as its retriever if it has one."""
    config = config_of(**settings)
    members = {name: PopularityConfig().build({}).fit(data, RunContext()) for name in config.member_names}
    return config.build(members).fit(data, run or RunContext())


def f1(model: Any) -> float:
    found: float = model.account()["classification"]["macro"]["f1"]
    return found


def letters() -> Dataset:
    """Return the world with names so short that a tiny model of random weights can learn them."""
    return tastes(titles=["aaa" if kind_of(item) else "zzz" for item in range(NUM_ITEMS)])


def reading(tiny: Path, **settings: Any) -> dict[str, Any]:
    """Return settings of a language model that reads."""
    usual = {
        "reader": "language",
        "base": {"kind": "local", "model": str(tiny)},
        "retriever": "popular",
        "vectors": {"text": {"max_tokens": 8}},
        "user_tokens": 24,
        "length": 3,
        "training": {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "clip_norm": 1.0, **QUICK},
    }
    return {**usual, **settings}


def pairwise(encoder: Path, **settings: Any) -> dict[str, Any]:
    """Return settings of an encoder that reads pairs."""
    usual = {
        "reader": "encoder",
        "vectors": {
            "encoder": {"kind": "sentence_transformers", "model": str(encoder)},
            "text": {"max_tokens": 16},
        },
        "retriever": "popular",
        "user_tokens": 48,
        "training": {"epochs": 3, "batch_size": 16, "learning_rate": 0.003, **QUICK},
    }
    return {**usual, **settings}


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["kind"])
def test_words_decide_for_people_and_items_never_seen(head: dict[str, Any]) -> None:
    data = tastes(num_users=90)
    model = fitted(data, head=head, held_out=0.2, **WORDS)
    assert isinstance(model, TextClassifier)
    assert isinstance(model, Scorer)
    assert f1(model) > 0.9
    items = extended(
        data.items, [{"item_id": "w", "title": "sheriff saddle"}, {"item_id": "g", "title": "crypt phantom"}]
    )
    longer = model.index(items, RunContext())
    scores = longer.score(Queries.of(Interactions.of(Ragged.of([[0, 2], [1, 3]]))))
    assert scores[0, NUM_ITEMS] > scores[0, NUM_ITEMS + 1]
    assert scores[1, NUM_ITEMS] < scores[1, NUM_ITEMS + 1]
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["kind"])
def test_where_labels_follow_nothing_it_does_no_better_than_chance(head: dict[str, Any]) -> None:
    model = fitted(tastes(num_users=200, shuffled=True), head=head, held_out=0.3, **WORDS)
    assert 0.35 < f1(model) < 0.6
    told = model.account()["classification"]
    assert told["accuracy"] < told["commonest"] + 0.08


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["kind"])
@pytest.mark.slow
def test_grades_are_told_and_items_ranked_by_the_expected_one(head: dict[str, Any]) -> None:
    data = tastes(graded=True, num_users=90)
    model = fitted(data, head=head, labels="graded", held_out=0.2, **WORDS)
    told = model.account()["classification"]
    assert [one["label"] for one in told["classes"]] == ["1", "4", "5"]
    assert told["classes"][0]["f1"] > 0.9
    assert told["mean_error"] < 0.8
    scores = model.score(data.queries(np.arange(4)))
    assert ((scores >= 1) & (scores <= 5)).all()
    first = np.argsort(-scores, axis=1)[:, :15]
    assert np.mean([[kind_of(item) == user % 2 for item in row] for user, row in enumerate(first)]) > 0.95


def test_what_the_report_is_told_is_what_scikit_learn_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    real = text_classifier.class_scores

    def spy(labels: Any, predicted: Any, num_classes: int) -> Any:
        seen.update(labels=labels, predicted=predicted)
        return real(labels, predicted, num_classes)

    monkeypatch.setattr(text_classifier, "class_scores", spy)
    told = fitted(tastes(graded=True), labels="graded", held_out=0.4, **WORDS).account()["classification"]
    theirs = metrics.precision_recall_fscore_support(seen["labels"], seen["predicted"], zero_division=0)
    ours = [[one[name] for one in told["classes"]] for name in ("precision", "recall", "f1", "pairs")]
    np.testing.assert_allclose(ours, theirs)
    assert told["judged"] == len(seen["labels"]) == sum(one["pairs"] for one in told["classes"])


def test_profiles_answer_people_without_likes() -> None:
    data = tastes(profiles=True)
    model = fitted(data, **WORDS)
    queries = data.queries(np.arange(2), history=Interactions.empty(2))
    answer = model.recommend(queries, 5).item_rows
    assert [[kind_of(item) for item in row] for row in answer] == [[0] * 5, [1] * 5]
    nobody = model.recommend(Queries.of(Interactions.empty(1)), 5)
    assert not nobody.filled.any()
    assert fitted(data, user_text="profile", **WORDS).account()["classification"]["from_profiles"]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["kind"])
@pytest.mark.parametrize("labels", ["binary", "graded"])
def test_saved_and_loaded_it_answers_alike(head: dict[str, Any], labels: str, tmp_path: Path) -> None:
    data = tastes(graded=labels == "graded", num_users=20)
    model = fitted(data, head=head, labels=labels, **WORDS)
    save_model(model, tmp_path)
    again: Any = load_model(tmp_path, TextClassifierConfig, {})
    np.testing.assert_array_equal(model.score(data.queries()), again.score(data.queries()))
    assert again.account() == model.account()


def test_a_retriever_s_first_answers_are_judged_and_the_rest_stays_behind() -> None:
    data = tastes(
        titles=[None if item < 6 else f"{'ghost' if kind_of(item) else 'ranch'} {item}" for item in range(NUM_ITEMS)]
    )
    model = fitted(data, retriever="popular", num_candidates=20, **WORDS)
    assert isinstance(model, TextReranker)
    assert not isinstance(model, Scorer)
    queries = data.queries(np.arange(6))
    unseen = Candidates(excluded=queries.history.items)
    before, after = (one.recommend(queries, 25, candidates=unseen) for one in (model.retriever, model))
    np.testing.assert_array_equal(np.sort(before.item_rows[:, :20]), np.sort(after.item_rows[:, :20]))
    np.testing.assert_array_equal(before.item_rows[:, 20:], after.item_rows[:, 20:])
    for user, row in enumerate(after.item_rows[:, :20]):
        named = row[row >= 6]
        np.testing.assert_array_equal(row[len(named) :], before.item_rows[user][:20][before.item_rows[user][:20] < 6])
        mine = [kind_of(item) == user % 2 for item in named]
        assert mine == sorted(mine, reverse=True)
    scores = after.scores[after.filled].reshape(6, -1)
    assert (np.diff(scores, axis=1) <= 0).all()
    unknown = Queries.of(Interactions.of(Ragged.of([[], [0]])))
    np.testing.assert_array_equal(
        model.recommend(unknown, 10).item_rows, model.retriever.recommend(unknown, 10).item_rows
    )


def test_too_few_people_are_not_judged() -> None:
    told = fitted(tastes(num_users=2), **WORDS).account()["classification"]
    assert told["judged"] == 0
    assert told["classes"] == []


@pytest.mark.slow
def test_a_language_model_learns_what_words_decide(tiny: Path) -> None:
    training = {"epochs": 4, "batch_size": 8, "learning_rate": 0.003, "clip_norm": 1.0, **QUICK}
    settings = reading(tiny, training=training, max_pairs=300, length=1, tuning={"method": "full"})
    model = fitted(letters(), held_out=0.2, **settings)
    assert f1(model) > 0.9
    assert model.learned.judge.curve[-1, 0] < 0.9 * model.learned.judge.curve[0, 0]
    answer = model.recommend(letters().queries(np.arange(4)), 10).item_rows
    assert np.mean([[kind_of(item) == user % 2 for item in row] for user, row in enumerate(answer)]) > 0.9


@pytest.mark.slow
def test_an_encoder_learns_what_words_decide_and_no_more_of_it_than_it_may(encoder: Path) -> None:
    tuning = {"method": "last_layers", "layers": 1}
    data = letters()
    training = {"epochs": 5, "batch_size": 8, "learning_rate": 0.002, **QUICK}
    model = fitted(data, held_out=0.2, **pairwise(encoder, tuning=tuning, training=training))
    assert f1(model) > 0.9
    learned = model.learned.judge.encoder
    assert learned.names
    assert all("layer.1." in name or "pooler" in name for name in learned.names)
    assert not hasattr(model, "language")


@pytest.mark.parametrize("kind", ["encoder", "language"])
def test_saved_and_loaded_what_reads_answers_alike(kind: str, encoder: Path, tiny: Path, tmp_path: Path) -> None:
    data = letters()
    own = tmp_path / "own"
    shutil.copytree(encoder if kind == "encoder" else tiny, own)
    settings = pairwise(own) if kind == "encoder" else reading(own)
    model = fitted(data, **{**settings, "max_pairs": 60, "labels": "binary"})
    save_model(model, tmp_path)
    members = {"popular": model.retriever}
    again: Any = load_model(tmp_path, TextClassifierConfig, members)
    queries = data.queries(np.arange(5))
    before, after = (one.recommend(queries, 12) for one in (model, again))
    np.testing.assert_array_equal(before.item_rows, after.item_rows)
    np.testing.assert_allclose(before.scores, after.scores, rtol=1e-4, atol=1e-5)
    assert again.account() == model.account()
    assert sum(part.nbytes for name, part in model.state().items() if "embed" in name) == 0, "nothing of the base"
    longer = again.index(extended(data.items, [{"item_id": "new", "title": "zzz"}]), RunContext())
    assert (longer.recommend(Queries.of(Interactions.of(Ragged.of([[NUM_ITEMS, 2]]))), 5).item_rows != NO_ITEM).all()
    config = own / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"(language model|encoder) of that time back"):
        load_model(tmp_path, TextClassifierConfig, members)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "encoder", "language"])
def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(
    kind: str, encoder: Path, tiny: Path, tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    class Kill:
        def track(self, steps: Any, description: str, total: int | None = None) -> Any:
            for number, step in enumerate(steps):
                if "train" in description and number == 5:
                    raise KilledError
                yield step

    training = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "checkpoint_seconds": 0, **QUICK}
    settings: dict[str, Any] = {
        "mlp": {"head": HEADS[1], **WORDS},
        "encoder": pairwise(encoder),
        "language": reading(tiny),
    }[kind]
    settings = {**settings, "training": training, "max_pairs": 60}
    data = letters()
    with pytest.raises(KilledError):
        fitted(data, RunContext(directory=tmp_path, progress=Kill()), **settings)
    assert (tmp_path / CHECKPOINT_FILE).exists()
    resumed = fitted(data, RunContext(directory=tmp_path), **settings).state()
    whole = fitted(data, RunContext(), **settings).state()
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


@pytest.mark.slow
def test_it_keeps_writing_in_mind_and_can_be_taken_back(tiny: Path) -> None:
    import torch

    model = fitted(letters(), protect={"kl": 1.0, "tokens": 32}, max_pairs=60, **reading(tiny))
    loaded = model.language.writer()
    tokens = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        learned = loaded.model(tokens).logits
        with model.language.tuned.base_switched_on():
            base = loaded.model(tokens).logits
    assert (learned - base).abs().max() > 0


@pytest.mark.slow
def test_it_can_be_guarded(tiny: Path) -> None:
    settings = reading(tiny, max_pairs=40, training={"epochs": 1, "batch_size": 8, "learning_rate": 0.01, **QUICK})
    writing = {"texts": 2, "max_text_tokens": 16, "max_answer_tokens": 8, "prompts": ["Write."], "languages": ["en"]}
    config = GuardedConfig.model_validate(
        {
            "model": {"kind": "text_classifier", **settings},
            "protections": {"free": {}},
            "shares": [1.0],
            "writing": writing,
        }
    )
    data = letters()
    log = data.interactions
    newest = log.steps_from_end == 0
    train = data.with_interactions(log.where(~newest))
    run = RunContext(validation=Holdout(train.queries(), log.where(newest).items))
    members = {"popular": PopularityConfig().build({}).fit(train, run)}
    model = config.build(members).fit(train, run)
    assert [point["protection"] for point in model.account()["points"]] == [None, "free"]
    again = config.build(members)
    again.restore(model.state())
    queries = train.queries(np.arange(3))
    np.testing.assert_array_equal(model.recommend(queries, 5).item_rows, again.recommend(queries, 5).item_rows)
    with pytest.raises(ValidationError, match=r"'vectors', which does not write; set `language`"):
        GuardedConfig.model_validate({"model": {"kind": "text_classifier"}})


def test_a_tokenizer_needs_no_token_that_pads(encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder, tmp_path / "bare")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = tmp_path / "bare" / name
        if path.exists():
            path.write_text(
                path.read_text(encoding="utf-8").replace('"pad_token"', '"not_a_pad_token"'), encoding="utf-8"
            )
    models = [fitted(letters(), max_pairs=40, **pairwise(place)) for place in (encoder, tmp_path / "bare")]
    assert models[1].learned.judge.encoder.tokenizer.pad_token is None
    scores = [model.recommend(letters().queries(np.arange(2)), 8).scores for model in models]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)


def test_a_pair_longer_than_the_context_is_told_with_both_numbers(tiny: Path, encoder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"user_tokens: a pair takes up to 5\d\d tokens \(500 of the user, 8 .* reads 512"
    ):
        fitted(letters(), **reading(tiny, user_tokens=500))
    with pytest.raises(ConfigError, match=r"up to 219 tokens .* reads 128\. Lower it"):
        fitted(letters(), **pairwise(encoder, user_tokens=200))


def test_items_without_texts_are_told() -> None:
    data = tastes(titles=[None] * NUM_ITEMS)
    with pytest.raises(DataError, match=r"there is no text; looked in title"):
        fitted(data, **WORDS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reader": "language"}, "name a `retriever`"),
        ({"reader": "encoder"}, "name a `retriever`"),
        ({"reader": "language", "retriever": "ease", "head": {"kind": "svm"}}, "'svm' decides on vectors alone"),
        (
            {"reader": "language", "retriever": "ease", "head": {"penalty": 1, "kind": "linear"}},
            "training.weight_decay",
        ),
        ({"tuning": {"method": "full"}}, "vectors are frozen"),
        ({"protect": {"kl": 1}}, "set `reader: language`"),
        ({"reader": "encoder", "retriever": "ease", **WORDS}, "'hashing' cannot learn: take `minilm`"),
        ({"reader": "encoder", "retriever": "ease", "tuning": {"method": "lora"}}, "encoders know"),
        ({"grades": [1, 2]}, "set `labels: graded`"),
        ({"labels": "graded", "grades": [2, 1]}, "must be two at least, and rise"),
    ],
)
def test_a_setting_that_would_be_ignored_is_an_error(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config_of(**settings)


def test_a_retriever_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"there is no member 'ease' among \['popularity'\]"):
        config_of(retriever="ease").build({"popularity": PopularityConfig().build({})})


def test_what_is_fine_tuned_has_defaults_of_its_own() -> None:
    assert config_of().training.batch_size == 32
    assert config_of(reader="encoder", retriever="a").tuning.method == "last_layers"
    tuned = config_of(reader="language", retriever="a")
    assert (tuned.tuning.method, tuned.training.precision) == ("lora", "bf16")
    assert TextClassifierConfig.model_validate_json(tuned.model_dump_json()) == tuned


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_embedded_language_model_learns_what_words_decide() -> None:
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 5e-4, "clip_norm": 1.0, "warm_up_steps": 5, **QUICK}
    data = tastes()
    model = fitted(
        data,
        reader="language",
        retriever="popular",
        vectors={"text": {"max_tokens": 16}},
        user_tokens=48,
        max_pairs=150,
        held_out=0.2,
        num_candidates=12,
        training=training,
    )
    assert f1(model) > 0.85
    answer = model.recommend(data.queries(np.arange(6)), 5).item_rows
    assert np.mean([[kind_of(item) == user % 2 for item in row] for user, row in enumerate(answer)]) > 0.8


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_embedded_encoder_learns_what_words_decide() -> None:
    model = fitted(tastes(), reader="encoder", retriever="popular", user_tokens=48, held_out=0.2, max_pairs=300)
    assert f1(model) > 0.85
