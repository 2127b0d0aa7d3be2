"""The commands that conclude something from what a service has logged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from genre.serving.commands import DEFAULT_DATABASE, DatabaseOption

if TYPE_CHECKING:
    import polars as pl

    from genre.evaluation.off_policy import OffPolicy, Order

# Everything heavy is imported inside the commands, so that `genre --help` answers at once.
app = typer.Typer()

ScenarioOption = Annotated[str, typer.Option(help="Whose events are read.")]
ClickOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--click", help="A type of event that counts, as in like; all without. May be repeated."),
]


@app.command("off-policy")
def off_policy(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    model: Annotated[Optional[list[str]], typer.Option(help="Of the run; its choice without. May be repeated.")] = None,  # noqa: UP045
    events: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A file of impressions with propensities; without, a service's database is read."),
    ] = None,
    database: DatabaseOption = DEFAULT_DATABASE,
    scenario: ScenarioOption = "default",
    click: ClickOption = None,
    shuffled: Annotated[
        bool,
        typer.Option("--shuffled", help="Propensities are of being in a list at all, and its order was drawn."),
    ] = False,
    earlier: Annotated[
        bool, typer.Option("--earlier", help="Also judge by lists that the model may have learned from.")
    ] = False,
    least: Annotated[
        float, typer.Option(min=1, help="Shown items of equal weight below which nothing is estimated.")
    ] = 100,
) -> None:
    """Estimate how often a model's lists would have been clicked, from what a service showed with propensities."""
    from genre.console import show
    from genre.off_policy import judge_run

    shown, log = _logged(events, database, scenario, click)
    order: Order = "shuffled" if shuffled else "placed"
    found = judge_run(run, shown, log, models=model or (), order=order, also_learned=earlier, least=least)
    first = next(iter(found.values()))
    logged = first.estimates.logged
    typer.echo(
        f"{first.num_shown:,} items were shown in {first.num_lists:,} lists, and {100 * logged.mean:.2f} % were "
        f"clicked ({100 * logged.low:.2f} to {100 * logged.high:.2f})."
    )
    show(_table(found), "Clicks for each 100 shown items, with 95 % intervals", verbatim=True)
    for name, one in found.items():
        weight = one.estimates.mean_weight
        if not weight.low <= 1 <= weight.high:
            typer.echo(
                f"The weights of {name} are not 1 on average: some of what it would show was never shown, or "
                "propensities are not exact. SNIPS then tells of the rest only, and IPS is off by as much."
            )


@app.command()
def experiment(
    names: Annotated[Optional[list[str]], typer.Argument(help="Experiments; all of the scenario without.")] = None,  # noqa: UP045
    scenario: ScenarioOption = "default",
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("experiments.html"),
    click: ClickOption = None,
    database: DatabaseOption = DEFAULT_DATABASE,
) -> None:
    """Write a page about experiments on live users: what each arm's users did, and whether it may be chance."""
    from genre.core.errors import DataError
    from genre.core.files import atomic_file
    from genre.serving.commands import opened_database
    from genre.serving.experiments import outcomes
    from genre.serving.experiments_page import render_experiments
    from genre.serving.stores.events import Events
    from genre.serving.stores.experiments import Experiments

    with opened_database(database, "genre experiment") as opened:
        planned = {one.name: one for one in Experiments(opened).all(scenario)}
        for name in names or ():
            if name not in planned:
                raise DataError(
                    f"there is no experiment {name!r}",
                    place=f"scenario {scenario!r}",
                    remedy=f"Choose from {sorted(planned)}." if planned else "None is planned there.",
                )
        log = Events(opened)
        found = [outcomes(planned[name], log.since(scenario), clicks=click) for name in names or planned]
    with atomic_file(out) as path:
        path.write_text(render_experiments(found, title=f"Experiments of {scenario}"), encoding="utf-8")
    typer.echo(f"Wrote {out}.")


def _logged(
    events: Path | None, database: str, scenario: str, clicks: list[str] | None
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return what was shown and, from a database, all events."""
    if events is not None:
        from genre.data.readers import read_impressions

        return read_impressions(events), None
    import polars as pl

    from genre.evaluation.logged import shown_of_events
    from genre.serving.commands import opened_database

    with opened_database(database, "genre off-policy") as opened:
        from genre.serving.stores.events import SCHEMA, Events

        log = pl.concat([SCHEMA.to_frame(), *Events(opened).since(scenario)])
    return shown_of_events(log, clicks), log


def _table(found: dict[str, OffPolicy]) -> pl.DataFrame:
    import polars as pl

    from genre.metrics.statistics import Interval

    def text(interval: Interval | None) -> str:
        if interval is None or interval.mean != interval.mean:
            return ""
        return f"{100 * interval.mean:.2f} ({100 * interval.low:.2f} to {100 * interval.high:.2f})"

    rows = [
        {
            "model": name,
            "SNIPS": text(one.estimates.snips),
            "IPS": text(one.estimates.ips),
            "clipped IPS": text(one.estimates.clipped),
            "doubly robust": text(one.estimates.doubly_robust),
            "mean weight": f"{one.estimates.mean_weight.mean:.2f}",
            "rests on": f"{one.num_same:,}, worth {one.estimates.effective_size:,.0f}",
        }
        for name, one in found.items()
    ]
    return pl.DataFrame(rows)
