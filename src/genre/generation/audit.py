"""Who was shown what, and by which model: a line for each text, without the text and without the person."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

from genre.core.errors import ConfigError, ResourceError
from genre.data.privacy import pseudonym
from genre.generation.requests import Request, Written
from genre.generation.sentences import together

_BITS: Final = 128
_PATIENCE: Final = 60.0
"""Seconds that are waited for other writers."""
_TOLD: Final = ("model", "prompt", "checks", "refused", "moderation", "fell_back", "repaired", "withheld")
"""What is taken over from a text's provenance, as far as it is there."""


class AuditLog:
    """JSON lines that are only ever added to.

    Several threads and processes may write to one file: a lock beside it (`.lock`) lets one in at a time, and what was
    written is on the disk before the text is given away. Users stand in it by a hash, keyed with a random salt that is
    kept beside it (`.salt`, readable to its owner alone): with it, the lines of a person can be found; once it is
    deleted, they are nobody's.
    """

    def __init__(self, path: Path) -> None:
        """Keep the place; nothing is written yet."""
        self.path = path

    def check(self) -> None:
        """Make sure that the log can be written.

        Raises:
            ConfigError: It cannot.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.append([])
            _ = self._salt
        except OSError as error:
            raise ConfigError(
                f"the audit log cannot be written: {error}",
                place=str(self.path),
                remedy="Name a file in a directory that you may write to.",
            ) from error

    def user(self, user_id: str) -> str:
        """Return what stands for a user in this log."""
        return pseudonym(user_id, self._salt, _BITS)

    def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add lines, all together, and wait until they are on the disk.

        Raises:
            ResourceError: Other writers hold the file for too long.
            OSError: The file cannot be written.
        """
        data = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()
        with self._locked(), self.path.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                # Whoever was killed in the middle of a line has not ended it.
                data = data if stream.read(1) == b"\n" or not data else b"\n" + data
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

    @cached_property
    def _salt(self) -> bytes:
        path = self.path.with_name(f"{self.path.name}.salt")
        with self._locked():
            if not path.exists():
                with os.fdopen(
                    os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
                ) as new:
                    new.write(secrets.token_hex(32))
            return path.read_bytes()

    def _locked(self) -> Any:
        from filelock import FileLock, Timeout

        try:
            return FileLock(self.path.with_name(f"{self.path.name}.lock")).acquire(timeout=_PATIENCE)
        except Timeout as error:
            raise ResourceError(
                f"other writers have held the file for {_PATIENCE:.0f} seconds",
                place=str(self.path),
                remedy="Look for a process that hangs, or give each its own log.",
            ) from error


class Audited(Protocol):
    """What writes texts, and tells where they come from."""

    def write(self, requests: Sequence[Request]) -> list[Written]:
        """Return a text for each request, in this order."""

    def stream(self, request: Request, about: dict[str, Any] | None = None) -> Iterator[str]:
        """Yield one text sentence by sentence, and fill `about` with where it comes from."""


class AuditedWriter:
    """Writes as another does, and gives no text away before it stands in the log.

    Of a stream, the line is written when it ends, or when nobody reads on: it is of what has been shown by then.
    """

    def __init__(self, writer: Audited, log: AuditLog) -> None:
        """Keep both."""
        self._writer, self._log = writer, log

    def write(self, requests: Sequence[Request]) -> list[Written]:
        """Return a text for each request, in this order."""
        found = self._writer.write(requests)
        self._log.append([self._entry(request, text) for request, text in zip(requests, found, strict=True)])
        return found

    def stream(self, request: Request, about: dict[str, Any] | None = None) -> Iterator[str]:
        """Yield one text sentence by sentence, and fill `about` with where it comes from."""
        told = {} if about is None else about
        shown: list[str] = []
        try:
            for sentence in self._writer.stream(request, told):
                shown.append(sentence)
                yield sentence
        finally:
            provenance = {name: value for name, value in told.items() if name != "writer"}
            text = Written(together(shown), told.get("writer", "none"), provenance)
            self._log.append([{**self._entry(request, text), "streamed": True}])

    def _entry(self, request: Request, text: Written) -> dict[str, Any]:
        """Return the line of a text that is shown, or withheld where it is empty."""
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "shown": bool(text.text),
            "scenario": request.scenario.name,
            "kind": request.kind.name,
            "language": request.kind.language,
            "item_id": request.facts.item_id,
            "user": self._log.user(request.user_id),
            "writer": text.writer,
            **{name: text.provenance[name] for name in _TOLD if name in text.provenance},
            "sha256": hashlib.sha256(text.text.encode()).hexdigest(),
        }
