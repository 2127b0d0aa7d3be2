"""Data sets and splits on disk: tables as Parquet, arrays as safetensors, the rest as JSON. Never a pickle.

The JSON file is written last, and holds the hash of every other one: what was cut off or changed is not loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from genre.core.errors import ArtifactError
from genre.core.files import sha256
from genre.core.interactions import Interactions
from genre.core.queries import Holdout, Queries
from genre.core.ragged import Ragged
from genre.data.dataset import Dataset, Entities, Impressions, Roles, Vocabulary
from genre.data.splits import Split

FORMAT = 1
"""Version of what is written here; a reader takes its own and older ones."""
ARRAYS = "arrays.safetensors"
AGAIN = "Restore it, or run the experiment again."

Arrays: TypeAlias = dict[str, np.ndarray[Any, Any]]
Frames: TypeAlias = dict[str, pl.DataFrame]
PartT = TypeVar("PartT", Interactions, Ragged, Impressions)


def save_dataset(data: Dataset, directory: Path) -> None:
    """Write a data set into an existing, empty directory."""
    arrays = _arrays_of("log", data.interactions)
    if data.impressions is not None:
        arrays |= _arrays_of("impressions", data.impressions)
    frames = {"items": data.items.frame, "users": data.users.frame}
    roles = {"items": asdict(data.items.roles), "users": asdict(data.users.roles)}
    _write(directory, "dataset", arrays, frames, {"roles": roles})


def load_dataset(directory: Path) -> Dataset:
    """Read what `save_dataset` wrote.

    Raises:
        ArtifactError: A file is missing or damaged, or a newer version wrote it.
    """
    facts, arrays, frames = _read(directory, "dataset")
    items, users = (
        Entities(
            Vocabulary(frames[name].to_series(0)),
            frames[name],
            Roles(**{role: tuple(columns) for role, columns in facts["roles"][name].items()}),
        )
        for name in ("items", "users")
    )
    shown = _part(Impressions, "impressions", arrays) if "impressions.item_rows" in arrays else None
    return Dataset(_part(Interactions, "log", arrays), items, users, shown)


def save_split(split: Split, directory: Path) -> None:
    """Write a split into an existing, empty directory."""
    train = directory / "train"
    train.mkdir()
    save_dataset(split.train, train)
    arrays: Arrays = {"cold_items": split.cold_items}
    frames: Frames = {}
    for name, holdout in (("validation", split.validation), ("test", split.test)):
        queries = holdout.queries
        arrays |= _arrays_of(f"{name}.history", queries.history) | _arrays_of(f"{name}.targets", holdout.targets)
        arrays |= {f"{name}.user_rows": queries.user_rows, f"{name}.times": queries.times}
        if queries.users is not None:
            frames[f"{name}-users"] = queries.users
    _write(directory, "split", arrays, frames, {})


def load_split(directory: Path) -> Split:
    """Read what `save_split` wrote.

    Raises:
        ArtifactError: A file is missing or damaged, or a newer version wrote it.
    """
    _, arrays, frames = _read(directory, "split")
    validation, test = (
        Holdout(
            Queries(
                _part(Interactions, f"{name}.history", arrays),
                arrays[f"{name}.user_rows"],
                arrays[f"{name}.times"],
                frames.get(f"{name}-users"),
            ),
            _part(Ragged, f"{name}.targets", arrays),
        )
        for name in ("validation", "test")
    )
    return Split(load_dataset(directory / "train"), validation, test, arrays["cold_items"])


def _arrays_of(name: str, part: Interactions | Ragged | Impressions) -> Arrays:
    return {f"{name}.{field.name}": getattr(part, field.name) for field in fields(part)}


def _part(kind: type[PartT], name: str, arrays: Arrays) -> PartT:
    return kind(**{field.name: arrays[f"{name}.{field.name}"] for field in fields(kind)})


def _write(directory: Path, kind: str, arrays: Arrays, frames: Frames, facts: Mapping[str, Any]) -> None:
    # safetensors writes the memory behind an array, whatever its strides say.
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, directory / ARRAYS)
    for name, frame in frames.items():
        frame.write_parquet(directory / f"{name}.parquet")
    names = [ARRAYS, *(f"{name}.parquet" for name in frames)]
    manifest = {"format": FORMAT, **facts, "files": {name: sha256(directory / name) for name in names}}
    (directory / f"{kind}.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _read(directory: Path, kind: str) -> tuple[dict[str, Any], Arrays, Frames]:
    path = directory / f"{kind}.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"no {kind} can be read here ({error!r})", place=str(path), remedy=AGAIN) from error
    if version > FORMAT:
        raise ArtifactError(
            f"the {kind} has format {version}, this version reads up to {FORMAT}",
            place=str(path),
            remedy="Upgrade with `pip install -U genre-rec`.",
        )
    for name, digest in manifest["files"].items():
        if not (directory / name).is_file():
            raise ArtifactError("the file is missing", place=str(directory / name), remedy=AGAIN)
        if sha256(directory / name) != digest:
            raise ArtifactError("the file is not what was written", place=str(directory / name), remedy=AGAIN)
    frames = {
        Path(name).stem: pl.read_parquet(directory / name) for name in manifest["files"] if name.endswith(".parquet")
    }
    return manifest, load_file(directory / ARRAYS), frames
