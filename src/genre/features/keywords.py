"""Keywords and summaries without a language model: of English and other spaced languages by YAKE, of Chinese by jieba.

- YAKE: Campos et al., "YAKE! Keyword extraction from single documents using multiple local features", 2020. It needs
  the one text alone, and knows the words that say nothing in English.
- jieba: TF-IDF of the words that its dictionary finds, with the rarities that come with it.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeAlias

from genre.core.errors import ConfigError, DependencyError
from genre.core.words import CJK
from genre.features._cleaning import shortened
from genre.features.text import Language

AnyLanguage: TypeAlias = Literal["en", "zh", "auto"]

_CHINESE_SHARE: Final = 0.3
"""Of the letters of a text that is taken for Chinese: English names and figures are common in Chinese texts."""
_READ: Final = 5_000
"""Characters of a text that are looked at. Both libraries take time that grows with the square of a text's length."""
_SUMMARY_KEYWORDS: Final = 20
_LETTER: Final = re.compile(r"[^\W\d_]")
_CHINESE: Final = re.compile(f"[{CJK}]")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])\s+(?=[^\sa-z])|(?<=[。！？；])|\n+")
"""White space where a small letter follows ends no sentence: "approx. two hours"."""


def keywords(texts: Sequence[str], *, language: AnyLanguage = "auto", n: int = 10) -> list[list[str]]:
    """Return up to `n` different keywords of each text, the most telling first; none of a text that has none.

    Args:
        texts: Clean texts, as `clean_text` returns them. Of each, the first 5,000 characters are read.
        language: "en" for every language with spaces between words. "auto" looks at each text's letters.
        n: Keywords of a text at most; English ones have one or two words.

    Raises:
        ConfigError: `n` is less than 1.
        DependencyError: The library is not installed.
    """
    if n < 1:
        raise ConfigError(f"{n!r} keywords are too few", place="n", remedy="Give 1 or more.")
    found = []
    for text in texts:
        chosen = language_of(text) if language == "auto" else language
        found.append(_extractor(chosen)(text[:_READ], n))
    return found


def language_of(text: str) -> Language:
    """Return "zh" for a text of whose letters three in ten are Chinese, "en" for any other."""
    letters = len(_LETTER.findall(text))
    return "zh" if letters and len(_CHINESE.findall(text)) >= _CHINESE_SHARE * letters else "en"


def summary_of(text: str, *, language: AnyLanguage = "auto", max_chars: int = 300) -> str:
    """Return the sentences that hold the most keywords, in the order of the text; the text itself if it is short.

    Args:
        text: A clean text.
        language: As of `keywords`.
        max_chars: Characters of the summary at most. Where no sentence is that short, the best one is cut.

    Raises:
        ConfigError: `max_chars` is less than 1.
        DependencyError: The library is not installed.
    """
    if max_chars < 1:
        raise ConfigError(f"{max_chars!r} characters are too few", place="max_chars", remedy="Give 1 or more.")
    if len(text) <= max_chars:
        return text
    chosen = language_of(text) if language == "auto" else language
    telling = [word.casefold() for word in keywords([text], language=chosen, n=_SUMMARY_KEYWORDS)[0]]
    sentences = [sentence for part in _SENTENCE_END.split(text[:_READ]) if (sentence := part.strip())]
    held = [sum(word in sentence.casefold() for word in telling) for sentence in sentences]
    ranked = sorted(range(len(sentences)), key=lambda place: (-held[place], place))
    space = "" if chosen == "zh" else " "
    kept: list[int] = []
    for place in ranked:
        if len(space.join(sentences[one] for one in [*kept, place])) <= max_chars:
            kept.append(place)
    return space.join(sentences[place] for place in sorted(kept)) or shortened(sentences[ranked[0]], max_chars)


def _extractor(language: Language) -> Callable[[str, int], list[str]]:
    library = "jieba" if language == "zh" else "yake"
    if find_spec(library) is None:
        raise DependencyError(
            f"needs the library {library!r}, which is not installed",
            place="keywords",
            remedy="Install it with `pip install 'genre-rec[keywords]'`.",
        )
    return _chinese if language == "zh" else _spaced


def _spaced(text: str, n: int) -> list[str]:
    from yake import KeywordExtractor

    return [word for word, _ in KeywordExtractor(lan="en", n=2, top=n).extract_keywords(text)]


def _chinese(text: str, n: int) -> list[str]:
    # TF-IDF in jieba orders words that weigh the same by their place in the text.
    return [str(word) for word in _jieba().extract_tags(text, topK=n)]


@cache
def _jieba() -> Any:
    """Return jieba's TF-IDF; its dictionary takes about a second to load."""
    with warnings.catch_warnings():
        # jieba leaves a file open, and its patterns and imports are of older Pythons.
        for kind in (DeprecationWarning, SyntaxWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", "pkg_resources")
        import jieba
        import jieba.analyse

        jieba.setLogLevel(logging.WARNING)
        extractor = jieba.analyse.TFIDF()
        extractor.tokenizer = jieba.Tokenizer()
        # By default it loads a file of the shared temporary directory, which anybody may have put there.
        with TemporaryDirectory() as own:
            extractor.tokenizer.tmp_dir = own
            extractor.tokenizer.initialize()
    return extractor
