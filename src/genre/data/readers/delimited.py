"""Text tables: one record a line, fields between separators.

Polars reads the file at the speed of the disk. It does not say on which line it fails, and it fills short lines with
nulls; whenever something looks odd, the file is read again, slowly, by a reader that counts lines and fields.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from genre.data.findings import EXAMPLES, Finding, and_others, failure
from genre.data.readers.file_table import FileTable, lines_at, rows_are_lines
from genre.data.readers.sources import Source

SEPARATORS: Final = ("::", "\t", ",", ";", "|")
"""Looked for where none is set; of two that stand equally often, the first."""
_BLOCK: Final = 100_000
_QUOTED: Final = r'"[^"]*"'


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
    if len(separator) > 1:
        return _tidy(_split_lines(source, separator, names))
    try:
        frame = _scan(source, separator, names, quoted).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError):
        return _tidy(_read_carefully(source, separator, names, quoted))
    last = frame.columns[-1]
    if frame[last].null_count() and _is_uneven(source, separator, frame.width, quoted):
        return _tidy(_read_carefully(source, separator, names, quoted))
    first = 1 if names else 2
    return _tidy(FileTable(source.path, frame, rows_are_lines(first), is_typed=False))


def _scan(source: Source, separator: str, names: Sequence[str] | None, quoted: bool) -> pl.LazyFrame:
    return pl.scan_csv(
        source.content,
        separator=separator,
        has_header=names is None,
        new_columns=None if names is None else list(names),
        quote_char='"' if quoted else None,
        infer_schema=False,
        glob=False,
    )


def _is_uneven(source: Source, separator: str, width: int, quoted: bool) -> bool:
    """Return whether the separators of some line do not make `width` fields (or a quoted field spans lines)."""
    line = pl.col("line").str.replace_all(_QUOTED, "") if quoted else pl.col("line")
    fields = line.str.count_matches(separator, literal=True) + 1
    odd = (fields != width) & (pl.col("line").str.len_bytes() > 0)
    return bool(pl.scan_lines(source.content, glob=False).select(odd.any()).collect(engine="streaming").item())


def _read_carefully(source: Source, separator: str, names: Sequence[str] | None, quoted: bool) -> FileTable:
    """Read record by record; keep those with as many fields as the header, and report the others."""
    try:
        return _assemble(source, names, _records(source, separator, quoted))
    except csv.Error as error:
        line = int(str(error.args[-1]))
        if separator == "\t":  # Most programs that write tabs write quotation marks as they are.
            return _assemble(source, names, _records(source, separator, quoted=False))
        raise failure(
            source.path,
            "a quotation mark opens a field here and is not closed, or stands undoubled inside it",
            'Write a quotation mark inside a quoted field twice (""), and close the field.',
            line=line,
        ) from error


def _records(source: Source, separator: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record starts, and its fields."""
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = (line + "\n" for line in source.lines())
    reader = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
    start = 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise csv.Error(str(error), start) from error
        if fields is None:
            return
        if fields:
            yield start, fields
        start = reader.line_num + 1


def _assemble(source: Source, names: Sequence[str] | None, records: Iterator[tuple[int, list[str]]]) -> FileTable:
    """Turn records into a frame, in blocks, since a list of Python strings takes ten times their memory."""
    header = list(names) if names is not None else next(records)[1]
    width = len(header)
    blocks: list[pl.DataFrame] = []
    block: list[list[str]] = []
    lines: list[int] = []
    uneven: list[tuple[int, int]] = []
    for line, fields in records:
        if len(fields) != width:
            uneven.append((line, len(fields)))
            continue
        block.append(fields)
        lines.append(line)
        if len(block) == _BLOCK:
            blocks.append(_frame(block, header))
            block = []
    blocks.append(_frame(block, header))
    findings = (_uneven(source, uneven, width),) if uneven else ()
    return FileTable(source.path, pl.concat(blocks), lines_at(np.array(lines, np.int64)), is_typed=False, findings=findings)


def _frame(rows: list[list[str]], header: Sequence[str]) -> pl.DataFrame:
    schema = dict.fromkeys(header, pl.String)
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(pl.all().replace("", None))


def _split_lines(source: Source, separator: str, names: Sequence[str] | None) -> FileTable:
    """Read a table whose fields stand between two or more characters."""
    lines = source.lines()
    header = list(names) if names is not None else lines[0].split(separator)
    body = lines if names is not None else lines[1:]
    first = 1 if names is not None else 2
    frame = body.to_frame("line").with_row_index("at").filter(pl.col("line") != "")
    fields = frame["line"].str.count_matches(separator, literal=True) + 1
    right = fields == len(header)
    at = frame["at"].to_numpy().astype(np.int64) + first
    uneven = [(int(line), int(count)) for line, count in zip(at[~right.to_numpy()], fields.filter(~right), strict=True)]
    parts = frame.filter(right)["line"].str.splitn(separator, len(header)).struct.unnest()
    parts.columns = header
    return FileTable(
        source.path,
        parts.with_columns(pl.all().replace("", None)),
        lines_at(at[right.to_numpy()]),
        is_typed=False,
        findings=(_uneven(source, uneven, len(header)),) if uneven else (),
    )


def _uneven(source: Source, uneven: list[tuple[int, int]], width: int) -> Finding:
    line, count = uneven[0]
    text = source.lines()[line - 1]
    others = and_others([number for number, _ in uneven[:EXAMPLES]], len(uneven))
    problem = f"{text[:80]!r} has {count} fields, not {width}{others}"
    remedy = "Give every line as many fields as the header, with quotation marks around a field that holds the separator."
    return Finding("error", str(source.path), line, None, text[:80], problem, remedy)


def _tidy(raw: FileTable) -> FileTable:
    """Take blanks off the column names, and out the nameless column that pandas writes for its index."""
    names = {name: name.strip() for name in raw.frame.columns}
    return raw.with_frame(raw.frame.select(pl.col(old).alias(new) for old, new in names.items() if new))
