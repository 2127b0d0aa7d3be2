"""Everything that is wrong or odd in the files of a data set, with file, line, column and value."""

from __future__ import annotations

from genre.core.errors import ConfigError
from genre.data.aliases import ID_COLUMNS, TableName
from genre.data.columns import EVENT, ITEM_ID, POSITION, TIMESTAMP, USER_ID
from genre.data.findings import Finding
from genre.data.readers import FilesConfig, Loaded, load_files
from genre.data.readers.file_table import FileTable
from genre.data.readers.times import EARLIEST, LATEST
from genre.data.roles import deduce_roles, shape_columns

__all__ = ["Finding", "check_files"]

_CLEANED = "Cleaning drops such events (`clean.times`)."


def check_files(config: FilesConfig) -> list[Finding]:
    """Read the files as `read_tables` does, go on past errors, and look for what is readable and still odd.

    Returns:
        One finding for each kind of trouble in each file: the first place, how often, and what to do. Empty where all
        is well.
    """
    loaded = load_files(config)
    findings = list(loaded.findings)
    for part in loaded.parts["interactions"]:
        findings += _times(part, "interactions") + _repeated_events(part)
    for part in loaded.parts["impressions"]:
        findings += _times(part, "impressions")
    for table, column in ID_COLUMNS.items():
        for part in loaded.parts[table]:
            findings += _repeated_ids(part, column)
        findings += _unknown(loaded, table, column)
    findings += _too_few(loaded)
    return findings + _roles(loaded, config)


def _times(part: FileTable, table: TableName) -> list[Finding]:
    """Find times before 1971 and after 2100, where those are that are not in the column's unit."""
    if TIMESTAMP not in part.frame.columns:
        return []
    seconds = part.frame[TIMESTAMP]
    findings = []
    early, late = (seconds < EARLIEST).fill_null(value=False), (seconds > LATEST).fill_null(value=False)
    if early.any():
        column = part.names.get(TIMESTAMP, TIMESTAMP)
        all_early = early.sum() == seconds.count() > 1
        order = f"If they are a running number, set `columns: {{{table}: {{{POSITION}: {column}}}}}`."
        findings.append(part.finding("error", early, TIMESTAMP, "is before 1971", order if all_early else _CLEANED))
    milliseconds = late & (seconds // 1000).is_between(EARLIEST, LATEST).fill_null(value=False)
    if milliseconds.any():
        problem = "is in milliseconds, and most of the column's times are in seconds"
        findings.append(part.finding("error", milliseconds, TIMESTAMP, problem, f"Divide it by 1000. {_CLEANED}"))
    if (late & ~milliseconds).any():
        findings.append(part.finding("error", late & ~milliseconds, TIMESTAMP, "is after 2100", _CLEANED))
    return findings


def _repeated_events(part: FileTable) -> list[Finding]:
    when = TIMESTAMP if TIMESTAMP in part.frame.columns else POSITION
    keys = [name for name in (USER_ID, ITEM_ID, when, EVENT) if name in part.frame.columns]
    again = ~part.frame.select(keys).hash_rows().is_first_distinct()  # Compares 64 bits in place of texts.
    if not again.any():
        return []
    same = " and ".join(keys[:1] + keys[2:])
    problem = f"is there before with the same {same}"
    return [part.finding("warning", again, ITEM_ID, problem, "Set `clean.duplicates` to what such events mean.")]


def _repeated_ids(part: FileTable, column: str) -> list[Finding]:
    again = ~part.frame[column].is_first_distinct()
    if not again.any():
        return []
    return [part.finding("warning", again, column, "is there before; the first row counts", "Take the others out.")]


def _unknown(loaded: Loaded, table: TableName, column: str) -> list[Finding]:
    """Find ids of the log that the table does not have: the first place, and how many in all."""
    known = loaded.table(table)
    log = loaded.table("interactions")
    if known is None or log is None:
        return []
    ids = log[column].unique()
    missing = ids.filter(~ids.is_in(known[column].implode()))
    if missing.is_empty():
        return []
    part = next(part for part in loaded.parts["interactions"] if part.frame[column].is_in(missing.implode()).any())
    at = part.frame[column].is_in(missing.implode())
    first = at & (at.cum_sum() == 1)
    problem = f"is not in the {table} file; {len(missing):,} of {len(ids):,} ids in the log are not"
    if len(missing) == len(ids):
        remedy = f"The files name {table} differently: see `columns.{table}.{column}`."
        return [part.finding("error", first, column, problem, remedy)]
    return [part.finding("warning", first, column, problem, "They are used without what the file says of others.")]


def _too_few(loaded: Loaded) -> list[Finding]:
    log = loaded.table("interactions")
    if log is None or log.is_empty():
        return []
    counts = {"event": len(log), "user": log[USER_ID].n_unique(), "item": log[ITEM_ID].n_unique()}
    file = str(loaded.parts["interactions"][0].path)
    return [
        Finding("warning", file, None, None, None, f"the log has 1 {name}", "No model can learn from so little.")
        for name, count in counts.items()
        if count == 1
    ]


def _roles(loaded: Loaded, config: FilesConfig) -> list[Finding]:
    """Find roles that do not fit the columns."""
    given = {"items": ("data.item_columns", config.item_columns), "users": ("data.user_columns", config.user_columns)}
    findings = []
    for table, column in ID_COLUMNS.items():
        frame, (place, roles) = loaded.table(table), given[table]
        if frame is None:
            continue
        try:
            shape_columns(frame, deduce_roles(frame, column) if roles is None else roles, place)
        except ConfigError as error:
            file = str(loaded.parts[table][0].path)
            problem = f"{error.problem} (`{error.place}`)"
            findings.append(Finding("error", file, None, None, None, problem, error.remedy or ""))
    return findings
