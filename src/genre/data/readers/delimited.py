"""Text tables: one record a line, fields between separators.

Polars reads the file at the speed of the disk. It does not say on which line it fails, and it fills short lines with
nulls; whenever something looks odd, the file is read again, slowly, by a reader that counts lines and fields.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.data.findings import EXAMPLES, Finding, and_others, failure
from genre.data.readers.file_table import FileTable, LineNumbers, lines_at
from genre.data.readers.sources import Source

SEPARATORS: Final = ("::", "\t", ",", ";", "|")
"""Looked for where none is set; of two that stand equally often, the first."""
_BLOCK: Final = 100_000
_SHOWN: Final = 80
"""Characters of a wrong line in a message."""
_QUOTED: Final = r'"[^"]*"'
_NAMELESS: Final = "\0"


def find_separator(head: Sequence[str]) -> str:
    """Return the separator that stands most often in the first line; a comma where none does."""
    counts = [head[0].count(separator) for separator in SEPARATORS]
    return SEPARATORS[int(np.argmax(counts))] if any(counts) else ","


def read_delimited(
    source: Source, separator: str, *, names: Sequence[str] | None = None, quoted: bool = True
) -> FileTable:
    """Read a text table; all its cells are String, and an empty one is null.

    Args:
        source: The file.
        separator: One character between fields, or more (then nothing is quoted).
        names: Names of the columns, for a file without a header.
        quoted: Whether a field may stand between quotation marks.

    Raises:
        DataError: The bytes are not text in the encoding, or a quotation mark is not closed.
    """
    header = _header(source, separator, quoted) if names is None else list(names)
    first = 1 if names is not None else source.first_line + 1
    raw = _split_lines(source, separator, header, first) if len(separator) > 1 else None
    raw = raw or _read_fast(source, separator, header, first, quoted)
    raw = raw or _read_carefully(source, separator, header, first, quoted)
    return raw.with_frame(raw.frame.select(name for name in header if not name.startswith(_NAMELESS)))


def _header(source: Source, separator: str, quoted: bool) -> list[str]:
    """Return the names of the columns; a nameless one, as pandas writes for its index, is marked, to be left out."""
    line = source.head[0]
    parted = (
        line.split(separator) if len(separator) > 1 or not quoted else next(csv.reader([line], delimiter=separator))
    )
    names = [name.strip() or f"{_NAMELESS}{place}" for place, name in enumerate(parted)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        problem, remedy = f"two columns are called {twice!r}", "Give each column a name of its own."
        raise failure(source.path, problem, remedy, line=source.first_line, column=twice)
    return names


def _read_fast(source: Source, separator: str, header: list[str], first: int, quoted: bool) -> FileTable | None:
    """Let Polars read the records, which begin on line `first`; return None if anything looks odd."""
    with_header = first > 1
    scan = pl.scan_csv(
        source.content,
        separator=separator,
        has_header=with_header,
        skip_lines=max(0, first - 2),
        schema=None if with_header else dict.fromkeys(header, pl.String),
        infer_schema=False,
        quote_char='"' if quoted else None,
        glob=False,
    )
    try:
        frame = scan.collect(engine="streaming")
        if frame.width != len(header):
            return None
        if frame[:, -1].null_count() and _is_uneven(source, separator, frame.width, quoted):
            return None
    except (pl.exceptions.PolarsError, OSError):
        return None
    frame.columns = header
    return FileTable(source.path, frame, _counting_quoted_lines(frame, first), is_typed=False)


def _counting_quoted_lines(frame: pl.DataFrame, first: int) -> LineNumbers:
    """Return the numbering of records of which some may go over several lines, in quotation marks."""

    def number(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        more = frame.select(pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True))).to_series()
        before: NDArray[np.int64] = more.cum_sum().shift(1, fill_value=0).cast(pl.Int64).to_numpy()[rows]
        return rows + first + before

    return number


def _is_uneven(source: Source, separator: str, width: int, quoted: bool) -> bool:
    """Return whether the separators of some line do not make `width` fields (or a quoted field spans lines)."""
    line = pl.col("line").str.replace_all(_QUOTED, "") if quoted else pl.col("line")
    fields = line.str.count_matches(separator, literal=True) + 1
    odd = (fields != width) & (pl.col("line").str.len_bytes() > 0)
    return bool(pl.scan_lines(source.content, glob=False).select(odd.any()).collect(engine="streaming").item())


def _read_carefully(source: Source, separator: str, header: list[str], first: int, quoted: bool) -> FileTable:
    """Read record by record; keep those with as many fields as the header, and report the others."""
    try:
        return _assemble(source, header, _records(source, separator, first, quoted))
    except csv.Error as error:
        if separator == "\t":  # Most programs that write tabs write quotation marks as they are.
            return _assemble(source, header, _records(source, separator, first, quoted=False))
        raise failure(
            source.path,
            "a quotation mark opens a field here and is not closed, or stands undoubled inside it",
            'Write a quotation mark inside a quoted field twice (""), and close the field.',
            line=int(str(error.args[-1])),
        ) from error


def _records(source: Source, separator: str, first: int, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record starts, and its fields."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = (line + "\n" for line in source.lines()[first - 1 :])
    reader = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
    start = first
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise csv.Error(str(error), start) from error
        if fields is None:
            return
        if fields:
            yield start, fields
        start = first + reader.line_num


def _assemble(source: Source, header: list[str], records: Iterator[tuple[int, list[str]]]) -> FileTable:
    """Turn records into a frame, in blocks, since a list of Python strings takes ten times their memory."""
    blocks: list[pl.DataFrame] = []
    block: list[list[str]] = []
    lines: list[int] = []
    uneven: list[tuple[int, int]] = []
    for line, fields in records:
        if len(fields) != len(header):
            uneven.append((line, len(fields)))
            continue
        block.append(fields)
        lines.append(line)
        if len(block) == _BLOCK:
            blocks.append(_frame(block, header))
            block = []
    blocks.append(_frame(block, header))
    numbers = lines_at(np.array(lines, np.int64))
    return FileTable(source.path, pl.concat(blocks), numbers, is_typed=False, findings=_uneven(source, uneven, header))


def _frame(rows: list[list[str]], header: Sequence[str]) -> pl.DataFrame:
    schema = dict.fromkeys(header, pl.String)
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(pl.all().replace("", None))


def _split_lines(source: Source, separator: str, header: list[str], first: int) -> FileTable:
    """Read a table whose fields stand between two or more characters, nothing quoted."""
    lines = source.lines()[first - 1 :].to_frame("line").with_row_index("at", offset=first)
    fields = pl.col("line").str.count_matches(separator, literal=True) + 1
    records = lines.filter(pl.col("line") != "").with_columns(fields.alias("fields"))
    right = records.filter(fields == len(header))
    uneven = records.filter(fields != len(header)).select("at", "fields").rows()
    frame = right["line"].str.splitn(separator, len(header)).struct.unnest()
    frame.columns = header
    numbers = lines_at(right["at"].cast(pl.Int64).to_numpy())
    return FileTable(
        source.path,
        frame.with_columns(pl.all().replace("", None)),
        numbers,
        is_typed=False,
        findings=_uneven(source, uneven, header),
    )


def _uneven(source: Source, uneven: list[tuple[int, int]], header: list[str]) -> tuple[Finding, ...]:
    """Describe the lines, of which (line, number of fields) is given, that do not have as many as the header."""
    if not uneven:
        return ()
    line, count = uneven[0]
    text = source.lines()[line - 1][:_SHOWN]
    others = and_others([number for number, _ in uneven[:EXAMPLES]], len(uneven))
    problem = f"{text!r} has {count} fields, not {len(header)}{others}"
    remedy = "Give every line as many fields as the header, with quotation marks around one that holds a separator."
    return (Finding("error", str(source.path), line, None, text, problem, remedy),)
