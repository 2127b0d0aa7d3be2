"""Databases of both kinds: every test that asks for `database` runs on SQLite and on PostgreSQL.

A service has a SQLite file; in a test that is marked with `on_both` it has PostgreSQL as well.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvicorn
from starlette.testclient import TestClient

from genre import pipeline
from genre.config import Experiment
from genre.serving.app import make_app
from genre.serving.service import Service
from genre.serving.settings import ServeConfig
from genre.serving.stores.database import Database
from genre.workspace import MANIFEST
from tests.serving.postgres import INSTALLED, TEMPLATE, Cluster

_NUMBERS = count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return a PostgreSQL server, with a database that has the tables and nothing else."""
    if not INSTALLED:
        pytest.skip("PostgreSQL is not installed: no /usr/lib/postgresql/*/bin/initdb")
    cluster = Cluster()
    try:
        cluster.start()
        cluster.execute(f"CREATE DATABASE {TEMPLATE}")
        Database.open(cluster.url(TEMPLATE)).close()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file that has the tables and nothing else."""
    path = tmp_path_factory.mktemp("template") / "genre.db"
    Database.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """Return the URL of a new SQLite file."""
    path = tmp_path / "genre.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_name(cluster: Cluster) -> Iterator[str]:
    """Return the name of a new PostgreSQL database."""
    name = f"test_{next(_NUMBERS)}"
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield name
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a new database of each kind."""
    if request.param == "sqlite":
        found: str = request.getfixturevalue("sqlite_url")
        return found
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.url(request.getfixturevalue("postgres_name"))


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Return what opens a database and closes it after the test."""
    databases: list[Database] = []

    def open_database(url: str, *, wait: float = 10.0) -> Database:
        databases.append(Database.open(url, wait=wait))
        return databases[-1]

    yield open_database
    for database in databases:
        database.close()


@pytest.fixture
def database(url: str, opened: Callable[..., Database]) -> Database:
    """Return a new database of each kind."""
    return opened(url)


SETTINGS: dict[str, Any] = {
    "name": "films",
    "data": {"kind": "sample", "num_viewers": 80},
    "feedback": {"like_at": 3},
    "models": {
        "item_knn": {"kind": "item_knn"},
        "text": {"kind": "content", "vectors": {"encoder": {"kind": "hashing"}, "whitening": None}},
        "fusion": {"kind": "fusion", "members": ["item_knn", "text"], "weights": {"item_knn": 1.0, "text": 0.2}},
    },
    "answer": {"model": "fusion", "examples": 3},
    "evaluation": {"bootstrap": 20},
}
"""A small experiment whose model knows users, items that go together, and texts."""


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a finished run; a test that changes it takes `own_films`, or else the last one fails."""
    run = pipeline.run(Experiment.model_validate(SETTINGS), tmp_path_factory.mktemp("runs"))
    before = (run / MANIFEST).read_bytes()
    yield run
    assert (run / MANIFEST).read_bytes() == before, "a test has changed the run that all of them share"


@pytest.fixture
def own_films(films: Path, tmp_path: Path) -> Path:
    """Return a copy of it, to change."""
    return Path(shutil.copytree(films, tmp_path / "films"))


on_both = pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of database that a service has."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def service_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> str:
    """Return the URL of a new database for a service."""
    if kind == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster.url(request.getfixturevalue("postgres_name"))
    path = tmp_path / "service.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def serving(films: Path, service_url: str) -> Iterator[Callable[..., Service]]:
    """Return what starts a service over the run, and ends it after the test."""
    services: list[Service] = []

    def start(run: Path = films, *, name: str = "films", database: Path | None = None, **settings: Any) -> Service:
        url = service_url if database is None else f"sqlite:///{database}"
        config = ServeConfig.model_validate({"database": url, "deadline": 20, "refresh": 0.05, **settings})
        services.append(Service(config, {name: run}))
        return services[-1]

    yield start
    for service in services:
        service.close()


@pytest.fixture
def service(serving: Callable[..., Service]) -> Service:
    """Return a running service that needs no key."""
    return serving()


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """Return what asks it over HTTP."""
    with TestClient(make_app(service), base_url="http://localhost") as asking:
        yield asking


@contextmanager
def listening(app: Any, port: int = 0) -> Iterator[str]:
    """Let an app answer at a real port of this machine, and give its address."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@contextmanager
def served(run: Path, database: str, *settings: str) -> Iterator[tuple[str, psutil.Process]]:
    """Let `genre serve` serve a run in a process of its own, and give its address and the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from genre.cli import main; main()", "serve", f"films={run}", "--no-studio"]
    command += ["--port", str(port), "--database", database]
    for setting in settings:
        command += ["--set", setting]
    with tempfile.TemporaryFile("a+b") as said:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        try:
            until = time.monotonic() + 90
            while not _answers(port):
                said.seek(0)
                assert process.poll() is None, said.read().decode()
                assert time.monotonic() < until
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def files_with(word: str, *directories: Path) -> list[str]:
    """Return the files that hold a word, in their bytes or as tables."""
    import polars as pl

    found = set()
    for path in (path for directory in directories for path in directory.rglob("*") if path.is_file()):
        if word.encode() in path.read_bytes():
            found.add(str(path))
        if path.suffix == ".parquet" and word in str(pl.read_parquet(path).to_dicts()):
            found.add(str(path))
    return sorted(found)
