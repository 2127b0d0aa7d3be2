"""Experiments: planned, running, stopped, and never changed."""

from __future__ import annotations

import pytest

from genre.core.errors import ConfigError, DataError
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.experiments import Experiment, Experiments
from tests.serving.clock import Clock


def test_an_experiment_runs_and_is_stopped(database: Database) -> None:
    clock = Clock(10.0)
    experiments = Experiments(database, now=clock)
    arms = {"control": 0.9, "diverse": 0.1}
    experiments.add("films", "diversity", arms)
    experiments.add("books", "diversity", {"a": 0.5, "b": 0.5})
    clock.now = 20.0
    assert experiments.move("films", "diversity", "running").state == "running"
    stopped = experiments.move("films", "diversity", "stopped", reason="clicks fell", actor="key-1")
    assert stopped == Experiment("films", "diversity", arms, "stopped", "clicks fell", 10.0, 20.0)
    assert experiments.all("films") == [stopped]
    entries = Audit(database).newest(scenario="films")
    assert [one.action for one in entries] == ["experiment stopped", "experiment running", "experiment planned"]
    with pytest.raises(DataError, match=r"'diversity' is stopped and cannot become running\. It can become nothing"):
        experiments.move("films", "diversity", "running")


def test_mistakes_are_named(database: Database) -> None:
    experiments = Experiments(database)
    experiments.add("films", "x", {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    with pytest.raises(DataError, match="there is an experiment 'x' already"):
        experiments.add("films", "x", {"a": 0.5, "b": 0.5})
    with pytest.raises(DataError, match="the experiment 'y' is not there"):
        experiments.move("films", "y", "running")
    for arms in ({"a": 1.0}, {"a": 0.5, "b": 0.4}, {"a": 1.5, "b": -0.5}):
        with pytest.raises(ConfigError, match="do not divide the users"):
            experiments.add("films", "y", arms)


def test_the_audit_log_is_read_page_by_page(database: Database) -> None:
    experiments, audit = Experiments(database), Audit(database)
    for n in range(5):
        experiments.add("films", f"x{n}", {"a": 0.5, "b": 0.5})
    first = audit.newest(2)
    assert [one.detail["name"] for one in first] == ["x4", "x3"]
    assert [one.detail["name"] for one in audit.newest(9, before=first[-1].number)] == ["x2", "x1", "x0"]
    assert audit.newest(scenario="books") == []
