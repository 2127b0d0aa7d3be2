"""`genre off-policy` and `genre experiment`, from a run and what a service has logged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from genre import pipeline
from genre.cli import app
from genre.config import Experiment
from genre.console import console
from genre.core.errors import ConfigError, DataError
from genre.engine import Engine
from genre.off_policy import judge_run
from genre.runs import open_run
from genre.serving.experiments import context_of
from genre.serving.stores.database import Database
from genre.serving.stores.events import Batch, Event, Events
from genre.serving.stores.experiments import Experiments
from genre.strategies.exploration import EpsilonConfig, rng_for
from genre.strategies.rules import HideSeenConfig

runner = CliRunner()
LATER = 2_000_000_000
LISTS = 600


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_width", 200)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of two models over a small log."""
    place = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "item_id": f"i{item}", "timestamp": 1_700_000_000 + 60 * step}
        for user in range(40)
        for step, item in enumerate(rng.permutation(12)[: 4 + user % 3])
    ]
    pl.DataFrame(rows).write_csv(place / "log.csv")
    experiment = Experiment.model_validate(
        {
            "data": {"kind": "files", "interactions": str(place / "log.csv")},
            "models": {"ease": {"kind": "ease", "regularization": 5}},
            "answer": {"strategies": [{"kind": "hide_seen"}, {"kind": "epsilon"}]},
        }
    )
    return pipeline.run(experiment, place / "runs")


def shown_by(engine: Engine) -> list[Event]:
    """Return what a service would log: lists of three items, the first of which is clicked if its number is even."""
    told = []
    for number in range(LISTS):
        user = f"u{number % 40}"
        frame = engine.recommend(user, n=3, rng=rng_for(0, f"list {number}"))
        for row in frame.iter_rows(named=True):
            common = {"user_id": user, "item_id": row["item_id"], "list_id": f"list {number}"}
            told.append(
                Event(
                    event_id=f"{number} {row['rank']}",
                    timestamp=LATER + number,
                    event="impression",
                    position=row["rank"] - 1,
                    propensity=row["propensity"],
                    context={"experiment": "x", "arm": "a" if number % 2 else "b"},
                    **common,
                )
            )
            if int(row["item_id"][1:]) % 2 == 0 and row["rank"] == 1:
                told.append(Event(event_id=f"{number} click", timestamp=LATER + number, event="click", **common))
    return told


@pytest.fixture(scope="module")
def told(run: Path) -> list[Event]:
    """Return the events of a service that answers with popularity and explores."""
    engine = open_run(run, model="popularity").shaped([HideSeenConfig(), EpsilonConfig(epsilon=0.5)])
    return shown_by(engine)


def test_a_run_is_judged_by_a_database(run: Path, told: list[Event], sqlite_url: str) -> None:
    with Database.open(sqlite_url) as database:
        Events(database).append([Batch("films", told, LATER + 9999.0)])
    command = ["off-policy", str(run), "--database", sqlite_url, "--scenario", "films"]
    result = runner.invoke(app, [*command, "--model", "popularity", "--model", "ease"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "1,800 items were shown in 600 lists" in result.output
    assert "doubly robust" in result.output
    assert len([line for line in result.output.splitlines() if "worth" in line]) == 2
    result = runner.invoke(app, ["off-policy", str(run), "--database", sqlite_url], catch_exceptions=True)
    assert isinstance(result.exception, DataError)
    assert "nothing was shown" in str(result.exception)


def test_what_a_model_would_have_been_clicked_is_found(run: Path, told: list[Event], tmp_path: Path) -> None:
    rows = [dict(event) for event in told if event.event == "impression"]
    clicked = {(event.list_id, event.item_id) for event in told if event.event == "click"}
    columns = ["list_id", "user_id", "item_id", "timestamp", "position", "propensity"]
    shown = pl.DataFrame(
        [
            {name: row[name] for name in columns} | {"clicked": (row["list_id"], row["item_id"]) in clicked}
            for row in rows
        ]
    )
    shown.write_csv(tmp_path / "shown.csv")
    result = runner.invoke(
        app, ["off-policy", str(run), "--events", str(tmp_path / "shown.csv")], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    # The truth: all 40 users, at the moment of any list, since histories do not grow without events.
    first = open_run(run, model="ease").without_chance().recommend(n=1)
    even = first["item_id"].str.slice(1).cast(pl.Int64) % 2 == 0
    truth = float(even.mean()) / 3  # type: ignore[arg-type]
    found = judge_run(run, shown, models=["ease"])["ease"]
    assert found.estimates.doubly_robust is not None
    for interval in (found.estimates.snips, found.estimates.ips, found.estimates.doubly_robust):
        assert interval.low < truth < interval.high
    with pytest.raises(DataError, match=r"impressions, model 'ease': of 1,800 shown items .* at least 1e\+06 are"):
        judge_run(run, shown, models=["ease"], least=1e6)
    with pytest.raises(ConfigError, match="the run has no model 'other'"):
        judge_run(run, shown, models=["other"])


def test_a_page_about_experiments_is_written(told: list[Event], sqlite_url: str, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    command = ["experiment", "x", "--scenario", "films", "--database", sqlite_url, "--out", str(out)]
    with Database.open(sqlite_url) as database:
        result = runner.invoke(app, command)
        assert isinstance(result.exception, DataError)
        assert str(result.exception) == "scenario 'films': there is no experiment 'x'. None is planned there."
        planned = Experiments(database).add("films", "x", {"a": 0.5, "b": 0.5})
        Events(database).append([Batch("films", told, LATER + 9999.0)])
    assert set(context_of(planned, "u1")) == {"experiment", "arm"}
    assert not out.exists()
    result = runner.invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    page = out.read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "900" in page
