"""Which column of a file means what, by its name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias, get_args

from genre.data.columns import (
    CLICKED,
    EVENT,
    ITEM_ID,
    LIST_ID,
    POSITION,
    PROPENSITY,
    TIMESTAMP,
    USER_ID,
    VALUE,
)
from genre.data.findings import failure

TableName: TypeAlias = Literal["interactions", "items", "users", "impressions"]
TABLES: Final[tuple[TableName, ...]] = get_args(TableName)

REQUIRED: Final[Mapping[TableName, tuple[str, ...]]] = {
    "interactions": (USER_ID, ITEM_ID),
    "items": (ITEM_ID,),
    "users": (USER_ID,),
    "impressions": (LIST_ID, ITEM_ID, CLICKED),
}
ID_COLUMNS: Final[Mapping[TableName, str]] = {"items": ITEM_ID, "users": USER_ID}
"""What a row of these tables stands for."""
OPTIONAL: Final[Mapping[TableName, tuple[str, ...]]] = {
    "interactions": (TIMESTAMP, POSITION, EVENT, VALUE),
    "items": (),
    "users": (),
    "impressions": (USER_ID, TIMESTAMP, POSITION, PROPENSITY),
}
"""A table has no other column with a meaning; `rating` among the items is one number of many."""

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    USER_ID: (
        "user",
        "uid",
        "reviewerid",
        "visitorid",
        "customerid",
        "memberid",
        "viewerid",
        "readerid",
        "accountid",
        "profileid",
        "用户",
        "用户id",
        "用户编号",
    ),
    ITEM_ID: (
        "item",
        "iid",
        "asin",
        "movieid",
        "filmid",
        "videoid",
        "productid",
        "articleid",
        "newsid",
        "bookid",
        "songid",
        "trackid",
        "courseid",
        "gameid",
        "recipeid",
        "goodsid",
        "contentid",
        "物品",
        "物品id",
        "商品id",
        "商品编号",
        "电影id",
        "新闻id",
        "文章id",
        "视频id",
        "课程id",
    ),
    TIMESTAMP: (
        "time",
        "ts",
        "date",
        "datetime",
        "eventtime",
        "unixtime",
        "unixreviewtime",
        "timestampms",
        "createdat",
        "时间",
        "时间戳",
        "日期",
    ),
    VALUE: ("rating", "score", "stars", "overall", "weight", "quantity", "qty", "评分", "打分", "数量"),
    EVENT: (
        "eventtype",
        "eventname",
        "action",
        "actiontype",
        "behavior",
        "behaviour",
        "behaviortype",
        "behaviourtype",
        "interaction",
        "interactiontype",
        "feedbacktype",
        "事件",
        "行为",
        "行为类型",
    ),
    POSITION: ("pos", "seq", "step", "rank", "位置", "顺序"),
    LIST_ID: ("impressionid", "slateid", "requestid", "pageviewid", "searchid", "queryid"),
    CLICKED: ("click", "isclick", "isclicked", "chosen", "label", "点击", "是否点击"),
    PROPENSITY: ("propensityscore", "pscore", "probability"),
}
"""Other names of the columns, as `normal_name` writes them."""

WEAK_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    ITEM_ID: ("parentasin", "movie", "film", "product", "article", "book", "song", "track", "isbn", "sku", "商品"),
    TIMESTAMP: ("reviewtime",),
    VALUE: ("count", "plays", "playcount", "duration", "watchtime"),
    EVENT: ("type",),
}
"""Names that count only where no better one is there, since they often mean something else."""

_TYPE_SUFFIX = re.compile(r":(token|token_seq|float|float_seq)$")


def normal_name(name: str) -> str:
    """Return a column name in small letters and digits alone: `userId`, `USER_ID` and `user_id:token` are one."""
    return "".join(letter for letter in _TYPE_SUFFIX.sub("", name).lower() if letter.isalnum())


def recognise_columns(
    names: Sequence[str], table: TableName, mapping: Mapping[str, str], file: object
) -> dict[str, str]:
    """Find the columns that mean something.

    Args:
        names: Column names of the file.
        table: What the file holds.
        mapping: The user's word, which comes first: Genre's name to the file's.
        file: For messages.

    Returns:
        Genre's name to the file's, the table's own order first, then other names that the mapping gives.

    Raises:
        DataError: A needed column is missing, or two columns could be meant.
    """
    for ours, theirs in mapping.items():
        if theirs not in names:
            close = difflib.get_close_matches(theirs, names, n=1)
            raise failure(
                file,
                f"there is no column {theirs!r}, named by `columns.{table}.{ours}`; the columns are {_quoted(names)}",
                f"Did you mean {close[0]!r}?" if close else "Name one of these.",
                column=theirs,
            )
    free = [name for name in names if name not in mapping.values()]
    found: dict[str, str] = {}
    for role in (*REQUIRED[table], *OPTIONAL[table]):
        column = mapping.get(role) or _match(role, free, table, file)
        if column is not None:
            found[role] = column
    for role in REQUIRED[table]:
        if role not in found:
            remedy = "If it holds several columns, set `data.separator` to what stands between them."
            if len(names) > 1:
                unused = [name for name in free if name not in found.values()]
                remedy = f"Name it in the config: {_yaml(table, role, _nearest(role, unused))}"
            problem = f"no column is known to be the {role}; the columns are {_quoted(names)}"
            raise failure(file, problem, remedy, column=role)
    return found | dict(mapping)


def _match(role: str, names: Sequence[str], table: TableName, file: object) -> str | None:
    """Return the column with the role's own name or, where there is none, with an alias."""
    weak = WEAK_ALIASES.get(role, ())
    if role in REQUIRED[table] and table in ("items", "users"):
        weak = (*weak, "id", "编号")
    for wanted in ((normal_name(role),), ALIASES[role], weak):
        matches = [name for name in names if normal_name(name) in wanted]
        if len(matches) > 1:
            raise failure(
                file,
                f"columns {_quoted(matches, ' and ')} could each be the {role}",
                f"Choose one in the config: {_yaml(table, role, matches[0])}",
                column=matches[0],
            )
        if matches:
            return matches[0]
    return None


def _nearest(role: str, names: Sequence[str]) -> str:
    """Return the column that an example mapping names: the one that looks most like the role."""
    close = difflib.get_close_matches(role, names, n=1, cutoff=0.0)
    return close[0] if close else "..."


def _yaml(table: TableName, role: str, column: str) -> str:
    return f"`data: {{columns: {{{table}: {{{role}: {column}}}}}}}`."


def _quoted(names: Sequence[str], last: str = ", ") -> str:
    return last.join(repr(name) for name in names)
