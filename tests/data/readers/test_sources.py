"""Files that cannot be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from genre.core.errors import DataError
from genre.data.readers.sources import open_source


def failure_of(path: Path, encoding: str = "utf-8") -> str:
    with pytest.raises(DataError) as error:
        open_source(path, encoding)
    return str(error.value)


def test_a_missing_file_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("x")
    path = tmp_path / "rating.csv"
    assert failure_of(path) == f"{path}: there is no such file. Did you mean 'ratings.csv'?"


def test_a_missing_directory_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "ratings.csv"
    assert failure_of(path) == (
        f"{path}: there is no such file. Check the path; in a config, it is relative to the config's directory."
    )


def test_a_directory_lists_what_it_holds(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text("x")
    assert failure_of(tmp_path) == f"{tmp_path}: this is a directory; it holds a.csv and b.csv. Name the file to read."


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    assert failure_of(path) == f"{path}: the file is empty. Export it again."


def test_utf_16_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n".encode("utf-16"))
    assert failure_of(path) == f"{path}:1: the text is in UTF-16. Set `data.encoding: utf-16`."


def test_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ratings.zip"
    path.write_bytes(b"PK\x03\x04...")
    assert failure_of(path) == f"{path}: the file is a zip archive or a spreadsheet. Unpack it, or export it as CSV."


def test_zstd_is_read_in_utf_8_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd rest")
    assert failure_of(path, "latin-1") == (
        f"{path}: a zstd file can be read in UTF-8 only, not in latin-1. Unpack it first: `unzstd`."
    )
    assert "It is cut off or damaged" in failure_of(path)


def test_the_head_skips_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf\na,b\n\n1,2\n")
    source = open_source(path)
    assert (source.head, source.first_line) == (("a,b", "1,2"), 2)
    assert source.lines().to_list() == ["", "a,b", "", "1,2"]
