"""Bringing a database to the version of this code, all of the way or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from genre.core.errors import ArtifactError
from genre.serving.stores.database import Database

VERSION: Final = "0002"
"""The newest migration, which is how the tables must be."""
VERSION_TABLE: Final = "genre_version"
_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x67656E7265
"""Of PostgreSQL's advisory locks, the one that a process holds while it migrates."""


def migrate(database: Database) -> None:
    """Bring the tables to this version; several processes that come at once do it once.

    Everything happens in one transaction, in SQLite as in PostgreSQL: a migration that fails or is killed leaves the
    database as it was.

    Raises:
        ArtifactError: The database is of a newer version, or damaged.
        ResourceError: It cannot be reached or written.
    """
    with database.reading() as connection:
        if _version(connection) == VERSION:
            return
    with database.writing() as connection:
        if database.kind == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _upgrade(connection, database.place)


def _upgrade(connection: Connection, place: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    version = _version(connection)  # Another process may have been here since.
    if version is not None and version not in known:
        raise ArtifactError(
            f"the database has version {version!r}, and this version of Genre knows those up to {VERSION!r}",
            place=place,
            remedy="Upgrade Genre, or use another database.",
        )
    command.upgrade(config, VERSION)


def _version(connection: Connection) -> str | None:
    """Return the last migration that the database has had; None if it has no tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found
