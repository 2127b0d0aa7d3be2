"""The commands of the service's administrator: each is a few lines over the stores."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from genre.serving.stores.database import Database

keys_app = typer.Typer(help="Make and revoke the keys of those who may ask a service.", no_args_is_help=True)

DatabaseOption = Annotated[
    str,
    typer.Option(envvar="GENRE_DATABASE", help="sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/NAME."),
]
DEFAULT_DATABASE = "sqlite:///genre.db"


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    scope: Annotated[
        list[str],
        typer.Option(help="What it opens: read, write, events, or admin for everything. May be repeated."),
    ],
    scenario: Annotated[Optional[str], typer.Option(help="The only one that it opens; all without.")] = None,  # noqa: UP045
    quota: Annotated[Optional[str], typer.Option(help="Requests a day, as in 10000/day.")] = None,  # noqa: UP045
    rate: Annotated[Optional[str], typer.Option(help="Requests a second, as in 20/s.")] = None,  # noqa: UP045
    database: DatabaseOption = DEFAULT_DATABASE,
) -> None:
    """Make a key and show it: only its hash is kept, so that nobody can show it again."""
    from genre.serving.keys import create_key
    from genre.serving.stores.keys import StoredKeys

    daily, second = _limit(quota, "quota", "day"), _limit(rate, "rate", "s")
    with opened_database(database, "genre keys") as opened:
        secret, key = create_key(
            StoredKeys(opened), name, scope, scenario=scenario, rate=second, quota=None if daily is None else int(daily)
        )
    typer.echo(f"Key {name} ({key.key_id}) opens {', '.join(key.scopes)} in {scenario or 'all scenarios'}.", err=True)
    typer.echo("Keep it now, it cannot be shown again:", err=True)
    typer.echo(secret)


@keys_app.command("list")
def list_keys(
    revoked: Annotated[bool, typer.Option("--all", help="Revoked ones too.")] = False,
    database: DatabaseOption = DEFAULT_DATABASE,
) -> None:
    """Show the keys, what they open, and how much of their quotas is used today."""
    import polars as pl

    from genre.console import show
    from genre.serving.limits import day_of
    from genre.serving.stores.keys import StoredKeys

    with opened_database(database, "genre keys") as opened:
        keys = StoredKeys(opened)
        found = [key for key in keys.all() if revoked or key.revoked is None]
        used = keys.used(day_of(time.time()))
    if not found:
        typer.echo("No keys. Make one: genre keys create NAME --scope read")
        return
    rows = [
        {
            "name": key.name,
            "id": key.key_id,
            "scopes": ", ".join(key.scopes),
            "scenario": key.scenario or "all",
            "quota a day": "" if key.quota is None else f"{used.get(key.key_id, 0):,} of {key.quota:,}",
            "a second": "" if key.rate is None else f"{key.rate:g}",
            "created, UTC": _date(key.created),
            **({"revoked, UTC": _date(key.revoked)} if revoked else {}),
        }
        for key in found
    ]
    show(pl.DataFrame(rows), verbatim=True)


@keys_app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Its name or id.")], database: DatabaseOption = DEFAULT_DATABASE
) -> None:
    """Make a key invalid for good; a running service notices within seconds."""
    from genre.serving.stores.keys import StoredKeys

    with opened_database(database, "genre keys") as opened:
        key = StoredKeys(opened).revoke(name, at=time.time(), actor="command line")
    typer.echo(f"Revoked {key.name} ({key.key_id}).")


def serve(
    runs: Annotated[Optional[list[str]], typer.Argument(help="Finished runs, each RUN or NAME=RUN.")] = None,  # noqa: UP045
    demo: Annotated[bool, typer.Option("--demo", help="Serve the sample world, made first if need be.")] = False,
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine only with a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8000,
    database: DatabaseOption = DEFAULT_DATABASE,
    generator: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="smollm2, or a hub id, directory or .gguf file; without, each writes as its run says."),
    ] = None,
    studio: Annotated[bool, typer.Option(help="Show the page for people at /studio.")] = True,
    overrides: Annotated[list[str], typer.Option("--set", help="Override a setting: a.b=value.")] = [],  # noqa: B006
) -> None:
    """Answer over HTTP: lists, texts and conversations, and take in what comes back."""
    from genre.api import write_settings
    from genre.config_file import parse, with_overrides
    from genre.core.errors import ConfigError

    _check_installed("genre serve")
    from genre.serving.running import demo_run, named_runs
    from genre.serving.running import serve as listen
    from genre.serving.settings import ServeConfig

    if bool(runs) == demo:
        raise ConfigError("it is not clear what to serve", place="serve", remedy="Give a run, or --demo.")
    settings: dict[str, object] = {"host": host, "port": port, "database": database}
    if generator is not None:
        settings["write"] = write_settings(generator, ["candidates=2", "draws=1"]).model_dump(exclude_unset=True)
    config = parse(ServeConfig, with_overrides(settings, overrides), "serve")
    listen(config, {"films": demo_run()} if demo else named_runs(runs or []), studio=studio)


def _date(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def opened_database(url: str, command: str) -> Database:
    """Open the database, or say which libraries a command misses."""
    _check_installed(command)
    from genre.serving.stores.database import Database

    return Database.open(url)


def _check_installed(place: str) -> None:
    from genre.core.errors import DependencyError

    wanted = ("sqlalchemy", "alembic", "fastapi", "uvicorn", "prometheus_client")
    if missing := next((name for name in wanted if find_spec(name) is None), None):
        raise DependencyError(
            f"needs the library {missing!r}, which is not installed",
            place=place,
            remedy="Install it with `pip install 'genre-rec[serve]'`.",
        )


def _limit(given: str | None, name: str, unit: str) -> float | None:
    """Return the number in a limit such as 20/s; the unit may be left out."""
    from genre.core.errors import ConfigError

    if given is None:
        return None
    number = r"\d+" if unit == "day" else r"\d+(?:\.\d+)?"
    found = re.fullmatch(rf"({number})(?:/{unit})?", given.strip())
    if found is None:
        raise ConfigError(f"{given!r} is no {name}", place=f"--{name}", remedy=f"Give a number as in 20/{unit}.")
    return float(found[1])
