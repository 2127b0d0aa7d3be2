"""Whether a text is true of an item: everything that it claims must stand in the facts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from functools import cache
from itertools import pairwise
from typing import Final

from genre.core.words import CJK
from genre.generation.claims import Claim, claims_of, currency_of, name_words, normal
from genre.generation.credits import credited_by_labels, credits_of
from genre.generation.disputes import PRICES
from genre.generation.facts import Facts
from genre.generation.protected import Protected, promised
from genre.generation.sentences import sentences_of

_SMALL: Final = frozenset("of the de van von der da di la le el and a an in at on for to with".split())  # noqa: SIM905
_UNSPACED: Final = re.compile(f"[{CJK}]")
_DOTTED: Final = re.compile(r"[·•]")
_NOTHING: Final = re.compile(r"false|no|none|n/?a|nil|0+(?:\.0+)?|否|无|没有|不", re.IGNORECASE)
"""What a label says that promises nothing, whatever the label is called."""
_CHINESE: Final = 3
"""Characters of a longer Chinese name that must be known: two may begin the names of different people."""


class Ground:
    """What texts about one item may claim: its facts, and what else they were given."""

    def __init__(
        self,
        facts: Facts,
        *,
        given: Sequence[str] = (),
        titles: Sequence[str] = (),
        common_words: frozenset[str] = frozenset(),
        protected: Collection[Protected] = (),
        labels: frozenset[str] = frozenset(),
    ) -> None:
        """Read the facts.

        Args:
            facts: Of the item.
            given: Other texts that may be told, such as the reason. They ground names, titles and numbers; what is
                protected must stand in the facts.
            titles: Titles of the history. Each may be named as a whole; no word or number of them is the item's.
            common_words: Words that are no names though a sentence begins with them.
            protected: Classes of claims that must stand in the facts.
            labels: What the catalogue calls items, such as genres: a text may call the item nothing else of these.
        """
        self._labels = _any_of(labels)
        self._common, self._protected = common_words, tuple(protected)
        told = [facts.name, *facts.lines, *given]
        self._text = " ".join(" ".join(name_words(line)) for line in told)
        self._words = frozenset(self._text.split())
        self._dotted = unicodedata.normalize("NFKC", "\n".join(told)).replace("•", "·")
        known = [claim for line in told for claim in claims_of(line)]
        self._known = {(claim.kind, claim.key) for claim in known}
        self._known |= {("number", claim.key) for claim in known if claim.kind == "amount"}
        self._amounts = {(claim.key, claim.unit) for claim in known if claim.kind == "amount"}
        self._titles = frozenset(" ".join(name_words(title)) for title in titles if title)
        said = [f"{name}: {value}" for name, value in facts.labels.items() if not _NOTHING.fullmatch(value.strip())]
        lines = [facts.title, *said, facts.text]
        sentences = [sentence for line in lines for sentence in sentences_of(normal(line))]
        self._known |= {claim for sentence in sentences for claim in promised(sentence, self._protected)}
        self._credited = [
            (one.role, f" {' '.join(name_words(one.name))} ")
            for one in [*credited_by_labels(facts.labels), *(one for line in told for one in credits_of(normal(line)))]
        ]
        for name, value in facts.labels.items():
            claims = claims_of(value) if PRICES.search(name) else []
            if all(claim.kind != "amount" for claim in claims):
                self._amounts |= {(claim.key, currency_of(name)) for claim in claims if claim.kind == "number"}

    def claims(self, text: str) -> list[tuple[Claim, bool]]:
        """Return what a text claims, each with whether it stands in the facts."""
        found = claims_of(text, common_words=self._common, protected=self._protected)
        if self._labels is not None:
            called = self._labels.finditer(text)
            found += [Claim("label", one.group(), " ".join(name_words(one.group()))) for one in called]
        return [(claim, self._holds(claim)) for claim in found]

    def ungrounded(self, text: str) -> list[Claim]:
        """Return the claims of a text that do not stand in the facts."""
        return [claim for claim, holds in self.claims(text) if not holds]

    def _holds(self, claim: Claim) -> bool:
        if claim.kind == "amount":
            # A price without a currency is one in the catalogue's own.
            return bool({(claim.key, unit) for unit in ("", claim.unit)} & self._amounts)
        if (claim.kind, claim.key) in self._known:
            return True
        if claim.kind == "decade":
            years = [key for kind, key in self._known if kind == "number" and re.fullmatch(r"\d{4}", key)]
            return any(year[-2] == claim.key[-1] and year.startswith(claim.key.lstrip("*")[:-1]) for year in years)
        if claim.kind in ("title", "name") and claim.key in self._titles:
            return True
        if claim.kind == "title":
            return f" {claim.key} " in f" {self._text} " or (not claim.key.isascii() and claim.key in self._text)
        if claim.kind == "credit":
            role, _, name = claim.key.partition(" ")
            return any(role == other and f" {name} " in names for other, names in self._credited)
        if claim.kind == "label":
            return all(map(self._is_told, claim.key.split()))
        return claim.kind == "name" and self._is_known(claim)

    def _is_known(self, name: Claim) -> bool:
        """Tell whether a name is known, by its words."""
        if _DOTTED.search(name.said):
            return self._is_dotted_name(name.said)
        if _UNSPACED.search(name.key):
            # Where a Chinese name ends is not marked: what follows it may be part of the match.
            least = min(_CHINESE, len(name.key))
            return any(name.key[:size] in self._text for size in range(least, len(name.key) + 1))
        return all(map(self._is_told, self._without_titles(name.key.split())))

    def _without_titles(self, words: Sequence[str]) -> list[str]:
        """Return the words of a run of capitals but for the titles of the history that are wholly in it."""
        there = set(words)
        whole = [set(title.split()) - _SMALL for title in self._titles]
        named = {word for title in whole if title <= there for word in title}
        return [word for word in words if word not in named]

    def _is_told(self, word: str) -> bool:
        """Tell whether a word of a name is known; one of several letters, since initials say nothing."""
        if len(word) == 1 and word.isascii():
            return True
        if not word.isascii() and word in self._text:
            return True
        return (
            word in _SMALL or word in self._words or word.removesuffix("s") in self._words or word + "s" in self._words
        )

    def _is_dotted_name(self, said: str) -> bool:
        """Tell whether a Chinese transliteration is known, by what stands next to each dot: words have no spaces."""
        parts = _DOTTED.split(said)
        return all(f"{before[-1:]}·{after[:2]}" in self._dotted for before, after in pairwise(parts))


@cache
def _any_of(labels: frozenset[str]) -> re.Pattern[str] | None:
    """Return what finds labels as whole words, in one number or the other."""
    longest_first = sorted(labels, key=lambda label: (-len(label), label))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})s?\b", re.IGNORECASE) if labels else None
