"""Experiments: planned, running, stopped, and never changed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from genre.core.errors import ConfigError, DataError
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.experiments import Experiment, Experiments, OccupiedError
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


def test_one_runs_at_a_time_and_what_is_refused_leaves_nothing(database: Database) -> None:
    experiments = Experiments(database)
    halves = {"a": 0.5, "b": 0.5}
    experiments.add("films", "later", halves)
    experiments.begin("films", "first", halves)
    experiments.begin("books", "first", halves)
    with pytest.raises(OccupiedError, match=r"the experiment 'first' runs, .* Stop 'first' first"):
        experiments.move("films", "later", "running")
    with pytest.raises(OccupiedError, match="'second' would reach nobody"):
        experiments.begin("films", "second", halves)
    with pytest.raises(DataError, match="'first' is running and cannot become running"):
        experiments.move("films", "first", "running")
    assert [(one.name, one.state) for one in experiments.all("films")] == [("later", "planned"), ("first", "running")]
    assert Audit(database).newest(1, scenario="films")[0].detail["name"] == "first"
    experiments.move("films", "first", "stopped")
    assert experiments.begin("films", "second", halves).state == "running"


def test_of_several_that_begin_at_once_one_runs(url: str, opened: Callable[..., Database]) -> None:
    stores = [Experiments(opened(url)) for _ in range(4)]
    refused = []
    ready = threading.Barrier(len(stores))

    def begin(number: int) -> None:
        ready.wait(10)
        try:
            stores[number].begin("films", f"x{number}", {"a": 0.5, "b": 0.5})
        except OccupiedError:
            refused.append(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 3
    assert [one.state for one in stores[0].all("films")] == ["running"]


def test_the_audit_log_is_read_page_by_page(database: Database) -> None:
    experiments, audit = Experiments(database), Audit(database)
    for n in range(5):
        experiments.add("films", f"x{n}", {"a": 0.5, "b": 0.5})
    first = audit.newest(2)
    assert [one.detail["name"] for one in first] == ["x4", "x3"]
    assert [one.detail["name"] for one in audit.newest(9, before=first[-1].number)] == ["x2", "x1", "x0"]
    assert audit.newest(scenario="books") == []
