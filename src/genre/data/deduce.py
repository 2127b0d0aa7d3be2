"""Looking at files, and writing down in a config what was found, so that a person can correct it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import yaml

from genre.data.aliases import ID_COLUMNS
from genre.data.columns import EVENT, ITEM_ID, TIMESTAMP, USER_ID, VALUE
from genre.data.findings import FindingError
from genre.data.readers import FilesConfig, Loaded, load_files
from genre.data.readers.files import joined
from genre.data.roles import deduce_roles

_DISLIKES: Final = ("dislike", "hide", "skip", "remove", "downvote", "unlike", "return", "不喜欢", "踩", "隐藏")
_LOOKS: Final = ("view", "click", "impression", "open", "pv", "visit", "detail", "浏览", "点击", "曝光")
_LOOK_WEIGHT: Final = 0.2
_LIKED_FROM: Final = 0.65
"""Of the range of ratings: 4 of 1 to 5 stars, 7 of 1 to 10."""
_MOST_RATINGS: Final = 21
"""A rating has at most as many different values (0 to 10 in halves); more are an amount."""
_MOST_TYPES: Final = 30
"""A column with more different events holds something else: pages, or searches."""


@dataclass(frozen=True)
class Deduced:
    """What the files look like, as sections of a config."""

    data: dict[str, Any]
    feedback: dict[str, Any]
    comments: dict[str, list[str]]
    """Lines to write above a section."""
    notes: list[str]
    """What was found, in words, for the person at the terminal."""

    def to_yaml(
        self, rest: Mapping[str, Any] | None = None, comments: Mapping[str, Sequence[str]] | None = None
    ) -> str:
        """Return a commented config.

        Args:
            rest: Further sections, written behind these two as they are.
            comments: Lines to write above them.
        """
        sections = {"data": self.data, "feedback": self.feedback, **(rest or {})}
        above = {**self.comments, **(comments or {})}
        return "\n".join(_section(name, value, above.get(name, ())) for name, value in sections.items())


def deduce_config(interactions: Path, items: Path | None = None, users: Path | None = None) -> str:
    """Return the config for these files as YAML: the sections `data` and `feedback`, with comments."""
    return deduce(interactions, items, users).to_yaml()


def deduce(
    interactions: Path, items: Path | None = None, users: Path | None = None, *, directory: Path | None = None
) -> Deduced:
    """Look at the files and deduce what a config must say of them.

    Args:
        interactions: The log.
        items: The catalogue.
        users: What is known of users.
        directory: Where the config will be, for paths relative to it. By default paths stay as given.

    Raises:
        DataError: A file cannot be read, a needed column is missing, or two could be meant.
    """
    config = FilesConfig(interactions=interactions, items=items, users=users, bad_rows="drop")
    loaded = load_files(config)
    for finding in loaded.findings:
        if finding.severity == "error":
            raise FindingError(finding)
    log = joined(loaded.parts["interactions"])
    overview = _overview(log)
    feedback, about_feedback = _feedback(log)
    data: dict[str, Any] = {"kind": "files"}
    given = {"interactions": interactions, "items": items, "users": users}
    data |= {name: _relative(path, directory) for name, path in given.items() if path is not None}
    data |= _columns(loaded)
    data |= _roles(loaded)
    about_data = [overview, "Columns that are named nowhere are kept and not used."]
    notes = [overview, *about_feedback, *map(str, loaded.findings)]
    return Deduced(data, feedback, {"data": about_data, "feedback": about_feedback}, notes)


def _section(name: str, value: Any, comments: Sequence[str]) -> str:
    lines = "".join(f"# {line}\n" for comment in comments for line in comment.splitlines())
    text = yaml.safe_dump({name: value}, allow_unicode=True, sort_keys=False, default_flow_style=None, width=100)
    return lines + text


def _relative(path: Path, directory: Path | None) -> str:
    return str(path) if directory is None else Path(os.path.relpath(path, directory)).as_posix()


def _overview(log: pl.DataFrame) -> str:
    counts = f"{len(log):,} events of {log[USER_ID].n_unique():,} users with {log[ITEM_ID].n_unique():,} items"
    times = log[TIMESTAMP].drop_nulls() if TIMESTAMP in log.columns else pl.Series(dtype=pl.Int64)
    if times.is_empty():
        return f"{counts}, without times: events count as they stand in the file."
    seconds = times.to_numpy()
    return f"{counts}, {_day(int(seconds.min()))} to {_day(int(seconds.max()))}."


def _day(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):  # Before the year 1 or after 9999: a wrong time, shown as it is.
        return f"{seconds} s"


def _columns(loaded: Loaded) -> dict[str, Any]:
    """Return the mapping of the tables in which some column is called otherwise than in Genre."""
    columns = {}
    for table, parts in loaded.parts.items():
        names = dict(parts[0].names) if parts else {}
        if any(ours != theirs for ours, theirs in names.items()):
            columns[table] = names
    return {"columns": columns} if columns else {}


def _roles(loaded: Loaded) -> dict[str, Any]:
    """Return what the columns of the items and the users are good for."""
    sections: dict[str, Any] = {}
    for table, column in ID_COLUMNS.items():
        frame = loaded.table(table)
        if frame is not None:
            found = deduce_roles(frame, column).model_dump(exclude_defaults=True)
            sections[f"{table.removesuffix('s')}_columns"] = {role: list(names) for role, names in found.items()}
    return sections


def _feedback(log: pl.DataFrame) -> tuple[dict[str, Any], list[str]]:
    """Return the section, and what it rests on."""
    feedback: dict[str, Any] = {}
    comments: list[str] = []
    counts = log[EVENT].value_counts(sort=True) if EVENT in log.columns else pl.DataFrame()
    if 0 < len(counts) <= _MOST_TYPES and None not in counts[EVENT]:
        feedback["events"] = {event: _weight(event, len(counts)) for event in counts[EVENT]}
        found = ", ".join(f"{event!s} {count:,}" for event, count in counts.iter_rows())
        comments.append(f"Event types: {found}. The weights are a first guess; 0 is seen and not liked.")
    values = log[VALUE].drop_nulls().to_numpy() if VALUE in log.columns else np.empty(0)
    if len(values):
        low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
        spread = f"Values: {low:g} to {high:g}, {middle:g} in the middle."
        if low < high and len(np.unique(values)) <= _MOST_RATINGS:
            liked = values >= low + _LIKED_FROM * (high - low)
            feedback["like_at"] = float(values[liked].min())
            comments.append(f"{spread} From `like_at` up they are likes ({liked.mean():.0%}), below it dislikes.")
        else:
            comments.append(f"{spread} Set `use_value: true` to let events count that many times.")
    return feedback, comments or ["Every event is a like of weight 1."]


def _weight(event: str, num_types: int) -> float:
    """Guess what an event says; the only type of event is a like whatever it is called."""
    name = event.lower()
    if any(word in name for word in _DISLIKES):
        return 0.0
    return _LOOK_WEIGHT if num_types > 1 and any(word in name for word in _LOOKS) else 1.0
