"""Personal texts about items: drawn from a language model, checked against the facts, and never shown untrue.

It takes ``P(text | person, item)`` for proportional to ``P(person likes | text) P(text | item)``. Candidates are drawn
from the second factor, a language model that is shown the facts. Those that pass every check are weighed by how much of
them stands in the facts, by how fluent they are, and by how near they are to what the person liked. Where none passes,
more are drawn; then what is wrong with one is left out; and then the text is put together from the facts, without a
model.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import Field

from genre.core.config import Config
from genre.core.run import RunContext
from genre.features.store import ContentStore
from genre.generation.checks import CHECKS, Checker, Problem, banned_patterns
from genre.generation.grounding import Ground
from genre.generation.requests import Request, Written, written_plainly
from genre.generation.sentences import is_whole, length_of, sentences_of
from genre.generation.weighing import Scales, Scores, Weights
from genre.language.base import Completion, Generator, Prompt, Sampling
from genre.language.encoders import AnyEncoder
from genre.language.generators import AnyGenerator
from genre.language.hashing import HashingEncoderConfig


class WriteConfig(Config):
    """How texts are written."""

    generator: AnyGenerator | None = None
    """The language model; none, the default, puts every text together from the facts."""
    sampling: Sampling = Sampling(max_tokens=128, temperature=0.7, top_p=0.95)
    """How candidates are drawn; the seed is that of the first, the others follow."""
    candidates: int = Field(default=3, ge=1, le=16)
    """Texts that are drawn together for each request."""
    draws: int = Field(default=2, ge=1, le=8)
    """How often candidates are drawn, as long as none may be shown."""
    least_told: float = Field(default=0.5, ge=0, le=1)
    """Share of a text's words that must stand in the facts. What a model makes up without a name or a number in it is
    found by no other check; half leaves room for words of its own."""
    weights: Weights = Weights()
    encoder: AnyEncoder = HashingEncoderConfig()
    """What preference is measured with. The default needs no model, and takes any language."""
    banned: tuple[str, ...] = ()
    """Terms that no text of a language model may hold."""
    at_once: int = Field(default=64, ge=1)
    """Prompts that the language model gets together."""

    def check_installed(self) -> None:
        """Make sure that the model's libraries are there.

        Raises:
            DependencyError: One of them is not.
        """
        if self.generator is not None:
            self.generator.check_installed()
            self.encoder.check_installed()


def stream(
    request: Request, config: WriteConfig, run: RunContext, *, common_words: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Yield one text sentence by sentence; see `write` and `ModelWriter.stream`."""
    if config.generator is None:
        yield from sentences_of(written_plainly(request).text)
    else:
        yield from ModelWriter(config, config.generator.build(), run, common_words=common_words).stream(request)


def write(
    requests: Sequence[Request], config: WriteConfig, run: RunContext, *, common_words: frozenset[str] = frozenset()
) -> list[Written]:
    """Return a text for each request, in this order.

    Args:
        requests: What is wanted.
        config: How to write.
        run: Store of what was written before, and progress.
        common_words: Words that are no names though a sentence begins with them.

    Raises:
        ConfigError: There is no such model.
        DependencyError: The model is not there.
    """
    if config.generator is None:
        return [written_plainly(request) for request in requests]
    return ModelWriter(config, config.generator.build(), run, common_words=common_words).write(requests)


def _sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the whole sentences of a text that comes piece by piece; one without an end is not yielded."""
    text = ""
    for piece in pieces:
        text += piece
        *whole, text = sentences_of(text) or [""]
        yield from whole
        # A space behind it belongs to what comes next.
        text += " " if piece[-1:].isspace() else ""
    if is_whole(text.strip()):
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

    def __init__(
        self, config: WriteConfig, generator: Generator, run: RunContext, *, common_words: frozenset[str] = frozenset()
    ) -> None:
        """Keep the settings; the model is loaded when it is first asked."""
        self.config, self.generator, self._run, self._common = config, generator, run, common_words
        self._banned = banned_patterns(config.banned)
        self._scales = Scales(generator, config.encoder.build())

    def write(self, requests: Sequence[Request]) -> list[Written]:
        """Return a text for each request, in this order."""
        attempts = [self._begun(request) for request in requests]
        for draw in range(self.config.draws):
            self._draw([one for one in attempts if not one.passed and one.request.facts.is_told], draw)
        for one in attempts:
            if not one.passed:
                self._repair(one)
        passed = [(one, text) for one in attempts for text in one.passed]
        scores = self._scales.scores([(one.request, text) for one, text in passed], self._run.progress)
        by_attempt: dict[_Attempt, dict[str, Scores]] = {one: {} for one in attempts}
        for (one, text), found in zip(passed, scores, strict=True):
            by_attempt[one][text] = found
        return [self._written(one, found) for one, found in by_attempt.items()]

    def stream(self, request: Request) -> Iterator[str]:
        """Yield one text sentence by sentence, each as soon as it is whole and passes the checks.

        It is drawn once. A sentence that may not be shown is left out; where none may, the text that is put together
        from the facts is yielded in its place. What has been yielded is never taken back.
        """
        one, shown = self._begun(request), list[str]()
        told = request.facts.is_told
        pieces = self.generator.stream(one.prompt, sampling=self.config.sampling) if told else iter(())
        for sentence in _sentences(pieces):
            tidied = one.checker.tidied(Completion(sentence, 0, 0))
            longer = " ".join([*shown, tidied])
            if tidied and not one.checker.problems(tidied) and length_of(longer) <= request.kind.words:
                shown.append(tidied)
                yield tidied
            if len(shown) == request.kind.sentences:
                return
        if not shown:
            yield written_plainly(request).text

    def _begun(self, request: Request) -> _Attempt:
        ground = Ground(
            request.facts, given=request.told, common_words=self._common, protected=request.scenario.protected
        )
        checker = Checker(
            request.kind,
            request.facts,
            ground,
            (*request.told, request.question),
            self.config.least_told,
            banned=self._banned,
        )
        return _Attempt(request, checker, request.kind.prompt(request.given))

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

    def _answers(self, waiting: Sequence[_Attempt], sampling: Sampling) -> list[Completion]:
        prompts = [one.prompt for one in waiting]
        if self._run.store is None:
            return self.generator.generate(prompts, sampling=sampling, progress=self._run.progress)
        return ContentStore.open(self._run.store).completions(
            self.generator, prompts, sampling=sampling, at_once=self.config.at_once, progress=self._run.progress
        )

    def _repair(self, one: _Attempt) -> None:
        """Leave out of the candidates what may not be shown."""
        shorter = dict.fromkeys(one.checker.repaired(text) for text, _ in one.refused if text)
        one.passed = [text for text in shorter if text and not one.checker.problems(text)]
        one.repaired = bool(one.passed)

    def _written(self, one: _Attempt, scores: dict[str, Scores]) -> Written:
        refused = Counter(problem.check for _, problems in one.refused for problem in problems)
        plain = written_plainly(
            one.request,
            model=self.generator.key,
            prompt=hashlib.sha256(repr(asdict(one.prompt)).encode()).hexdigest()[:16],
            attempts=one.drawn,
            refused=dict(refused),
            fell_back=not scores,
        )
        if not scores:
            return plain
        best = max(scores, key=lambda text: self.config.weights.total(scores[text]))
        passed: dict[str, Any] = {"checks": list(CHECKS), "repaired": one.repaired, "scores": dict(scores[best])}
        return Written(best, "model", plain.provenance | passed)
