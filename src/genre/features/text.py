"""What an item or a user says of itself, as one text: chosen columns in the order of their weight, within a budget."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from string import Formatter
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import polars as pl
from pydantic import Field, field_validator, model_validator

from genre.core.config import Config
from genre.core.errors import ConfigError, DataError
from genre.core.words import CJK
from genre.data.dataset import Entities
from genre.features._cleaning import clean_text, shortened

__all__ = [
    "Count",
    "Language",
    "TextConfig",
    "clean_text",
    "cut_text",
    "default_columns",
    "estimate_tokens",
    "has_text",
    "is_truth",
    "item_texts",
    "spoken_columns",
    "texts_with_gaps",
]

Language: TypeAlias = Literal["en", "zh"]
Count: TypeAlias = Callable[[str], int]
"""How many tokens a text takes."""

_LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
_BETWEEN_FIELDS: Final[dict[Language, str]] = {"en": ". ", "zh": "。"}
_BETWEEN_LABELS: Final[dict[Language, str]] = {"en": ", ", "zh": "、"}
_AFTER_NAME: Final[dict[Language, str]] = {"en": ": ", "zh": "："}
_TRUTHS: Final[dict[str, dict[Language, str]]] = {"true": {"en": "yes", "zh": "是"}, "false": {"en": "no", "zh": "否"}}
_CHINESE_NAMES: Final = {
    "title": "标题", "name": "名称", "description": "简介", "summary": "摘要", "brand": "品牌", "genre": "类型",
    "genres": "类型", "category": "类别", "categories": "类别", "tags": "标签", "keywords": "关键词", "author": "作者",
    "director": "导演", "actors": "演员", "year": "年份", "country": "国家", "language": "语言", "price": "价格",
    "color": "颜色", "gender": "性别", "age": "年龄", "occupation": "职业", "city": "城市", "in_stock": "有货",
    "subject": "学科", "subjects": "学科", "level": "难度", "hours": "学时", "prerequisites": "先修课程",
}  # fmt: skip

_ENDS: Final = ".!?…。！？"
_OPEN: Final = " ,;:/–—-·、，；：([{（【《「"
"""What a value does not end with where it was cut."""
_SEPARATORS: Final = " ,;:|/–—-·、，；：" + _ENDS
_CLOSING: Final = _ENDS + ")]}»”’\"'）】》」』"
_WORD: Final = re.compile(rf"[^\W_{CJK}]{{1,12}}")
_SIGN: Final = re.compile(rf"[{CJK}]|[^\w\s]|_+")
_LETTERS: Final = 10
"""Characters a token has at most, over a whole text. What is beyond the budget anyway is not counted."""


class TextConfig(Config):
    """Which columns make the text of an item or a user, and how."""

    fields: tuple[str, ...] | None = None
    """Columns, the most important first. None takes the text columns and behind them the category columns."""
    template: str | None = None
    """The text with columns in braces, such as "{title} ({year}). {brand}"; earlier columns are more important. The
    words before a column, and closing marks behind it, go with it where it is empty."""
    language: Language = "en"
    """Of the punctuation and the labels. `title_zh` is read for `title` where it is there and the language is `zh`."""
    labels: bool = False
    """Whether each value has its column's name before it: "brand: Nivea"."""
    max_tokens: int = Field(default=128, ge=1)
    """Tokens of a text at most; the last columns are shortened or left out first. Small encoders read 128 to 256."""

    @field_validator("template")
    @classmethod
    def _template_is_one(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parts = list(Formatter().parse(value))
            except ValueError as error:
                raise ValueError(
                    f"template {value!r} cannot be read ({error}); write columns as in {{title}}"
                ) from error
            if not any(name for _, name, _, _ in parts) or any(
                name == "" or form or how for _, name, form, how in parts
            ):
                raise ValueError(f"template {value!r} must name columns, and nothing else in braces: {{title}}")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> TextConfig:
        if self.template is not None and (self.fields is not None or self.labels):
            raise ValueError("`template` says all that `fields` and `labels` say; leave it out or leave them out")
        if self.fields is not None and not self.fields:
            raise ValueError("`fields` is empty; name a column, or leave it out")
        return self


@dataclass(frozen=True)
class _Field:
    """A column's place in the text."""

    column: str
    before: str
    after: str = ""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text takes: 1 for a Chinese character or a sign, 1.3 for a word of other scripts.

    Words of more than 12 letters count as several.
    """
    return math.ceil(1.3 * len(_WORD.findall(text)) + len(_SIGN.findall(text)))


def item_texts(
    entities: Entities, config: TextConfig, count: Count = estimate_tokens, *, required: bool = True
) -> list[str]:
    """Return one clean text for each item or user, "" for one of which nothing is said.

    Args:
        entities: Items or users.
        config: Which columns, in which form.
        count: Tokens of a text, as the encoder that is to read it counts them. The default is an estimate that suits
            English and Chinese.
        required: Whether it is an error if nothing is said of any of them.

    Raises:
        ConfigError: A column that is named is not there.
        DataError: There are items, a text is required, and not one of them has any.
    """
    fields, columns = _read(entities, config)
    texts = [
        _within(fields, {column: values[row] for column, values in columns.items()}, config.max_tokens, count)
        for row in range(len(entities))
    ]
    if required and len(entities) and not any(any(values) for values in columns.values()):
        looked = f"in {', '.join(columns)}" if columns else "for columns of the roles `text` and `category`"
        raise DataError(
            f"there is no text; looked {looked}, the columns are {', '.join(entities.frame.columns)}",
            place="text",
            remedy="Name columns that hold words under `fields` or `template`, or give columns the role `text`.",
        )
    return texts


def texts_with_gaps(
    entities: Entities, config: TextConfig, share: float, num_versions: int, rng: np.random.Generator
) -> list[list[str]]:
    """Return versions of every text from which fields are left out at random, but never all that say something.

    Args:
        entities: Items or users.
        config: Which columns, in which form.
        share: Chance of each field to be left out. Where all would be, the one that was likeliest to stay does.
        num_versions: Versions of each text; some of them may be equal, or leave nothing out.
        rng: Decides which fields.

    Raises:
        ConfigError: A column that is named is not there, or there is nothing that could be left out.
    """
    fields, columns = _read(entities, config)
    says = np.array([[value != "" for value in values] for values in columns.values()], bool).T  # (rows, columns)
    if not (says.sum(axis=1) > 1).any():
        raise ConfigError(
            f"a share of {share!r} of the fields shall be left out, and of no item is said more than one; "
            f"the columns that are read: {', '.join(columns) or 'none'}",
            place="versions.field_dropout",
            remedy="Set it to 0, or read more columns: name them under `fields` of the text.",
        )
    found = []
    for _ in range(num_versions):
        drawn = np.where(says, rng.random(says.shape), -1.0)
        kept = (drawn >= share) | (drawn == drawn.max(axis=1, keepdims=True))
        found.append(
            [
                _within(
                    fields,
                    {column: columns[column][row] if keep else "" for column, keep in zip(columns, keeps, strict=True)},
                    config.max_tokens,
                    estimate_tokens,
                )
                for row, keeps in enumerate(kept)
            ]
        )
    return found


def spoken_columns(entities: Entities, names: Sequence[str], language: Language) -> dict[str, list[str]]:
    """Return what columns say in each row, "" for nothing, by the columns' names in a language.

    A column `title_zh` is what `title` says in Chinese.
    """
    return {
        _label(name, language).removesuffix(_AFTER_NAME[language]): _values(entities.frame, name, language)
        for name in names
    }


def default_columns(entities: Entities, language: Language) -> list[str]:
    """Return the text and category columns, without those that say the same in another language."""
    names = [*entities.roles.text, *entities.roles.category]
    kept = []
    for name in names:
        base, _, code = name.rpartition("_")
        if code not in _LANGUAGES or not {base, f"{base}_{language}"} & {*names} - {name}:
            kept.append(name)
    return kept


def cut_text(text: str, max_tokens: int, count: Count = estimate_tokens) -> str:
    """Return a clean text of so many tokens at most, cut where it may end."""
    return _within([_Field("text", "")], {"text": clean_text(text)}, max_tokens, count)


def has_text(entities: Entities) -> bool:
    """Return whether anything is said of any of them, so that `item_texts` has something to return."""
    return any(
        any(_values(entities.frame, field.column, language))
        for language in _LANGUAGES
        for field in _fields_of(entities, TextConfig(language=language))
    )


def _read(entities: Entities, config: TextConfig) -> tuple[list[_Field], dict[str, list[str]]]:
    """Return the places of the columns, and what each column says in each row, "" for nothing."""
    fields = _fields_of(entities, config)
    return fields, {field.column: _values(entities.frame, field.column, config.language) for field in fields}


def _fields_of(entities: Entities, config: TextConfig) -> list[_Field]:
    """Return the places of the columns, all of which are there."""
    if config.template is not None:
        fields = _parsed(config.template)
    else:
        names = config.fields or default_columns(entities, config.language)
        starts = ["", *[_BETWEEN_FIELDS[config.language]] * len(names)]
        labels = [_label(name, config.language) if config.labels else "" for name in names]
        fields = [_Field(name, start + label) for name, start, label in zip(names, starts, labels, strict=False)]
    there = entities.frame.columns
    for field in fields:
        if not {field.column, f"{field.column}_{config.language}"} & set(there):
            raise ConfigError(
                f"there is no column {field.column!r}; the columns are {', '.join(there)}",
                place="text.fields" if config.template is None else "text.template",
                remedy="Name one of these.",
            )
    return fields


def _label(column: str, language: Language) -> str:
    base, _, code = column.rpartition("_")
    name = base if code in _LANGUAGES else column
    spoken = name.replace("_", " ")
    return (_CHINESE_NAMES.get(name, spoken) if language == "zh" else spoken) + _AFTER_NAME[language]


def _parsed(template: str) -> list[_Field]:
    """Return the columns of a template; of the words between two, closing marks go with the first."""
    fields: list[_Field] = []
    words = ""
    for literal, name, _, _ in Formatter().parse(template):
        words += literal
        if name is None:  # A brace that was written twice ends a literal too.
            continue
        if fields:
            rest = words.lstrip(_CLOSING)
            fields[-1] = replace(fields[-1], after=words.removesuffix(rest) if rest else words)
            words = rest
        fields.append(_Field(name, words))
        words = ""
    return [*fields[:-1], replace(fields[-1], after=words)]


def _values(frame: pl.DataFrame, column: str, language: Language) -> list[str]:
    """Return what a column says in each row, in this language where it is there in it."""
    variants = [name for name in (f"{column}_{language}", column) if name in frame.columns]
    columns = [frame[name] for name in variants]
    cells = zip(*(_in_words(one, language) if is_truth(one) else one.to_list() for one in columns), strict=True)
    return [next(filter(None, (_spoken(value, language) for value in row)), "") for row in cells]


def is_truth(column: pl.Series) -> bool:
    """Return whether a column holds nothing but truth values, as they are or as a category."""
    if column.dtype == pl.Boolean:
        return True
    cells = column.explode() if column.dtype == pl.List(pl.String) else column
    found = set(cells.drop_nulls().unique()) if cells.dtype == pl.String else set()
    return bool(found) and found <= set(_TRUTHS)


def _in_words(column: pl.Series, language: Language) -> list[str | None]:
    cells = column.list.first() if isinstance(column.dtype, pl.List) else column
    words = {name: spoken[language] for name, spoken in _TRUTHS.items()}
    return cells.cast(pl.String).replace(words).to_list()


def _spoken(value: Any, language: Language) -> str:
    """Return the text of a cell, "" for one that says nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return _BETWEEN_LABELS[language].join(filter(None, (_spoken(one, language) for one in value)))
    return clean_text(f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value))


def _composed(fields: Sequence[_Field], values: Mapping[str, str]) -> str:
    """Put the values together; an empty one leaves neither its words nor its punctuation."""
    text, stop = "", ""
    filled = [field for field in fields if values[field.column]]
    for field in fields:
        before, value, after = field.before, values[field.column], field.after
        if not value:
            # The stop behind a missing value ends the one before it.
            stop = stop or after[:1] * (after[:1] in _ENDS)
            continue
        if not text:
            stop, before = "", before if field is fields[0] else before.lstrip(_SEPARATORS)
        if field is filled[-1] and field is not fields[-1]:
            after = after.rstrip(_SEPARATORS)
        text = _joined(_joined(_joined(text, stop), before) + value, after)
        stop = ""
    return text.strip()


def _joined(text: str, more: str) -> str:
    """Join two texts, with one full stop where both have one."""
    return text + (more[1:] if text and more and text[-1] in _ENDS and more[0] in _ENDS else more)


def _within(fields: Sequence[_Field], values: Mapping[str, str], budget: int, count: Count) -> str:
    """Return the composed text, with the last values shortened or left out until it is within the budget."""
    left = {column: shortened(value, budget * _LETTERS) for column, value in values.items()}
    text = _composed(fields, left)
    if count(text) <= budget:
        return text
    for field in reversed(fields):
        value = left[field.column]
        cut_at = partial(_cut, fields, left.copy(), field.column)
        if count(cut_at("")) <= budget:
            most = bisect_right(range(len(value)), budget, lo=1, key=lambda size: count(cut_at(value[:size]))) - 1
            while count(text := cut_at(shortened(value, most))) > budget:
                most -= 1  # Half a word may take fewer tokens than less of it.
            return text
        left[field.column] = ""
    return ""


def _cut(fields: Sequence[_Field], values: Mapping[str, str], column: str, value: str) -> str:
    """Return the composed text with a value in the place of the longer one that it was cut from."""
    return _composed(fields, {**values, column: value.rstrip(_OPEN)})
