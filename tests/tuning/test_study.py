"""A search on disk: counted exactly, seeded by trial, safe after a kill, and ended early where it is hopeless."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genre.core.errors import ArtifactError
from genre.recommenders.ease import EaseConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.tuning.config import TuneConfig
from genre.tuning.study import JOURNAL, Attempt, Study
from genre.tuning.trials import Hopeless

MODELS = {"ease": EaseConfig(), "sasrec": SasrecConfig()}
SPACE: dict[str, Any] = {
    "models.ease.regularization": {"low": 1, "high": 1000, "log": True},
    "models.sasrec.embedding_size": {"low": 8, "high": 64, "step": 8},
    "models.sasrec.augment": {"choices": [[], ["crop", "mask"]]},
}


def open_study(directory: Path, **changes: Any) -> Study:
    return Study(directory, TuneConfig.model_validate({"space": SPACE, **changes}), MODELS)


def work(study: Study, most: int) -> None:
    for attempt in study.attempts(most):
        attempt.finish(value_of(attempt), "ease", {})


def value_of(attempt: Attempt) -> float:
    return -abs(float(attempt.settings["models.ease.regularization"]) - 30)


def test_trials_are_counted_over_all_calls_and_drawn_as_if_there_had_been_one(tmp_path: Path) -> None:
    whole = open_study(tmp_path / "whole")
    work(whole, 14)
    for most in (3, 3, 14):
        work(open_study(tmp_path / "parts"), most)
    found = open_study(tmp_path / "parts").found()
    assert len(found) == 14
    assert [one.settings for one in found] == [one.settings for one in whole.found()]
    work(other := open_study(tmp_path / "other", seed=1), 1)
    assert other.found()[0].settings != found[0].settings


def test_settings_have_the_types_of_the_space(tmp_path: Path) -> None:
    work(study := open_study(tmp_path), 12)
    for one in study.found():
        assert one.settings["models.sasrec.embedding_size"] in range(8, 65, 8)
        assert isinstance(one.settings["models.ease.regularization"], float)
        assert one.settings["models.sasrec.augment"] in ([], ["crop", "mask"])
    assert next(iter(study.importance())) == "models.ease.regularization"


def test_what_was_dropped_does_not_count_and_what_was_given_up_does(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    next(study.attempts(2)).drop()
    next(study.attempts(2)).give_up("too large")
    assert [attempt.finish(1.0, "ease", {"size": 2.0}) for attempt in study.attempts(2)] == [None]
    given_up, over = study.found()
    assert (given_up.value, given_up.note) == (None, "too large")
    assert (over.value, over.note, over.feasible) == (1.0, "size is over by 2", False)
    assert study.importance() == {}, "too few trials tell"


def test_no_trial_begins_when_the_time_is_over(tmp_path: Path) -> None:
    assert list(open_study(tmp_path).attempts(5, seconds=0)) == []


def test_a_training_that_is_worse_than_most_is_given_up(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    for value in (0.3, 0.4, 0.5, 0.6):
        attempt = next(study.attempts(10))
        for _ in range(8):
            attempt.watch(value)
        attempt.finish(value, "sasrec", {})
    good, bad = next(study.attempts(10)), next(study.attempts(10))
    for _ in range(8):
        good.watch(0.5)
    for _ in range(4):
        bad.watch(0.1)
    with pytest.raises(Hopeless, match=r"given up after 5 looks at 0\.1000"):
        bad.watch(0.1)
    patient = next(open_study(tmp_path, prune=False).attempts(10))
    for _ in range(8):
        patient.watch(0.1)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.tuning.test_study import open_study, value_of
for attempt in open_study(Path(sys.argv[1])).attempts(9):
    if attempt.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    attempt.finish(value_of(attempt), "ease", {})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill so")
def test_a_killed_trial_is_not_counted(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    work(study := open_study(tmp_path), 4)
    assert [one.number for one in study.found()] == [0, 1, 3, 4]


@pytest.mark.slow
def test_processes_share_the_trials_of_one_search(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.tuning.test_study import open_study, work; "
        "work(open_study(Path(sys.argv[1])), 24)"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env={**os.environ}) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    found = open_study(tmp_path).found()
    assert len(found) in (24, 25)  # 25 if both began their last one in the same millisecond.
    assert len({one.settings["models.ease.regularization"] for one in found}) == len(found)


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    work(open_study(tmp_path), 1)
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-30] + b"\n{}\n")
    with pytest.raises(ArtifactError, match=r"trials\.log: the trials cannot be read.*Delete the file"):
        open_study(tmp_path).found()
