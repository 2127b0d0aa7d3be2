"""Texts that are put together from the facts, and what all texts must pass before they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from genre.core.run import RunContext
from genre.generation.checks import Check, Checker, banned_patterns
from genre.generation.further import further_checks
from genre.generation.grounding import Ground
from genre.generation.own_data import OwnData
from genre.generation.requests import Request, Written
from genre.generation.sentences import sentences_of
from genre.generation.write_config import WriteConfig
from genre.language.moderation import Moderator

_CHECKS: Final[tuple[Check, ...]] = ("allowed", "nothing personal")
"""What facts are kept from."""


class PlainWriter:
    """Writes without a model: what it writes is faithful, and the same every time."""

    def __init__(
        self,
        config: WriteConfig,
        run: RunContext,
        *,
        common_words: frozenset[str] = frozenset(),
        labels: frozenset[str] = frozenset(),
        own: OwnData | None = None,
    ) -> None:
        """Keep the settings; nobody is asked yet.

        Args:
            config: How to write.
            run: Store of what was written before, and progress.
            common_words: Words that are no names though a sentence begins with them.
            labels: What the catalogue calls items.
            own: What people agreed to be addressed by.
        """
        self._run, self.common_words, self._labels, self._own = run, common_words, labels, own
        self._banned = banned_patterns(config.banned)
        self._least_told = config.least_told
        self._moderator = None if config.moderation is None else Moderator(config.moderation)
        self.moderated: tuple[Check, ...] = () if self._moderator is None else ("moderated",)
        """Checks that are made beside those of the checker."""

    def checker(self, request: Request, *, drawn: bool = True) -> Checker:
        """Return what judges texts for a request, those that a model has drawn or those from the facts."""
        opening = request.kind.opening(request.given) if drawn else ""
        told, titles = request.told, request.titles
        if opening:
            # It tells truly why and what the person liked; behind it, both would be said of the item.
            told, titles = tuple(one for one in told if one != request.reason), ()
        ground = Ground(
            request.facts,
            given=told,
            titles=titles,
            common_words=self.common_words,
            protected=request.scenario.protected,
            labels=self._labels,
        )
        banned = (*self._banned, *request.scenario.banned)
        return Checker(
            request.kind,
            request.facts,
            ground,
            (*told, *titles),
            self._least_told if request.source is None else None,
            banned=banned,
            begin=request.begin,
            opening=opening,
            given=request.person.given if "person" in request.kind.inputs else {},
            own=self._own,
            further=further_checks(request, self.common_words),
        )

    def flags(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Return for what the moderator refuses each text; where there is none, nothing is refused."""
        if self._moderator is None or not texts:
            return [()] * len(texts)
        return self._moderator.flags(texts, progress=self._run.progress)

    def write(
        self, requests: Sequence[Request], provenance: Sequence[Mapping[str, Any]] | None = None
    ) -> list[Written]:
        """Return a text for each request, in this order; "" where even the facts may not be shown.

        Args:
            requests: What is wanted.
            provenance: What is known of each request by now.
        """
        checkers = [self.checker(request, drawn=False) for request in requests]
        whole = [request.kind.plain(request.given) for request in requests]
        texts = [checker.allowed(text) for checker, text in zip(checkers, whole, strict=True)]
        flags = self.flags(texts)
        found = []
        for at, (request, text) in enumerate(zip(requests, texts, strict=True)):
            about: dict[str, Any] = {
                **request.provenance,
                "fell_back": False,
                "repaired": False,
                "claims": checkers[at].claims(text),
                "checks": [*_CHECKS, *self.moderated],
                **({} if provenance is None else provenance[at]),
            }
            if flags[at] or not text:
                about["withheld"] = list(flags[at]) or ["banned" if whole[at] else "nothing to say"]
            elif request.source is not None:
                about["withheld"] = ["not translated"]
            found.append(Written("" if flags[at] else text, "template", about))
        return found

    def stream(self, request: Request, about: dict[str, Any] | None = None) -> Iterator[str]:
        """Yield one text sentence by sentence.

        Args:
            request: What is wanted.
            about: What is known of it by now; filled with where the text comes from.
        """
        told = {} if about is None else about
        (written,) = self.write([request], [told])
        told.update(written.provenance, writer=written.writer)
        yield from sentences_of(written.text)
