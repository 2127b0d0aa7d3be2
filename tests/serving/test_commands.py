"""`genre keys`: make, list, revoke."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from genre.cli import app
from genre.console import console
from genre.core.errors import ConfigError, DataError
from genre.serving.keys import Keyring
from genre.serving.stores.database import Database
from genre.serving.stores.keys import StoredKeys

runner = CliRunner()


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no id be folded, whatever terminal the tests run in: a console takes its width when it is made."""
    monkeypatch.setattr(console, "_width", 200)


def run(*arguments: str, url: str) -> str:
    result = runner.invoke(app, ["keys", *arguments, "--database", url], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_key_is_made_listed_and_revoked(url: str) -> None:
    given = ["--scope", "read", "--scope", "events", "--scenario", "films", "--quota", "1000/day", "--rate", "2.5/s"]
    secret = run("create", "shop", *given, url=url).strip()
    with Database.open(url) as database:
        caller = Keyring(StoredKeys(database)).who(secret)
        assert caller is not None
        assert (caller.name, caller.scopes, caller.scenario) == ("shop", {"read", "events"}, "films")
    listed = run("list", url=url)
    for part in ("shop", caller.key_id, "read, events", "films", "0 of 1,000", "2.5"):
        assert part in listed
    assert secret not in listed
    assert run("revoke", "shop", url=url) == f"Revoked shop ({caller.key_id}).\n"
    assert "No keys" in run("list", url=url)
    assert "revoked, UTC" in run("list", "--all", url=url)


def test_the_database_is_a_file_here_unless_another_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["keys", "create", "a", "--scope", "read", "--quota", "5", "--rate", "1"])
    assert result.exit_code == 0
    assert result.stdout.startswith("genre_")
    assert "in all scenarios" in result.stderr
    other = runner.invoke(app, ["keys", "list"], env={"GENRE_DATABASE": f"sqlite:///{tmp_path / 'other.db'}"})
    assert "No keys" in other.stdout
    assert (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quota", "many"], "--quota: 'many' is no quota. Give a number as in 20/day."),
        (["--quota", "1.5"], "--quota: '1.5' is no quota."),
        (["--rate", "5/day"], "--rate: '5/day' is no rate. Give a number as in 20/s."),
        (["--rate", "0"], "key 'a': the rate 0.0 is not above 0."),
    ],
)
def test_limits_that_are_none_are_refused(sqlite_url: str, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run("create", "a", "--scope", "read", *arguments, url=sqlite_url)
    assert str(caught.value).startswith(message)


def test_a_key_that_is_not_there_cannot_be_revoked(sqlite_url: str) -> None:
    with pytest.raises(DataError, match="no valid key 'nobody'"):
        run("revoke", "nobody", url=sqlite_url)
