"""The generation profile: how well a causal language model writes, with whatever weights are active in it.

Measured before and after a fine-tune, it says what recommending has cost in writing; a `Budget` says what it may cost.

::

    reference = reference_of(base, config)
    before = measure_writing(base, config, reference=reference, base=base, catalogue=texts)
    after = measure_writing(tuned, config, reference=reference, base=base, catalogue=texts)
    breaches = Budget.of({"bits_per_byte": "+2%"}).breaches(before, after)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.core.run import Progress
from genre.evaluation._writing_budget import Budget, Limit
from genre.evaluation._writing_lm_eval import lm_eval_scores
from genre.evaluation._writing_profile import Change, WritingProfile, compare
from genre.evaluation._writing_prompts import Instruction, instructions, tasks
from genre.evaluation._writing_texts import Text, drawn, general_texts, labelled
from genre.language import scoring
from genre.language.base import Completion, Prompt, Sampling
from genre.language.decoding import LoadedModel
from genre.language.local import LocalGenerator, LocalSettings
from genre.language.texts import short_key
from genre.metrics.variety import distinct, repetition, self_bleu
from genre.training.passages import held_out_passages

__all__ = [
    "Budget",
    "Change",
    "Limit",
    "Reference",
    "WritingConfig",
    "WritingProfile",
    "check_measured",
    "compare",
    "measure_writing",
    "reference_of",
]

_WRITES_CHINESE = 2.0
"""Bits per byte of Chinese passages below which a model is taken to write Chinese. A character has three bytes: whoever
needs more than six bits for each is guessing. SmolLM2-135M, which was trained on English, needs 2.8 per byte."""


class WritingConfig(Config):
    """What is measured of a model's writing.

    With the defaults, SmolLM2-135M with an adapter takes about 51 seconds of one core, and `reference_of` 20. A limit
    that is narrower than chance is broken by models that are no worse: with 32 answers, distinct-2 moves by up to 4 %,
    and one of 25 instructions is 4 points. More prompts narrow the former.
    """

    general: Path | None = None
    """A .jsonl file with a `text` in each line, or a text file with empty lines between texts, that the model was not
    trained on. None takes passages that ship with Genre, of registers that are never replayed."""
    texts: int = Field(default=48, ge=1)
    """Texts of each set at most, drawn by the seed."""
    max_text_tokens: int = Field(default=256, ge=8)
    """Tokens after which a longer text is cut."""
    languages: tuple[Literal["en", "zh"], ...] | None = Field(default=None, min_length=1)
    """Of prompts and passages. None takes English, and Chinese where the base can write it."""
    prompts: tuple[str, ...] = ()
    """Own prompts for free writing, in the place of those that ship with Genre."""
    instructions: Path | None = None
    """Own instructions in the place of those that ship with Genre: a .jsonl file with `kind` (`one_sentence`, `json`,
    `mention`, `at_most_words` or `list`), `prompt`, and what that kind wants: `keys`, `words`, `most` or `count`."""
    max_answer_tokens: int = Field(default=64, ge=8)
    """Tokens of an answer at most."""
    temperature: float = Field(default=0.7, ge=0)
    """Of free writing, since the likeliest words of small models go round in circles; answers to instructions and the
    base's path are the likeliest, at 0."""
    batch_size: int = Field(default=32, ge=1)
    """Prompts answered together."""
    seed: int = 0
    """Of what is drawn: texts and words."""
    lm_eval: tuple[str, ...] = ()
    """Tasks of the library lm-eval, where it is installed."""
    lm_eval_limit: int | None = Field(default=None, ge=1)
    """Questions of each such task at most."""


def check_measured(budget: Budget | None, config: WritingConfig, place: str) -> None:
    """Make sure that what a budget limits is measured, as far as can be told before anything is.

    Raises:
        ValueError: It limits a task of lm-eval that is not asked for; the message begins with `place`.
    """
    for name in () if budget is None else budget.limits:
        base, _, task = name.partition("@")
        if base == "lm_eval" and task not in config.lm_eval:
            raise ValueError(
                f"{place}: {name!r} has a limit and is not measured: name the task under `writing.lm_eval`"
            )


@dataclass(frozen=True)
class Reference:
    """What is asked of the base once, however often a fine-tune of it is measured."""

    languages: tuple[str, ...]
    """Those that it is measured in."""
    paths: tuple[scoring.Path, ...]
    """Its own likeliest answers to the prompts, along which the distance from it is taken."""


def reference_of(
    loaded: LoadedModel, config: WritingConfig | None = None, *, progress: Progress | None = None
) -> Reference:
    """Ask the base; of a model with adapters, the model without them.

    Args:
        loaded: The model before it was fine-tuned, or with adapters on top.
        config: What is measured.
        progress: Shows how far it has come.
    """
    settings = config or WritingConfig()
    with scoring.evaluating(loaded.model), scoring.as_base(loaded, None):
        languages = settings.languages or _languages_of(loaded)
        asked = _prompts(settings, languages)
        answers = _answers(loaded, asked, _likeliest(settings), settings, progress)
        kept = [at for at, answer in enumerate(answers) if answer.finish != "error"]
        paths = scoring.paths_of(loaded, [asked[at] for at in kept], [answers[at] for at in kept])
    return Reference(tuple(languages), tuple(paths))


def measure_writing(
    loaded: LoadedModel,
    config: WritingConfig | None = None,
    *,
    reference: Reference | None = None,
    base: LoadedModel | None = None,
    catalogue: Sequence[str] = (),
    progress: Progress | None = None,
) -> WritingProfile:
    """Return how a model writes, with the weights that are active in it; its modes stay as they were.

    Args:
        loaded: The model, which may have adapters and may be in the middle of its training.
        config: What is measured.
        reference: What `reference_of` has said of the base; none asks the base now.
        base: The model before it was fine-tuned. None takes `loaded` without its adapters; where it has none, there is
            no `kl`. For the profile of the base itself give `loaded` once more.
        catalogue: Texts of items, measured as a set of their own.
        progress: Shows how far it has come.

    Raises:
        ConfigError: The file of general texts cannot be read, or there is nothing to read in it.
        DataError: A line of it is wrong.
        DependencyError: There are tasks of lm-eval, which is not installed.
    """
    settings = config or WritingConfig()
    reference = reference or reference_of(base or loaded, settings, progress=progress)
    rng = np.random.default_rng(settings.seed)
    sets = {
        "general": drawn(general_texts(settings.general, reference.languages), settings.texts, rng),
        "catalogue": drawn(labelled(catalogue), settings.texts, rng),
    }
    asked, checked = _prompts(settings, reference.languages), instructions(reference.languages, settings.instructions)
    samples: dict[str, NDArray[np.float64]] = {}
    seconds: dict[str, float] = {}
    with scoring.evaluating(loaded.model):
        with _timed(seconds, "texts"):
            for name, texts in sets.items():
                samples |= _surprise(loaded, name, texts, settings, progress)
        with _timed(seconds, "kl"):
            if base is not None or hasattr(loaded.model, "disable_adapter"):
                samples["kl"] = scoring.divergences(loaded, base, reference.paths, progress=progress)
        with _timed(seconds, "answers"):
            free = Sampling(
                max_tokens=settings.max_answer_tokens, temperature=settings.temperature, top_p=0.95, seed=settings.seed
            )
            written = [answer.text for answer in _answers(loaded, asked, free, settings, progress)]
        with _timed(seconds, "variety"):
            samples |= {f"distinct_{n}": distinct(written, n) for n in (1, 2, 3)}
            samples |= {"self_bleu": self_bleu(written), "repetition": repetition(written)}
        with _timed(seconds, "instructions"):
            samples |= _followed(loaded, checked, settings, progress)
        with _timed(seconds, "lm_eval"):
            tested = lm_eval_scores(loaded, settings.lm_eval, limit=settings.lm_eval_limit) if settings.lm_eval else {}
    key = short_key(
        "writing",
        settings=settings.model_dump(mode="json", exclude={"general", "instructions", "batch_size"}),
        texts=sets,
        prompts=[prompt.user for prompt in asked],
        instructions=[asdict(instruction) for instruction in checked],
    )
    others = {f"lm_eval@{task}": score for task, score in tested.items()}
    told = [prompt.user for prompt in asked]
    return WritingProfile.of(key, samples, others=others, prompts=told, answers=written, seconds=seconds)


def _languages_of(loaded: LoadedModel) -> tuple[str, ...]:
    texts = [one.text for one in held_out_passages("zh")]
    bits, size = scoring.bits_and_bytes(loaded, texts, max_tokens=128).sum(0)
    return ("en", "zh") if bits / size < _WRITES_CHINESE else ("en",)


def _prompts(config: WritingConfig, languages: Sequence[str]) -> list[Prompt]:
    return [Prompt(text) for text in config.prompts or tasks(languages)]


def _likeliest(config: WritingConfig) -> Sampling:
    return Sampling(max_tokens=config.max_answer_tokens)


def _answers(
    loaded: LoadedModel, asked: Sequence[Prompt], sampling: Sampling, config: WritingConfig, progress: Progress | None
) -> list[Completion]:
    generator = LocalGenerator.of(loaded, key="measured", settings=LocalSettings(batch_size=config.batch_size))
    return generator.generate(asked, sampling=sampling, progress=progress)


def _surprise(
    loaded: LoadedModel, name: str, texts: Sequence[Text], config: WritingConfig, progress: Progress | None
) -> dict[str, NDArray[np.float64]]:
    """Return the bits and bytes of a set of texts, all of them and, where there are several, by language."""
    written = [text.text for text in texts]
    pairs = scoring.bits_and_bytes(loaded, written, max_tokens=config.max_text_tokens, progress=progress)
    if name == "general" and not pairs[:, 1].any():
        raise ConfigError(
            "the model's tokenizer knows nothing of the general texts",
            place="writing.general",
            remedy="Give texts in a language that the model reads.",
        )
    whole = "bits_per_byte" if name == "general" else f"bits_per_byte@{name}"
    languages = sorted({text.lang for text in texts})
    parts = {lang: np.array([text.lang == lang for text in texts]) for lang in languages if len(languages) > 1}
    return {whole: pairs} | {f"bits_per_byte@{name}/{lang}": pairs[rows] for lang, rows in parts.items()}


def _followed(
    loaded: LoadedModel, checked: Sequence[Instruction], config: WritingConfig, progress: Progress | None
) -> dict[str, NDArray[np.float64]]:
    """Return which instructions were followed, all of them and by kind."""
    asked = [Prompt(instruction.prompt) for instruction in checked]
    answers = _answers(loaded, asked, _likeliest(config), config, progress)
    verdicts = [one.follows(answer.text) for one, answer in zip(checked, answers, strict=True)]
    pairs = np.array([(float(verdict), 1.0) for verdict in verdicts])
    kinds = {kind: np.array([one.kind == kind for one in checked]) for kind in sorted({one.kind for one in checked})}
    return {"instructions": pairs} | {f"instructions@{kind}": pairs[rows] for kind, rows in kinds.items()}


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - began, 3)
