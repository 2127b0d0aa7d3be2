"""How varied texts are: within each of them, and among each other.

Every measure is the ratio of two sums over the texts, so that texts can be resampled: (N, 2) holds both parts.

Shapes: N texts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.words import CJK

Gram: TypeAlias = tuple[str, ...]
_WORD = re.compile(f"[{CJK}]|[^\\W_{CJK}]+(?:['’][^\\W_{CJK}]+)*|[^\\w\\s]|_")
_BLEU_ORDER = 4


def writing_words(text: str) -> list[str]:
    """Return words and punctuation marks in lower case; a Chinese or Japanese character is a word."""
    return _WORD.findall(text.lower())


def grams(words: Sequence[str], n: int) -> list[Gram]:
    """Return all runs of `n` words."""
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def distinct(texts: Sequence[str], n: int) -> NDArray[np.float64]:
    """Return (N, 2): the different n-grams and all n-grams of each text; distinct-n is the ratio of their sums.

    An n-gram that stands k times in all texts counts 1 / k wherever it stands, so that the sum over the texts is the
    number of different ones.

    Li et al.: A Diversity-Promoting Objective Function for Neural Conversation Models. NAACL 2016.
    """
    of_texts = [grams(writing_words(text), n) for text in texts]
    counts = Counter(gram for found in of_texts for gram in found)
    return _pairs([(sum(1 / counts[gram] for gram in found), len(found)) for found in of_texts])


def repetition(texts: Sequence[str], n: int = 4) -> NDArray[np.float64]:
    """Return (N, 2): the share of each text's n-grams that had stood in it before, and 1.

    It is 1 - different / all, known as seq-rep-n; a text of fewer than `n` words repeats nothing.

    Welleck et al.: Neural Text Generation with Unlikelihood Training. ICLR 2020.
    """
    of_texts = [grams(writing_words(text), n) for text in texts]
    return _pairs([(1 - len(set(found)) / len(found) if found else 0.0, 1) for found in of_texts])


def self_bleu(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return (N, 2): the BLEU of each text with all others as its references, from 0 to 1, and 1.

    BLEU has n-grams of up to 4 words, an order that a text is long enough for, and exponential smoothing, as in
    `sacrebleu.sentence_bleu`. A clipped count needs the most that any other text has of an n-gram, which is its
    highest or, for the text that has this, its second highest count: one pass over the texts instead of N.

    Zhu et al.: Texygen: A Benchmarking Platform for Text Generation Models. SIGIR 2018.
    """
    words = [writing_words(text) for text in texts]
    lengths = [len(one) for one in words]
    if len(texts) < 2:
        return _pairs([(0.0, 1)] * len(texts))
    correct = np.zeros((len(texts), _BLEU_ORDER), np.int64)
    for n in range(1, _BLEU_ORDER + 1):
        counts = [Counter(grams(one, n)) for one in words]
        most = _two_highest(counts)
        for at, own in enumerate(counts):
            for gram, count in own.items():
                owner, highest, second = most[gram]
                correct[at, n - 1] += min(count, second if owner == at else highest)
    return _pairs([(_bleu(correct[at], lengths, at), 1) for at in range(len(texts))])


def _two_highest(counts: Sequence[Counter[Gram]]) -> dict[Gram, tuple[int, int, int]]:
    """Return for each n-gram the text that has most of it, how many, and the most that another has."""
    most: dict[Gram, tuple[int, int, int]] = {}
    for at, own in enumerate(counts):
        for gram, count in own.items():
            owner, highest, second = most.get(gram, (-1, 0, 0))
            most[gram] = (at, count, highest) if count > highest else (owner, highest, max(second, count))
    return most


def _bleu(correct: NDArray[np.int64], lengths: Sequence[int], at: int) -> float:
    length = lengths[at]
    if not correct.any():
        return 0.0
    logs, halving = [], 1.0
    for n, found in enumerate(correct.tolist(), start=1):
        total = length - n + 1
        if total < 1:
            break
        if not found:
            halving *= 2
        logs.append(math.log(found / total if found else 1 / (halving * total)))
    others = (other for place, other in enumerate(lengths) if place != at)
    closest = min(others, key=lambda other: (abs(other - length), other))
    brevity = min(0.0, 1 - closest / length)
    return math.exp(brevity + sum(logs) / len(logs))


def _pairs(found: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    return np.array(found, np.float64).reshape(-1, 2)
