"""The main job on the sample world, from nothing to titles with reasons."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import polars as pl

from genre.config_file import read_experiment
from genre.console import Bars, console, show, show_run
from genre.data.sample import NOTICE
from genre.engine import REASON, Engine
from genre.pipeline import run
from genre.runs import open_run

NEWCOMER = ("spirited-away-2001", "princess-mononoke-1997")
"""What somebody likes who was never seen before."""


def run_demo(runs: Path, *, force: bool = False) -> None:
    """Run the experiment of `demo.yaml`, and show the leaderboard and a few answers."""
    console.print(NOTICE, style="italic")
    with as_file(files("genre") / "demo.yaml") as path:
        experiment = read_experiment(path)
    directory = run(experiment, runs, force=force, progress=Bars())
    show_run(directory)
    engine = open_run(directory)
    viewer = _regular_viewer(engine)
    history = engine.data.interactions.items[viewer][-4:]
    titles = ", ".join(engine.data.items.title.gather(history))
    _show_answers(
        engine.recommend(str(engine.data.users.vocabulary.ids[viewer]), n=5, reasons="en"),
        f"A viewer who last watched {titles}",
    )
    films = engine.data.items
    liked = ", ".join(films.title.gather(films.vocabulary.rows(NEWCOMER)))
    _show_answers(engine.recommend(histories=[NEWCOMER], n=5, reasons="en"), f"Somebody new who likes {liked}")
    _show_answers(engine.recommend(histories=[NEWCOMER], n=3, reasons="zh"), "The same, in Chinese")
    console.print(f"\nThe report: {directory / 'report.html'}", highlight=False)
    console.print("Next, with your own files: genre init LOG.csv ITEMS.csv", highlight=False)


def _regular_viewer(engine: Engine) -> int:
    """Return the first viewer with a history of common length."""
    lengths = engine.data.interactions.lengths
    return int((lengths >= 15).argmax())


def _show_answers(frame: pl.DataFrame, title: str) -> None:
    show(frame.select("rank", "title", "source", REASON), f"\n{title}")
