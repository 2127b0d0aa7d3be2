"""Reading experiments: what is right is resolved, what is wrong is explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from genre import config
from genre.config import RECOMMENDERS, Experiment
from genre.config_file import digest_of, read_experiment, to_yaml
from genre.core.errors import ConfigError
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.popularity import PopularityConfig

GOOD = """\
name: films
data: {kind: files, interactions: log.csv}
models:
  ease:
    kind: ease
    regularization: 10
  both:
    kind: fusion
    members: [ease, popularity]
answer:
  strategies:
    - {kind: hide_seen}
    - {kind: cap, column: genres, most: 2}
"""


def read(tmp_path: Path, text: str = GOOD, overrides: tuple[str, ...] = ()) -> Experiment:
    path = tmp_path / "films.yaml"
    path.write_text(text, encoding="utf-8")
    return read_experiment(path, overrides)


def test_data_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    assert read(tmp_path).data.interactions == tmp_path / "log.csv"  # type: ignore[union-attr]


def test_texts_that_writing_is_measured_on_are_relative_to_the_config(tmp_path: Path) -> None:
    model = {"kind": "llm_sequential"}
    settings = {
        "data": {"kind": "sample"},
        "models": {"safe": {"kind": "guarded", "model": model, "writing": {"general": "texts.jsonl"}}},
        "answer": {"budget": {"kl": 0.1}, "writing": {"general": str(tmp_path / "own.txt"), "instructions": "i.jsonl"}},
    }
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    experiment = read_experiment(path)
    assert experiment.models["safe"].writing.general == tmp_path / "texts.jsonl"  # type: ignore[attr-defined]
    assert experiment.answer.writing.general == tmp_path / "own.txt"
    assert experiment.answer.writing.instructions == tmp_path / "i.jsonl"


def test_files_of_writing_are_relative_to_the_config_and_count_by_what_they_hold(tmp_path: Path) -> None:
    def written(feedback: str, **write: str) -> Experiment:
        (tmp_path / "f.jsonl").write_text(feedback, encoding="utf-8")
        return read(tmp_path, GOOD + yaml.safe_dump({"write": {"weights_from": "f.jsonl", **write}}))

    experiment = written("one", audit="a.jsonl")
    assert experiment.write is not None
    assert (experiment.write.weights_from, experiment.write.audit) == (tmp_path / "f.jsonl", tmp_path / "a.jsonl")
    first = digest_of(experiment)
    assert digest_of(written("one")) == first
    assert digest_of(written("two")) != first


@pytest.mark.parametrize(
    "settings",
    [
        {"answer": {"budget": {"lm_eval@piqa": -0.1}}},
        {"tune": {"space": {"models.graph.weighted": {"choices": [True, False]}}, "budget": {"lm_eval@piqa": -0.1}}},
        {"models": {"safe": {"kind": "guarded", "model": {"kind": "llm_sequential"}, "budget": {"lm_eval@x": -1}}}},
    ],
)
def test_a_limit_of_what_is_not_measured_is_told_before_anything_is_fitted(settings: dict[str, object]) -> None:
    given = {"data": {"kind": "sample"}, "models": {"graph": {"kind": "graph"}}} | settings
    with pytest.raises(ValueError, match=r"has a limit and is not measured: name the task under `writing\.lm_eval`"):
        Experiment.model_validate(given)


def test_overrides_change_single_settings_and_paths_in_them_are_relative_to_here(tmp_path: Path) -> None:
    overrides = (
        "models.ease.regularization=99",
        "seeds=[1,2]",
        "answer.strategies.1.most=5",
        "data.interactions=x.csv",
    )
    experiment = read(tmp_path, overrides=overrides)
    assert experiment.models["ease"].regularization == 99  # type: ignore[attr-defined]
    assert experiment.seeds == (1, 2)
    assert experiment.answer.strategies[1].most == 5  # type: ignore[union-attr]
    assert experiment.data.interactions == Path("x.csv")  # type: ignore[union-attr]


def test_a_baseline_is_always_among_the_models(tmp_path: Path) -> None:
    assert read(tmp_path).models["popularity"] == PopularityConfig()


def test_members_are_fitted_before_those_that_name_them(tmp_path: Path) -> None:
    order = read(
        tmp_path, GOOD.replace("  ease:\n", "  zero: {kind: fusion, members: [both]}\n  ease:\n")
    ).fitting_order()
    assert order.index("ease") < order.index("both") < order.index("zero")


def test_what_is_written_reads_back_as_the_same(tmp_path: Path) -> None:
    experiment = read(tmp_path)
    again = read(tmp_path, to_yaml(experiment))
    assert again == experiment
    assert digest_of(again) == digest_of(experiment)


def test_a_model_of_ones_own_passes_from_python(tmp_path: Path) -> None:
    class OwnConfig(RecommenderConfig):
        kind: str = "own"
        strength: int = 3

    settings = read(tmp_path).model_dump() | {"models": {"own": OwnConfig()}}
    experiment = Experiment.model_validate(settings)
    assert isinstance(experiment.models["own"], OwnConfig)
    assert experiment.model_dump()["models"]["own"] == {"kind": "own", "strength": 3}


def test_other_packages_offer_recommenders_through_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offered:
        def load(self) -> type[RecommenderConfig]:
            return OfferedConfig

    class OfferedConfig(RecommenderConfig):
        kind: str = "offered"

    monkeypatch.setattr(config, "entry_points", lambda group: [Offered()] if group == "genre.recommenders" else [])
    assert OfferedConfig in config._recommenders()
    assert OfferedConfig not in RECOMMENDERS


def test_the_schema_knows_every_kind_and_its_help() -> None:
    text = json.dumps(Experiment.model_json_schema())
    for recommender in RECOMMENDERS:
        assert f'"{recommender.model_fields["kind"].default}"' in text
    assert "Days after which a like counts half" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "regularization: 10",
            "regularisation: 10",
            r"films\.yaml:6: models\.ease\.regularisation: there is no such setting\. "
            r"Did you mean 'regularization'\? Valid: history_decay, kind, regularization\.",
        ),
        (
            "kind: ease",
            "kind: eese",
            r"films\.yaml:5: models\.ease\.kind: there is no kind 'eese'\. Did you mean 'ease'\?",
        ),
        ("    kind: ease\n", "", r"films\.yaml:4: models\.ease: .* has no `kind`"),
        (
            "regularization: 10",
            "regularization: -1",
            r"films\.yaml:6: models\.ease\.regularization = -1: .*greater than 0",
        ),
        ("name: films", "nane: films", r"films\.yaml:1: nane: there is no such setting\. Did you mean 'name'"),
        (
            "most: 2",
            "mots: 2",
            r"films\.yaml:13: answer\.strategies\.1\.mots: there is no such setting\. Did you mean 'most'",
        ),
        ("[ease, popularity]", "[ease, als]", r"models\.both\.members: there is no model 'als'; choose from \["),
        (
            "[ease, popularity]",
            "[both]",
            r"models\.both\.members: models name each other in a circle: \['both', 'both'\]",
        ),
        (
            "name: films",
            "format: 2\nname: films",
            r"format 2 is newer than this version's 1: upgrade with `pip install -U",
        ),
        ("answer:", "answer:\n  model: best_one", r"answer\.model: there is no model 'best_one'; choose 'best' or"),
        ("answer:", "answer:\n  fallback: [als]", r"answer\.fallback: there is no model 'als'"),
        ("interactions: log.csv", "items: log.csv", r"films\.yaml:2: data\.interactions: this setting is missing"),
        ("kind: files", "kind: file", r"films\.yaml:2: data\.kind: there is no kind 'file'\. Did you mean 'files'"),
        ("name: films", "name: a/b", r"films\.yaml:1: name = 'a/b': string should match pattern"),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "data: {kind: sample, world: books}",
            r"films\.yaml:1: data\.world = 'books': input should be 'films' or 'courses'",
        ),
        ("models: [", r"films\.yaml:1: not valid YAML"),
        ("just words", r"films\.yaml: holds 'just words', not settings"),
        ("", r"films\.yaml: holds None, not settings"),
    ],
)
def test_a_file_that_is_no_config_is_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("models.ease", r"--set: 'models\.ease' is not of the form a\.b=value"),
        ("name.deep.er=1", r"--set: name holds 'films', which has no parts"),
        ("models.ease.speed=3", r"models\.ease\.speed: there is no such setting"),
    ],
)
def test_a_wrong_override_is_explained(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, overrides=(override,))


def test_a_missing_config_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: the config cannot be read.*Write one with `genre init`"):
        read_experiment(tmp_path / "none.yaml")
