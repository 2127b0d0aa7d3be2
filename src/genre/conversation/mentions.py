"""What a message names, and its clauses with marks in the place of what they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from genre.conversation import cues
from genre.conversation.catalogue import Catalogue, Label
from genre.conversation.phrases import folded, plain
from genre.conversation.polarity import stance
from genre.conversation.ranges import Range, find_ranges
from genre.conversation.references import Places, find_places
from genre.conversation.titles import Titles
from genre.core.words import CJK
from genre.features.text import Language

MentionKind: TypeAlias = Literal["t", "u", "l", "r", "p"]
_ORDER: dict[MentionKind, int] = {"t": 0, "r": 1, "l": 2, "p": 3, "u": 9}
_MOST = 40
"""Things that a message names at most, the last ones: what is said last counts."""
_OWN = re.compile(r"(?:\bmy |我的)$")
"""Before a label that is none: "my history"."""
_LOG = re.compile(r"\b(?:viewing|watch) history$")
_HAN = re.compile(f"[{CJK}]")
_WITHOUT_JOINT = re.compile(r"^\s*(?:(?:and|or|nor)\b|和|或者?|还有|以及|、)")
_WORD = re.compile(rf"[^\W\d_{CJK}]+")


@dataclass(frozen=True)
class Mention:
    """Something that is named in a message."""

    start: int
    end: int
    kind: MentionKind
    value: str | Label | Range | Places
    """Of a title the item's id, of an unknown one what was said."""
    said: str
    whole: bool = True
    """Whether a title is named as a whole; of a part and a label that are the same word, the label is meant."""


@dataclass(frozen=True)
class Clause:
    """A part of a message that says one thing."""

    text: str
    """Folded, with marks."""
    mentions: tuple[Mention, ...]
    """All of the message; marks count them."""
    asks: bool
    """Whether it ends with a question mark."""

    def of(self, *kinds: MentionKind) -> list[Mention]:
        """Return what is named in this clause, in order."""
        return [self.mentions[int(mark[2])] for mark in cues.MARK.finditer(self.text) if mark[1] in kinds]

    def spoken(self, text: str) -> str:
        """Return a part of the clause with what was said in the place of marks."""
        return " ".join(cues.MARK.sub(lambda mark: self.mentions[int(mark[2])].said, text).split())

    def before(self, mention: Mention) -> str:
        """Return what stands before a mention."""
        return self.text[: self._mark(mention).start()]

    def after(self, mention: Mention) -> str:
        """Return what stands behind a mention."""
        return self.text[self._mark(mention).end() :]

    def _mark(self, mention: Mention) -> re.Match[str]:
        return next(mark for mark in cues.MARK.finditer(self.text) if self.mentions[int(mark[2])] is mention)


class Reader:
    """Finds what messages name in a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Index the titles.

        Args:
            catalogue: What can be named.
        """
        self._catalogue = catalogue
        self._ids = catalogue.items.vocabulary.ids
        self._titles = Titles(catalogue.items, catalogue.common_words)

    def read(self, message: str) -> list[Clause]:
        """Return the clauses of a message."""
        text = plain(message).replace("§", " ")
        mentions = self._chosen(list(self._found(text)))
        low, marked, at = folded(text), "", 0
        for number, one in enumerate(mentions):
            marked += f"{low[at : one.start]}§{one.kind}{number}§"
            at = one.end
        return list(_clauses(marked + low[at:], tuple(mentions)))

    def _found(self, text: str) -> Iterator[Mention]:
        low = folded(text)
        for title in self._titles.find(text):
            kind: MentionKind = "u" if title.item is None else "t"
            value = title.said if title.item is None else str(self._ids[title.item])
            yield Mention(title.start, title.end, kind, value, title.said, title.whole)
        for start, end, label in self._catalogue.labels.find(low):
            if (
                self._catalogue.is_written(label, text[start:end])
                and not _OWN.search(low[:start])
                and not _LOG.search(low[:end])
            ):
                yield Mention(start, end, "l", label, text[start:end])
        for start, end, bounds in find_ranges(low):
            yield Mention(start, end, "r", bounds, text[start:end])
        for start, end, places in find_places(low):
            yield Mention(start, end, "p", places, text[start:end])

    @staticmethod
    def _chosen(found: list[Mention]) -> list[Mention]:
        """Return mentions that do not overlap, the longer ones first, in their order."""
        kept: list[Mention] = []
        for one in sorted(
            found, key=lambda one: (one.kind == "u", one.start - one.end, not one.whole, _ORDER[one.kind])
        ):
            if not any(one.start < other.end and other.start < one.end for other in kept):
                kept.append(one)
        return sorted(kept, key=lambda one: one.start)[-_MOST:]


def language_of(message: str, clauses: list[Clause], before: Language) -> Language:
    """Return the language of a message by its script, without the titles in it; where it has none, the one before."""
    rest = re.sub(r"§.\d+§", " ", " ".join(clause.text for clause in clauses))
    for text in (rest, message):
        chinese, english = len(_HAN.findall(text)), len(_WORD.findall(text))
        if chinese or english:
            return "zh" if chinese >= english else "en"
    return before


def _clauses(marked: str, mentions: tuple[Mention, ...]) -> Iterator[Clause]:
    marked = cues.ANY_BUT.sub(lambda hit: f"{hit[1] or hit[2]} except ", marked)
    parts: list[tuple[str, str]] = []
    at = 0
    for hit in cues.SPLIT.finditer(marked):
        parts.append((marked[at : hit.start()], hit.group()))
        at = hit.end()
    parts.append((marked[at:], ""))
    joined: list[tuple[str, str]] = []
    for text, end in parts:
        joint = _joint(joined[-1], text.strip()) if joined else ""
        if joint:
            joined[-1] = (f"{joined[-1][0]}{joint}{_WITHOUT_JOINT.sub('', text).strip()}", end)
        elif text.strip():
            joined.append((text.strip(), end))
    for text, end in joined:
        yield Clause(text, mentions, "?" in end)


def _joint(before: tuple[str, str], text: str) -> str:
    """Return what joins a clause to the one before; "" where it says something of its own."""
    said, end = before
    if cues.LIST_GOES_ON.match(text):
        return " or "
    if "," in end and cues.ONE_GOES_ON.match(text):
        last = list(cues.MARK.finditer(said))
        if last and last[-1][1] in "lr" and stance(said[: last[-1].start()], "") == "unwanted":
            return " or "
    return " " if (cues.ONE_GOES_ON.match(said) or cues.ALONE.match(said)) and cues.ONLY_NO.match(text) else ""
