"""What encoders that run a neural network have in common: batches of texts of like length, and the hash of a model.

Shapes: N texts, D numbers of a vector, B texts of a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.files import sha256
from genre.core.run import Progress, Silent
from genre.language.base import unit_rows

BATCH_TOKENS = 1024
"""Tokens of a batch where nobody says otherwise: what a layer of a small model makes of them fits the cache of a core,
and more is not faster."""
_MODEL_FILES = {".json", ".txt", ".model", ".safetensors", ".onnx", ".data"}
_HASHES: dict[tuple[Path, int, int], str] = {}
"""The hashes of files by path, size and time of change."""

Lengths: TypeAlias = NDArray[np.integer]


def in_batches(
    texts: Sequence[str],
    *,
    lengths: Callable[[list[str]], Lengths],
    encode: Callable[[list[str]], NDArray[Any]],
    size: Callable[[], int],
    batch_tokens: int,
    progress: Progress | None,
    apply: Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]] = map,
) -> NDArray[np.float32]:
    """Return (N, D) vectors of length 1, each different text encoded once; 0 for a text of white space.

    Args:
        texts: In any order.
        lengths: Gives the tokens of each text, at least 1.
        encode: Gives (B, D) vectors of a batch.
        size: Gives D; asked only where no text has content.
        batch_tokens: Tokens of a batch at most, padding included, but for a text that is longer by itself.
        progress: Shows how far it has come.
        apply: Works like `map`, and may encode several batches at once.
    """
    # A lone surrogate, which JSON can hold, is no character: tokenizers refuse it.
    whole = [text.encode("utf-8", "replace").decode("utf-8") if text.strip() else "" for text in texts]
    distinct = list(dict.fromkeys(filter(None, whole)))
    if not distinct:
        return np.zeros((len(texts), size()), np.float32)
    batches = batches_of(lengths(distinct), batch_tokens)
    encoded = apply(lambda batch: encode([distinct[at] for at in batch]), batches)
    parts = list((progress or Silent()).track(encoded, "encoding", len(batches)))
    vectors = np.zeros((len(distinct) + 1, parts[0].shape[1]), np.float32)
    vectors[np.concatenate(batches)] = unit_rows(np.concatenate(parts))
    place = {text: at for at, text in enumerate(distinct)} | {"": len(distinct)}
    return vectors[[place[text] for text in whole]]


def batches_of(lengths: Lengths, batch_tokens: int) -> list[NDArray[np.intp]]:
    """Return the texts of each batch, the longest first: of like length, so that hardly anything is padded."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        stop = start + max(1, batch_tokens // int(lengths[order[start]]))
        batches.append(order[start:stop])
        start = stop
    return batches


def directory_hash(directory: Path) -> str:
    """Return a hash of a model's files: settings, vocabulary and weights; its documentation does not count.

    Files that have not changed since this process read them are not read again.
    """
    files = [path for path in directory.rglob("*") if path.suffix in _MODEL_FILES and path.is_file()]
    if not any(path.suffix == ".safetensors" for path in files):
        files += directory.rglob("*.bin")
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(directory).as_posix()} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, read once for each of its states."""
    about = path.stat()
    state = (path, about.st_size, about.st_mtime_ns)
    if state not in _HASHES:
        _HASHES[state] = sha256(path)
    return _HASHES[state]
