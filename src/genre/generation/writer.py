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
from dataclasses import asdict, dataclass, field
from typing import Any

from genre.core.run import RunContext
from genre.features.store import ContentStore
from genre.generation.checks import CHECKS, Checker, Problem, repeats
from genre.generation.plain import PlainWriter
from genre.generation.requests import Request, Written
from genre.generation.sentences import is_whole, length_of, sentences_of, together
from genre.generation.weighing import Scales, Scores
from genre.generation.write_config import WriteConfig
from genre.language.base import Completion, Generator, Prompt, Sampling


def writer_of(
    config: WriteConfig,
    run: RunContext,
    *,
    common_words: frozenset[str] = frozenset(),
    generator: Generator | None = None,
) -> PlainWriter | ModelWriter:
    """Return what writes as the config says; a model is loaded when it is first asked.

    Args:
        config: How to write.
        run: Store of what was written before, and progress.
        common_words: Words that are no names though a sentence begins with them.
        generator: A language model that is there already, in the place of the config's.
    """
    plain = PlainWriter(config, run, common_words=common_words)
    if generator is None and config.generator is not None:
        generator = config.generator.build()
    return plain if generator is None else ModelWriter(config, generator, run, plain)


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

    def write(self, requests: Sequence[Request]) -> list[Written]:
        """Return a text for each request, in this order."""
        attempts = [self._begun(request) for request in requests]
        for draw in range(self.config.draws):
            self._draw([one for one in attempts if not one.passed and one.request.facts.is_told], draw)
        self._repair([one for one in attempts if not one.passed])
        passed = [(one, text) for one in attempts for text in one.passed]
        scores = self._scales.scores([(one.request, text) for one, text in passed], self._run.progress)
        by_attempt: dict[_Attempt, dict[str, Scores]] = {one: {} for one in attempts}
        for (one, text), found in zip(passed, scores, strict=True):
            by_attempt[one][text] = found
        about = [self._about(one, by_attempt[one]) for one in attempts]
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

    def stream(self, request: Request) -> Iterator[str]:
        """Yield one text sentence by sentence, each as soon as it is whole and passes the checks.

        It is drawn once. A sentence that may not be shown is left out; where none may, the text that is put together
        from the facts is yielded in its place. What has been yielded is never taken back.
        """
        one, shown = self._begun(request), list[str]()
        told = request.facts.is_told
        pieces = self.generator.stream(one.prompt, sampling=self.config.sampling) if told else iter(())
        for sentence in _sentences(pieces, headline=request.kind.sentences == 1):
            tidied = one.checker.tidied(Completion(sentence, 0, 0))
            longer = together([*shown, tidied])
            fits = tidied and length_of(longer) <= request.kind.words and not repeats(longer)
            if fits and not one.checker.problems(tidied) and not self._plain.flags([tidied])[0]:
                shown.append(tidied)
                yield tidied
            if len(shown) == request.kind.sentences:
                return
        if not shown:
            yield from self._plain.stream(request)

    def _begun(self, request: Request) -> _Attempt:
        return _Attempt(request, self._plain.checker(request), request.kind.prompt(request.given))

    def _draw(self, waiting: Sequence[_Attempt], draw: int) -> None:
        """Draw candidates for those that have none which may be shown."""
        first = self.config.sampling.seed + draw * self.config.candidates
        for seed in range(first, first + self.config.candidates):
            sampling = self.config.sampling.model_copy(update={"seed": seed})
            for one, answer in zip(waiting, self._answers(waiting, sampling), strict=True):
                one.drawn += 1
                text = one.checker.tidied(answer)
                failed = (answer.error or "no answer") if answer.finish == "error" else None
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
                one.refused.append((text, [Problem("moderated", ", ".join(flags))]))

    def _answers(self, waiting: Sequence[_Attempt], sampling: Sampling) -> list[Completion]:
        prompts = [one.prompt for one in waiting]
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

    def _about(self, one: _Attempt, scores: Mapping[str, Scores]) -> dict[str, Any]:
        refused = Counter(problem.check for _, problems in one.refused for problem in problems)
        return {
            "model": self.generator.key,
            "prompt": hashlib.sha256(repr(asdict(one.prompt)).encode()).hexdigest()[:16],
            "attempts": one.drawn,
            "refused": dict(refused),
            "fell_back": not scores,
            "repaired": one.repaired,
        }

    def _best(self, one: _Attempt, scores: Mapping[str, Scores], about: Mapping[str, Any]) -> Written:
        best = max(scores, key=lambda text: self.config.weights.total(scores[text]))
        told = one.request.provenance
        return Written(best, "model", {**told, **about, "checks": list(CHECKS), "scores": dict(scores[best])})
