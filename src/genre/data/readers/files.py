"""The files of a data set: where they are, how they are read, and what came out."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, ParamSpec, TypeAlias, TypeVar

import polars as pl
from pydantic import Field, field_validator, model_validator

from genre.core.config import Config
from genre.data.aliases import TABLES, TableName
from genre.data.findings import Finding, FindingError, Severity, failure
from genre.data.readers import mind
from genre.data.readers.file_table import FileTable
from genre.data.readers.layouts import Format, format_of, read_source
from genre.data.readers.sources import UTF8, Source, open_source
from genre.data.readers.standard import standardise
from genre.data.roles import ColumnRoles
from genre.data.tables import Tables

Paths: TypeAlias = Path | tuple[Path, ...]
T = TypeVar("T")
Arguments = ParamSpec("Arguments")


class FilesConfig(Config):
    """Data in files. Ids are read as text; which column means what is recognised by its name."""

    kind: Literal["files"] = "files"
    interactions: Paths
    """Who did what, one row an event; several files are read one after the other."""
    items: Paths | None = None
    """The catalogue: an id and any columns of text, labels, numbers or pictures."""
    users: Paths | None = None
    """What is known of users."""
    impressions: Paths | None = None
    """What was shown, one row an item shown. MIND's `behaviors.tsv` holds these too and needs no second mention."""
    format: Literal["auto"] | Format = "auto"
    """Layout of all files. `auto`, the default, recognises each by its name and its first lines."""
    separator: str | None = Field(default=None, min_length=1)
    """Between the fields of a text table. None, the default, is the one that stands most often in the first line."""
    encoding: str = UTF8
    """Of text files: `utf-8`, `gb18030`, `latin-1`, `utf-16`, ..."""
    columns: dict[TableName, dict[str, str]] = Field(default_factory=dict)
    """Which column means what, by table, where the name does not tell: `{interactions: {user_id: viewer, timestamp:
    seen_at}}`. Other names rename a column."""
    item_columns: ColumnRoles | None = None
    """What the items' columns are good for; those not named are not used. None, the default, deduces it."""
    user_columns: ColumnRoles | None = None
    """The same for users."""
    bad_rows: Literal["error", "drop"] = "error"
    """What to do about rows that cannot be read: a missing id, a text in place of a number, too many fields. `error`,
    the default, stops; `drop` leaves them out and says how many."""

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            name = codecs.lookup(encoding).name
        except LookupError:
            raise ValueError(f"{encoding!r} is no encoding that Python knows; try utf-8, gb18030 or latin-1") from None
        return UTF8 if name in (UTF8, "ascii", "utf-8-sig") else name

    @model_validator(mode="after")
    def _means_something(self) -> FilesConfig:
        if self.separator is not None and self.format not in ("auto", "csv", "tsv"):
            raise ValueError(f"`separator` has no meaning in files of format {self.format!r}; leave it out")
        for table in self.columns:
            if not self.paths(table):
                raise ValueError(f"`columns.{table}` is set, and `{table}` is not; name the file or leave it out")
        return self

    def paths(self, *tables: TableName) -> tuple[Path, ...]:
        """Return the files of these tables, by default of all."""
        given: list[Paths | None] = [getattr(self, table) for table in tables or TABLES]
        return tuple(path for paths in given if paths for path in (paths if isinstance(paths, tuple) else (paths,)))


@dataclass(frozen=True, eq=False)
class Loaded:
    """What could be read, and all that was found on the way."""

    parts: Mapping[TableName, Sequence[FileTable]]
    """The files of each table, under Genre's names and without the rows that are wrong."""
    findings: tuple[Finding, ...]

    def table(self, name: TableName) -> pl.DataFrame | None:
        """Return all rows of a table, or None where it was not set or not read."""
        return joined(self.parts[name]) if self.parts[name] else None


def joined(parts: Sequence[FileTable]) -> pl.DataFrame:
    """Return the rows of all parts, one or more; a column that only some of them have is null in the others."""
    return parts[0].frame if len(parts) == 1 else pl.concat([part.frame for part in parts], how="diagonal_relaxed")


def read_tables(config: FilesConfig) -> Tables:
    """Read all files.

    Raises:
        DataError: A file cannot be read, a needed column is missing or, unless `bad_rows` is `drop`, a row is wrong.
            The message names the file, the line, the column, the value and the remedy.
    """
    loaded = load_files(config)
    for finding in loaded.findings:
        if finding.severity == "error":
            raise FindingError(finding)
    return Tables(
        interactions=joined(loaded.parts["interactions"]),
        items=loaded.table("items"),
        users=loaded.table("users"),
        impressions=loaded.table("impressions"),
        notices=tuple(map(str, loaded.findings)),
    )


def read_items(path: Path) -> pl.DataFrame:
    """Read a catalogue's file, in any layout, under Genre's names.

    Raises:
        DataError: The file cannot be read, has no column of ids, or a row is wrong.
    """
    return _read_alone(path, "items")


def read_impressions(path: Path) -> pl.DataFrame:
    """Read what was shown, in any layout, as in `Tables.impressions`.

    Raises:
        DataError: The file cannot be read, lacks lists, items or clicks, or a row is wrong.
    """
    return _read_alone(path, "impressions")


def _read_alone(path: Path, table: TableName) -> pl.DataFrame:
    source = open_source(path)
    raw, known = read_source(source, table, format_of(source), None)
    part = standardise(raw, table, known)
    for finding in part.findings:
        if finding.severity == "error":
            raise FindingError(finding)
    return part.frame


def load_files(config: FilesConfig) -> Loaded:
    """Read what can be read, and go on past errors, which are among the findings."""
    sources: dict[TableName, list[Source]] = {}
    findings: list[Finding] = []
    for table in TABLES:
        opened = [_attempt(open_source, findings, path, config.encoding) for path in config.paths(table)]
        sources[table] = [source for source in opened if source is not None]
    if findings:
        return Loaded(dict.fromkeys(TABLES, ()), tuple(findings))
    if not sources["impressions"]:
        sources["impressions"] = [source for source in sources["interactions"] if _format(source, config) == "mind"]
    parts = {table: _read_table(table, sources[table], config, findings) for table in TABLES}
    return Loaded(parts, tuple(dict.fromkeys(findings)))  # MIND's pages are looked at twice.


def _format(source: Source, config: FilesConfig) -> Format:
    if config.format != "auto":
        return config.format
    found = format_of(source)
    return "csv" if config.separator is not None and found not in ("jsonl", "amazon", "parquet") else found


def _read_table(
    table: TableName, sources: Sequence[Source], config: FilesConfig, findings: list[Finding]
) -> list[FileTable]:
    """Read the files of one table; add what was found to `findings`."""
    parts: list[FileTable] = []
    pages: list[FileTable] = []
    for source in sources:
        raw = _attempt(_read_part, findings, source, table, config)
        if raw is not None:
            (pages if mind.is_pages(raw) else parts).append(raw)
    if pages:
        parts.append(mind.events_of(pages) if table == "interactions" else mind.impressions_of(pages))
    for part in parts:
        findings += [_judged(finding, config) for finding in part.findings]
        if part.frame.is_empty():
            severity: Severity = "error" if table == "interactions" else "warning"
            file = str(part.path)
            findings.append(Finding(severity, file, None, None, None, "the file holds no rows", "Export it again."))
    return parts


def _read_part(source: Source, table: TableName, config: FilesConfig) -> FileTable:
    form, mapping = _format(source, config), config.columns.get(table, {})
    raw, known = read_source(source, table, form, config.separator)
    if not mind.is_pages(raw):
        return standardise(raw, table, {**known, **mapping})
    if mapping:
        raise failure(source.path, f"`columns.{table}` is {mapping!r}, and MIND's columns are fixed", "Leave it out.")
    return raw


def _judged(finding: Finding, config: FilesConfig) -> Finding:
    """Return a finding about rows as `bad_rows` has it."""
    if finding.severity != "error":
        return finding
    if config.bad_rows == "drop":
        return replace(finding, severity="warning", remedy="Left out, as `data.bad_rows` says.")
    return replace(finding, remedy=f"{finding.remedy} Or set `data.bad_rows: drop` to do without such rows.")


def _attempt(
    function: Callable[Arguments, T], findings: list[Finding], *arguments: Arguments.args, **named: Arguments.kwargs
) -> T | None:
    """Call; where a file cannot be read, keep what was found and return None."""
    try:
        return function(*arguments, **named)
    except FindingError as error:
        findings.append(error.finding)
        return None
