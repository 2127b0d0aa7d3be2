"""The texts that a model's writing is measured by: those of a user, or the passages that are never replayed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genre.core.errors import ConfigError, DataError
from genre.core.words import CJK
from genre.training.passages import held_out_passages

_UNSPACED = re.compile(f"[{CJK}]")


class Text(NamedTuple):
    """A text and its language."""

    text: str
    lang: str


def general_texts(path: Path | None, languages: Sequence[str]) -> list[Text]:
    """Return the texts of a file, or the held-out passages in the languages that the base writes.

    Args:
        path: A .jsonl file with the field `text` and, if known, `lang` in each line, or a text file with empty lines
            between texts.
        languages: Which passages are taken where there is no file.

    Raises:
        ConfigError: The file cannot be read, or holds no text.
        DataError: A line of it is no JSON object with a text.
    """
    if path is None:
        return [Text(one.text, one.lang) for one in held_out_passages() if one.lang in languages]
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the general texts cannot be read ({error})", place=str(path), remedy="Give a text file in UTF-8."
        ) from error
    if path.suffix == ".jsonl":
        found = [_parsed(line, f"{path}:{at}") for at, line in enumerate(content.splitlines(), 1) if line.strip()]
    else:
        found = labelled(re.split(r"\n\s*\n", content))
    if not found:
        raise ConfigError("the file of general texts is empty", place=str(path), remedy="Write some texts into it.")
    return found


def labelled(texts: Sequence[str]) -> list[Text]:
    """Return texts with their language as far as their script tells it: `zh` (or Japanese), or `other`."""
    return [Text(text.strip(), _language_of(text)) for text in texts if text.strip()]


def drawn(texts: Sequence[Text], most: int, rng: np.random.Generator) -> list[Text]:
    """Return `most` texts at most, in the order they had."""
    if len(texts) <= most:
        return list(texts)
    return [texts[at] for at in sorted(rng.choice(len(texts), most, replace=False))]


def _parsed(line: str, place: str) -> Text:
    try:
        value = json.loads(line)
        text, lang = value["text"], value.get("lang")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{line[:60]!r} is no JSON object with a `text`", place=place, remedy='Write lines as {"text": "..."}.'
        ) from error
    return Text(str(text), str(lang or _language_of(str(text))))


def _language_of(text: str) -> str:
    letters = sum(character.isalpha() for character in text)
    return "zh" if 3 * len(_UNSPACED.findall(text)) > letters else "other"
