"""What the columns of a table are good for: words, labels, numbers or pictures.

A column's name decides where it is one of the usual ones, its cells otherwise.
"""

from __future__ import annotations

import difflib
import re
from typing import Final, Literal, TypeAlias

import polars as pl
from pydantic import model_validator

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.data.aliases import normal_name
from genre.data.cells import as_text, ids, numbers, typed, without
from genre.data.dataset import Roles

Role: TypeAlias = Literal["text", "category", "number", "image"]

SEPARATORS: Final = (" > ", "|", ";", "；", "、", " / ", ",", "，")
"""Between labels in one cell; of two that fit alike, the first."""
_SAMPLE: Final = 20_000
_MIN_SHARE, _MIN_RECURRENCE, _LONGEST_LABEL = 0.1, 0.5, 40
"""A separator stands in a tenth of the different cells; half of the labels between come again; they are short. Tried
on eight catalogues: lists of keywords score .52 and more, titles with commas .45 and less."""
_CHINESE_PHRASE: Final = r"[\u4e00-\u9fff].*[\u4e00-\u9fff]{5}"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TITLES: Final = _words("title name productname itemname headline subject 标题 名称 片名 书名 商品名称 商品名")
_TEXTS: Final = _words(
    "description desc abstract summary overview plot synopsis tagline text body content features caption about bio "
    "review details 描述 简介 摘要 内容 正文 剧情 剧情简介"
)
_LABELS: Final = _words(
    "genre genres category categories maincategory subcategory tag tags keyword keywords brand brands store stores "
    "author authors artist artists director directors actor actors cast publisher studio country countries language "
    "languages color colour size material type class department topic topics section gender sex occupation job city "
    "state region province market segment agegroup 类别 分类 类目 类型 标签 关键词 品牌 作者 导演 演员 主演 歌手 国家 "
    "地区 语言 颜色 性别 职业 城市 省份"
)
_CODES: Final = _words("url uri link href isbn ean upc gtin sku asin id ids zip zipcode postcode phone email hash uuid")
_WORDS: Final = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
_IMAGE_FILE: Final = r"(?i)^\S+\.(jpe?g|png|webp|gif|bmp)$"
_LINK: Final = r"(?i)^(https?|ftp)://"
_DATE: Final = r"^(\d{4}[-/年]\d{1,2}|\d{1,2}-[A-Z][a-z]{2}-\d{4}|\d{1,2}/\d{1,2}/\d{4})"


class ColumnRoles(Config):
    """What each column is good for. A column that is not named is kept and not used."""

    text: tuple[str, ...] = ()
    """Words to read; the first is the title."""
    category: tuple[str, ...] = ()
    """One label a cell, or several."""
    number: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    """Paths of pictures."""
    separator: str | dict[str, str] | None = None
    """What parts the labels in a cell: for all category columns, or by column. None, the default, looks in each for
    one of `SEPARATORS`; "" keeps cells whole."""

    @model_validator(mode="after")
    def _one_role_each(self) -> ColumnRoles:
        named = [*self.text, *self.category, *self.number, *self.image]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"column {twice!r} has two roles; leave it in one")
        if isinstance(self.separator, dict) and (stray := set(self.separator) - set(self.category)):
            raise ValueError(f"`separator` names {sorted(stray)[0]!r}, which is no `category` column")
        return self

    def as_roles(self) -> Roles:
        """Return the columns alone."""
        return Roles(self.text, self.category, self.number, self.image)


def deduce_roles(table: pl.DataFrame, id_column: str) -> ColumnRoles:
    """Deduce what the columns are good for, the title first among the texts.

    Text: long, or of many different words. Category: lists, or labels that come again and again. Number: numbers.
    Image: names of image files. Codes, links and dates have no role.
    """
    found: dict[Role, list[str]] = {"text": [], "category": [], "number": [], "image": []}
    for name in table.columns:
        role = None if name == id_column else deduce_role(table[name])
        if role is not None:
            found[role].append(name)
    texts = sorted(found["text"], key=lambda name: not _is_title(normal_name(name)))
    return ColumnRoles(
        text=tuple(texts), category=tuple(found["category"]), number=tuple(found["number"]), image=tuple(found["image"])
    )


def deduce_role(column: pl.Series) -> Role | None:
    """Deduce what one column is good for, None where nothing is plain."""
    name = normal_name(column.name)
    cells = column.drop_nulls().head(_SAMPLE)
    if cells.is_empty() or _is_code(column.name):
        return None
    if isinstance(cells.dtype, pl.List):
        return "category" if _innermost(cells.dtype) in (pl.String, pl.Categorical) else None
    if cells.dtype == pl.Boolean:
        return "category"
    if cells.dtype.is_numeric():
        return "category" if name in _LABELS else "number"
    if cells.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    return _role_of_text(name, cells.cast(pl.String).str.strip_chars())


def shape_columns(table: pl.DataFrame, roles: ColumnRoles, place: str) -> pl.DataFrame:
    """Bring the columns into the form that the rest of Genre expects, the others unchanged.

    Text: String. Category: lists of String. Number: Float64. Image: String. Blank cells are null.

    Raises:
        ConfigError: A named column does not exist, or does not hold what it is said to hold.
    """
    _require_columns(table, roles, place)
    columns = {name: _text(table[name]) for name in (*roles.text, *roles.image)}
    columns |= {name: _number(table[name], place) for name in roles.number}
    for name in roles.category:
        given = roles.separator.get(name) if isinstance(roles.separator, dict) else roles.separator
        columns[name] = _labels(table[name], given, place)
    return table.with_columns(cells.alias(name) for name, cells in columns.items())


def find_separator(cells: pl.Series, *, are_labels: bool) -> str | None:
    """Return what parts the labels in a cell (String), None where cells are whole.

    Labels come again in other cells; what stands between commas in a sentence or in "Mills Co., Inc." does not. What
    is counted are different cells, so that a label of many parts that is often given is not taken for several.

    Args:
        cells: (n,) what is in the column.
        are_labels: Whether they are known to be labels; then " > " and "|" need no such proof.
    """
    different = cells.drop_nulls().unique()
    for separator in SEPARATORS:
        parted = different.str.contains(separator, literal=True)
        if parted.sum() < max(1.0, _MIN_SHARE * len(different)):
            continue
        parts = pl.DataFrame({"part": different.str.split(separator), "parted": parted, "cell": range(len(different))})
        parts = parts.explode("part").with_columns(pl.col("part").str.strip_chars()).unique(["part", "cell"])
        recurs = parts.select(recurs=pl.len().over("part") > 1, parted="parted").filter("parted")["recurs"].mean()
        length = parts.filter("parted")["part"].str.len_chars().mean()
        proven = float(str(recurs)) >= _MIN_RECURRENCE or (are_labels and separator in SEPARATORS[:2])
        if proven and float(str(length)) <= _LONGEST_LABEL:
            return separator
    return None


def _is_code(name: str) -> bool:
    """Return whether a name says that the cells mean nothing by themselves: `imdb_id`, `posterUrl`, `zip`."""
    last = _WORDS.sub(" ", name).split()[-1:]
    return normal_name(name) in _CODES or any(word.lower() in _CODES for word in last)


def _role_of_text(name: str, cells: pl.Series) -> Role | None:
    """Decide for a String column, by its name first."""
    cells = cells.filter(cells != "")
    if cells.is_empty() or _share(cells.str.contains(_LINK)) > 0.5 or _share(cells.str.contains(_DATE)) > 0.9:
        return None
    if _share(cells.str.contains(_IMAGE_FILE)) > 0.9:
        return "image"
    if name in _TEXTS or _is_title(name):
        return "text"
    if name in _LABELS or find_separator(cells, are_labels=False) is not None:
        return "category"
    if typed(cells).dtype.is_numeric():
        return "number"
    if _share(cells.is_duplicated()) >= 0.5:
        return "category"
    words = cells.str.count_matches(r"\S+").mean()
    return "text" if float(str(words)) >= 2 or _share(cells.str.contains(_CHINESE_PHRASE)) > 0.5 else None


def _is_title(name: str) -> bool:
    return name in _TITLES or name.endswith("title")


def _share(mask: pl.Series) -> float:
    return int(mask.sum()) / max(1, len(mask))


def _require_columns(table: pl.DataFrame, roles: ColumnRoles, place: str) -> None:
    for role in ("text", "category", "number", "image"):
        for name in getattr(roles, role):
            if name not in table.columns:
                close = difflib.get_close_matches(name, table.columns, n=1)
                raise ConfigError(
                    f"there is no column {name!r}; the columns are {', '.join(table.columns)}",
                    place=f"{place}.{role}",
                    remedy=f"Did you mean {close[0]!r}?" if close else "Name one of these, or leave it out.",
                )


def _text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.List) and column.dtype.inner == pl.String:
        text = column.list.drop_nulls().list.join(" ")
    else:
        text = as_text(column)
    text = text.str.strip_chars()
    return without(text, text == "")


def _number(column: pl.Series, place: str) -> pl.Series:
    found = numbers(column)
    if found.wrong.any():
        value = column.filter(found.wrong)[0]
        raise ConfigError(
            f"column {column.name!r} holds {value!r}, which is not a number",
            place=f"{place}.number",
            remedy="Correct the cells, or name the column under `category` or `text`.",
        )
    return found.values


def _innermost(dtype: pl.DataType) -> pl.DataType:
    """Return the type of what lists of lists hold in the end."""
    while isinstance(dtype, pl.List):
        inner = dtype.inner
        dtype = inner() if isinstance(inner, type) else inner
    return dtype


def _labels(column: pl.Series, separator: str | None, place: str) -> pl.Series:
    """Return lists of labels, each once; null where there is none. Lists in lists are joined."""
    if _innermost(column.dtype).is_nested():
        raise ConfigError(
            f"column {column.name!r} holds records ({column.dtype}), not labels",
            place=f"{place}.category",
            remedy="Leave it out, or write a column of labels.",
        )
    if isinstance(column.dtype, pl.List):
        while isinstance(column.dtype.inner, pl.List):
            column = column.list.eval(pl.element().list.explode())
        lists = column.cast(pl.List(pl.String))
    else:
        text = ids(column).values if column.dtype.is_float() else as_text(column)
        parted_by = find_separator(text, are_labels=True) if separator is None else separator
        lists = text.str.split(parted_by) if parted_by else text.reshape((-1, 1)).arr.to_list()
    label = pl.element().str.strip_chars()
    lists = lists.list.eval(label.filter(label != "").unique(maintain_order=True))
    return without(lists, lists.list.len() == 0)
