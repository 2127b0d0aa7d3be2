"""The commands of the loop back: learn what has come, list the versions of a model, and go back."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genre.serving.learning import Learned
    from genre.serving.versions import Versions

learning_app = typer.Typer()

RunArgument = Annotated[Path, typer.Argument(help="A finished run, or one of its versions.")]
DatabaseOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Of the service: sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/NAME."),
]
ScenarioOption = Annotated[Optional[str], typer.Option(help="In the database; the run's name without.")]  # noqa: UP045


@learning_app.command("update")
def update(
    run: RunArgument,
    events: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A file of events, as of interactions; those that are known are left alone."),
    ] = None,
    items: Annotated[Optional[Path], typer.Option(help="With --events: items that may be new.")] = None,  # noqa: UP045
    database: DatabaseOption = None,
    scenario: ScenarioOption = None,
    gate: Annotated[list[str], typer.Option(help="A bound, as in drift=0.1. May be repeated.")] = [],  # noqa: B006
    shadow: Annotated[float, typer.Option(help="Share of the new events to judge by, the newest.")] = 0.2,
    canary: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Let the new version answer this share of the users, and not yet all."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, and write nothing.")] = False,
    actor: Annotated[str, typer.Option(hidden=True, help="For the audit log of the database.")] = "command line",
) -> None:
    """Learn new events, from a file or a service, and let the new version answer if it passes the gate.

    Ends with 1 where it does not pass.
    """
    from genre.config_file import parse, with_overrides
    from genre.console import Bars
    from genre.core.errors import ConfigError
    from genre.data.readers import read_items
    from genre.serving.learning import LearnConfig, learn, learn_from_store

    if events is None and database is None:
        database = os.environ.get("GENRE_DATABASE")
    if (events is None) == (database is None):
        raise ConfigError(
            "it is not clear what to learn from", place="update", remedy="Give --events FILE or --database URL."
        )
    config = parse(
        LearnConfig, with_overrides({"shadow": shadow, "gate": {}}, [f"gate.{one}" for one in gate]), "--gate"
    )
    common: dict[str, Any] = {"config": config, "canary": canary, "dry_run": dry_run, "progress": Bars()}
    common["actor"] = actor
    if events is not None:
        rows = () if items is None else read_items(items)
        _tell(learn(run, _events_of(run, events), items=rows, **common), dry_run=dry_run)
        return
    with _opened(database) as opened:
        name = scenario or _versions(run, None, None).run.name
        _tell(learn_from_store(run, opened, name, **common), dry_run=dry_run)


@learning_app.command("versions")
def versions(run: RunArgument, database: DatabaseOption = None, scenario: ScenarioOption = None) -> None:
    """List the versions of a run's model: which one answers, how good each was, and why it is where it is."""
    import polars as pl

    from genre.console import show

    with _opened(database) as opened:
        found = _versions(run, opened, scenario)
        rows = [
            {
                "version": one.version,
                "state": one.state if one.share is None else f"{one.state}, {one.share:.0%}",
                "since, UTC": f"{datetime.fromtimestamp(one.changed, UTC):%Y-%m-%d %H:%M}",
                "accuracy": "" if one.accuracy is None else f"{one.accuracy:.4f}",
                "live one's": "" if one.before is None else f"{one.before:.4f}",
                "why": one.reason,
            }
            for one in found.all()
        ]
    show(pl.DataFrame(rows), verbatim=True)


@learning_app.command("rollback")
def rollback(
    run: RunArgument,
    to: Annotated[Optional[str], typer.Option(help="A version that was live before.")] = None,  # noqa: UP045
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    database: DatabaseOption = None,
    scenario: ScenarioOption = None,
) -> None:
    """Take a canary away; without one, let the version that was live before answer again."""
    with _opened(database) as opened:
        found = _versions(run, opened, scenario)
        now = found.roll_back(to, reason=reason)
        typer.echo(f"{now.version} answers now: {found.directory(now)}")


@learning_app.command("promote")
def promote(
    run: RunArgument,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    database: DatabaseOption = None,
    scenario: ScenarioOption = None,
) -> None:
    """Let the canary answer everybody."""
    with _opened(database) as opened:
        found = _versions(run, opened, scenario)
        now = found.promote(reason=reason)
        typer.echo(f"{now.version} answers now: {found.directory(now)}")


def _tell(learned: Learned, *, dry_run: bool) -> None:
    import polars as pl

    from genre.console import show

    events = learned.account["events"]
    left_out = {name.replace("_", " "): count for name, count in events.items() if name != "added" and count}
    told = "".join(f", {count:,} {name}" for name, count in left_out.items())
    typer.echo(f"{events['added']:,} new events{told}.")
    if learned.decision is None:
        return
    rows = [
        {"check": one.name, "passed": "yes" if one.passed else "NO", "found": one.words}
        for one in learned.decision.checks
    ]
    show(pl.DataFrame(rows), verbatim=True)
    if learned.version is not None and learned.decision.promoted:
        how = "answers now" if learned.version.state == "live" else f"answers {learned.version.share:.0%} of the users"
        typer.echo(f"{learned.version.version} {how}: {learned.version.directory}")
    elif learned.version is not None:
        typer.echo(f"{learned.version.version} was rejected: {learned.decision.reason}")
    if not learned.decision.promoted:
        raise typer.Exit(1)
    if dry_run:
        typer.echo("It would pass; nothing was written.")


def _events_of(run: Path, path: Path) -> Any:
    """Read a file of events, with the columns named as in the run's own files."""
    from genre.config_file import read_experiment
    from genre.data.readers import FilesConfig, read_tables
    from genre.runs import CONFIG
    from genre.workspace import read_manifest

    read_manifest(run)
    own = read_experiment(run / CONFIG).data
    settings: dict[str, Any] = {"kind": "files", "interactions": path}
    if isinstance(own, FilesConfig) and "interactions" in own.columns:
        settings["columns"] = {"interactions": own.columns["interactions"]}
    return read_tables(FilesConfig.model_validate(settings)).interactions


def _versions(run: Path, opened: Any, scenario: str | None) -> Versions:
    from genre.serving.versions import Versions

    if opened is None:
        return Versions(run)
    from genre.serving.stores.models import Models

    return Versions(run, models=Models(opened), scenario=scenario)


@contextmanager
def _opened(url: str | None) -> Iterator[Any]:
    """Open the database, if one is named."""
    if url is None:
        yield None
        return
    from genre.serving.commands import opened_database

    with opened_database(url, "genre update") as database:
        yield database
