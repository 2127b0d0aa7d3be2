"""Writing so that nothing half-written is ever taken for whole: to a temporary name first, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from genre.core.errors import ResourceError


def temporary_name(path: Path) -> Path:
    """Return the hidden sibling of `path` under which this process writes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_leftovers(directory: Path, pattern: str = "**/.*.tmp") -> None:
    """Remove what processes that are no more left half-written below a directory; by default, anywhere there."""
    for path in list(directory.glob(pattern)):
        process = path.name.split(".")[-2]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give an empty directory to write into; it becomes `path` if the block ends well, and vanishes if not.

    Raises:
        ResourceError: The disk is full.
    """
    temporary = temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _full_disk_explained(path):
            temporary.mkdir(parents=True)
            yield temporary
            old = path.with_name(f".{path.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                # Renamed and not removed: at no time is there neither the old nor the new one on the disk.
                path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; the file becomes `path` if the block ends well, and vanishes if not.

    Raises:
        ResourceError: The disk is full.
    """
    temporary = temporary_name(path)
    try:
        with _full_disk_explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _full_disk_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Polars and safetensors write through native code: they raise errors of their own, with the number in the text.
        if getattr(error, "errno", None) != errno.ENOSPC and "No space left" not in str(error):
            raise
        there = next(parent for parent in path.absolute().parents if parent.exists())
        free = shutil.disk_usage(there).free
        raise ResourceError(
            f"the disk is full, {free / 2**20:.0f} MiB are left",
            place=str(path),
            remedy="Free some space or choose another directory; nothing half-written was kept.",
        ) from error
