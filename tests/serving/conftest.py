"""Databases of both kinds: every test that asks for `database` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from genre.serving.stores.database import Database
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
