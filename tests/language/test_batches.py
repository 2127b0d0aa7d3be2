"""Batches of texts of like length, and hashes of models."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier
from time import sleep

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genre.language._batches import batches_of, directory_hash, in_batches
from genre.language.hardware import side_by_side


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 100))
def test_every_text_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    counts = np.array(lengths, np.int64)
    batches = batches_of(counts, budget)
    assert sorted(at for batch in batches for at in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * counts[batch].max() <= budget for batch in batches)


def test_equal_texts_are_encoded_once_and_lengths_go_together() -> None:
    seen: list[list[str]] = []

    def encode(batch: list[str]) -> np.ndarray:
        seen.append(batch)
        return np.array([[len(text), 1.0] for text in batch])

    found = in_batches(
        ["a", "bbbb", "a", " ", "cc", "bbbb"],
        lengths=lambda texts: np.array([len(text) for text in texts]),
        encode=encode,
        size=lambda: 2,
        batch_tokens=4,
        progress=None,
    )
    assert seen == [["bbbb"], ["cc", "a"]]
    lengths = np.array([1, 4, 1, 0, 2, 4])
    expected = np.stack([lengths, lengths > 0], axis=1)
    np.testing.assert_allclose(found, expected / np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1))


def test_batches_side_by_side_share_the_threads_and_keep_their_order() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = Barrier(3, timeout=30)

        def call(number: int) -> tuple[int, int]:
            if number < 3:
                together.wait()  # Passed only where three run at once.
            return number, torch.get_num_threads()

        with side_by_side(torch.device("cpu")) as apply:
            assert list(apply(call, range(7))) == [(number, 1) for number in range(7)]
        assert torch.get_num_threads() == 3
        with side_by_side(torch.device("cuda")) as apply:
            assert list(apply(len, ["a", "bb"])) == [1, 2]
        done: list[int] = []

        def failing(number: int) -> None:
            if number == 0:
                raise ValueError("broken")
            sleep(0.01)
            done.append(number)

        with pytest.raises(ValueError, match="broken"), side_by_side(torch.device("cpu")) as apply:
            list(apply(failing, range(1000)))
        assert len(done) < 100, "what has not begun is left"
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_hash_of_a_model_follows_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    before = directory_hash(tmp_path)
    (tmp_path / "README.md").write_text("about it")
    (tmp_path / "pytorch_model.bin").write_bytes(b"the same weights in another form")
    assert directory_hash(tmp_path) == before
    (tmp_path / "1_Pooling" / "config.json").write_text('{"a": 1}')
    settings = directory_hash(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert len({before, settings, directory_hash(tmp_path)}) == 3
