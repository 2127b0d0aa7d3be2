"""A database: opened, migrated, refused, gone and back."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from genre.core.errors import ArtifactError, ConfigError, GenreError, ResourceError
from genre.serving.stores import migrating
from genre.serving.stores.database import Database
from genre.serving.stores.migrating import VERSION, VERSION_TABLE
from genre.serving.stores.tables import LOGS, METADATA
from tests.serving.postgres import Cluster

Opened = Callable[..., Database]


def add(database: Database, scenario: str) -> None:
    with database.writing() as connection:
        connection.execute(LOGS.insert(), {"scenario": scenario, "last": 0})


def scenarios(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(LOGS.c.scenario).order_by(LOGS.c.scenario)).scalars())


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_the_newest_migration_is_the_one_that_the_code_names() -> None:
    assert ScriptDirectory(str(migrating._SCRIPTS)).get_heads() == [VERSION]


def test_a_block_is_done_as_a_whole_or_not_at_all(database: Database) -> None:
    add(database, "films")

    def half_of_it() -> None:
        with database.writing() as connection:
            connection.execute(LOGS.insert(), {"scenario": "books", "last": 0})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_of_it()
    assert scenarios(database) == ["films"]


def test_a_reader_sees_one_state_while_another_writes(database: Database) -> None:
    add(database, "films")
    count = text("SELECT count(*) FROM logs")
    with database.reading() as connection:
        assert connection.execute(count).scalar() == 1
        add(database, "books")
        assert connection.execute(count).scalar() == 1
    assert scenarios(database) == ["books", "films"]


def test_what_a_block_has_done_survives_a_power_cut(database: Database) -> None:
    with database.reading() as connection:
        if database.kind == "sqlite":
            settings = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
            found = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in settings}
        else:
            settings = {"synchronous_commit": "on", "fsync": "on"}
            found = {name: connection.execute(text(f"SHOW {name}")).scalar() for name in settings}
    assert found == settings


def test_a_newer_database_is_refused_and_stays_as_it_is(url: str, opened: Opened) -> None:
    with opened(url).writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0099'"))  # noqa: S608
    with pytest.raises(ArtifactError, match=r"has version '0099', and .* up to '0002'\. Upgrade Genre"):
        Database.open(url)


def test_a_database_of_the_version_before_is_brought_to_this_one(url: str, opened: Opened) -> None:
    database = opened(url)
    with database.writing() as connection:
        connection.execute(text("DROP INDEX audit_by_action"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))  # noqa: S608
    with opened(url).reading() as connection:
        assert compare_metadata(
            MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}), METADATA
        ) == []  # fmt: skip


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    url: str, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "migrations"
    shutil.copytree(migrating._SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "0003_half.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\nrevision, down_revision = '0003', '0002'\n"
        "def upgrade():\n    op.create_table('half', sa.Column('a', sa.Integer))\n"
        "    op.execute('UPDATE nothing SET a = 1')\n"
    )
    monkeypatch.setattr(migrating, "_SCRIPTS", scripts)
    monkeypatch.setattr(migrating, "VERSION", "0003")
    with pytest.raises(ResourceError, match="nothing"):
        Database.open(url)
    monkeypatch.undo()
    with opened(url).reading() as connection:
        assert not inspect(connection).has_table("half")
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
        assert found.scalars().all() == [VERSION]


def test_processes_that_come_at_once_make_the_tables_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'genre.db'}"
    code = f"from genre.serving.stores.database import Database; Database.open({url!r}, wait=60).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(100) for process in processes] == [0, 0, 0]


def test_processes_that_come_at_once_make_the_tables_once_in_postgresql(cluster: Cluster) -> None:
    cluster.execute("CREATE DATABASE bare")
    url = cluster.url("bare")
    code = f"from genre.serving.stores.database import Database; Database.open({url!r}, wait=60).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(100) for process in processes] == [0, 0, 0]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:secret@h/d", "'mysql://u:***@h/d' is no URL of a database that Genre knows"),
        ("genre.db", "'genre.db' is no URL"),
        ("sqlite://", "is no database that lasts"),
        ("sqlite:///:memory:", "is no database that lasts"),
        ("postgresql+psycopg2://h/d", "is no URL"),
    ],
)
def test_other_urls_are_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database.open(url)
    assert message in str(caught.value)
    assert "sqlite:///PATH" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_file_is_its_owners_alone(tmp_path: Path, opened: Opened) -> None:
    add(opened(f"sqlite:///{tmp_path / 'genre.db'}"), "films")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "genre.db"
    path.write_bytes(b"no database at all " * 100)
    with pytest.raises(ArtifactError, match=r"genre\.db: the database cannot be read .*Restore it"):
        Database.open(f"sqlite:///{path}")


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be made"):
        Database.open(f"sqlite:///{tmp_path / 'file' / 'genre.db'}")


def test_a_file_that_is_moved_away_takes_nothing_more_and_no_empty_one_takes_its_place(
    sqlite_url: str, opened: Opened, tmp_path: Path
) -> None:
    database = opened(sqlite_url)
    add(database, "before")
    path, away = tmp_path / "genre.db", tmp_path / "away"
    path.rename(away)
    for _ in range(2):
        with pytest.raises(ResourceError, match="unable to open"):
            add(database, "meanwhile")
        with pytest.raises(ResourceError, match="unable to open"):
            scenarios(database)
    assert not path.exists()
    away.rename(path)
    add(database, "later")
    assert scenarios(database) == ["before", "later"]


def test_a_lock_that_is_held_for_too_long_is_an_error_and_then_over(
    sqlite_url: str, opened: Opened, tmp_path: Path
) -> None:
    database = opened(sqlite_url, wait=0.1)
    other = sqlite3.connect(tmp_path / "genre.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ResourceError, match=r"locked.*try again"):
        add(database, "films")
    assert scenarios(database) == []
    other.execute("ROLLBACK")
    other.close()
    add(database, "films")
    assert scenarios(database) == ["films"]


def test_a_full_disk_is_told(sqlite_url: str, opened: Opened) -> None:
    database = opened(sqlite_url)

    def much() -> None:
        with database.writing() as connection:
            connection.execute(text("PRAGMA max_page_count = 1"))
            connection.execute(LOGS.insert(), [{"scenario": f"{n}" * 1000, "last": 0} for n in range(200)])

    with pytest.raises(ResourceError, match=r"full.*room on its disk"):
        much()
    assert scenarios(database) == []


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(ResourceError) as caught:
        Database.open("postgresql://genre:secret@127.0.0.1:1/genre", wait=1)
    assert "postgresql+psycopg://genre:***@127.0.0.1:1/genre" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_crashed_is_used_again_when_it_is_back(
    cluster: Cluster, postgres_name: str, opened: Opened
) -> None:
    database = opened(cluster.url(postgres_name), wait=2)
    add(database, "before")
    cluster.stop("immediate")
    try:
        with pytest.raises(ResourceError):
            add(database, "meanwhile")
        with pytest.raises(GenreError, match="Make sure that it runs"):
            scenarios(database)
    finally:
        cluster.start()
    add(database, "later")
    assert scenarios(database) == ["before", "later"]
