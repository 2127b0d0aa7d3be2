"""The loop back: versions that learn, are refused, tried on a few, and taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from genre import pipeline
from genre.cli import app
from genre.config import Experiment
from genre.core.errors import ArtifactError, ConfigError, DataError, ResourceError
from genre.data.files import load_split
from genre.evaluation.gate import GateConfig
from genre.recommenders.item_knn import ItemKnn
from genre.runs import open_run
from genre.scenarios import standings
from genre.serving.learning import LearnConfig, learn, learn_from_store
from genre.serving.stores.database import Database
from genre.serving.stores.events import Batch, Event, Events
from genre.serving.stores.items import Items
from genre.serving.stores.models import Models
from genre.serving.versions import Versions
from genre.strategies.exploration import ItemClicks
from genre.workspace import read_manifest, verify

EASY = LearnConfig(gate=GateConfig(least_questions=5, latency=100))


def likes(users: range, count: int, start: int, seed: int) -> pl.DataFrame:
    """Return likes of people each of whom has one of two tastes, of items that go with it."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in users:
        for number, item in enumerate(rng.choice(15, count, replace=False)):
            rows.append((f"u{user}", f"i{user % 2 * 15 + item}", start + 100 * number + user))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


BEFORE, AFTER = likes(range(60), 5, 1_000_000_000, 0), likes(range(70), 4, 1_000_100_000, 1)


def bots() -> pl.DataFrame:
    """Return events of accounts that like one film alone, beside what everybody does."""
    rows = [(f"bot{number}", "i3", 1_000_100_000 + number) for number in range(40)]
    return pl.concat([AFTER, pl.DataFrame(rows, schema=AFTER.schema, orient="row")])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of runs, with one in it."""
    directory = tmp_path_factory.mktemp("learning")
    items = pl.DataFrame({"item_id": [f"i{number}" for number in range(30)], "title": "A title"})
    BEFORE.write_parquet(directory / "interactions.parquet")
    items.write_parquet(directory / "items.parquet")
    experiment = Experiment.model_validate(
        {
            "name": "films",
            "data": {"kind": "files", "interactions": directory / "interactions.parquet",
                     "items": directory / "items.parquet"},
            "models": {"item_knn": {"kind": "item_knn"}, "popularity": {"kind": "popularity"},
                       "fused": {"kind": "fusion", "members": ["item_knn", "popularity"],
                                 "weights": {"item_knn": 1.0, "popularity": 0.1}}},
            "answer": {"model": "fused", "examples": 1},
        }
    )  # fmt: skip
    return pipeline.run(experiment, directory / "runs").parent


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """Return a run that nobody else has learned from."""
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs" / "films"


def states(run: Path) -> list[tuple[str, str]]:
    return [(one.version, one.state) for one in Versions(run).all()]


def test_new_events_become_a_version_that_opens_like_any_run(run: Path) -> None:
    found = learn(run, AFTER, config=EASY)
    assert found.version is not None
    assert found.decision is not None
    assert found.decision.promoted, found.decision.reason
    assert states(run) == [("v1", "retired"), ("v2", "live")]
    verify(run.with_name("films.v2"))
    engine = open_run(run.with_name("films.v2"))
    assert engine.data.num_events == len(BEFORE) + len(AFTER)
    assert engine.data.num_users == 70
    assert len(engine.recommend(["u0", "u65"], n=5)) == 10
    manifest = read_manifest(run.with_name("films.v2"))
    assert (manifest["version"], manifest["parent"], manifest["version_of"]) == ("v2", "v1", "films")
    assert found.account["models"] == {
        name: {"how": "updated", "seconds": pytest.approx(0, abs=5)} for name in ("item_knn", "popularity", "fused")
    }
    assert found.account["events"]["added"] == len(AFTER)
    assert [one.name for one in standings([], run.parent)] == ["films"], "a version is no scenario"
    with pytest.raises(ConfigError, match="has no report"):
        pipeline.write_report(run.with_name("films.v2"))
    assert not open_run(run).recommend("u0").equals(engine.recommend("u0")), "nothing was learned"


def test_what_was_judged_by_is_learned_the_next_time(run: Path) -> None:
    learn(run, AFTER, config=EASY)
    more = likes(range(60), 2, 1_000_200_000, 2)
    found = learn(run, more, config=EASY)
    assert found.decision is not None
    assert found.decision.promoted, found.decision.reason
    engine = open_run(run.with_name("films.v3"), model="item_knn")
    held = round(0.2 * found.account["events"]["added"])
    log = engine.data.interactions
    newest = np.argsort(log.timestamps, kind="stable")[-held:]
    known = np.ones(log.num_events, bool)
    known[newest] = False
    anew = ItemKnn(engine.model.config).fit(engine.data.with_interactions(log.where(known)), None)  # type: ignore[arg-type]
    assert isinstance(engine.model, ItemKnn)
    np.testing.assert_array_equal(engine.model.similarity.toarray(), anew.similarity.toarray())


def test_events_that_are_known_and_dry_runs_change_nothing(run: Path) -> None:
    assert learn(run, BEFORE).version is None
    assert learn(run, BEFORE).account["events"] == {
        "added": 0, "known": len(BEFORE), "of_unknown_items": 0, "of_unknown_kinds": 0,
    }  # fmt: skip
    found = learn(run, AFTER, config=EASY, dry_run=True)
    assert found.version is None
    assert found.decision is not None
    assert states(run) == [("v1", "live")]
    assert not run.with_name("films.v2").exists()


def test_a_version_that_does_not_pass_leaves_its_reason_alone(run: Path) -> None:
    found = learn(run, bots(), config=EASY)
    assert found.version is not None
    assert found.version.state == "rejected"
    assert "item 'i3' is liked by" in found.version.reason
    assert states(run) == [("v1", "live"), ("v2", "rejected")]
    assert sorted(path.name for path in run.parent.iterdir() if path.is_dir() and path.name[0] != ".") == ["films"]
    few = learn(run, AFTER)
    assert few.version is not None
    assert few.version.version == "v3"
    assert "100 are needed" in few.version.reason


def test_canary_rollback_and_promotion(run: Path) -> None:
    learn(run, AFTER, config=EASY, canary=0.1)
    versions = Versions(run)
    with pytest.raises(DataError, match="v2 is a canary"):
        learn(run, AFTER, config=EASY)
    with pytest.raises(ConfigError, match="is no share"):
        learn(run, AFTER, config=EASY, canary=1.5)
    assert [(one.state, one.share) for one in versions.all()] == [("live", None), ("canary", 0.1)]
    assert versions.promote().version == "v2"
    assert states(run) == [("v1", "retired"), ("v2", "live")]
    assert versions.roll_back(reason="complaints").reason == "complaints"
    assert states(run) == [("v1", "live"), ("v2", "retired")]
    assert versions.roll_back("v2").version == "v2"
    learn(run.with_name("films.v2"), likes(range(60), 2, 1_000_200_000, 2), config=EASY, canary=0.1)
    assert versions.roll_back().version == "v2", "a canary is taken away first"
    assert states(run) == [("v1", "retired"), ("v2", "live"), ("v3", "rejected")]


def test_what_cannot_be_is_told(run: Path) -> None:
    versions = Versions(run)
    with pytest.raises(DataError, match="there is no version to go back to"):
        versions.roll_back()
    with pytest.raises(DataError, match="'v9' is no version"):
        versions.roll_back("v9")
    with pytest.raises(DataError, match="there is no canary"):
        versions.promote()
    with pytest.raises(DataError, match="there is no version 'v9'"):
        versions.move("v9", "live", reason="")
    with pytest.raises(ArtifactError, match="no run here"):
        learn(run.with_name("nobody"), AFTER)
    with (
        FileLock(run.with_name(".films.learning.lock")),
        pytest.raises(ResourceError, match="another update is under way"),
    ):
        learn(run, AFTER)
    run.with_name("films.versions.json").write_text("[{}]", encoding="utf-8")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Versions(run).all()


def test_pseudonyms_need_their_key(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = (run / "config.yaml").read_text(encoding="utf-8")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    (run / "config.yaml").write_text(f"{config}\nprivacy: {{hash_users: true}}\n", encoding="utf-8")
    from genre.core.files import sha256

    manifest["files"]["config.yaml"] = sha256(run / "config.yaml")
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    monkeypatch.delenv("GENRE_PRIVACY_KEY", raising=False)
    with pytest.raises(ConfigError, match="users are pseudonyms"):
        learn(run, AFTER)


def stored(database: Database, events: pl.DataFrame, start: int = 0) -> None:
    batch = [
        Event(event_id=f"e{start + number}", user_id=user, item_id=item, timestamp=float(time))
        for number, (user, item, time) in enumerate(events.iter_rows())
    ]
    Events(database).append([Batch("shop", batch, 2_000_000_000.0)])


def test_a_service_s_events_and_items_are_learned_once(run: Path, database: Database) -> None:
    stored(database, AFTER)
    new = pl.DataFrame({"user_id": "u1", "item_id": ["fresh"], "timestamp": [1_000_100_001]})
    stored(database, new, start=len(AFTER))
    Items(database).put("shop", {"fresh": {"title": "Fresh", "colour": "red"}})
    found = learn_from_store(run, database, "shop", config=EASY)
    assert found.version is not None
    assert found.version.state == "live", found.version.reason
    assert found.version.seq == len(AFTER) + 1
    engine = open_run(run.with_name("films.v2"))
    assert engine.data.items.title.to_list()[-1] == "Fresh"
    live, canary = Models(database).on_duty("shop")
    assert live is not None
    assert (live.version, live.path, canary) == ("v2", str(run.with_name("films.v2")), None)
    assert learn_from_store(run, database, "shop", config=EASY).version is None
    Models(database).move("shop", "v1", "live", reason="by hand")
    assert Versions(run, models=Models(database), scenario="shop").on_duty()[0].version == "v1"


def test_what_a_service_showed_is_known_to_what_explores_and_is_no_like(run: Path, database: Database) -> None:
    shown = [
        Event(event_id=f"shown-{number}", user_id=f"u{number}", item_id=item, timestamp=1_000_100_000.0 + number,
              event="impression", list_id=f"l{number}", position=place)
        for number in range(20) for place, item in enumerate(["i0", "i1"])
    ]  # fmt: skip
    shown = [one.model_copy(update={"event_id": f"{one.event_id}-{one.item_id}"}) for one in shown]
    shown.append(shown[0].model_copy(update={"event_id": "newest", "list_id": "l98", "timestamp": 1_000_200_000.0}))
    clicks = [
        Event(event_id=f"click-{number}", user_id=f"u{number}", item_id="i0", timestamp=1_000_100_050.0 + number,
              event="click", list_id=f"l{number}")
        for number in range(15)
    ]  # fmt: skip
    Events(database).append([Batch("shop", shown, 2_000_000_000.0)])
    stored(database, AFTER)
    Events(database).append([Batch("shop", [*clicks[:10], *shown], 2_000_000_000.0)])
    late = shown[0].model_copy(update={"event_id": "late", "list_id": "l99"})
    Events(database).append([Batch("shop", [late], 2_000_000_000.0)])
    found = learn_from_store(run, database, "shop", config=EASY)
    assert found.version is not None
    assert found.version.state == "live", found.version.reason
    assert found.account["shown"] == {"shown": 41, "clicked": 10}
    new = run.with_name("films.v2")
    data = open_run(new).data
    assert data.num_events == len(BEFORE) + len(AFTER) + 10, "an impression counts as a like"
    clicked = ItemClicks.of(data.impressions, data.num_items)
    assert (clicked.clicks[0], clicked.clicks[1:].sum()) == (10, 0)
    assert clicked.expected[:2].tolist() == pytest.approx([10, 0]), "the first place is clicked, the second is not"
    learned = load_split(new / "data" / "split-0").train.impressions
    assert learned is not None
    assert len(learned.timestamps) == 40, "what was shown when it was judged is not learned yet"
    stored(database, likes(range(60), 2, 1_000_200_000, 2), start=5_000)
    Events(database).append([Batch("shop", clicks[10:], 2_000_000_000.0)])
    again = learn_from_store(run, database, "shop", config=EASY)
    assert again.version is not None
    assert again.version.state == "live", again.version.reason
    assert again.account["shown"] == {"shown": 1, "clicked": 5}, "the click came in a later lesson than the list"
    data = open_run(run.with_name("films.v3")).data
    assert ItemClicks.of(data.impressions, data.num_items).clicks[0] == 15


def command(*arguments: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    from genre.console import console

    monkeypatch.setattr(console, "_width", 220)


@pytest.mark.usefixtures("_wide")
def test_the_commands(run: Path, tmp_path: Path, opened: Callable[..., Database], sqlite_url: str) -> None:
    AFTER.write_csv(tmp_path / "new.csv")
    bots().write_csv(tmp_path / "bots.csv")
    easy = ["--gate", "least_questions=5", "--gate", "latency=100"]
    code, told = command("update", run, "--events", tmp_path / "bots.csv", *easy)
    assert code == 1
    assert "v2 was rejected: item 'i3' is liked by" in told
    code, told = command("update", run, "--events", tmp_path / "new.csv", *easy, "--dry-run")
    assert (code, "It would pass; nothing was written." in told) == (0, True)
    code, told = command("update", run, "--events", tmp_path / "new.csv", *easy, "--canary", "0.2")
    assert code == 0, told
    assert "v3 answers 20% of the users: films.v3" in told
    code, told = command("versions", run)
    assert [line.split()[0] for line in told.splitlines()[2:]] == ["v1", "v2", "v3"]
    assert "canary, 20%" in told
    assert "v3 answers now" in command("promote", run)[1]
    assert "v1 answers now" in command("rollback", run, "--reason", "too bold")[1]
    stored(opened(sqlite_url), AFTER)
    code, told = command("update", run, "--database", sqlite_url, "--scenario", "shop", *easy)
    assert (code, "v4 answers now: films.v4" in told) == (0, True)
    assert "v4" in command("versions", run, "--database", sqlite_url, "--scenario", "shop")[1]
    for wrong, words in ((["--gate", "drift=x"], "drift"), ([], "what to learn from")):
        with pytest.raises(ConfigError, match=words):
            command("update", run, *(["--events", "x"] if wrong else []), *wrong)
