"""Personal texts about items: drawn from a language model, and checked against the facts before they are shown.

It takes ``P(text | person, item)`` for proportional to ``P(person likes | text) P(text | item)``. Candidates are drawn
from the second factor, a language model that is shown the facts. Those that pass every check are weighed by how much of
them stands in the facts, by how fluent they are, and by how near they are to what the person liked. Where none passes,
more are drawn; then what is wrong with one is left out; and then the text is put together from the facts, without a
model.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from genre.core.run import RunContext
from genre.features.store import ContentStore
from genre.generation.audit import AuditedWriter, AuditLog
from genre.generation.beginnings import after, pieces_after
from genre.generation.checks import CHECKS, Check, Checker, Problem
from genre.generation.own_data import OwnData
from genre.generation.plain import PlainWriter
from genre.generation.requests import Request, Written
from genre.generation.sentences import is_whole, length_of, sentences_of, together
from genre.generation.weighing import Scales, Scores
from genre.generation.weight_fitting import fit_weights, read_comparisons
from genre.generation.write_config import WriteConfig
from genre.language.base import Completion, Generator, Prompt, Sampling


def writer_of(
    config: WriteConfig,
    run: RunContext,
    *,
    common_words: frozenset[str] = frozenset(),
    labels: frozenset[str] = frozenset(),
    own: OwnData | None = None,
    generator: Generator | None = None,
) -> PlainWriter | ModelWriter | AuditedWriter:
    """Return what writes as the config says; a model is loaded when it is first asked.

    Args:
        config: How to write.
        run: Store of what was written before, and progress.
        common_words: Words that are no names though a sentence begins with them.
        labels: What the catalogue calls items, such as genres.
        own: What people agreed to be addressed by.
        generator: A language model that is there already, in the place of the config's.
    """
    plain = PlainWriter(config, run, common_words=common_words, labels=labels, own=own)
    if generator is None and config.generator is not None:
        generator = config.generator.build()
    writer = plain if generator is None else ModelWriter(config, generator, run, plain)
    return writer if config.audit is None else AuditedWriter(writer, AuditLog(config.audit))


def _sentences(pieces: Iterable[str], *, headline: bool) -> Iterator[str]:
    """Yield the whole sentences of a text that comes piece by piece; one without an end only if it is a headline."""
    text = ""
    for piece in pieces:
        text += piece
        *whole, text = sentences_of(text) or [""]
        yield from whole
        # A space behind it belongs to what comes next.
        text += " " if piece[-1:].isspace() else ""
    if is_whole(text.strip()) or (headline and text.strip()):
        yield text.strip()


@dataclass(eq=False)
class _Attempt:
    """What has become of one request by now."""

    request: Request
    checker: Checker
    prompt: Prompt
    drawn: int = 0
    passed: list[str] = field(default_factory=list)
    """Texts that may be shown."""
    refused: list[tuple[str, list[Problem]]] = field(default_factory=list)
    repaired: bool = False
    claims: Counter[str] = field(default_factory=Counter)
    """What all drawn texts claim, before the checks."""

    def count(self, text: str) -> None:
        """Count what a drawn text claims."""
        found = self.checker.claims(text)
        self.claims.update({"texts": 1, "true": int(found["made"] == found["grounded"]), **found})


def _moderated(flags: Sequence[str]) -> list[Problem]:
    return [Problem("moderated", ", ".join(flags))] if flags else []


class ModelWriter:
    """Writes with a language model, and puts together from the facts what it cannot write."""

    def __init__(self, config: WriteConfig, generator: Generator, run: RunContext, plain: PlainWriter) -> None:
        """Keep the settings.

        Args:
            config: How to write.
            generator: The language model.
            run: Store of what was written before, and progress.
            plain: Writes what the model cannot.
        """
        self.config, self.generator, self._run, self._plain = config, generator, run, plain
        self._scales = Scales(generator, config.encoder.build())
        self._weights = config.weights
        if config.weights_from is not None:
            self._weights = fit_weights(read_comparisons(config.weights_from), default=config.weights)

    def write(self, requests: Sequence[Request]) -> list[Written]:
        """Return a text for each request, in this order."""
        attempts = [self._begun(request) for request in requests]
        for draw in range(self.config.draws):
            self._draw([one for one in attempts if not one.passed and one.request.can_be_drawn], draw)
        self._repair([one for one in attempts if not one.passed])
        passed = [(one, text) for one in attempts for text in one.passed]
        scores = self._scales.scores([(one.request, text) for one, text in passed], self._run.progress)
        by_attempt: dict[_Attempt, dict[str, Scores]] = {one: {} for one in attempts}
        for (one, text), found in zip(passed, scores, strict=True):
            by_attempt[one][text] = found
        about = [self._about(one) for one in attempts]
        plain = iter(
            self._plain.write(
                [one.request for one in attempts if not one.passed],
                [told for one, told in zip(attempts, about, strict=True) if not one.passed],
            )
        )
        return [
            self._best(one, by_attempt[one], told) if one.passed else next(plain)
            for one, told in zip(attempts, about, strict=True)
        ]

    def stream(self, request: Request, about: dict[str, Any] | None = None) -> Iterator[str]:
        """Yield one text sentence by sentence, each as soon as it is whole and passes the checks.

        It is drawn once. A sentence that may not be shown is left out; where none may, the text that is put together
        from the facts is yielded in its place. What has been yielded is never taken back. A translation, of which
        only the whole can be compared with its source, is written first.

        Args:
            request: What is wanted.
            about: Filled with where the text comes from, as far as it is known by then.
        """
        told = {} if about is None else about
        if request.source is not None:
            (whole,) = self.write([request])
            told.update(whole.provenance, writer=whole.writer)
            yield from sentences_of(whole.text)
            return
        one, shown, waiting = self._begun(request), list[str](), list[str]()
        asked = request.can_be_drawn
        one.drawn = int(asked)
        told.update(self._about(one), fell_back=False, checks=self._checks, writer="model")
        pieces = self.generator.stream(one.prompt, sampling=self.config.sampling) if asked else iter(())
        opening = sentences_of(one.prompt.begin)
        pieces = pieces_after(one.prompt.begin, pieces, request.facts.name, self._plain.common_words)
        for sentence in _sentences(pieces, headline=request.kind.sentences == 1):
            tidied = one.checker.tidied(Completion(sentence, 0, 0))
            if tidied in opening:
                waiting.append(tidied)  # It says nothing without what comes behind it.
                continue
            longer = together([*shown, *waiting, tidied])
            if not tidied or length_of(longer) > request.kind.words or one.checker.repeats(longer):
                continue
            said = together([*waiting, tidied])
            if problems := one.checker.problems(said) or _moderated(self._plain.flags([said])[0]):
                one.refused.append((tidied, problems))
                told.update(self._refused(one))
                continue
            shown += [*waiting, tidied]
            yield from [*waiting, tidied]
            waiting.clear()
            if len(shown) == request.kind.sentences:
                return
        if not shown:
            told.update(fell_back=True)
            del told["checks"]  # Others are made of the facts.
            yield from self._plain.stream(request, told)

    def _begun(self, request: Request) -> _Attempt:
        return _Attempt(request, self._plain.checker(request), request.kind.prompt(request.given))

    def _draw(self, waiting: Sequence[_Attempt], draw: int) -> None:
        """Draw candidates for those that have none which may be shown."""
        first = self.config.sampling.seed + draw * self.config.candidates
        drawn = [(one, replace(one.prompt, draw=at)) for one in waiting for at in range(self.config.candidates)]
        sampling = self.config.sampling.model_copy(update={"seed": first})
        answers = self._answers([prompt for _, prompt in drawn], sampling)
        for (one, _), answer in zip(drawn, answers, strict=True):
            one.drawn += 1
            whole = after(one.prompt.begin, answer.text, one.request.facts.name, self._plain.common_words)
            text = one.checker.tidied(replace(answer, text=whole))
            failed = (answer.error or "no answer") if answer.finish == "error" else None
            if text and failed is None:
                one.count(text)
            if problems := one.checker.problems(text, failed=failed):
                one.refused.append((text, problems))
            elif text not in one.passed:
                one.passed.append(text)
        self._moderate(waiting)

    def _moderate(self, attempts: Sequence[_Attempt]) -> None:
        """Take away what the moderator refuses."""
        texts = [(one, text) for one in attempts for text in one.passed]
        for (one, text), flags in zip(texts, self._plain.flags([text for _, text in texts]), strict=True):
            if flags:
                one.passed.remove(text)
                one.refused.append((text, _moderated(flags)))

    def _answers(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
        if self._run.store is None:
            return self.generator.generate(prompts, sampling=sampling, progress=self._run.progress)
        return ContentStore.open(self._run.store).completions(
            self.generator, prompts, sampling=sampling, at_once=self.config.at_once, progress=self._run.progress
        )

    def _repair(self, attempts: Sequence[_Attempt]) -> None:
        """Leave out of the candidates what may not be shown."""
        for one in attempts:
            shorter = dict.fromkeys(one.checker.repaired(text) for text, _ in one.refused if text)
            one.passed = [text for text in shorter if text and not one.checker.problems(text)]
        self._moderate(attempts)
        for one in attempts:
            one.repaired = bool(one.passed)

    @property
    def _checks(self) -> list[Check]:
        return [*CHECKS, *self._plain.moderated]

    def _about(self, one: _Attempt) -> dict[str, Any]:
        return {
            "model": self.generator.key,
            "prompt": hashlib.sha256(repr(asdict(one.prompt)).encode()).hexdigest()[:16],
            "attempts": one.drawn,
            **self._refused(one),
            "drawn_claims": dict(one.claims),
            "fell_back": not one.passed,
            "repaired": one.repaired,
        }

    def _refused(self, one: _Attempt) -> dict[str, Any]:
        """Return how often which check refused one, and for what the moderator did."""
        problems = [problem for _, some in one.refused for problem in some]
        flags = {flag for problem in problems if problem.check == "moderated" for flag in problem.detail.split(", ")}
        refused = dict(Counter(problem.check for problem in problems))
        return {"refused": refused, **({"moderation": sorted(flags)} if flags else {})}

    def _best(self, one: _Attempt, scores: Mapping[str, Scores], about: Mapping[str, Any]) -> Written:
        best = max(scores, key=lambda text: self._weights.total(scores[text]))
        told = {**one.request.provenance, **about, "claims": one.checker.claims(best), "checks": self._checks}
        told |= {"scores": dict(scores[best]), "weights": self._weights.model_dump()}
        told["candidates"] = [{"text": text, "scores": dict(found)} for text, found in scores.items()]
        return Written(best, "model", told)
