"""Taking a person out of what a run has left: the log, the questions, the answers, the texts and the report.

What models have learned from many people stays as it is, until they are fitted again; it holds no id.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Set
from dataclasses import replace
from glob import escape
from pathlib import Path

import numpy as np
import polars as pl
from filelock import FileLock

from genre.core.errors import ArtifactError
from genre.core.files import atomic_directory, atomic_file, remove_leftovers, sha256
from genre.core.queries import Holdout
from genre.data.columns import USER_ID
from genre.data.dataset import Dataset
from genre.data.files import load_dataset, load_split, save_dataset, save_split
from genre.data.splits import Split
from genre.pipeline import ANSWERS, CONTENT, REPORT, write_report
from genre.runs import forget
from genre.workspace import MANIFEST, VERSION_OF, read_manifest, verify


def erasing_lock(run: Path) -> FileLock:
    """Return what keeps others from erasing in a run and its versions, or from adding one, in any process."""
    first = _first_of(run)
    return FileLock(first.with_name(f".{first.name}.erasing.lock"))


def versions_beside(run: Path) -> list[Path]:
    """Return the directories of a run and of its versions, noted or not, and remove what was left half-written there.

    A process that is killed while it makes a version, or erases somebody from one, may leave a whole one that nobody
    knows, a part of one, or one as it was before. Whoever calls this holds `erasing_lock`.
    """
    first = _first_of(run)
    remove_leftovers(first.parent, f".{escape(first.name)}*.tmp")
    for old in first.parent.glob(f".{escape(first.name)}*.old"):
        # Until the new one is in its place, it is the only one.
        if first.with_name(old.name[1:].removesuffix(".old")).exists():
            shutil.rmtree(old, ignore_errors=True)
    beside = [path for path in sorted(first.parent.glob(f"{escape(first.name)}.*")) if (path / MANIFEST).is_file()]
    return [first, *(path for path in beside if _first_of(path) == first)]


def _first_of(run: Path) -> Path:
    """Return the run that a run is a version of, which may be itself."""
    try:
        return run.with_name(read_manifest(run).get(VERSION_OF, run.name))
    except ArtifactError:
        return run


def erase_from_run(run: Path, user_ids: Set[str]) -> bool:
    """Erase users from a finished run, and return whether it held any of them; nothing is changed if not.

    The run is written anew beside itself and then takes its own place, so that it is whole at any time; files in which
    nothing changes are not copied. A user's row stays in the data, since models count on its number, and is nobody's.
    Whoever calls this holds `erasing_lock`.

    Args:
        run: Its directory.
        user_ids: Ids as the data has them.

    Raises:
        ArtifactError: There is no finished run, or its files are damaged.
        ResourceError: The disk is full; the run is as it was.
    """
    verify(run, "data", ANSWERS, CONTENT)
    if not _rows(load_dataset(run / "data" / "all"), user_ids):
        return False
    with atomic_directory(run) as copy:
        shutil.copytree(run, copy, copy_function=os.link, dirs_exist_ok=True)
        forget(copy, sorted(user_ids))
        for path in sorted((copy / "data").iterdir()):
            if path.name == "all":
                _write_dataset(_without(load_dataset(path), user_ids), path)
            elif (path / "split.json").exists():
                _write_split(_split_without(load_split(path), user_ids), path)
        _drop_answers(copy / ANSWERS, user_ids)
        _drop_lines(copy / CONTENT, user_ids)
        reported = (copy / REPORT).exists()
        (copy / REPORT).unlink(missing_ok=True)
        _note_hashes(copy)
        if reported:
            write_report(copy)
            _note_hashes(copy)
    return True


def _rows(data: Dataset, user_ids: Set[str]) -> list[int]:
    return [row for row in data.users.vocabulary.rows(sorted(user_ids)).tolist() if row >= 0]


def _without(data: Dataset, user_ids: Set[str]) -> Dataset:
    for row in _rows(data, user_ids):
        data = data.without_user(row)
    return data


def _split_without(split: Split, user_ids: Set[str]) -> Split:
    """Return the split without what is theirs: nothing to learn from, and no question."""
    gone = np.array(_rows(split.train, user_ids), np.int32)

    def rest(holdout: Holdout) -> Holdout:
        return holdout.take(np.flatnonzero(~np.isin(holdout.queries.user_rows, gone)))

    return replace(
        split, train=_without(split.train, user_ids), validation=rest(split.validation), test=rest(split.test)
    )


def _write_dataset(data: Dataset, path: Path) -> None:
    with atomic_directory(path) as directory:
        save_dataset(data, directory)


def _write_split(split: Split, path: Path) -> None:
    with atomic_directory(path) as directory:
        save_split(split, directory)


def _drop_answers(path: Path, user_ids: Set[str]) -> None:
    if not path.exists():
        return  # A version that was made by an update has no answers of its own, and no texts.
    frame = pl.read_parquet(path)
    with atomic_file(path) as temporary:
        frame.filter(~pl.col(USER_ID).is_in(sorted(user_ids))).write_parquet(temporary)


def _drop_lines(path: Path, user_ids: Set[str]) -> None:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    with atomic_file(path) as temporary:
        kept = (line for line in lines if str(json.loads(line).get(USER_ID)) not in user_ids)
        temporary.write_text("".join(kept), encoding="utf-8")


def _note_hashes(run: Path) -> None:
    """Let the manifest know the files as they are now."""
    manifest = read_manifest(run)
    manifest["files"] = {
        str(path.relative_to(run)): sha256(path)
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    with atomic_file(run / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=2), encoding="utf-8")
