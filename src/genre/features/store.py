"""The content store: vectors and answers that were paid for once, kept under the content and the model they are of.

Shapes: N texts, D numbers of a vector.

One directory serves every encoder and every generator, several processes at a time, and survives a kill at any moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ArtifactError, ConfigError, ModelError
from genre.core.run import Progress, Silent
from genre.features._claims import Worker
from genre.features._index import Index, Table, explained
from genre.features._vector_file import VectorFile, checksum
from genre.language.base import Completion, Generator, Prompt, Role, Sampling, Schema, TextEncoder

BATCH: Final = 512
"""Texts that are encoded between two commits: what a kill may cost, at most. An encoder parts them as it likes."""
_INDEX: Final = "index.sqlite"
_VECTORS: Final = "vectors"
_ROUNDS: Final = 3
"""Times that a call looks for its vectors: before encoding, after it, and once more if a length changed in between."""


class ContentStore:
    """Keeps what encoders and generators have made, so that only what is new or changed is made.

    An entry is found by the hash of its content (a text and its role, or a prompt with its sampling and schema) and
    the key of the model. Entries carry a checksum; one that does not fit is made again. Of processes that want the
    same at the same time one makes it and the others wait; if it dies, they take over. An object may be used by
    several threads. It costs 4 D + about 40 bytes a text.
    """

    def __init__(self, directory: Path) -> None:
        """Use a directory that is there; `open` makes it."""
        self._directory = directory

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Return the store of a directory, an empty one if there is none yet.

        Raises:
            ArtifactError: The index is damaged, or a newer version wrote it.
            ResourceError: The directory cannot be made or written to.
        """
        with explained(directory):
            (directory / _VECTORS).mkdir(parents=True, exist_ok=True)
        with Index.opened(directory / _INDEX):
            return cls(directory)

    def vectors(
        self, encoder: TextEncoder, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the (N, D) vectors of texts; those that are not known are encoded, equal texts once.

        The longest are encoded first, so that texts of one batch are about equally long. If the encoder's vectors
        turn out to have another length than those known under its key, the known ones are given up and made again.

        Raises:
            ArtifactError: The index is damaged; or vectors do not stay, since two encoders share a key.
            ModelError: The encoder returns something else than one finite vector for each text.
            ResourceError: The directory cannot be written to, or the disk is full.
        """
        by_content = {_content_of_text(text, role): text for text in texts}
        contents = list(by_content)
        with Index.opened(self._directory / _INDEX) as index:
            model = index.model("encoder", encoder.key)
            for _ in range(_ROUNDS):
                found, missing = self._find_vectors(index, model, encoder.key, contents)
                if not missing:
                    break
                missing.sort(key=lambda content: -len(by_content[content]))

                def encode(batch: list[bytes]) -> None:
                    vectors = _encoded(encoder, [by_content[content] for content in batch], role)
                    self._keep_vectors(index, model, encoder.key, batch, vectors)

                _settle(index, "vectors", model, missing, BATCH, encode, progress, "encode {} texts")
            else:
                raise ArtifactError(
                    f"{len(missing)} vectors of the encoder {encoder.key!r} were written and are gone or damaged again",
                    place=str(self._directory),
                    remedy="Check the disk, and that no two encoders with vectors of different lengths have this key.",
                )
        if len(contents) == len(texts):
            return found
        rows = {content: row for row, content in enumerate(contents)}
        return found[[rows[_content_of_text(text, role)] for text in texts]]

    def completions(
        self,
        generator: Generator,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        at_once: int = 64,
        progress: Progress | None = None,
    ) -> list[Completion]:
        """Return one completion for each prompt; those that are not known are generated, equal prompts once.

        Args:
            generator: Writes them.
            prompts: What it is asked.
            sampling: How it draws.
            schema: What the answers have to look like.
            at_once: Prompts that the generator gets together; each such batch is kept before the next one begins.
            progress: Shows how many are done.

        Returns:
            One completion for each prompt. One with `finish="error"` is not kept: the next call tries again.

        Raises:
            ArtifactError: The index is damaged.
            ConfigError: `at_once` is less than 1.
            ModelError: The generator returns something else than one completion for each prompt.
            ResourceError: The directory cannot be written to, or the disk is full.
        """
        if at_once < 1:
            raise ConfigError(f"{at_once!r} prompts at once are too few", place="at_once", remedy="Give 1 or more.")
        by_content = {_content_of_prompt(prompt, sampling, schema): prompt for prompt in prompts}
        failed: dict[bytes, Completion] = {}
        with Index.opened(self._directory / _INDEX) as index:
            model = index.model("generator", generator.key)
            missing = [one for one in by_content if one not in _find_completions(index, model, list(by_content))]

            def generate(batch: list[bytes]) -> None:
                asked = [by_content[content] for content in batch]
                answers = generator.generate(asked, sampling=sampling, schema=schema)
                _require_one_each(len(answers), len(asked), generator.key, "completions")
                made = dict(zip(batch, answers, strict=True))
                failed.update({content: one for content, one in made.items() if one.finish == "error"})
                _keep_completions(index, model, {one: made[one] for one in batch if one not in failed})

            _settle(index, "completions", model, missing, at_once, generate, progress, "generate {} texts")
            found = failed | _find_completions(index, model, list(by_content))
        return [found[_content_of_prompt(prompt, sampling, schema)] for prompt in prompts]

    def known_completions(
        self, generator: Generator, prompts: Sequence[Prompt], *, sampling: Sampling, schema: Schema | None = None
    ) -> list[Completion | None]:
        """Return what is known of each prompt, None where `completions` would have to ask. Costs nothing.

        Raises:
            ArtifactError: The index is damaged.
        """
        contents = [_content_of_prompt(prompt, sampling, schema) for prompt in prompts]
        with Index.opened(self._directory / _INDEX) as index:
            found = _find_completions(index, index.model("generator", generator.key), contents)
        return [found.get(content) for content in contents]

    def _find_vectors(
        self, index: Index, model: int, key: str, contents: list[bytes]
    ) -> tuple[NDArray[np.float32], list[bytes]]:
        """Return (N, D) vectors, and the contents that have none; damaged entries are forgotten."""
        dimension = index.dimension(model)
        if dimension is None:
            return np.empty((len(contents), 0), np.float32), contents.copy()
        entries = index.entries("vectors", model, contents)
        vectors, sound = VectorFile.of(self._directory / _VECTORS, key, dimension).read(contents, entries)
        missing = [contents[row] for row in np.flatnonzero(~sound)]
        if damaged := {content: entries[content] for content in missing if content in entries}:
            index.forget("vectors", model, damaged)
        return vectors, missing

    def _keep_vectors(
        self, index: Index, model: int, key: str, contents: list[bytes], vectors: NDArray[np.float32]
    ) -> None:
        """Write first and record then: what the index knows of is on the disk."""
        dimension = vectors.shape[1]
        first = index.reserve(model, dimension, len(contents))
        VectorFile.of(self._directory / _VECTORS, key, dimension).write(first, vectors)
        lines = [(content, first + row, checksum(content, vectors[row].data)) for row, content in enumerate(contents)]
        index.record_vectors(model, dimension, lines)


def _settle(
    index: Index,
    table: Table,
    model: int,
    missing: list[bytes],
    size: int,
    work: Callable[[list[bytes]], None],
    progress: Progress | None,
    description: str,
) -> None:
    """Have everything that is missing made, here or by whoever is at it already."""
    if not missing:
        return
    with Worker.enlisted(index, table, model) as worker:
        steps = worker.settle(missing, size, work)
        for _ in (progress or Silent()).track(steps, description.format(len(missing)), total=len(missing)):
            pass


def _encoded(encoder: TextEncoder, texts: list[str], role: Role) -> NDArray[np.float32]:
    """Return (N, D) vectors that can be stored."""
    vectors = np.ascontiguousarray(encoder.encode(texts, role=role), np.float32)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ModelError(f"the encoder {encoder.key!r} returns an array of shape {vectors.shape}, not (N, D)")
    _require_one_each(len(vectors), len(texts), encoder.key, "vectors")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        text = texts[int(np.argmin(finite))]
        raise ModelError(f"the encoder {encoder.key!r} returns a vector that is not finite for the text {text[:80]!r}")
    return vectors


def _require_one_each(found: int, asked: int, key: str, what: str) -> None:
    if found != asked:
        raise ModelError(f"the model {key!r} returns {found} {what} for {asked} texts")


def _find_completions(index: Index, model: int, contents: list[bytes]) -> dict[bytes, Completion]:
    """Return what is known; damaged entries are forgotten."""
    entries = index.entries("completions", model, contents)
    found, damaged = {}, {}
    for content, (answer, expected) in entries.items():
        if checksum(content, answer) == expected:
            found[content] = Completion(**json.loads(answer))
        else:
            damaged[content] = (answer, expected)
    if damaged:
        index.forget("completions", model, damaged)
    return found


def _keep_completions(index: Index, model: int, made: dict[bytes, Completion]) -> None:
    lines = []
    for content, completion in made.items():
        answer = json.dumps(asdict(completion)).encode("ascii")  # Half a surrogate pair has no other form on a disk.
        lines.append((content, answer, checksum(content, answer)))
    index.record_completions(model, lines)


def _content_of_text(text: str, role: Role) -> bytes:
    # Half a surrogate pair, as a cut in the middle of an emoji leaves it, is a text too.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=role.encode()).digest()


def _content_of_prompt(prompt: Prompt, sampling: Sampling, schema: Schema | None) -> bytes:
    # The schema's keys keep their order, since constrained answers follow it.
    drawn = sampling.model_copy(update={"seed": sampling.seed + prompt.draw})
    asked: list[Any] = [prompt.system, prompt.user, drawn.model_dump(mode="json"), schema]
    asked += [prompt.begin] if prompt.begin else []
    return hashlib.blake2b(json.dumps(asked).encode(), digest_size=16).digest()
