"""Opening a file: is it there, how is it packed, in which encoding, and how does it begin."""

from __future__ import annotations

import difflib
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import polars as pl

from genre.data.findings import FindingError, failure, listed

UTF8: Final = "utf-8"
_HEAD_BYTES: Final = 1 << 16
_HEAD_LINES: Final = 20
_GZIP, _ZSTD, _PARQUET, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"PK\x03\x04"
_UTF16, _BOM = (b"\xff\xfe", b"\xfe\xff"), b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class Source:
    """A file that can be read."""

    path: Path
    content: Path | bytes
    """What Polars reads: the file itself (it unpacks gzip and zstd on its own) or, where that is not plain UTF-8, its
    text in UTF-8."""
    head: tuple[str, ...]
    """The first lines that are not blank, without their ends; of a Parquet file none."""
    first_line: int = 1
    """Number of the line that the head begins with; blank ones may stand before it."""
    is_parquet: bool = False

    @property
    def name(self) -> str:
        """The file's name in small letters, without what says how it is packed."""
        return self.path.name.lower().removesuffix(".gz").removesuffix(".zst")

    def lines(self) -> pl.Series:
        """Return all lines (String), blank ones included, without their ends.

        Raises:
            DataError: Some line is not in the encoding, or the packed file is cut off.
        """
        try:
            return pl.read_lines(self.content, glob=False)["line"]
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self.explain(error) from error

    def explain(self, error: Exception) -> FindingError:
        """Turn what Polars says of the bytes of this file into an error that names the place."""
        return _wrong_encoding(self.path) if "utf" in str(error).lower() else _cut_off(self.path, error)


def open_source(path: Path, encoding: str = UTF8) -> Source:
    """Look at the beginning of a file.

    Raises:
        DataError: The file is missing, empty, of a kind that is not read, or not in the encoding.
    """
    start = _first_bytes(path)
    if start.startswith(_PARQUET):
        return Source(path, path, (), is_parquet=True)
    if start.startswith(_ZIP):
        raise failure(path, "the file is a zip archive or a spreadsheet", "Unpack it, or export it as CSV.")
    if start.startswith(_ZSTD):
        return _open_zstd(path, encoding)
    try:
        with _unpacked(path) as stream:
            head = stream.read(_HEAD_BYTES)
            if head.startswith(_UTF16) and encoding == UTF8:
                raise failure(path, "the text is in UTF-16", "Set `data.encoding: utf-16`.", line=1)
            is_plain = encoding == UTF8 and not head.startswith(_BOM) and (b"\n" in head or b"\r" not in head)
            content = path if is_plain else _in_utf8(path, head + stream.read(), encoding)
    except (EOFError, OSError) as error:
        raise _cut_off(path, error) from error
    text = head if isinstance(content, Path) else content[:_HEAD_BYTES]
    lines = text.decode(UTF8, errors="replace").splitlines()
    return Source(path, content, *_first_lines(lines[:-1] if len(text) == _HEAD_BYTES and len(lines) > 1 else lines))


def _first_bytes(path: Path) -> bytes:
    """Return the first bytes, or explain why there are none."""
    if path.is_dir():
        held = sorted(entry.name for entry in path.iterdir())
        raise failure(path, f"this is a directory; it holds {listed(held, 8) or 'nothing'}", "Name the file to read.")
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except FileNotFoundError:
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, near, n=1)
        check = "Check the path; in a config, it is relative to the config's directory."
        remedy = f"Did you mean {close[0]!r}?" if close else check
        raise failure(path, "there is no such file", remedy) from None
    except OSError as error:
        raise failure(path, f"the file cannot be opened ({error.strerror})", "Check who may read it.") from error
    if not start:
        raise failure(path, "the file is empty", "Export it again.")
    return start


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        packed = stream.read(2) == _GZIP
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


def _open_zstd(path: Path, encoding: str) -> Source:
    """Open a file that Polars can unpack and Python before 3.14 cannot."""
    if encoding != UTF8:
        raise failure(path, f"a zstd file can be read in UTF-8 only, not in {encoding}", "Unpack it first: `unzstd`.")
    try:
        head = pl.scan_lines(path, n_rows=_HEAD_LINES, glob=False).collect()["line"]
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Source(path, path, ()).explain(error) from error
    return Source(path, path, *_first_lines(head.to_list()))


def _cut_off(path: Path, error: Exception) -> FindingError:
    return failure(path, f"the file cannot be unpacked ({error})", "It is cut off or damaged: fetch it again.")


def _in_utf8(path: Path, text: bytes, encoding: str) -> bytes:
    """Return the text in UTF-8, its lines ending as they do everywhere but on old Macs."""
    try:
        lines = text.removeprefix(_BOM).decode(encoding)
        return (lines if "\n" in lines else lines.replace("\r", "\n")).encode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _not_in(encoding, path, line, text[error.start : error.start + 1], "utf-8") from None


def _first_lines(lines: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return the lines of the beginning that are not blank, and the number of the first."""
    filled = [(number, line) for number, line in enumerate(lines[:_HEAD_LINES], start=1) if line.strip()]
    return tuple(line for _, line in filled), filled[0][0] if filled else 1


def _wrong_encoding(path: Path) -> FindingError:
    """Find the first byte that is not UTF-8."""
    with _unpacked(path) as stream:
        if stream.read(4) != _ZSTD:
            stream.seek(0)
            for number, line in enumerate(stream, start=1):
                try:
                    line.decode(UTF8)
                except UnicodeDecodeError as error:
                    bad = line[error.start : error.start + 1]
                    return _not_in(UTF8, path, number, bad, _likely_encoding(line))
    return failure(path, "the text is not in UTF-8", "Unpack it to learn the line; set `data.encoding`.")


def _not_in(encoding: str, path: Path, line: int, bad: bytes, likely: str) -> FindingError:
    value = f"0x{bad.hex()}"
    return failure(
        path, f"byte {value} is not {encoding.upper()}", f"Try `data.encoding: {likely}`.", line=line, value=value
    )


def _likely_encoding(line: bytes) -> str:
    """Guess: in Chinese text high bytes come in pairs, in European text alone."""
    try:
        line.decode("gb2312")
    except UnicodeDecodeError:
        return "latin-1"
    return "gb18030"
