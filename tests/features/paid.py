"""An encoder and a generator that write down every text they are paid for, and a process that uses them.

`python -m tests.features.paid STORE BILL FIRST LAST SECONDS` has the texts FIRST to LAST - 1 encoded, and takes SECONDS
for each batch.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre.core.run import Progress
from genre.features.store import ContentStore
from genre.language.base import Completion, Prompt, Role, Sampling, Schema


@dataclass
class PaidEncoder:
    """Vectors that depend on the text and the role alone."""

    key: str = "paid"
    dimension: int = 8
    bill: Path | None = None
    seconds: float = 0.0
    batches: list[list[str]] = field(default_factory=list)

    @property
    def paid(self) -> list[str]:
        return [text for batch in self.batches for text in batch]

    def encode(self, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None) -> NDArray[Any]:
        self.batches.append(list(texts))
        write_down(self.bill, texts)
        time.sleep(self.seconds)
        return np.stack([self.vector(text, role) for text in texts])

    def vector(self, text: str, role: Role = "item") -> NDArray[Any]:
        digest = hashlib.sha256(f"{role} {text}".encode("utf-8", "surrogatepass")).digest()
        return np.resize(np.frombuffer(digest, np.uint8), self.dimension).astype(np.float32) / 256


@dataclass
class PaidGenerator:
    """Shouts what it is asked; has no answer to what begins with "fail"."""

    key: str = "paid"
    bill: Path | None = None
    batches: list[list[Prompt]] = field(default_factory=list)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        progress: Progress | None = None,
    ) -> list[Completion]:
        self.batches.append(list(prompts))
        write_down(self.bill, [prompt.user for prompt in prompts])
        return [
            Completion("", 1, 0, "error", "no answer")
            if prompt.user.startswith("fail")
            else Completion(f"{prompt.user.upper()} {len(self.batches)}", 1, 2)
            for prompt in prompts
        ]

    def stream(self, prompt: Prompt, *, sampling: Sampling, schema: Schema | None = None) -> Iterator[str]:
        yield prompt.user.upper()

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def write_down(bill: Path | None, texts: Sequence[str]) -> None:
    if bill is not None:
        line = "".join(f"{text}\n" for text in texts).encode()
        file = os.open(bill, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, line)  # At once, so that lines of two processes never mix.
        os.close(file)


def numbered(first: int, last: int) -> list[str]:
    return [f"text {number}" for number in range(first, last)]


def check(store: ContentStore, encoder: PaidEncoder, texts: list[str]) -> None:
    """Ask for vectors and compare them with what the encoder says of each text."""
    found = store.vectors(encoder, texts)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.reshape([encoder.vector(text) for text in texts], found.shape))


def change_index(directory: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a statement on the index behind the store's back."""
    connection = sqlite3.connect(directory / "index.sqlite")
    with connection:
        rows = connection.execute(statement, parameters).fetchall()
    connection.close()
    return rows


if __name__ == "__main__":
    store, bill, first, last, seconds = sys.argv[1:]
    encoder = PaidEncoder(bill=Path(bill), seconds=float(seconds))
    asked = numbered(int(first), int(last))
    found = ContentStore.open(Path(store)).vectors(encoder, asked)
    assert np.array_equal(found, [encoder.vector(text) for text in asked])
