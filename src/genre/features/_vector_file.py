"""The vectors of one encoder: a file of float32 numbers, row after row, mapped into memory for reading.

Shapes: N contents, D numbers of a vector.

A row is written before the index says that it is there, and its place is its own: a file that was cut off, a write
that a kill has torn and a bit that has flipped all show as a checksum that does not fit.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre.features._index import explained


@dataclass(frozen=True)
class VectorFile:
    """Where the vectors of one encoder lie."""

    path: Path
    dimension: int

    @classmethod
    def of(cls, directory: Path, key: str, dimension: int) -> VectorFile:
        """Return the file of an encoder; its key may hold what a file's name may not."""
        name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return cls(directory / f"{name}-{dimension}.bin", dimension)

    def write(self, first: int, vectors: NDArray[np.float32]) -> None:
        """Write rows from slot `first` on; they are on the disk when this returns."""
        with explained(self.path):
            self.path.touch()
            # Not mode "a", which writes at the end whatever the position: a kill may have left slots empty.
            with self.path.open("r+b") as stream:
                stream.seek(first * self.dimension * 4)
                stream.write(np.ascontiguousarray(vectors, "<f4").data)
                stream.flush()
                os.fsync(stream.fileno())

    def read(
        self, contents: Sequence[bytes], entries: dict[bytes, tuple[Any, int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return (N, D) vectors and whether each is there as it was written; if not, it is of no use."""
        slots = np.array([entries[content][0] if content in entries else -1 for content in contents], np.int64)
        mapped = self._mapped()
        sound = (slots >= 0) & (slots < len(mapped))
        if not sound.any():
            return np.zeros((len(contents), self.dimension), np.float32), sound
        vectors = mapped[np.where(sound, slots, 0)]
        for row in np.flatnonzero(sound).tolist():
            sound[row] = entries[contents[row]][1] == checksum(contents[row], vectors[row].data)
        return vectors, sound

    def _mapped(self) -> NDArray[np.float32]:
        with explained(self.path):
            rows = self.path.stat().st_size // (4 * self.dimension) if self.path.exists() else 0
            if rows == 0:  # An empty file cannot be mapped.
                return np.empty((0, self.dimension), np.float32)
            return np.asarray(np.memmap(self.path, "<f4", "r", shape=(rows, self.dimension)))


def checksum(content: bytes, value: Any) -> int:
    """Return the CRC-32 of a value under its content, so that another content's value does not pass for it."""
    return zlib.crc32(value, zlib.crc32(content))
