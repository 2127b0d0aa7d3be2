"""The content store under several threads and processes, some of which are killed."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Thread

import numpy as np
import psutil
import pytest

from genre.features import store as store_module
from genre.features.store import BATCH, ContentStore
from tests.features.paid import PaidEncoder, change_index, check, numbered


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore.open(tmp_path / "store")


def start(store: Path, bill: Path, first: int, last: int, seconds: float) -> subprocess.Popen[bytes]:
    arguments = [str(store), str(bill), str(first), str(last), str(seconds)]
    return subprocess.Popen([sys.executable, "-m", "tests.features.paid", *arguments])


def test_threads_share_the_work(store: ContentStore) -> None:
    encoders = [PaidEncoder(seconds=0.05) for _ in range(3)]
    texts = numbered(0, 3 * BATCH)
    threads = [Thread(target=check, args=(store, encoder, texts)) for encoder in encoders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(text for encoder in encoders for text in encoder.paid) == sorted(texts)
    check(store, encoders[0], texts)
    assert sum(len(encoder.paid) for encoder in encoders) == len(texts)


@pytest.mark.slow
def test_two_processes_on_overlapping_texts_pay_once(tmp_path: Path) -> None:
    directory, bill = tmp_path / "store", tmp_path / "bill"
    # Nobody has made the store yet: both do.
    processes = [start(directory, bill, first, first + 4 * BATCH, 0.1) for first in (0, BATCH)]
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted(bill.read_text().splitlines()) == sorted(numbered(0, 5 * BATCH))
    assert change_index(directory, "SELECT owner FROM claims UNION SELECT owner FROM owners") == []


@pytest.mark.slow
def test_a_process_that_is_killed_is_followed_by_one_that_pays_for_its_last_batch_alone(tmp_path: Path) -> None:
    directory, bill = tmp_path / "store", tmp_path / "bill"
    killed = start(directory, bill, 0, 4 * BATCH, 1.0)
    while not bill.exists() or bill.read_text().count("\n") < 2 * BATCH:
        assert killed.poll() is None
        time.sleep(0.02)
    waiting = start(
        directory, bill, 0, 4 * BATCH, 0.0
    )  # It finds a claim of a living process first, and then a dead one's.
    time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    assert waiting.wait() == 0  # Before the other one was waited for: a zombie is dead too.
    killed.wait()
    paid = Counter(bill.read_text().splitlines())
    assert set(paid) == set(numbered(0, 4 * BATCH))
    assert sum(count - 1 for count in paid.values()) <= BATCH


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_kills_at_any_moment_leave_only_right_vectors(tmp_path: Path) -> None:
    directory, bill = tmp_path / "store", tmp_path / "bill"
    bill.touch()
    rng = np.random.default_rng(0)
    kills = 8
    for _ in range(kills):
        before = bill.stat().st_size
        process = start(directory, bill, 0, 30 * BATCH, 0.05)
        while process.poll() is None and bill.stat().st_size == before:
            time.sleep(0.01)
        time.sleep(0.3 * rng.random())
        process.kill()
        process.wait()
    encoder = PaidEncoder()
    check(ContentStore.open(directory), encoder, numbered(0, 30 * BATCH))
    paid = Counter([*bill.read_text().splitlines(), *encoder.paid])
    assert set(paid) == set(numbered(0, 30 * BATCH))
    assert sum(paid.values()) <= (30 + kills) * BATCH


@pytest.mark.parametrize(
    ("machine", "pid", "age", "waits"),
    [
        ("here", "self", 0, True),
        ("here", "self", 1000, False),  # It lives, and has not been heard of for so long that it hangs.
        ("here", "none", 0, False),
        ("elsewhere", "none", 0, True),  # Of another container: its number says nothing here.
        ("elsewhere", "none", 1000, False),
    ],
)
def test_claims_of_the_living_are_respected(
    store: ContentStore, tmp_path: Path, machine: str, pid: str, age: int, waits: bool
) -> None:
    encoder, directory = PaidEncoder(), tmp_path / "store"
    check(store, encoder, ["a"])
    host = platform.node() if machine == "here" else "elsewhere"
    number, started = (os.getpid(), psutil.Process().create_time()) if pid == "self" else (2**22 + 1, 0.0)
    change_index(directory, "INSERT INTO owners VALUES (99, ?, ?, ?, ?)", host, number, started, time.time() - age)
    content = store_module._content_of_text("b", "item")
    change_index(directory, "INSERT INTO claims SELECT model, ?, 99 FROM models", content)
    worker = Thread(target=store.vectors, args=(encoder, ["b"]), daemon=True)
    worker.start()
    worker.join(timeout=1.0 if waits else 20.0)
    assert worker.is_alive() is waits
    change_index(directory, "DELETE FROM claims WHERE owner = 99")
    worker.join()
    assert encoder.paid == ["a", "b"]
