"""JSON lines: one object a line.

As with text tables, Polars reads fast, and a slow reader that counts lines takes over where it fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.data.findings import Finding, and_others, failure
from genre.data.readers.file_table import FileTable, lines_at
from genre.data.readers.sources import Source

_GLOB: Final = frozenset("*?[")


def read_jsonl(
    source: Source, keys: Sequence[str] | None = None, *, parse: Callable[[str], Any] = json.loads
) -> FileTable:
    """Read one object a line.

    Args:
        source: The file.
        keys: Read only these, as String whatever they hold (a list as JSON text). By default all keys that occur
            anywhere, in the type that fits all their values.
        parse: What makes an object of a line; with another than JSON's, Polars is not tried.

    Raises:
        DataError: The file is no JSON lines.
    """
    first = source.head[0].lstrip() if source.head else ""
    if first.startswith("["):
        raise failure(
            source.path,
            "the file is one JSON list, not one object a line",
            f"Write the objects one a line: `jq -c '.[]' {source.path.name}`.",
            line=1,
        )
    if parse is json.loads:
        try:
            return FileTable(source.path, _scan(source, keys).collect(engine="streaming"), _filled_lines(source))
        except (pl.exceptions.PolarsError, OSError):
            pass  # The slow reader finds out why, or reads what Polars cannot.
    return _read_carefully(source, keys, parse)


def _scan(source: Source, keys: Sequence[str] | None) -> pl.LazyFrame:
    content = source.content
    if isinstance(content, bytes) or _GLOB & set(str(content)):  # In a path Polars would take these for patterns.
        content = content if isinstance(content, bytes) else content.read_bytes()
    if keys is None:
        return pl.scan_ndjson(content, infer_schema_length=None)
    return pl.scan_ndjson(content, schema=dict.fromkeys(keys, pl.String))


def _filled_lines(source: Source) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """Return the numbering of records by the lines that are not blank."""

    def number(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        filled = (source.lines().str.strip_chars() != "").arg_true().to_numpy().astype(np.int64)
        return filled[rows] + 1

    return number


def _read_carefully(source: Source, keys: Sequence[str] | None, parse: Callable[[str], Any]) -> FileTable:
    """Read line by line; keep the objects, and report the lines that are none."""
    records: list[Mapping[str, Any]] = []
    lines: list[int] = []
    wrong: list[int] = []
    text = source.lines()
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        record = _object(line, parse)
        if record is None:
            wrong.append(number)
        else:
            records.append(record)
            lines.append(number)
    names = list(dict.fromkeys(key for record in records for key in record)) if keys is None else keys
    frame = pl.DataFrame([_column(name, [record.get(name) for record in records], keys is not None) for name in names])
    findings = (_no_object(source, wrong, text),) if wrong else ()
    return FileTable(source.path, frame, lines_at(np.array(lines, np.int64)), findings=findings)


def _object(line: str, parse: Callable[[str], Any]) -> Mapping[str, Any] | None:
    try:
        record = parse(line)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # `ast.literal_eval` may raise any of these.
        return None
    return record if isinstance(record, dict) else None


def _column(name: str, values: list[Any], as_text: bool) -> pl.Series:
    """Return the values in their common type; as text where they have none."""
    if not as_text:
        try:
            return pl.Series(name, values, strict=True)
        except (TypeError, pl.exceptions.PolarsError):
            pass  # Their types differ.
    return pl.Series(name, [_as_text(value) for value in values], dtype=pl.String)


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _no_object(source: Source, wrong: list[int], text: pl.Series) -> Finding:
    line, value = wrong[0], text[wrong[0] - 1][:80]
    problem = f"{value!r} is not a JSON object{and_others(wrong, len(wrong))}"
    return Finding("error", str(source.path), line, None, value, problem, "Write one whole JSON object on each line.")
