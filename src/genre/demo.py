"""The main job on the sample world, from nothing to titles with reasons."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import polars as pl

from genre.answers import REASON
from genre.config_file import read_experiment
from genre.console import Bars, console, show, show_run, show_texts
from genre.data.sample import SampleConfig
from genre.engine import Engine
from genre.pipeline import run
from genre.runs import open_run

NEWCOMER = ("spirited-away-2001", "princess-mononoke-1997")
"""What somebody likes who was never seen before."""


NEW_FILM = {
    "item_id": "the-lantern-bathhouse",
    "title": "The Lantern Bathhouse",
    "title_zh": "灯笼汤屋",
    "year": 2026,
    "genres": ["Animation", "Fantasy"],
    "country": "Japan",
    "description": "A girl who has lost her way works in a bathhouse for spirits and gods, and must remember her name.",
    "description_zh": "迷路的女孩在神灵的汤屋里干活，她必须记住自己的名字。",
}
"""A film that does not exist, so that nobody can have liked it."""
ONE_CLICK = ("spirited-away-2001",)
READER = "text"
"""The model of `demo.yaml` that reads descriptions."""


def run_demo(runs: Path, *, force: bool = False) -> None:
    """Run the experiment of `demo.yaml`, and show the leaderboard and a few answers."""
    console.print(SampleConfig().notice, style="italic")
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
    console.print("\nWritten for this viewer, from the facts alone", highlight=False)
    name = str(engine.data.users.vocabulary.ids[viewer])
    show_texts(engine.write(name, n=5, kinds=["synopsis", "reason"], scenario="video"))
    show_texts(engine.write(name, n=1, kinds=["synopsis", "reason"], language="zh", scenario="video"))
    films = engine.data.items
    liked = ", ".join(films.title.gather(films.vocabulary.rows(NEWCOMER)))
    _show_answers(engine.recommend(histories=[NEWCOMER], n=5, reasons="en"), f"Somebody new who likes {liked}")
    _show_answers(engine.recommend(histories=[NEWCOMER], n=3, reasons="zh"), "The same, in Chinese")
    _show_new_film(open_run(directory, model=READER))
    console.print(f"\nThe report: {directory / 'report.html'}", highlight=False)
    console.print("Serve it, with a page to try it: genre serve --demo", highlight=False)
    console.print("Next, with your own files: genre init LOG.csv ITEMS.csv", highlight=False)


def _regular_viewer(engine: Engine) -> int:
    """Return the first viewer with a history of common length."""
    lengths = engine.data.interactions.lengths
    return int((lengths >= 15).argmax())


def _show_new_film(engine: Engine) -> None:
    """Add a film, and let the model that reads descriptions recommend it at once."""
    later = engine.with_items([NEW_FILM])
    found = later.recommend(n=10).filter(pl.col("item_id") == NEW_FILM["item_id"])
    title = f"\nAdded a second ago, liked by nobody yet: {NEW_FILM['title']} ({NEW_FILM['description']})"
    console.print(title, highlight=False)
    sentence = f"The model that reads recommends it among ten films to {len(found)} of {later.data.num_users} viewers."
    console.print(sentence, highlight=False)
    one = later.recommend(histories=[ONE_CLICK], n=5, reasons="en")
    liked = later.data.items.title.gather(later.data.items.vocabulary.rows(ONE_CLICK))
    _show_answers(one, f"A viewer with one click, on {liked[0]}")


def _show_answers(frame: pl.DataFrame, title: str) -> None:
    show(frame.select("rank", "title", "source", REASON), f"\n{title}")
