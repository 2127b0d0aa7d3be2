"""Parquet files."""

from __future__ import annotations

from typing import Final

import polars as pl

from genre.data.findings import failure
from genre.data.readers.file_table import FileTable, rows_are_lines
from genre.data.readers.sources import Source

_MAGIC: Final = b"PAR1"


def read_parquet(source: Source) -> FileTable:
    """Read a Parquet file.

    Raises:
        DataError: The file is cut off or damaged.
    """
    try:
        frame = pl.scan_parquet(source.path, glob=False).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        with source.path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - len(_MAGIC)))
            whole = stream.read() == _MAGIC
        problem = (
            f"the Parquet file is damaged ({error})" if whole else f"the Parquet file ends too early, at {size:,} bytes"
        )
        raise failure(source.path, problem, "Copy or export it again.") from error
    return FileTable(source.path, frame, rows_are_lines(1), unit="row")
