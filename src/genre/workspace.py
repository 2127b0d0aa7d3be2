"""The run directory while it grows and when it is done.

A run works in `.NAME.partial`, stage by stage; a stage's directory appears in one rename when it is whole, so that its
existence says that it is done, and a killed run goes on where it stopped. The last act writes the manifest and renames
the whole to `NAME`.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from genre._version import __version__
from genre.core.errors import ArtifactError, ConfigError
from genre.core.files import atomic_directory, atomic_file, sha256

T = TypeVar("T")
MANIFEST, ACCOUNT = "manifest.json", "account.json"
KEY = "key.json"
FORMAT = 1
"""Version of the run directory's form."""
_LIBRARIES = ("numpy", "scipy", "polars", "scikit-learn", "lightgbm", "implicit")


class Workspace:
    """Where one run writes."""

    def __init__(self, final: Path, key: dict[str, str], *, force: bool = False) -> None:
        """Open or resume the run that will become `final`.

        Args:
            final: The directory of the finished run.
            key: Hashes of all that decides the result; a partial run of another key is thrown away.
            force: Replace a finished run.

        Raises:
            ConfigError: `final` holds a finished run of another key, or something that is no run, and `force` is off.
        """
        self.final = final
        self.key = key
        self.directory = final.with_name(f".{final.name}.partial")
        self.finished = False
        if final.exists() and not force:
            self.finished = _is_run(final) and read_manifest(final)["key"] == key
            if not self.finished:
                what = "a finished run of another config, data or version" if _is_run(final) else "something else"
                raise ConfigError(
                    f"the directory holds {what}",
                    place=str(final),
                    remedy="Choose another --name, or replace it with --force.",
                )
        if not self.finished:
            self._open()

    def _open(self) -> None:
        key_file = self.directory / KEY
        try:
            same = json.loads(key_file.read_text(encoding="utf-8")) == self.key
        except (OSError, json.JSONDecodeError):
            same = False
        if not same:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory.mkdir(parents=True)
            with atomic_file(key_file) as path:
                path.write_text(json.dumps(self.key), encoding="utf-8")

    def stage(
        self, name: str, make: Callable[[], T], *, save: Callable[[T, Path], None], load: Callable[[Path], T]
    ) -> T:
        """Return what `make` gives, from disk if an earlier attempt has finished this stage."""
        path = self.directory / name
        if path.exists():
            return load(path)
        value = make()
        with atomic_directory(path) as directory:
            save(value, directory)
        return value

    def write(self, name: str, text: str) -> None:
        """Write a text file of the run."""
        with atomic_file(self.directory / name) as path:
            path.write_text(text, encoding="utf-8")

    def finish(self, *, discard: Sequence[str] = (), **facts: Any) -> None:
        """Throw away the stages in `discard`, write the manifest with `facts`, and give the run its name."""
        for name in discard:
            shutil.rmtree(self.directory / name, ignore_errors=True)
        (self.directory / KEY).unlink()
        files = {
            str(path.relative_to(self.directory)): sha256(path)
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and path.name != MANIFEST
        }
        manifest = {
            "format": FORMAT,
            "genre": __version__,
            "python": platform.python_version(),
            "libraries": {name: _version(name) for name in _LIBRARIES},
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "key": self.key,
            **facts,
            "files": files,
        }
        self.write(MANIFEST, json.dumps(manifest, indent=2))
        if self.final.exists():
            shutil.rmtree(self.final)
        self.directory.rename(self.final)
        self.finished = True


def read_manifest(run: Path) -> dict[str, Any]:
    """Read what a finished run says of itself.

    Raises:
        ArtifactError: There is no finished run, or a newer version wrote it.
    """
    try:
        manifest: dict[str, Any] = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        partial = run.with_name(f".{run.name}.partial")
        problem = "the run was not finished" if partial.exists() else "there is no run here"
        raise ArtifactError(
            problem, place=str(run), remedy="Run the experiment (again): `genre run CONFIG`."
        ) from error
    except (OSError, json.JSONDecodeError) as error:
        raise ArtifactError(
            f"the manifest cannot be read ({error})", place=str(run / MANIFEST), remedy="Run the experiment again."
        ) from error
    if manifest.get("format", 0) > FORMAT:
        raise ArtifactError(
            f"the run has format {manifest['format']!r}, this version reads up to {FORMAT}",
            place=str(run),
            remedy="Upgrade with `pip install -U genre-rec`.",
        )
    return manifest


def verify(run: Path, part: str) -> None:
    """Check the files of a finished run below `part` against the manifest.

    Raises:
        ArtifactError: A file is missing or was changed.
    """
    for name, digest in read_manifest(run)["files"].items():
        if Path(name).is_relative_to(part):
            path = run / name
            if not path.is_file():
                raise ArtifactError("the file is missing", place=str(path), remedy="Run the experiment again.")
            if sha256(path) != digest:
                raise ArtifactError(
                    "the file is not what the run wrote",
                    place=str(path),
                    remedy="Restore it, or run the experiment again.",
                )


def _is_run(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
