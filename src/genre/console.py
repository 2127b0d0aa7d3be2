"""What the commands show a person: progress bars, tables and notices."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from genre.conversation.conversation import Reply
from genre.evaluation.comparison import leaderboard
from genre.evaluation.results import Results
from genre.features.enrich.account import in_words
from genre.features.enrich.estimate import StageEstimate
from genre.generation.trace import Trace
from genre.stages import Planned
from genre.teach import Taught, label_of
from genre.tune import Tuned
from genre.tuning.trials import Found, table_of
from genre.workspace import ACCOUNT, read_manifest

if TYPE_CHECKING:
    from genre.adaptation.compression.measuring import Compression
    from genre.guarding import Guarding
    from genre.scenarios import Overlap, Standing

T = TypeVar("T")
console = Console()


class Bars:
    """Shows a bar for each piece of work, those inside below those around, with counts and the time left.

    Where the output is no terminal, one line says what begins.
    """

    def __init__(self, *, inner_lines: bool = True) -> None:
        """Show nothing yet.

        Args:
            inner_lines: Whether work inside other work has a line too, where there is no terminal.
        """
        self._bars: Progress | None = None
        self._inner_lines, self._depth = inner_lines, 0

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the steps and show how many are done."""
        if not console.is_terminal:
            if self._inner_lines or not self._depth:
                console.print(description, highlight=False)
            self._depth += 1
            try:
                yield from steps
            finally:
                self._depth -= 1
        elif self._bars is not None:
            bars = self._bars
            task = bars.add_task(description, total=total)
            try:
                yield from bars.track(steps, total, task_id=task)
            finally:
                bars.remove_task(task)
        else:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as self._bars:
                try:
                    yield from self._bars.track(steps, total, description=description)
                finally:
                    self._bars = None


def show(frame: pl.DataFrame, title: str | None = None, *, verbatim: bool = False) -> None:
    """Print a frame as a table; unless `verbatim`, with spaces for the underscores in its columns' names."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for name, dtype in frame.schema.items():
        heading = name if verbatim else name.replace("_", " ")
        table.add_column(heading, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def show_texts(texts: Sequence[Mapping[str, Any]]) -> None:
    """Print what was written, to whom and about what, and by whom."""
    for text in texts:
        about = text["provenance"]
        by = "put together from the facts" if text["writer"] == "template" else "written by the language model"
        by += " (the language model wrote nothing that may be shown)" if about["fell_back"] else ""
        by += ", with sentences left out" if about["repaired"] else ""
        title = "" if text["title"] is None else f"[bold]{escape(text['title'])}[/bold], "
        console.print(f"{title}{text['kind']} for {escape(text['user_id'])}")
        withheld = f"nothing that may be shown ({', '.join(about.get('withheld', []))})"
        console.print("\n".join(f"  {escape(line)}" for line in (text["text"] or withheld).splitlines()))
        console.print(f"  [dim]{by}[/dim]\n")


def show_reply(reply: Reply) -> None:
    """Print what is answered in a conversation, and the list where there is one."""
    console.print(escape(reply.text), highlight=False)
    if len(reply.items):
        show(reply.items.select("rank", "title", "facts", "reason"))
    for problem in reply.problems:
        console.print(f"[dim]{escape(f'without the language model: {problem}')}[/dim]", highlight=False)


def messages(prompt: str = "> ") -> Iterator[str]:
    """Yield what a person writes, line by line, until the end; also what comes through a pipe."""
    while True:
        try:
            yield input(prompt if sys.stdin.isatty() else "")
        except (EOFError, KeyboardInterrupt):
            return


def show_trace(trace: Trace, most: int = 5) -> None:
    """Print how an item was decided for somebody."""
    place = "is not recommended" if trace.rank is None else f"is recommended at place {trace.rank}"
    console.print(f"[bold]{escape(trace.title)}[/bold] {place} to {escape(trace.user_id)}", highlight=False)
    if trace.forbidden_by:
        console.print(f"Forbidden by {', '.join(trace.forbidden_by)}.", highlight=False)
    if trace.reason:
        console.print(f"{escape(trace.reason)} (source: {trace.source})", highlight=False)
    if all(stage.rank is None for stage in trace.stages):
        return
    stages = [{"stage": stage.name, "place": stage.rank, "score": stage.score} for stage in trace.stages]
    show(pl.DataFrame(stages, schema={"stage": pl.String, "place": pl.Int64, "score": pl.Float64}), "\nStages")
    if trace.events:
        raised = [
            {"event": event.title, "score falls by": event.drop, "place without": event.rank_without}
            for event in trace.events[:most]
        ]
        title = f"\nWhat raised it most, of {len(trace.events)} events: each left out in turn"
        show(pl.DataFrame(raised, schema_overrides={"place without": pl.Int64}), title)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show_plan(plan: Sequence[Planned]) -> None:
    """Print what fitting each model is expected to take."""
    rows = [
        {
            "model": planned.name,
            "kind": planned.config.kind,
            "memory, GiB": round(planned.estimate.memory / 2**30, 3),
            "seconds": round(planned.estimate.seconds, 1),
            "skipped": planned.skipped,
        }
        for planned in plan
    ]
    show(
        pl.DataFrame(rows, schema_overrides={"skipped": pl.String}), "What fitting would take, to about a factor of two"
    )


def show_writing(found: Guarding) -> None:
    """Print how a fine-tuned model writes, beside its base, and whether that is inside the budget."""
    rows = [
        {
            "measure": name,
            "base": round(change.before, 4),
            found.model: round(change.after, 4),
            "change": f"{100 * change.relative.mean:+.1f} %" if change.before else "",
            "95 %": f"{100 * change.relative.low:+.1f} to {100 * change.relative.high:+.1f} %" if change.before else "",
        }
        for name, change in found.changes.items()
    ]
    show(pl.DataFrame(rows))
    for sentence in found.breaches or ["nothing: it is inside"]:
        console.print(f"Over the budget: {sentence}", highlight=False)


def show_compression(found: Compression) -> None:
    """Print what a smaller form of a model takes and gives beside the whole one, and where it is."""
    rows = [
        {
            "measure": one.label,
            "whole": one.shown(one.before),
            found.method: one.shown(one.after),
            "change": _share(one.change.mean),
            "95 %": f"{_share(one.change.low)} to {_share(one.change.high)}" if isfinite(one.change.low) else "",
            "questions": "" if one.count is None else f"{one.count:,}",
        }
        for one in found.compared
    ]
    frame = pl.DataFrame(rows)
    show(frame if any(frame["questions"]) else frame.drop("questions"), f"{found.model}, {found.method}")
    for sentence in found.doubts:
        console.print(f"Perhaps past the budget: {sentence}.", highlight=False)
    for sentence in found.breaches or ["nothing: it is inside"]:
        console.print(f"Past the budget: {sentence}", highlight=False)
    _say("Nothing was written." if found.breaches else f"The smaller form is in {found.directory}.")


def _share(value: float) -> str:
    return f"{100 * value:+.1f} %" if isfinite(value) else ""


def show_taught(taught: Taught) -> None:
    """Print what a language model has learned to write in each way, what that cost, and which was kept."""
    account = taught.account
    base = account["points"][0]["writing"]
    rows = [
        {
            "learned": label_of(point),
            "bits saved a byte": round(point[account["measure"]], 4),
            "bits/byte": f"{100 * (point['writing']['bits_per_byte'] / base['bits_per_byte'] - 1):+.1f} %",
            "over the budget": "; ".join(point["breaches"]) or "-",
        }
        for point in account["points"]
    ]
    show(pl.DataFrame(rows), f"From {account['lessons']} texts; measured on {account['held_back']} that were held back")
    if taught.model is None:
        console.print("None that learned is better and inside the budget: nothing was written.", highlight=False)
    else:
        console.print(
            f"Kept: {label_of(account['choice'])}. Next, in a config: write: {{generator: {{kind: local, model: "
            f"{taught.model}}}}}",
            highlight=False,
            soft_wrap=True,
        )
    if taught.adapter is not None:
        console.print(
            f"Or beside others on one model: generator: {{kind: ..., adapter: {taught.adapter}}}",
            highlight=False,
            soft_wrap=True,
        )


def show_reading(account: Sequence[Mapping[str, Any]]) -> None:
    """Print which texts were read by what, and how long it took."""
    rows = [
        {
            "encoder": reader["encoder"],
            "for": ", ".join(reader["models"]),
            "items": reader["items"],
            "with a text": reader["with_text"],
            "other versions": reader["versions"],
            "seconds": round(reader["seconds"], 2),
        }
        for reader in account
    ]
    show(pl.DataFrame(rows))


def show_enrichment_plan(plan: Sequence[StageEstimate]) -> None:
    """Print what enrichment would take."""
    rows = [
        {
            "stage": part.stage,
            "items or users": part.subjects,
            "to ask": part.to_ask,
            "prompt tokens": part.prompt_tokens,
            "answer tokens, at most": part.completion_tokens,
            "cost, at most": part.cost,
            "minutes, at most": None if part.seconds is None else round(part.seconds / 60, 1),
        }
        for part in plan
    ]
    types = {"cost, at most": pl.Float64, "minutes, at most": pl.Float64}
    show(pl.DataFrame(rows, schema_overrides=types), "About what it takes")


def show_enrichment(directory: Path) -> None:
    """Print what enrichment has done, and where it is."""
    for stage in json.loads((directory / ACCOUNT).read_text(encoding="utf-8")):
        _say(f"{stage['stage']}: {in_words(stage)}")
    _say(f"Tables and account are in {directory}.")


def show_trial(found: Found, best: Found | None, objective: str) -> None:
    """Print what a trial has found, and the best so far."""
    says = found.note if found.value is None else f"{objective} {found.value:.4f}" + (found.note and f", {found.note}")
    so_far = "none yet" if best is None else f"{best.value:.4f} (trial {best.number})"
    line = f"trial {found.number}: {says}; best {so_far}; {found.seconds:.1f} s"
    _say(line)


def show_tuned(tuned: Tuned, *, rows: int = 10) -> None:
    """Print the best trials, which settings matter, and what to do next."""
    valued = [one for one in tuned.found if one.value is not None]
    table = table_of(valued, tuned.objective).head(rows)
    idle = [name for name in ("model", "note") if table[name].n_unique() == 1]
    title = f"\nThe best of {len(tuned.found)} trials"
    show(table.drop(idle).rename(_short(list(tuned.best.settings))), title, verbatim=True)
    if len(valued) < len(tuned.found):
        console.print(f"{len(tuned.found) - len(valued)} trials were given up.")
    if tuned.importance:
        parts = {"setting": list(tuned.importance), "importance": list(tuned.importance.values())}
        show(pl.DataFrame(parts), "\nWhat mattered")
    lines = [
        f"Found on the validation events. All trials and a plot are in {tuned.directory}.",
        f"Next: genre run {tuned.config}",
    ]
    if tuned.interrupted:
        lines.insert(0, "Interrupted: what was found is kept, and the same command goes on.")
    _say(*lines)


def _short(paths: Sequence[str]) -> dict[str, str]:
    """Return the last parts of paths, of those that share it all but the first."""
    lasts = [path.rpartition(".")[2] for path in paths]
    return {
        path: last if lasts.count(last) == 1 else path.partition(".")[2]
        for path, last in zip(paths, lasts, strict=True)
    }


def show_scenarios(found: Sequence[Standing], overlaps: Sequence[Overlap]) -> None:
    """Print scenarios with their state, and what they have in common."""
    rows = [
        {
            "scenario": one.name,
            "state": one.state if not one.problem else f"{one.state}: {one.problem}",
            "items": one.items,
            "users": one.users,
            "answers": "" if one.accuracy is None else f"{one.model}, {one.metric} {one.accuracy:.4f}",
            "rules": ", ".join(one.rules),
            "writes": ", ".join(one.writes),
            "by": " + ".join(filter(None, [one.generator, str(one.adapter or "")])),
            "may lose": _limits(one.budget),
            "may lose, taught": _limits(one.taught_budget),
            "over it": ", ".join(one.over_budget),
        }
        for one in found
    ]
    frame = pl.DataFrame(rows, schema_overrides={"items": pl.Int64, "users": pl.Int64})
    told = [
        name
        for name in frame.columns
        if name in {"scenario", "state"} or frame[name].cast(pl.String).is_in([""]).not_().any()
    ]
    show(frame.select(told))
    for pair in overlaps:
        items = ""
        if pair.items:
            others = pair.items - pair.same_items
            items = f", {pair.items:,} of items: {pair.same_items:,} mean the same, {others:,} something else"
        console.print(
            f"{pair.first} and {pair.second} have {pair.users:,} ids of users in common{items}.",
            highlight=False,
            soft_wrap=True,
        )


def _limits(budget: Mapping[str, str | float] | None) -> str:
    return ", ".join(f"{name} {limit}" for name, limit in (budget or {}).items())


def show_matrix(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print how many bits each scenario's language model needs for the texts of each."""
    if not any(found.values()):
        console.print("None of them writes with a language model that runs here.", highlight=False)
        return
    rows = [
        {"texts of": name, **{reader: round(bits, 4) for reader, bits in read.items()}} for name, read in found.items()
    ]
    show(pl.DataFrame(rows), "Bits per byte of items' texts, by who reads them", verbatim=True)


def show_results(results: Results, title: str) -> None:
    """Print a leaderboard that fits a terminal; the report has the rest."""
    board, primary = leaderboard(results), results.primary
    recall = f"Recall@{primary.partition('@')[2]}"
    half = (pl.col("high") - pl.col("low")) / 2
    columns = [
        pl.col("model"),
        pl.format("{} ± {}", pl.col(primary).round(4), half.round(4)).alias(primary),
        pl.col("p_value").round(4).alias("p against best"),
        *(pl.col(name).round(4) for name in (recall, "coverage") if name in board.columns and name != primary),
        pl.col("fit_seconds").round(2).alias("fit, s"),
    ]
    show(board.select(columns), f"\n{title}, best first (± half the width of the interval)")


def show_run(run: Path) -> None:
    """Print a finished run's leaderboard and what it chose."""
    manifest = read_manifest(run)
    account = json.loads((run / ACCOUNT).read_text(encoding="utf-8"))
    _say(*(f"notice: {notice}" for notice in account["data"]["notices"]))
    show_results(Results.load(run), f"{manifest['name']}: test events")
    over = manifest.get("over_budget", {})
    _say(
        *(f"{name} {reason}." for name, reason in manifest["skipped"].items()),
        *(f"{name} is over the budget for writing: {'; '.join(breaches)}." for name, breaches in over.items()),
        f"Chosen on the validation events: {manifest['chosen']}. Everything is in {run}.",
    )


def _say(*lines: str) -> None:
    """Print lines as they are, so that a path in them can be copied."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
