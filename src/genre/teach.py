"""The story of a writer that is taught, by a catalogue and by its own best drafts, within a budget. `genre teach`.

It learns from the training events and the catalogue alone, and only what may be shown.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from genre._version import __version__
from genre.adaptation.teaching import MEASURE, TeachConfig, teach
from genre.config import Experiment
from genre.config_file import digest_of
from genre.core.errors import ConfigError
from genre.core.files import atomic_file, remove_leftovers
from genre.core.run import Progress, RunContext, Silent
from genre.data.dataset import Dataset
from genre.enrichment import enriched
from genre.evaluation import plots
from genre.features.text import TextConfig, item_texts
from genre.generation.facts import FactBook
from genre.generation.kinds import Kind, kind_of
from genre.generation.lessons import Lessons, from_catalogue, from_drafts
from genre.generation.person import Person
from genre.generation.plain import PlainWriter
from genre.generation.requests import Request
from genre.generation.scenarios import scenario_of
from genre.generation.wanted import texts_of
from genre.generation.writer import ModelWriter
from genre.stages import Prepared, prepare, source_key
from genre.workspace import STORE, Stages

MODEL: Final = "model"
ADAPTER: Final = "adapter"
_ACCOUNT, _FRONTIER = "account.json", "frontier.svg"
_NEEDED: Final = ("facts", "person", "scenario")
"""Inputs that are there without a ranking and without anybody who asks."""


@dataclass(frozen=True)
class Taught:
    """What came of it."""

    directory: Path
    """Holds `account.json`, `frontier.svg` and, where something was kept, the `model`, for `lora` an `adapter` too."""
    account: dict[str, Any]

    @property
    def model(self) -> Path | None:
        """The directory of the model, as `transformers` writes them; None where none was better inside the budget."""
        return self.directory / MODEL if self.account["choice"]["protection"] else None

    @property
    def adapter(self) -> Path | None:
        """What the model has learned alone, to stand beside other adapters on its base; None where it cannot."""
        found = self.directory / ADAPTER
        return found if self.model is not None and found.is_dir() else None


def teach_writer(experiment: Experiment, runs: Path, progress: Progress | None = None) -> Taught:
    """Teach the language model of an experiment's section `teach`, in `RUNS/NAME-teach`.

    An attempt that was killed goes on where it was: drafts are kept, and trainings have checkpoints.

    Args:
        experiment: With a section `teach`.
        runs: Where runs are kept.
        progress: Shows how far it has come.

    Raises:
        ConfigError: The experiment says nothing of it, or a kind or a column cannot be taught.
        DependencyError: A library is not there.
        ModelError: There is too little to learn from.
    """
    config = _section(experiment)
    config.check_installed()
    kinds = {name: _kind(name, config) for name in {**config.columns, **dict.fromkeys(config.drafts)}}
    directory = runs / f"{experiment.name}-teach"
    work = Stages(directory / _key(experiment, config), runs / STORE)
    remove_leftovers(work.directory)
    shown = progress or Silent()
    prepared = work.stage(
        "data",
        lambda: enriched(prepare(experiment), experiment, work, shown),
        save=Prepared.save,
        load=Prepared.load,
    )
    data = prepared.splits[0].train
    run = RunContext(seed=experiment.seeds[0], progress=shown, directory=work.directory / "training", store=work.store)
    parts = _lessons(config, kinds, data, run)
    catalogue = [text for text in item_texts(data.items, TextConfig(), required=False) if text]
    teaching = teach(config, parts[0].found, parts[1].found, catalogue, run)
    account = teaching.account | {"from": _told(parts)}
    if teaching.protection is not None:
        teaching.save(directory / MODEL, run, adapter=directory / ADAPTER)
    else:  # Of an earlier attempt, with other settings.
        for name in (MODEL, ADAPTER):
            shutil.rmtree(directory / name, ignore_errors=True)
    _write(directory, account)
    return Taught(directory, account)


def _lessons(config: TeachConfig, kinds: Mapping[str, Kind], data: Dataset, run: RunContext) -> list[Lessons]:
    """Return what is learned from, and what is held back."""
    teacher = Teacher(config, data, run)
    rows = teacher.rows()
    cut = max(1, round(len(rows) * config.held_back))
    return [teacher.lessons(kinds, some) for some in (rows[cut:], rows[:cut])]


class Teacher:
    """Knows what a catalogue has to teach."""

    def __init__(self, config: TeachConfig, data: Dataset, run: RunContext) -> None:
        """Keep the catalogue, and who likes what."""
        self.config, self.data, self.run = config, data, run
        self._generator = config.base.build()
        self._books: dict[str | None, FactBook] = {}
        self._liked = data.interactions.liked()
        users = np.repeat(np.arange(data.num_users), self._liked.lengths)
        order = run.rng("teach.people").permutation(len(users))
        self._fans = dict(zip(self._liked.item_rows[order].tolist(), users[order].tolist(), strict=True))
        """Somebody who likes it, of each item."""

    def rows(self) -> NDArray[np.int64]:
        """Return the items that are taught from, in random order."""
        book = self._book(None)
        told = np.array([row for row in range(len(book)) if book[row].is_told], np.int64)
        return np.asarray(self.run.rng("teach.items").permutation(told)[: self.config.items], np.int64)

    def lessons(self, kinds: Mapping[str, Kind], rows: NDArray[np.int64]) -> Lessons:
        """Return what is learned from about some items: texts of the catalogue, and drafts."""
        found, config = Lessons(), self.config
        for name, column in config.columns.items():
            book, texts = self._book(column), self.data.items.frame[column]
            told = [row for row in rows.tolist() if texts[row]]
            plain = PlainWriter(config.write, self.run, common_words=book.common_words, labels=book.tastes)
            from_catalogue(found, self._requests(kinds[name], book, told), [str(texts[row]) for row in told], plain)
        if config.drafts:
            book = self._book(None)
            plain = PlainWriter(config.write, self.run, common_words=book.common_words, labels=book.tastes)
            writer = ModelWriter(config.write, self._generator, self.run, plain)
            wanted = [one for name in config.drafts for one in self._requests(kinds[name], book, rows.tolist())]
            from_drafts(found, wanted, writer)
        return found

    def _requests(self, kind: Kind, book: FactBook, rows: Sequence[int]) -> list[Request]:
        """Return what is wanted of each item, for somebody who likes it."""
        scenario, found = scenario_of(self.config.scenario, self.config.language), []
        for row in rows:
            liked = self._liked.items[self._fans[row]] if row in self._fans else np.empty(0, np.int32)
            person = Person.of("", liked, book, but=row)
            found.append(Request(kind, scenario, book[row], person, liked=texts_of(person, book)))
        return found

    def _book(self, without: str | None) -> FactBook:
        if without not in self._books:
            self._books[without] = FactBook(self.data.items, self.config.language, without=without)
        return self._books[without]


def _section(experiment: Experiment) -> TeachConfig:
    if experiment.teach is None:
        raise ConfigError(
            "the experiment says nothing of what a language model is taught",
            place="teach",
            remedy="Add a section, for instance `teach: {drafts: [title, synopsis], items: 200}`.",
        )
    return experiment.teach


def _kind(name: str, config: TeachConfig) -> Kind:
    """Return a kind that can be taught: one about an item, that needs neither a ranking nor anybody who asks."""
    kind = kind_of(name, config.language)
    if kind.about != "item" or any(given not in _NEEDED for given in kind.inputs):
        raise ConfigError(
            f"{name!r} is about {kind.about!r} and is given {', '.join(kind.inputs)}; before anything is recommended, "
            f"there are only {', '.join(_NEEDED)} of an item",
            place="teach",
            remedy="Teach kinds such as `title`, `summary`, `synopsis` and `ad`.",
        )
    return kind


def _key(experiment: Experiment, config: TeachConfig) -> str:
    """Return what tells attempts apart: all that decides what is learned."""
    key = {
        "config": digest_of(experiment),
        "teach": config.model_dump(mode="json"),
        "data": source_key(experiment),
        "genre": __version__,
    }
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]


def _told(parts: Sequence[Lessons]) -> dict[str, Any]:
    """Return, by kind, how many texts there might have been and how many were taken, and what refused the rest."""
    asked, refused = (sum((getattr(one, name) for one in parts), Counter[str]()) for name in ("asked", "refused"))
    taken = Counter(lesson.kind for one in parts for lesson in one.found)
    return {"kinds": {name: {"asked": asked[name], "taken": taken[name]} for name in asked}, "refused": dict(refused)}


def _write(directory: Path, account: dict[str, Any]) -> None:
    """Write the account, and the picture of what each way learned and lost."""
    base = account["points"][0]["writing"]["bits_per_byte"]
    marks = [
        plots.Point(
            label_of(point),
            100 * (point["writing"]["bits_per_byte"] / base - 1),
            point[MEASURE],
            plots.tone(0) if _is_kept(point, account["choice"]) else plots.tone(plots.NUM_TONES),
        )
        for point in account["points"]
    ]
    svg = plots.scatter(
        marks,
        x_axis="bits per byte of general text over the base's, % (less is better)",
        y_axis="bits saved per byte of texts held back",
        more_x_is_better=False,
    )
    for name, text in ((_FRONTIER, svg), (_ACCOUNT, json.dumps(account, indent=1, ensure_ascii=False))):
        with atomic_file(directory / name) as path:
            path.write_text(text, encoding="utf-8")


def label_of(point: Mapping[str, Any]) -> str:
    """Return what a point is called."""
    if point["protection"] is None:
        return "base"
    share = "" if point["share"] == 1 else f", {point['share']:.0%} of it"
    return f"{point['protection']}{share}"


def _is_kept(point: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
    return all(point[name] == choice[name] for name in ("protection", "share"))
