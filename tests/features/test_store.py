"""The content store: nothing is paid for twice, whatever happens to processes, files and disks."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genre.core.errors import ArtifactError, ConfigError, ModelError, ResourceError
from genre.features import store as store_module
from genre.features.store import BATCH, ContentStore
from genre.language.base import Completion, Prompt, Sampling
from tests.features.paid import PaidEncoder, PaidGenerator, change_index, check, numbered

T = TypeVar("T")
SAMPLING = Sampling()


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore.open(tmp_path / "store")


def vector_file(directory: Path) -> Path:
    (path,) = (directory / "vectors").iterdir()
    return path


class Counting:
    """Counts steps instead of showing them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int | None]] = []

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        count = 0
        for step in steps:
            count += 1
            yield step
        self.seen.append((description, count, total))


def test_only_new_texts_are_encoded_and_equal_ones_once(store: ContentStore) -> None:
    encoder = PaidEncoder()
    check(store, encoder, ["b", "a", "b", "电影", ""])
    assert sorted(encoder.paid) == ["", "a", "b", "电影"]
    check(store, encoder, ["c", "a", "电影"])
    assert encoder.paid[4:] == ["c"]


def test_another_object_knows_what_the_first_has_stored(store: ContentStore, tmp_path: Path) -> None:
    check(store, PaidEncoder(), ["a", "b"])
    encoder = PaidEncoder()
    check(ContentStore.open(tmp_path / "store"), encoder, ["b", "a"])
    assert encoder.paid == []


def test_roles_and_encoders_have_entries_of_their_own(store: ContentStore) -> None:
    encoder, other = PaidEncoder(), PaidEncoder(key="other/one: 你", dimension=3)
    as_query = store.vectors(encoder, ["a"], role="query")
    np.testing.assert_array_equal(as_query, [encoder.vector("a", "query")])
    check(store, encoder, ["a"])
    check(store, other, ["a"])
    assert len(encoder.batches) == 2
    check(store, encoder, ["a"])
    assert len(encoder.batches) == 2


def test_no_texts_have_no_vectors(store: ContentStore) -> None:
    encoder = PaidEncoder()
    assert store.vectors(encoder, []).shape == (0, 0)
    check(store, encoder, ["a"])
    assert store.vectors(encoder, []).shape == (0, 8)
    assert store.completions(PaidGenerator(), [], sampling=SAMPLING) == []
    assert len(encoder.batches) == 1


def test_texts_are_encoded_by_length_in_batches_and_shown(store: ContentStore) -> None:
    encoder, progress = PaidEncoder(), Counting()
    texts = ["x" * (number % 40 + 1) + str(number) for number in range(2 * BATCH + 1)]
    store.vectors(encoder, texts, progress=progress)
    assert [len(batch) for batch in encoder.batches] == [BATCH, BATCH, 1]
    assert [len(text) for text in encoder.paid] == sorted((len(text) for text in texts), reverse=True)
    assert progress.seen == [(f"encode {len(texts)} texts", len(texts), len(texts))]
    store.vectors(encoder, texts, progress=progress)
    assert len(progress.seen) == 1


@settings(max_examples=15)
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=6), max_size=4))
def test_any_texts_keep_their_vectors(calls: list[list[str]]) -> None:
    encoder, generator = PaidEncoder(), PaidGenerator()
    with tempfile.TemporaryDirectory() as directory:
        store = ContentStore.open(Path(directory))
        for texts in calls:
            check(store, encoder, texts)
            prompts = [Prompt(f"say {text}", system=text) for text in texts]
            answers = store.completions(generator, prompts, sampling=SAMPLING)
            assert answers == store.known_completions(generator, prompts, sampling=SAMPLING)
            assert [answer.text[:-2] for answer in answers] == [f"SAY {text.upper()}" for text in texts]
    different = {text for texts in calls for text in texts}
    assert sorted(encoder.paid) == sorted(different)
    assert sum(map(len, generator.batches)) == len(different)


def test_an_encoder_that_fails_loses_only_its_batch(store: ContentStore) -> None:
    class Failing(PaidEncoder):
        def encode(self, texts: Sequence[str], **options: Any) -> NDArray[Any]:
            if len(self.batches) == 1:
                raise ConnectionResetError("the line is cut")
            return super().encode(texts, **options)

    first, second = Failing(), PaidEncoder()
    texts = numbered(0, 2 * BATCH)
    with pytest.raises(ConnectionResetError, match="the line is cut"):
        store.vectors(first, texts)
    check(store, second, texts)
    assert sorted(first.paid + second.paid) == sorted(texts)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_bit_is_found_and_its_entry_made_again(store: ContentStore, tmp_path: Path, place: str) -> None:
    encoder, texts = PaidEncoder(), numbered(0, 5)
    check(store, encoder, texts)
    path = vector_file(tmp_path / "store")
    content = bytearray(path.read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 0x10
    path.write_bytes(content)
    check(store, encoder, texts)
    assert [len(batch) for batch in encoder.batches] == [5, 1]
    check(store, encoder, texts)
    assert len(encoder.batches) == 2


@pytest.mark.parametrize("kept", [0, 1, 32, 47, 64])
def test_a_file_that_was_cut_off_is_filled_again(store: ContentStore, tmp_path: Path, kept: int) -> None:
    encoder, texts = PaidEncoder(), numbered(0, 5)
    check(store, encoder, texts)
    path = vector_file(tmp_path / "store")
    path.write_bytes(path.read_bytes()[:kept])
    check(store, encoder, texts)
    assert len(encoder.batches[1]) == 5 - kept // 32  # A vector has 8 numbers of 4 bytes.
    check(store, encoder, texts)
    assert len(encoder.batches) == 2


def test_a_missing_file_is_made_again(store: ContentStore, tmp_path: Path) -> None:
    encoder, texts = PaidEncoder(), numbered(0, 5)
    check(store, encoder, texts)
    vector_file(tmp_path / "store").unlink()
    check(store, encoder, texts)
    assert [len(batch) for batch in encoder.batches] == [5, 5]


def test_an_entry_that_names_anothers_place_is_not_believed(store: ContentStore, tmp_path: Path) -> None:
    encoder = PaidEncoder()
    check(store, encoder, numbered(0, 5))
    change_index(tmp_path / "store", "UPDATE vectors SET slot = CASE slot WHEN 0 THEN 1 WHEN 4 THEN -9 ELSE slot END")
    check(store, encoder, numbered(0, 5))
    assert len(encoder.batches[1]) == 2


def test_bytes_written_before_a_kill_and_never_recorded_do_no_harm(store: ContentStore, tmp_path: Path) -> None:
    encoder = PaidEncoder()
    check(store, encoder, numbered(0, 3))
    with vector_file(tmp_path / "store").open("ab") as stream:
        stream.write(b"half a vecto")
    check(store, encoder, numbered(0, 6))
    assert len(encoder.batches[1]) == 3


def test_a_kill_between_writing_and_recording_leaves_no_wrong_vector(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = PaidEncoder()
    with monkeypatch.context() as patch:
        patch.setattr(store_module.Index, "record_vectors", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.vectors(encoder, ["a", "b"])
    check(store, encoder, ["c", "a", "b"])
    assert [len(batch) for batch in encoder.batches] == [2, 3]


def test_an_encoder_of_another_dimension_has_everything_made_again(store: ContentStore) -> None:
    check(store, PaidEncoder(dimension=8), ["a", "b", "c"])
    changed = PaidEncoder(dimension=5)
    check(store, changed, ["a", "b", "d"])
    assert sorted(changed.paid) == ["a", "b", "d"]
    check(store, changed, ["a", "b", "c", "d"])
    assert changed.batches[-1] == ["c"]
    back = PaidEncoder(dimension=8)
    check(store, back, ["a", "e"])
    assert sorted(back.paid) == ["a", "e"]


def test_two_encoders_of_one_key_that_differ_in_dimension_are_told_of(store: ContentStore) -> None:
    class Wavering(PaidEncoder):
        def encode(self, texts: Sequence[str], **options: Any) -> NDArray[Any]:
            self.dimension = 8 + len(self.batches) % 2
            return super().encode(texts, **options)

    with pytest.raises(ArtifactError, match=r"vectors of the encoder 'paid' were written and are gone.*have this key"):
        store.vectors(Wavering(), numbered(0, 2 * BATCH))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.ones((1, 4)), r"returns 1 vectors for 2 texts"),
        (np.ones(2), r"returns an array of shape \(2,\), not \(N, D\)"),
        (np.array([[1.0, 2.0], [np.nan, 1.0]]), r"a vector that is not finite for the text 'b'"),
    ],
)
def test_an_encoder_that_returns_something_else_is_named(
    store: ContentStore, answer: NDArray[Any], message: str
) -> None:
    class Wrong(PaidEncoder):
        def encode(self, texts: Sequence[str], **options: Any) -> NDArray[Any]:
            return answer

    with pytest.raises(ModelError, match=rf"the (encoder|model) 'paid' {message}|{message}"):
        store.vectors(Wrong(), ["aa", "b"])


def test_completions_are_paid_for_once_for_each_prompt_sampling_and_schema(store: ContentStore) -> None:
    generator = PaidGenerator()
    hello = Prompt("hello")
    (first,) = store.completions(generator, [hello], sampling=SAMPLING)
    assert store.completions(generator, [hello, hello], sampling=SAMPLING) == [first, first]
    assert first == Completion("HELLO 1", 1, 2)
    others = [
        store.completions(generator, [Prompt("hello", system="be kind")], sampling=SAMPLING),
        store.completions(generator, [hello], sampling=Sampling(seed=1)),
        store.completions(generator, [hello], sampling=SAMPLING, schema={"type": "object"}),
        store.completions(PaidGenerator(key="other"), [hello], sampling=SAMPLING),
    ]
    assert [answer.text for (answer,) in others] == ["HELLO 2", "HELLO 3", "HELLO 4", "HELLO 1"]
    assert store.completions(generator, [hello], sampling=Sampling(seed=0)) == [first]
    assert len(generator.batches) == 4


def test_completions_come_in_batches_and_each_is_kept(store: ContentStore) -> None:
    class Failing(PaidGenerator):
        def generate(self, prompts: Sequence[Prompt], **options: Any) -> list[Completion]:
            if len(self.batches) == 2:
                raise TimeoutError
            return super().generate(prompts, **options)

    prompts = [Prompt(text) for text in numbered(0, 10)]
    first, second, progress = Failing(), PaidGenerator(), Counting()
    with pytest.raises(TimeoutError):
        store.completions(first, prompts, sampling=SAMPLING, at_once=3)
    store.completions(second, prompts, sampling=SAMPLING, at_once=3, progress=progress)
    assert [len(batch) for batch in first.batches + second.batches] == [3, 3, 3, 1]
    assert progress.seen == [("generate 4 texts", 4, 4)]
    with pytest.raises(ConfigError, match="at_once: 0 prompts at once are too few"):
        store.completions(second, prompts, sampling=SAMPLING, at_once=0)


def test_an_answer_that_is_an_error_is_returned_and_not_kept(store: ContentStore) -> None:
    generator, prompts = PaidGenerator(), [Prompt("good"), Prompt("fail")]
    good, failed = store.completions(generator, prompts, sampling=SAMPLING)
    assert failed == Completion("", 1, 0, "error", "no answer")
    assert store.known_completions(generator, prompts, sampling=SAMPLING) == [good, None]
    assert store.completions(generator, prompts, sampling=SAMPLING) == [good, failed]
    assert generator.batches[1:] == [[Prompt("fail")]]


def test_looking_asks_nobody(store: ContentStore) -> None:
    generator = PaidGenerator()
    assert store.known_completions(generator, [Prompt("a")], sampling=SAMPLING) == [None]
    assert generator.batches == []


@pytest.mark.parametrize("damaged", ["text", "checksum", "all"])
def test_a_damaged_answer_is_made_again(store: ContentStore, tmp_path: Path, damaged: str) -> None:
    generator, asked = PaidGenerator(), [Prompt("hello"), Prompt("hi")]
    store.completions(generator, asked, sampling=SAMPLING)
    changes = {
        "text": "answer = CAST(replace(CAST(answer AS TEXT), 'HELLO', 'HELLP') AS BLOB)",
        "checksum": "checksum = checksum + 1",
        "all": "answer = x'ff'",
    }
    where = "WHERE instr(CAST(answer AS TEXT), 'HELLO')"
    change_index(tmp_path / "store", f"UPDATE completions SET {changes[damaged]} {where}")  # noqa: S608
    assert [bool(one) for one in store.known_completions(generator, asked, sampling=SAMPLING)] == [False, True]
    assert [answer.text for answer in store.completions(generator, asked, sampling=SAMPLING)] == ["HELLO 2", "HI 1"]


def test_a_generator_that_returns_too_few_is_named(store: ContentStore) -> None:
    class Wrong(PaidGenerator):
        def generate(self, prompts: Sequence[Prompt], **options: Any) -> list[Completion]:
            return []

    with pytest.raises(ModelError, match="the model 'paid' returns 0 completions for 1 texts"):
        store.completions(Wrong(), [Prompt("a")], sampling=SAMPLING)


def test_what_is_known_is_found_quickly_and_without_torch(tmp_path: Path) -> None:
    directory, bill = tmp_path / "store", tmp_path / "bill"
    encoder = PaidEncoder(dimension=384)
    texts = numbered(0, 12_000)
    ContentStore.open(directory).vectors(encoder, texts)
    script = (
        "import sys, time; from pathlib import Path; from tests.features.paid import *\n"
        f"store, encoder = ContentStore.open(Path({str(directory)!r})), PaidEncoder(dimension=384)\n"
        "begin = time.process_time(); found = store.vectors(encoder, numbered(0, 12_000))\n"
        "assert found.shape == (12_000, 384) and not encoder.batches and 'torch' not in sys.modules\n"
        "print(time.process_time() - begin)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.0
    assert not bill.exists()


def test_a_store_of_a_newer_format_is_refused(store: ContentStore, tmp_path: Path) -> None:
    change_index(tmp_path / "store", "PRAGMA user_version = 99")
    with pytest.raises(ArtifactError, match=r"index\.sqlite: the store has format 99, newer than 1\. Upgrade Genre"):
        ContentStore.open(tmp_path / "store")
    with pytest.raises(ArtifactError, match="format 99"):
        store.vectors(PaidEncoder(), ["a"])


def test_an_index_that_is_none_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"no index at all" * 1000)
    with pytest.raises(
        ArtifactError, match=r"index\.sqlite: the index of the store cannot be read .*delete the directory"
    ):
        ContentStore.open(tmp_path)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    with pytest.raises(ResourceError, match=r"file/store: the store cannot be used .*Make sure that the directory"):
        ContentStore.open(tmp_path / "file" / "store")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_store_is_named(store: ContentStore, tmp_path: Path) -> None:
    directory = tmp_path / "store"
    for path in (*directory.rglob("*"), directory):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with pytest.raises(ResourceError, match="the store cannot be used"):
            store.vectors(PaidEncoder(), ["a"])
    finally:
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_full_disk_keeps_what_was_stored_before(store: ContentStore) -> None:
    encoder = PaidEncoder(dimension=2_000)
    check(store, encoder, ["a"])
    # No file may grow beyond this size: what a full disk is to the one who writes.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(
            ResourceError, match=r"the store cannot be used .*its disk has room.*What was stored before is"
        ):
            store.vectors(encoder, numbered(0, 50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check(store, encoder, ["a", *numbered(0, 50)])
    assert [len(batch) for batch in encoder.batches] == [1, 50, 50]
