"""Writing so that nothing half-written is ever taken for whole: to a temporary name first, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genre.core.errors import ResourceError


def temporary_name(path: Path) -> Path:
    """Return the hidden sibling of `path` under which this process writes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give an empty directory to write into; it becomes `path` if the block ends well, and vanishes if not.

    Raises:
        ResourceError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with _full_disk_explained(path):
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; the file becomes `path` if the block ends well, and vanishes if not.

    Raises:
        ResourceError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with _full_disk_explained(path):
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
    except OSError as error:
        # Libraries that write through native code keep the number only in the text.
        if error.errno != errno.ENOSPC and "No space left" not in str(error):
            raise
        free = shutil.disk_usage(path.parent).free
        raise ResourceError(
            f"the disk is full, {free / 2**20:.0f} MiB are left",
            place=str(path),
            remedy="Free some space or choose another directory; nothing half-written was kept.",
        ) from error
