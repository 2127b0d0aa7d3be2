"""What happens to a database happens here: its processes are killed, and it is gone for a while."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genre.core.errors import ResourceError
from genre.serving.keys import Keyring, create_key
from genre.serving.stores.database import Database
from genre.serving.stores.events import Event, Events
from genre.serving.stores.intake import Intake
from genre.serving.stores.keys import StoredKeys
from tests.serving.postgres import Cluster

SERVER = """
import os, sys, threading, time
from genre.serving.stores.database import Database
from genre.serving.stores.events import Event, Events
from genre.serving.stores.intake import Intake

url, name = sys.argv[1:]
database = Database.open(url, wait=60)

def tell(thread):
    # 500 events in a second: from each of ten threads one in every 20 ms, however long the answers take.
    began, n = time.monotonic(), 0
    while True:
        event_id = f"{name}-{thread}-{n}"
        event = Event(event_id=event_id, user_id=f"u{n % 50}", item_id=f"i{n % 7}", value=n)
        # The answer is written whole and at once, as a response would be.
        intake.submit("films", [event]).add_done_callback(
            lambda done, event_id=event_id: os.write(1, f"{event_id} {done.result()[0].seq}\\n".encode()))
        n += 1
        time.sleep(max(0.0, began + 0.02 * n - time.monotonic()))

intake = Intake(Events(database))
os.write(1, b"begun\\n")
for thread in range(10):
    threading.Thread(target=tell, args=(thread,)).start()
"""
ROUNDS = int(os.environ.get("GENRE_KILL_ROUNDS", "10"))
"""GENRE_KILL_ROUNDS=100 takes a while."""


def kept(database: Database) -> dict[str, tuple[int, float]]:
    """Return number and value of all events by id, and make sure that each is there once, and no number left out."""
    rows = [row for frame in Events(database).since("films") for row in frame.select("event_id", "seq", "value").rows()]
    assert [seq for _, seq, _ in rows] == list(range(1, len(rows) + 1))
    found = {event_id: (seq, value) for event_id, seq, value in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_answered_event_is_lost_and_none_counts_twice_whenever_the_process_is_killed(
    url: str, opened: Callable[..., Database]
) -> None:
    chance, answered = random.Random(0), dict[str, int]()
    for number in range(ROUNDS):
        with subprocess.Popen([sys.executable, "-c", SERVER, url, f"{number}"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            time.sleep(chance.uniform(0.05, 1.5))
            process.kill()
            lines = process.stdout.read().decode().splitlines()
        answered |= {event_id: int(seq) for event_id, seq in (line.split() for line in lines)}
        with Database.open(url) as database:
            found = kept(database)
        assert {event_id: found[event_id][0] for event_id in answered} == answered
    # The client tells everything again that it does not know of, and some that it does.
    number, thread = ROUNDS - 1, 0
    told = [
        Event(event_id=f"{number}-{thread}-{n}", user_id=f"u{n % 50}", item_id=f"i{n % 7}", value=n) for n in range(99)
    ]
    database = opened(url)
    with Intake(Events(database)) as intake:
        outcomes = intake.append("films", told)
    assert [one.status for one in outcomes] == ["known" if one.event_id in found else "new" for one in told]
    assert len(kept(database)) == len(found) + sum(one.status == "new" for one in outcomes)
    assert len(answered) > 20 * ROUNDS


@pytest.fixture(params=["sqlite", "postgresql"])
def gone(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[str, Callable[[], contextlib.AbstractContextManager[None]]]:
    """Return the URL of a database, and what takes it away for a while."""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")

        @contextlib.contextmanager
        def away() -> Iterator[None]:
            cluster.stop("immediate")
            try:
                yield
            finally:
                cluster.start()

        return cluster.url(request.getfixturevalue("postgres_name")), away

    url: str = request.getfixturevalue("sqlite_url")

    @contextlib.contextmanager
    def moved() -> Iterator[None]:
        path = tmp_path / "genre.db"
        path.rename(tmp_path / "elsewhere")
        yield
        (tmp_path / "elsewhere").rename(path)

    return url, moved


def test_while_the_database_is_gone_events_are_refused_and_keys_are_known_and_then_all_is_well(
    gone: tuple[str, Callable[[], contextlib.AbstractContextManager[None]]], opened: Callable[..., Database]
) -> None:
    url, away = gone
    database = opened(url, wait=2)
    secret, _ = create_key(StoredKeys(database), "shop", ["read"])
    ring = Keyring(StoredKeys(database), refresh=0.0)
    stop, outcomes = threading.Event(), dict[str, bool]()

    def tell(thread: int) -> None:
        n = 0
        while not stop.wait(0.01):
            event_id, n = f"{thread}-{n}", n + 1
            try:
                intake.append("films", [Event(event_id=event_id, user_id="u", item_id="i")])
                outcomes[event_id] = True
            except ResourceError:
                outcomes[event_id] = False

    with Intake(Events(database)) as intake:
        threads = [threading.Thread(target=tell, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        with away():
            time.sleep(0.5)
            assert ring.who(secret) is not None
        before = sum(outcomes.values())
        deadline = time.monotonic() + 60
        while sum(outcomes.values()) < before + 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
    assert not all(outcomes.values())
    assert before > 0
    found = {event.event_id for event in Events(database).of_user("films", "u")}
    assert {event_id for event_id, answered in outcomes.items() if answered} <= found
    assert sum(outcomes.values()) >= before + 5
