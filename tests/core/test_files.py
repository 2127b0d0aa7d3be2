from __future__ import annotations

import errno
from pathlib import Path

import pytest

from genre.core.errors import ResourceError
from genre.core.files import atomic_directory, atomic_file, sha256


def fail_writing() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_half(target: Path) -> None:
    with atomic_directory(target) as directory:
        (directory / "new.txt").write_text("new", encoding="utf-8")
        raise KeyboardInterrupt


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "run"
    with atomic_directory(target) as directory:
        (directory / "a.txt").write_text("a", encoding="utf-8")
        assert not target.exists()
    assert (target / "a.txt").read_text(encoding="utf-8") == "a"
    assert [path.name for path in target.parent.iterdir()] == ["run"]


def test_a_failure_leaves_the_old_directory_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old.txt").write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        write_half(target)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "old.txt"]


@pytest.mark.parametrize("atomic", [atomic_directory, atomic_file])
def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path: Path, atomic) -> None:  # noqa: ANN001
    with (
        pytest.raises(ResourceError, match=r"run: the disk is full, \d+ MiB are left\. Free some space"),
        atomic(tmp_path / "run"),
    ):
        fail_writing()
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_file(tmp_path / "x"):
        raise PermissionError


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
