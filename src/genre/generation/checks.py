"""Whether a text may be shown: whole, of its kind, in its language, about its item, and true of it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import polars as pl

from genre.core.words import is_unspaced, words_of
from genre.data.privacy import mask_all
from genre.features.enrich.checks import content_words, in_language
from genre.features.enrich.untrusted import gives_orders
from genre.generation.claims import normal
from genre.generation.facts import Facts
from genre.generation.grounding import Ground
from genre.generation.kinds import Kind
from genre.generation.own_data import OwnData, restored, spared
from genre.generation.sentences import is_whole, length_of, sentences_of, together, within
from genre.language.base import Completion

Check: TypeAlias = Literal[
    "answered", "whole", "language", "length", "no orders or links", "subject", "no repetition", "true", "allowed",
    "nothing personal", "moderated",
]  # fmt: skip
CHECKS: Final[tuple[Check, ...]] = (
    "answered", "whole", "language", "length", "no orders or links", "subject", "no repetition", "true", "allowed",
    "nothing personal",
)  # fmt: skip
"""Those that are always made, in this order; where there is a moderator, it is asked about what passes them."""
_QUOTE: Final = re.compile("<<|>>|‹‹|››")
"""What marks the quoted part of a prompt: who says it reads the prompt aloud."""
_PIECE, _REPEATED = 4, 0.2
"""Words of a piece, and the share of pieces that may have stood in the text before."""
_SHORT: Final = 100
"""Words of a text in which no piece stands twice that has two words which say something, or three in a row."""
_OFTEN: Final = 3
"""Times that a word may not be said, if it is also more than a third of the words that say something."""
_AROUND: Final = re.compile(
    r"^(?:(?:here (?:is|are)|sure|certainly)\b[^:\n]{0,80}:|"
    r"(?:title|headline|summary|synopsis|advertisement|ad|reason|answer|profile|step|continuation|translation|标题|摘要|简介|广告|理由|回答|画像|步骤|续文|译文)\s*[:：])\s*",
    re.IGNORECASE,
)
_MARKS: Final = '"“”*#` \n'


@dataclass(frozen=True)
class Problem:
    """What keeps a text from being shown."""

    check: Check
    detail: str


Further: TypeAlias = Callable[[str], Iterable[Problem]]
"""Looks for what only texts of one sort can get wrong."""


@dataclass(frozen=True, eq=False)
class Checker:
    """Judges texts of one kind about one item."""

    kind: Kind
    facts: Facts
    ground: Ground
    told: tuple[str, ...] = ()
    """What may be told beside the facts."""
    least_told: float | None = 0.5
    """Share of its words that must stand in the facts or in `told`; None where they are of another language."""
    banned: tuple[re.Pattern[str], ...] = ()
    """What may not be said, whatever the facts say."""
    begin: str = ""
    """What the text continues: what a model repeats of it is left out."""
    opening: str = ""
    """What the text begins with, which the model has not written: it does not count for its subject."""
    given: Mapping[str, str] = field(default_factory=dict)
    """What the reader agreed to be addressed by."""
    own: OwnData | None = None
    """Knows what others are called."""
    further: tuple[Further, ...] = ()
    """What else is looked for in texts of this sort."""

    def tidied(self, completion: Completion) -> str:
        """Return an answer without what models put around it, cut to whole sentences within the limits."""
        seen = "".join(mark for mark in completion.text if mark.isspace() or unicodedata.category(mark)[0] != "C")
        text = _AROUND.sub("", seen.strip(_MARKS))
        # A headline is one line in quotation marks, a longer text may end with a quotation.
        text = text.strip(_MARKS).partition("\n")[0].strip(_MARKS) if self.kind.sentences == 1 else text.strip()
        text = " ".join(text.split())
        pieces = sentences_of(text)
        if self.begin:
            pieces = self._continuing(pieces)
            text = together(pieces)
        if self.kind.sentences > 1 and len(pieces) > 1 and not is_whole(pieces[-1]):
            text = text[: text.rindex(pieces[-1])].strip()
        return within(text, sentences=self.kind.sentences, words=self.kind.words)

    def _continuing(self, pieces: Sequence[str]) -> list[str]:
        """Return sentences without those of the beginning, and without its end where it ends inside a sentence."""
        *whole, last = sentences_of(self.begin)
        cut = [piece if piece == last or is_whole(last) else piece.removeprefix(last).strip() for piece in pieces]
        return [piece for piece in cut if piece and piece not in (*whole, last)]

    def problems(self, text: str, *, failed: str | None = None) -> list[Problem]:
        """Return what is wrong with a text; nothing where it may be shown.

        Args:
            text: As `tidied` returns it.
            failed: Why there is no answer, if so.
        """
        if failed is not None or not text:
            return [Problem("answered", failed or "nothing was written")]
        if self.opening.startswith(text):
            return [Problem("answered", "nothing behind what it was to begin with")]
        kind, found = self.kind, list[Problem]()
        if kind.sentences > 1 and not is_whole(text):
            found.append(Problem("whole", "its last sentence has no end"))
        if not in_language(text, kind.language):
            found.append(Problem("language", f"it is not in {kind.language!r}"))
        if (length := length_of(text)) > kind.words:
            found.append(Problem("length", f"{length} words, {kind.words} at most"))
        if gives_orders(text) or _QUOTE.search(text):
            found.append(Problem("no orders or links", "it addresses a model, or has a link"))
        own = self._own(text)
        found += self._strange(own)
        if self.repeats(text):
            found.append(Problem("no repetition", "it says the same again and again"))
        found += [Problem("true", f"{claim.kind} {claim.said!r}") for claim in self.ground.ungrounded(own)]
        plain = normal(text)
        found += [Problem("allowed", repr(one.group())) for pattern in self.banned for one in pattern.finditer(plain)]
        found += [Problem("nothing personal", detail) for detail in self._personal(text)]
        return found + [problem for look in self.further for problem in look(text)]

    def _strange(self, own: str) -> Iterator[Problem]:
        """Yield whether a text is about something else, or names what it is about and says no more."""
        if self.least_told is None:
            return
        title, *others = self.facts.lines
        told = [*others, *self.told] if self.facts.is_told else [title]
        if (share := share_told(own, [title, *told])) < self.least_told:
            yield Problem("subject", f"{share:.0%} of its words were told, {self.least_told:.0%} at least")
        elif not content_words([own]) & content_words(told):
            yield Problem("subject", "it says nothing of the facts")

    def repeats(self, text: str) -> bool:
        """Tell whether a text says the same again and again, its item's title aside."""
        own = self._own(text)
        return repeats(own.replace(self.facts.title, "") if self.facts.title else own)

    def _own(self, text: str) -> str:
        """Return what the model has written of a text, or of its last sentences."""
        *whole, last = sentences_of(self.opening) or [""]
        openings = [one for one in (self.opening, together(whole), last) if one]
        return text.removeprefix(next((one for one in openings if text.startswith(one)), ""))

    def claims(self, text: str) -> dict[str, int]:
        """Return how many claims a text makes, and how many of them stand in the facts."""
        found = [holds for _, holds in self.ground.claims(self._own(text))]
        return {"made": len(found), "grounded": sum(found)}

    def allowed(self, text: str) -> str:
        """Return a text that was put together from the facts without what may not be shown whoever says it.

        Sentences with what is banned are left out, and personal data is masked.
        """
        if not any(pattern.search(text) for pattern in self.banned):
            kept = text
        else:
            sentences = sentences_of(text)
            kept = together([one for one in sentences if not any(pattern.search(one) for pattern in self.banned)])
        return self._masked(kept)[0]

    def _personal(self, text: str) -> list[str]:
        """Return what a text holds of anybody but its reader."""
        found = ["it holds an address or a number of somebody"] if self._masked(text)[1] else []
        if self.own is not None:
            allowed = [self.facts.name, *self.facts.lines, *self.told, *self.given.values()]
            found += [f"{other!r} is what somebody else is called" for other in self.own.others_in(text, allowed)]
        return found

    def _masked(self, text: str) -> tuple[str, int]:
        """Return a text with personal data masked, but for what the reader agreed to be addressed by, and the finds."""
        plain, values = spared(text, self.given)
        masked, finds = mask_all(pl.Series([plain], dtype=pl.String))
        return restored(str(masked[0]), values), finds

    def repaired(self, text: str) -> str:
        """Return the sentences that may be shown by themselves: nothing that is added, something that is left out."""
        opening = sentences_of(self.opening)
        kept = [one for one in sentences_of(text) if one in opening or not self.problems(one)]
        return within(together(kept), sentences=self.kind.sentences, words=self.kind.words)


def share_told(text: str, told: Sequence[str]) -> float:
    """Return the share of a text's words that were told, 1 for one without a word that says something."""
    words = content_words([text])
    return len(words & content_words(told)) / len(words) if words else 1.0


def banned_patterns(terms: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """Return what finds terms as whole words, in any case; Chinese ones anywhere."""
    return tuple(
        re.compile(rf"(?<!\w){re.escape(term)}(?!\w)" if term.isascii() else re.escape(term), re.IGNORECASE)
        for term in terms
    )


def repeats(text: str) -> bool:
    """Tell whether a text says the same again and again."""
    words = words_of(text)
    pieces = [tuple(words[at : at + _PIECE]) for at in range(len(words) - _PIECE + 1)]
    if pieces and 1 - len(set(pieces)) / len(pieces) > _REPEATED:
        return True
    telling = {word for word in set(words) if content_words([word]) and not is_unspaced(word)}
    longer = [piece for piece in pieces if len(telling & set(piece)) > 1]
    shorter = [piece for piece in zip(words, words[1:], words[2:], strict=False) if telling >= set(piece)]
    if len(words) < _SHORT and (len(set(longer)) < len(longer) or len(set(shorter)) < len(shorter)):
        return True
    counts = Counter(word for word in words if word in telling)
    most = max(counts.values(), default=0)
    return most >= _OFTEN and most > counts.total() / _OFTEN
