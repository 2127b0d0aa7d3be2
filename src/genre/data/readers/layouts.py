"""The files of well-known data sets, recognised by name or content: RecBole's and MovieLens' here, others beside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import polars as pl

from genre.core.errors import DataError
from genre.data.aliases import TableName
from genre.data.columns import ITEM_ID, TIMESTAMP, USER_ID, VALUE
from genre.data.findings import failure
from genre.data.readers import amazon, mind
from genre.data.readers.delimited import find_separator, read_delimited
from genre.data.readers.file_table import FileTable
from genre.data.readers.jsonl import read_jsonl
from genre.data.readers.parquet import read_parquet
from genre.data.readers.sources import Source, open_source

Format: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet", "recbole", "movielens", "amazon", "mind"]
Mapped: TypeAlias = tuple[FileTable, dict[str, str]]
"""A table, and what its columns mean where the layout knows (Genre's name to the file's)."""


@dataclass(frozen=True)
class _MovieLensFile:
    separator: str
    columns: tuple[str, ...]


_FILM_KINDS: Final = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_FILM_MARKS: Final = tuple(f"is {kind}" for kind in _FILM_KINDS)
_RATING: Final = (USER_ID, ITEM_ID, VALUE, TIMESTAMP)
_MOVIELENS: Final[Mapping[str, _MovieLensFile]] = {
    "u.data": _MovieLensFile("\t", _RATING),
    "u.item": _MovieLensFile("|", (ITEM_ID, "title", "release_date", "video_release_date", "imdb_url", *_FILM_MARKS)),
    "u.user": _MovieLensFile("|", (USER_ID, "age", "gender", "occupation", "zip_code")),
    "ratings.dat": _MovieLensFile("::", _RATING),
    "movies.dat": _MovieLensFile("::", (ITEM_ID, "title", "genres")),
    "users.dat": _MovieLensFile("::", (USER_ID, "gender", "age", "occupation", "zip_code")),
}
_MOVIELENS_CONTENT: Final = {
    "u.data": re.compile(r"\d+\t\d+\t\d+\t\d+"),
    "ratings.dat": re.compile(r"\d+::\d+::[\d.]+::\d+"),
}
_MOVIELENS_CSV: Final = {"ratings.csv": "userId,movieId,", "movies.csv": "movieId,title,"}
_RECBOLE_HEADER: Final = re.compile(r"\w+:(token|float)(_seq)?(\t|$)")
_READABLE: Final = re.compile(r"title|name|text|description|summary|review|abstract")


def format_of(source: Source) -> Format:
    """Recognise a file by its content where that is clear, by its name otherwise."""
    if source.is_parquet:
        return "parquet"
    line = source.head[0] if source.head else ""
    if line.lstrip().startswith(("{", "[")):
        return "amazon" if amazon.is_amazon(line.lstrip()) else "jsonl"
    if _RECBOLE_HEADER.match(line):
        return "recbole"
    if _movielens_file(source) is not None:
        return "movielens"
    if source.name == "news.tsv" or mind.is_behaviours(line):
        return "mind"
    return "tsv" if source.name.endswith((".tsv", ".tab")) else "csv"


def read_source(source: Source, table: TableName, form: Format, separator: str | None = None) -> Mapped:
    """Read a file in the given format.

    Raises:
        DataError: The file is not in this format, or damaged.
    """
    if source.is_parquet != (form == "parquet"):
        found = "is Parquet" if source.is_parquet else "is no Parquet file"
        raise failure(source.path, f"the file {found}, and the format is {form!r}", "Set `data.format: auto`.")
    if not source.is_parquet and not source.head:
        raise failure(source.path, "the file holds nothing but blank lines", "Export it again.")
    if form in ("csv", "tsv"):
        found = "\t" if form == "tsv" else find_separator(source.head)
        return read_delimited(source, separator or found), {}
    if form == "jsonl":
        return read_jsonl(source), {}
    if form == "parquet":
        return read_parquet(source), {}
    if form == "recbole":
        return _read_recbole(source), {}
    if form == "movielens":
        return _read_movielens(source, table), {}
    if form == "amazon":
        return amazon.read_products(source) if table == "items" else amazon.read_reviews(source)
    return (mind.read_news(source) if table == "items" else mind.read_behaviours(source)), {}


def _read_recbole(source: Source) -> FileTable:
    """Read a header like `user_id:token title:token_seq price:float`, in which a sequence has blanks between parts."""
    raw = read_delimited(source, "\t", quoted=False)
    columns = []
    for header in raw.frame.columns:
        name, _, kind = header.partition(":")
        cell = pl.col(header)
        if kind == "float_seq":
            cell = cell.str.split(" ").cast(pl.List(pl.Float64), strict=False)
        elif kind == "token_seq" and not _READABLE.search(name.lower()):
            cell = cell.str.split(" ")
        columns.append(cell.alias(name))
    return raw.with_frame(raw.frame.select(columns))


def _movielens_file(source: Source) -> str | None:
    line = source.head[0] if source.head else ""
    if source.name in _MOVIELENS or (source.name in _MOVIELENS_CSV and line.startswith(_MOVIELENS_CSV[source.name])):
        return source.name
    return next((name for name, pattern in _MOVIELENS_CONTENT.items() if pattern.fullmatch(line)), None)


def _read_movielens(source: Source, table: TableName) -> FileTable:
    name = _movielens_file(source)
    if name is None:
        raise failure(
            source.path,
            f"{source.path.name!r} is no file of MovieLens",
            f"Its files are {', '.join([*_MOVIELENS, *_MOVIELENS_CSV])}; or set `data.format: auto`.",
        )
    if name in _MOVIELENS_CSV:
        raw = read_delimited(source, ",")
        return raw.with_frame(raw.frame.with_columns(pl.col(pl.String).replace("(no genres listed)", None)))
    layout = _MOVIELENS[name]
    source = source if table == "interactions" else _readable(source)
    raw = read_delimited(source, layout.separator, names=layout.columns, quoted=False)
    frame = raw.frame
    if name == "u.item":
        kinds = zip(_FILM_MARKS, _FILM_KINDS, strict=True)
        marks = [pl.when(pl.col(mark) == "1").then(pl.lit(kind)) for mark, kind in kinds]
        frame = frame.select(ITEM_ID, "title", "release_date", pl.concat_list(marks).list.drop_nulls().alias("genres"))
    return raw.with_frame(frame)


def _readable(source: Source) -> Source:
    """Return the source in latin-1, the encoding of the older releases, where it is not UTF-8."""
    try:
        source.lines()
    except DataError:
        return open_source(source.path, "latin-1")
    return source
