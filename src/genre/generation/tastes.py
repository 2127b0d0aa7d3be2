"""Whether a text speaks to somebody of what they like, and of little else. English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from genre.core.words import CJK
from genre.features.enrich.checks import content_words
from genre.features.text import Language
from genre.generation.sentences import sentences_of

_ADDRESSES: Final[dict[Language, re.Pattern[str]]] = {
    "en": re.compile(r"\byou(?:r|rs|'\w+|’\w+)?\b", re.IGNORECASE),
    "zh": re.compile("[你您]"),
}
_OF_TASTE: Final = re.compile(
    r"\b(?:lik(?:e|es|ed|ing)|lov(?:e|es|ed|ing)|enjoy\w*|prefer\w*|cho(?:ose|oses|osing|se|sen|ice|ices)|pick\w*|watch\w*"
    r"|read\w*|listen\w*|hear\w*|buy\w*|bought|take|taken|follow\w*|favou?r\w*|fans?|tastes?|interest\w*|drawn|fond|keen"
    r"|often|mainly|mostly|lately|recent\w*|last|especially|particular\w*|usually|times|twice|again|kinds?|sorts?|genres?"
    r"|films?|movies?|articles?|products?|recordings?|music|songs?|posts?|courses?|titles?|stories|such|keep|coming)\b"
    "|喜欢|偏爱|偏好|喜爱|钟爱|爱看|爱听|爱读|感兴趣|兴趣|最近|近来|尤其|特别|主要|常常|经常|类型|题材|影片|电影|作品"
    "|内容|课程|文章|商品|音乐|帖子|以及|[你您常选看听读买学最多还也和与等的了次是对类片都在]",
    re.IGNORECASE,
)
_CHARACTER: Final = re.compile(f"[{CJK}]")
_LEAST: Final = 0.5


def strangeness(text: str, evidence: Iterable[str], told: Iterable[str], language: Language) -> Iterator[str]:
    """Yield what makes a text none about a person's taste: a sentence to nobody, or words that are of other things.

    Titles and labels are left aside: five titles in a row do not make true what is said about them.

    Args:
        text: That is judged.
        evidence: Titles and labels of what the person liked.
        told: All that is known of the person's taste.
        language: Of the text.
    """
    if any(not _ADDRESSES[language].search(sentence) for sentence in sentences_of(text)):
        yield "a sentence does not speak to the person"
    plain = text
    for quoted in sorted(filter(None, evidence), key=len, reverse=True):
        plain = plain.replace(quoted, " ")
    rest = _OF_TASTE.sub(" ", plain)
    if language == "zh":
        every, strange = len(_CHARACTER.findall(plain)), len(_CHARACTER.findall(rest))
    else:
        every, strange = len(content_words([plain])), len(content_words([rest]) - content_words(told))
    if strange > _LEAST * every:
        yield f"{strange / every:.0%} of its words are of something else than what the person likes"
