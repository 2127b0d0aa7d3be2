"""A causal language model in fewer bits, or with fewer layers or heads, and what it does beside the whole one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from genre.adaptation.compression.measuring import (
    MANY,
    ONE,
    SIZE,
    WEIGHTS,
    Compared,
    bytes_held,
    bytes_on_disk,
    of_calls,
    of_two,
    of_writing,
)
from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.evaluation.writing import WritingConfig, compare, measure_writing, reference_of
from genre.language.base import Prompt, Sampling
from genre.language.decoding import LoadedModel
from genre.language.local import LocalGenerator, LocalGeneratorConfig, LocalSettings
from genre.language.merging import save_merged
from genre.recommenders.learning_language import LanguageModel
from genre.training.passages import passages

Method: TypeAlias = Literal["int8", "int4", "prune"]
WINDOWS, WINDOW = 32, 128
"""Texts that 4 bits are chosen by, and tokens of each. Of SmolLM2, twice as many take twice the time and change bits
per byte by less than one in a hundred."""
_TOKENS, _MANY, _TURNS = 24, 8, 3
"""Tokens of an answer, answers written together, and times that each form writes them, when time is measured."""


def write_smaller(
    source: LanguageModel,
    method: Method,
    texts: Sequence[str],
    directory: Path,
    run: RunContext,
    *,
    layers: int = 1,
    heads: int = 0,
    epochs: int = 3,
) -> dict[str, Any]:
    """Write a smaller form of a language model into an existing directory, and return what there is to tell of it.

    Args:
        source: The model.
        method: `int8` and `int4` are bits of the linear layers; `prune` takes whole layers and heads away.
        texts: What it shall go on writing like, beside general passages; `int8` does not look at them.
        directory: Where to.
        run: Seed and progress.
        layers: How many `prune` takes away.
        heads: How many, or how many groups that share keys and values, `prune` takes from each layer.
        epochs: How often what is left then reads the texts, to make up for it.

    Raises:
        ConfigError: Its layers or heads cannot be told apart, there are not so many, or it is in few bits already.
        DependencyError: The model is not there.
    """
    from genre.language.compressed import save_quantised
    from genre.language.quantised import is_quantised, quantise_language

    generator = source.model_copy(update={"precision": "fp32"}).build()
    exact = generator.load_own(run.progress)
    if is_quantised(exact.model):
        raise ConfigError(
            "the model is in few bits already", place="compress", remedy="Name the model that it was made of."
        )
    if method == "prune":
        from genre.adaptation.compression.pruning import prune

        windows = windows_of(exact, texts, run)
        pruned = prune(exact, windows, layers=layers, heads=heads, epochs=epochs, run=run)
        save_merged(pruned.tuned, exact.tokenizer, directory, dtype=_dtype_of(generator.files(run.progress)))
        return pruned.account
    if method == "int4":
        from genre.language.second_order import quantise_by_texts

        quantise_by_texts(exact.model, windows_of(exact, texts, run), progress=run.progress)
    quantise_language(exact.model, method)
    save_quantised(exact.model, exact.tokenizer, directory)
    return {}


def _dtype_of(place: Path) -> Any:
    """Return the numbers that a model's files are in; bfloat16 where they are in few bits."""
    import torch
    from transformers import AutoConfig

    if place.is_file():
        return torch.bfloat16
    return AutoConfig.from_pretrained(place, local_files_only=True).dtype or torch.float32


def windows_of(loaded: LoadedModel, texts: Sequence[str], run: RunContext) -> Any:
    """Return (B, L) tokens of general passages and, for a half if there are enough, of texts of one's own."""
    import torch

    rng, languages = run.rng("compress"), ("en", "zh")
    general = [text for language in languages for text in passages(language)] if not texts else passages("en")
    rows: list[list[int]] = []
    for some in ([texts] if texts else []) + [general]:
        tokens: list[int] = []
        for at in rng.permutation(len(some)):
            tokens += loaded.tokenizer(some[int(at)], verbose=False)["input_ids"] + [min(loaded.ends)]
        cut = [tokens[start : start + WINDOW] for start in range(0, len(tokens) - WINDOW + 1, WINDOW)]
        rows += cut[: WINDOWS // 2 if texts and not rows else WINDOWS - len(rows)]
    if not rows:
        raise ConfigError(
            f"there are fewer than {WINDOW} tokens to choose 4 bits by", place="compress", remedy="Give longer texts."
        )
    return torch.tensor(rows)


def compare_writers(
    source: LanguageModel, smaller: Path, config: WritingConfig, texts: Sequence[str], run: RunContext
) -> list[Compared]:
    """Measure a language model beside a smaller form of it, both as `kind: local` loads them.

    Args:
        source: The model.
        smaller: Directory of the smaller form.
        config: What is measured of writing.
        texts: A set of their own, that the smaller form was not chosen by.
        run: Progress.
    """
    first, second = (one.build() for one in (source, LocalGeneratorConfig(model=str(smaller))))
    models = first.load(run.progress), second.load(run.progress)
    found = [
        of_two(SIZE, map(bytes_on_disk, (first.files(run.progress), smaller))),
        of_two(WEIGHTS, (bytes_held(one.model) for one in models)),
    ]
    for name, count in ((ONE, 1), (MANY, _MANY)):
        calls = [_writes(model, count) for model in models]
        found.append(of_calls(name, *calls, turns=_TURNS, per=count * _TOKENS))
    reference = reference_of(models[0], config, progress=run.progress)
    before, after = (
        measure_writing(
            model, config, reference=reference, base=models[0], catalogue=list(texts), progress=run.progress
        )
        for model in models
    )
    return found + of_writing(compare(before, after))


def _writes(loaded: LoadedModel, count: int) -> Callable[[], object]:
    """Return what writes answers of the same length, without an end."""
    endless = replace(loaded)
    vars(endless)["ends"] = frozenset[int]()
    generator = LocalGenerator.of(endless, key="timed", settings=LocalSettings(batch_size=count))
    prompts = [Prompt(f"Write a few sentences about the sea, for the {at + 1}. time.") for at in range(count)]
    return lambda: generator.generate(prompts, sampling=Sampling(max_tokens=_TOKENS))
