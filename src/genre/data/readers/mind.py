"""MIND, Microsoft's news data: `behaviors.tsv` (what was shown and clicked) and `news.tsv`.

Fangzhao Wu et al.: MIND: A Large-scale Dataset for News Recommendation. ACL 2020.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from genre.data.columns import CLICKED, ITEM_ID, LIST_ID, POSITION, PROPENSITY, TIMESTAMP, USER_ID
from genre.data.findings import Finding
from genre.data.readers.delimited import read_delimited
from genre.data.readers.file_table import FileTable
from genre.data.readers.sources import Source

_BEHAVIOURS: Final = ("impression_id", USER_ID, "time", "history", "impressions")
_NEWS: Final = (ITEM_ID, "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
_TIME: Final = "%m/%d/%Y %I:%M:%S %p"
_SHOWN_ITEMS: Final = r"^(\S+-[01](\s+|$))+$"


def is_behaviours(line: str) -> bool:
    """Return whether a line is one of `behaviors.tsv`: its last field lists items with 0 or 1."""
    fields = line.split("\t")
    return len(fields) == len(_BEHAVIOURS) and re.match(_SHOWN_ITEMS, fields[-1]) is not None


def read_news(source: Source) -> FileTable:
    """Return the articles, without links and entity codes."""
    raw = read_delimited(source, "\t", names=_NEWS, quoted=False)
    return raw.with_frame(raw.frame.select(_NEWS[:5]))


def read_behaviours(source: Source) -> FileTable:
    """Return one row for each page that was shown."""
    return read_delimited(source, "\t", names=_BEHAVIOURS, quoted=False)


def is_pages(table: FileTable) -> bool:
    """Return whether a table is one of `read_behaviours`."""
    return tuple(table.frame.columns) == _BEHAVIOURS


def events_of(parts: Sequence[FileTable]) -> FileTable:
    """Return the interactions: each user's history as it first stands (its times are not known), then the clicks."""
    pages, findings = _pages(parts)
    first = pages.unique(USER_ID, keep="first", maintain_order=True)
    history = first.select(USER_ID, pl.col("history").str.split(" ").alias(ITEM_ID)).explode(ITEM_ID)
    earlier = history.filter(pl.col(ITEM_ID) != "").with_columns(pl.lit(None, pl.Int64).alias(TIMESTAMP))
    clicks = _shown(pages).filter(CLICKED).select(USER_ID, ITEM_ID, TIMESTAMP)
    return FileTable(parts[0].path, pl.concat([earlier, clicks]), None, findings=findings)


def impressions_of(parts: Sequence[FileTable]) -> FileTable:
    """Return the impressions, without propensities, which MIND does not tell."""
    pages, findings = _pages(parts)
    shown = _shown(pages).with_columns(pl.lit(None, pl.Float64).alias(PROPENSITY))
    frame = shown.select(LIST_ID, USER_ID, ITEM_ID, TIMESTAMP, POSITION, CLICKED, PROPENSITY)
    return FileTable(parts[0].path, frame, None, findings=findings)


def _pages(parts: Sequence[FileTable]) -> tuple[pl.DataFrame, tuple[Finding, ...]]:
    """Return all pages, oldest first, with a time in seconds and a list id that no two files share."""
    frames: list[pl.DataFrame] = []
    findings = [finding for part in parts for finding in part.findings]
    for number, raw in enumerate(parts):
        time = raw.frame["time"].str.to_datetime(_TIME, strict=False, time_unit="us").dt.epoch("s")
        left_out = blank = raw.frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        labelled = raw.frame["impressions"].str.contains(_SHOWN_ITEMS).fill_null(value=False)
        checks = (
            ("time", time.is_null(), "is not a time like 11/15/2019 8:55:22 AM", "Correct it."),
            (USER_ID, raw.frame[USER_ID].is_null(), "is not an id", "Fill it in, or take the row out."),
            ("impressions", ~labelled, "has items without -0 or -1", "Use files that tell what was clicked."),
        )
        for column, mask, problem, remedy in checks:
            wrong = mask & ~blank
            if wrong.any():
                findings.append(raw.finding("error", wrong, column, problem, remedy))
                left_out = left_out | wrong
        list_id = pl.col("impression_id") if len(parts) == 1 else pl.format(f"{number}-{{}}", "impression_id")
        frames.append(raw.frame.with_columns(list_id.alias(LIST_ID), time.alias(TIMESTAMP)).filter(~left_out))
    return pl.concat(frames).sort(TIMESTAMP, maintain_order=True), tuple(findings)


def _shown(pages: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each item shown."""
    lists = pages.select(LIST_ID, USER_ID, TIMESTAMP, pl.col("impressions").str.split(" ").alias("shown"))
    place = pl.int_ranges(pl.col("shown").list.len(), dtype=pl.Int64).alias(POSITION)
    items = lists.with_columns(place).explode("shown", POSITION).filter(pl.col("shown") != "")
    return items.with_columns(
        pl.col("shown").str.replace(r"-[01]$", "").alias(ITEM_ID), pl.col("shown").str.ends_with("-1").alias(CLICKED)
    )
