"""The run directory while it grows and when it is done.

A run works in `.NAME.partial`, stage by stage; a stage's directory appears in one rename when it is whole, so that its
existence says that it is done, and a killed run goes on where it stopped. The last act writes the manifest and renames
the whole to `NAME`.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from genre._version import __version__
from genre.core.errors import ArtifactError, ConfigError
from genre.core.files import atomic_directory, atomic_file, remove_leftovers, sha256

T = TypeVar("T")
MANIFEST, ACCOUNT = "manifest.json", "account.json"
KEY = "key.json"
STORE = ".store"
VERSION_OF, VERSIONS = "version_of", ".versions.json"
"""In the manifest of a version that was learned later, the name of its run; and behind that name, where versions are
noted."""
FORMAT = 1
"""Version of the run directory's form."""
_AGAIN = "Restore it, or run the experiment again with --force."
_LIBRARIES = ("numpy", "scipy", "polars", "scikit-learn", "lightgbm", "implicit")


class Stages:
    """A directory in which work is kept stage by stage."""

    def __init__(self, directory: Path, store: Path) -> None:
        """Keep stages in `directory`, made when the first is done.

        Args:
            directory: Of the stages.
            store: What language models have read and written, for all runs of a directory.
        """
        self.directory = directory
        self.store = store

    def stage(
        self, name: str, make: Callable[[], T], *, save: Callable[[T, Path], None], load: Callable[[Path], T]
    ) -> T:
        """Return what `make` gives, from disk if an earlier attempt has finished this stage."""
        path = self.directory / name
        if path.exists():
            return load(path)
        value = make()
        if not path.exists():  # Of two processes that made it, the quicker one has written it.
            with atomic_directory(path) as directory:
                save(value, directory)
        return value

    def done(self, part: str) -> set[str]:
        """Return the stages below `part` that are finished."""
        directory = self.directory / part
        return {path.name for path in directory.iterdir()} if directory.is_dir() else set()

    def write(self, name: str, text: str) -> None:
        """Write a text file beside the stages."""
        with atomic_file(self.directory / name) as path:
            path.write_text(text, encoding="utf-8")


class Workspace(Stages):
    """Where one run writes."""

    def __init__(self, final: Path, key: dict[str, str], *, force: bool = False) -> None:
        """Open or resume the run that will become `final`.

        Args:
            final: The directory of the finished run.
            key: Hashes of all that decides the result; a partial run of another key is thrown away.
            force: Replace a finished run.

        Raises:
            ConfigError: `final` holds something that is no run, or a finished run of another key and `force` is off.
            ArtifactError: `final` holds a run whose manifest is damaged.
        """
        super().__init__(final.with_name(f".{final.name}.partial"), final.parent / STORE)
        self.final = final
        self.key = key
        self.finished = False
        if final.exists():
            if not _is_run(final):
                raise ConfigError(
                    "there is something here that is no run", place=str(final), remedy="Choose another name."
                )
            self.finished = not force and read_manifest(final)["key"] == key
            if not force and not self.finished:
                raise ConfigError(
                    "there is a finished run of another config, data or version",
                    place=str(final),
                    remedy="Choose another name with --set name=..., or replace it with --force.",
                )
        if not self.finished:
            self._open()

    def _open(self) -> None:
        key_file = self.directory / KEY
        try:
            same = json.loads(key_file.read_text(encoding="utf-8")) == self.key
        except (OSError, json.JSONDecodeError):
            same = False
        if same:
            remove_leftovers(self.directory)
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        with atomic_file(key_file) as path:
            path.write_text(json.dumps(self.key), encoding="utf-8")

    def describe(self, **facts: Any) -> dict[str, Any]:
        """Return what the run says of itself: versions, hashes, and `facts`."""
        return described(self.key, **facts)

    def finish(self, manifest: dict[str, Any], *, discard: Sequence[str] = ()) -> None:
        """Throw away the stages in `discard`, write the manifest, and give the run its name."""
        for name in discard:
            shutil.rmtree(self.directory / name, ignore_errors=True)
        seal(self.directory, manifest)
        old = self.final.with_name(f".{self.final.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self.final.exists():
            self.final.rename(old)
        self.directory.rename(self.final)
        (self.final / KEY).unlink()
        shutil.rmtree(old, ignore_errors=True)
        self.finished = True


def described(key: Mapping[str, str], **facts: Any) -> dict[str, Any]:
    """Return what a run says of itself: versions, the hashes in `key`, and `facts`."""
    return {
        "format": FORMAT,
        "genre": __version__,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "key": dict(key),
        **facts,
    }


def seal(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a run that is whole, with the hash of every file."""
    files = {
        str(path.relative_to(directory)): sha256(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, KEY)
    }
    with atomic_file(directory / MANIFEST) as path:
        path.write_text(json.dumps({**manifest, "files": files}, indent=2), encoding="utf-8")


def read_manifest(run: Path) -> dict[str, Any]:
    """Read what a finished run says of itself.

    Raises:
        ArtifactError: There is no finished run, or a newer version wrote it.
    """
    try:
        manifest: dict[str, Any] = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
        form = int(manifest["format"])
    except FileNotFoundError as error:
        partial = run.with_name(f".{run.name}.partial")
        problem = "the run was not finished" if partial.exists() else "there is no run here"
        raise ArtifactError(
            problem, place=str(run), remedy="Run the experiment (again): `genre run CONFIG`."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"the manifest cannot be read ({error!r})", place=str(run / MANIFEST), remedy=_AGAIN
        ) from error
    if form > FORMAT:
        raise ArtifactError(
            f"the run has format {form}, this version reads up to {FORMAT}",
            place=str(run),
            remedy="Upgrade with `pip install -U genre-rec`.",
        )
    return manifest


def verify(run: Path, *parts: str) -> None:
    """Check the files of a finished run that are one of `parts` or below one, by default all, against the manifest.

    Raises:
        ArtifactError: A file is missing or was changed.
    """
    for name, digest in read_manifest(run)["files"].items():
        if not parts or any(Path(name).is_relative_to(part) for part in parts):
            path = run / name
            if not path.is_file():
                raise ArtifactError("the file is missing", place=str(path), remedy=_AGAIN)
            if sha256(path) != digest:
                raise ArtifactError("the file is not what the run wrote", place=str(path), remedy=_AGAIN)


def _is_run(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
