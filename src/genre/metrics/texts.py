"""How near texts are to texts that people wrote of the same: ROUGE, BLEU and chrF. English and Chinese.

Shapes: N texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import DependencyError
from genre.core.words import CJK

_WORD: Final = re.compile(f"[{CJK}]|[^\\W_{CJK}]+")


def overlap_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation; a Chinese character is a word."""
    return _WORD.findall(text.lower())


def rouge_n(texts: Sequence[str], references: Sequence[str], n: int) -> NDArray[np.float64]:
    """Return (N,) the F1 of the n-grams that each text shares with its reference, 0 to 1; 0 where one has none.

    Lin: ROUGE: A Package for Automatic Evaluation of Summaries. 2004. Without stemming.
    """
    found = np.zeros(len(texts))
    for at, (text, reference) in enumerate(zip(texts, references, strict=True)):
        own, wanted = (Counter(_grams(overlap_words(one), n)) for one in (text, reference))
        found[at] = _f1((own & wanted).total(), own.total(), wanted.total())
    return found


def rouge_l(texts: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Return (N,) the F1 of the longest run of words, with gaps, that each text shares with its reference, 0 to 1.

    Lin: ROUGE: A Package for Automatic Evaluation of Summaries. 2004.
    """
    found = np.zeros(len(texts))
    for at, (text, reference) in enumerate(zip(texts, references, strict=True)):
        own, wanted = overlap_words(text), overlap_words(reference)
        found[at] = _f1(_longest_common(own, wanted), len(own), len(wanted))
    return found


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    """Return the BLEU of the whole corpus, 0 to 1, by sacrebleu: of its tokenizers, `zh` where a text is Chinese.

    Papineni et al.: BLEU. ACL 2002; Post: A Call for Clarity in Reporting BLEU Scores. WMT 2018.

    Raises:
        DependencyError: sacrebleu is not installed.
    """
    check_sacrebleu()
    import sacrebleu

    chinese = any(re.search(f"[{CJK}]", text) for text in references)
    return (
        float(sacrebleu.corpus_bleu(list(texts), [list(references)], tokenize="zh" if chinese else "13a").score) / 100
    )


def chrf(texts: Sequence[str], references: Sequence[str]) -> float:
    """Return chrF2 of the whole corpus, 0 to 1, by sacrebleu: character n-grams, for which no words need be told apart.

    Popović: chrF: character n-gram F-score for automatic MT evaluation. WMT 2015.

    Raises:
        DependencyError: sacrebleu is not installed.
    """
    check_sacrebleu()
    import sacrebleu

    return float(sacrebleu.corpus_chrf(list(texts), [list(references)]).score) / 100


def check_sacrebleu() -> None:
    """Make sure that the library for BLEU and chrF is there.

    Raises:
        DependencyError: It is not.
    """
    if find_spec("sacrebleu") is None:
        raise DependencyError(
            "BLEU and chrF need the library 'sacrebleu', which is not installed",
            place="references",
            remedy="Install it with `pip install 'genre-rec[references]'`, or leave `references` out.",
        )


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for at, other in enumerate(second, start=1):
            before, row[at] = row[at], before + 1 if word == other else max(row[at], row[at - 1])
    return row[-1]


def _f1(shared: int, own: int, wanted: int) -> float:
    return 2 * shared / (own + wanted) if shared else 0.0
