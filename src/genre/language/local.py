"""Language models that run here, through `transformers`: from the hub, from a directory or from a GGUF file."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError, DependencyError
from genre.core.run import Progress, Silent
from genre.language._batches import directory_hash
from genre.language.base import Completion, GeneratorConfig, Prompt, Sampling, Schema
from genre.language.decoding import Batch, LoadedModel, Remembered, Row
from genre.language.gathering import Gathering
from genre.language.hardware import Precision
from genre.language.loading import CHOICES, LOADING, Source, fingerprint, from_hub, load, shared_model
from genre.language.texts import short_key, without_control

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


class LocalSettings(Config):
    """How a model is run."""

    precision: Precision = "auto"
    """Numbers that the model calculates with. In bf16, answers may differ between batches of different make-up where
    two tokens are about equally likely; fp32 makes that rare."""
    batch_size: int = Field(default=32, ge=1)
    """Prompts answered together. Most of a step's time is reading the weights, once for the whole batch; what is
    remembered of each prompt bounds it from above."""
    max_context: int | None = Field(default=None, ge=16)
    """Tokens of prompt and answer together at most; none takes what the model was made for."""
    adapter: Path | None = None
    """Directory of what a scenario has taught the model, as `genre teach` or `peft` write it. Generators of the same
    model share its weights, each with its own adapter."""

    def build(self) -> LocalGenerator:
        """Return the generator; its model is loaded when it is first asked."""
        raise TypeError(f"{type(self).__name__} must say what it builds")

    def check_adapter(self) -> None:
        """Make sure that the adapter is there, and is one of this model.

        Raises:
            ArtifactError: It is not there.
            ConfigError: It is of another model, or has a form that cannot stand beside others.
        """
        if self.adapter is not None:
            from genre.language.adapters import check_adapter

            check_adapter(self.adapter, base_key(self))


class LocalGeneratorConfig(LocalSettings, GeneratorConfig):
    """A causal language model by name, directory or file."""

    libraries: ClassVar[Mapping[str, str]] = {"torch": "torch", "transformers": "text", "llguidance": "text"}
    kind: Literal["local"] = "local"
    model: str = Field(min_length=1)
    """A directory, a .gguf file, or the id of a model on the hub."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub. Only a commit names the same weights for ever."""
    download: bool = True
    """Whether a model on the hub may be fetched where the hub's local cache does not hold it; progress says so."""

    def check_installed(self) -> None:
        """Make sure that the optional dependencies are there, for a GGUF file its reader too."""
        super().check_installed()
        if self.model.endswith(".gguf") and find_spec("gguf") is None:
            raise DependencyError(
                "needs the library 'gguf', which is not installed",
                place=self.model,
                remedy="Install it with `pip install 'genre-rec[text]'`.",
            )
        self.check_adapter()

    def build(self) -> LocalGenerator:
        """Return the generator; its model is loaded when it is first asked."""
        return LocalGenerator(self, lambda progress: self._source(progress), self._key)

    def _key(self) -> str:
        path = Path(self.model).expanduser()
        weights = fingerprint(path) if path.exists() else f"{self.model}@{self.revision or 'main'}"
        return short_key("local", weights=weights, precision=self.precision)

    def _source(self, progress: Progress) -> Source:
        path = Path(self.model).expanduser()
        if path.is_file() and path.suffix == ".gguf":
            return Source(str(path.parent), gguf_file=path.name)
        if path.is_dir():
            return Source(str(path))
        if path.exists() or path.suffix == ".gguf" or not _HUB_ID.fullmatch(self.model):
            raise ConfigError(
                f"there is no model at {self.model!r}, neither a directory nor a .gguf file",
                place="generator.model",
                remedy=CHOICES,
            )
        return from_hub(self.model, self.revision, progress, download=self.download)


class LocalGenerator:
    """Writes with a causal language model, in batches of prompts of about the same length.

    - A prompt goes through the chat template of the tokenizer, where there is one. Texts that stand for control tokens
      are broken up in what the prompt holds, so that an item's text cannot end a turn or open another.
    - A prompt that leaves no room for an answer is a completion with `finish="error"`: nothing is cut in silence. One
      that leaves less room than `max_tokens` is answered as far as that goes.
    - At temperature 0 the answer is the likeliest token each time. Above, each prompt has its own random numbers, from
      seed and prompt, so that neither order nor company changes an answer but for the rounding of the sums.
    """

    def __init__(self, settings: LocalSettings, source: Callable[[Progress], Source], key: Callable[[], str]) -> None:
        """Keep the settings.

        Args:
            settings: How the model is run.
            source: Finds or makes the files, when the model is first asked.
            key: Says which weights they are, without loading them.
        """
        self.settings = settings
        self._source, self._key = source, key
        self._base: LoadedModel | None = None
        self._loaded: LoadedModel | None = None
        self._read_name: str | None = None
        self._remembered: Remembered | None = Remembered()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, loaded: LoadedModel, *, key: str, settings: LocalSettings | None = None) -> Self:
        """Return a generator that writes with a model in memory, with whatever weights it has when it is asked.

        Args:
            loaded: The model; it is not copied, and stays in the mode it is in: call `eval` where it was trained.
            key: Says which weights they are, since nobody else can know.
            settings: How the model is run; of them, precision and context are as it was loaded.
        """
        # The source is asked for only where nothing is loaded.
        generator = cls(settings or LocalSettings(), lambda _: Source(""), lambda: key)
        generator._base = generator._loaded = loaded
        generator._remembered = None
        return generator

    @property
    def key(self) -> str:
        """Return a hash of weights and precision."""
        return self._key() if self._name is None else short_key("adapted", base=self._key(), adapter=self._name)

    @property
    def _name(self) -> str | None:
        """What the adapter is chosen by: what its files hold, so that two directories with the same are one."""
        if self._base is not None or self.settings.adapter is None:
            return self._read_name
        return directory_hash(self.settings.adapter)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        sampling: Sampling,
        schema: Schema | None = None,
        progress: Progress | None = None,
    ) -> list[Completion]:
        """Return one completion for each prompt, in this order; with a schema, JSON that is valid by it.

        An answer that `max_tokens` cuts off has `finish="length"`, and its JSON is then not whole.

        Raises:
            ConfigError: There is no such model, or answers cannot be held to the schema.
            DependencyError: The model is not here and cannot be fetched.
        """
        shown = progress or Silent()
        if not prompts:
            return []
        rows = self._rows(self._shared(shown), prompts, sampling, schema)
        for _ in shown.track(self._written(rows, sampling), "generating", len(rows)):
            pass
        return [_completion(row) for row in rows]

    def stream(self, prompt: Prompt, *, sampling: Sampling, schema: Schema | None = None) -> Iterator[str]:
        """Yield the answer piece by piece; together they are what `generate` returns.

        Raises:
            ConfigError: There is no such model, answers cannot be held to the schema, or the prompt is too long.
            DependencyError: The model is not here and cannot be fetched.
        """
        loaded = self._shared()
        (row,) = self._rows(loaded, [prompt], sampling, schema)
        if row.error is not None:
            raise ConfigError(row.error, place="prompt", remedy="Shorten it, or choose a model that reads more.")
        batch, told = Batch(loaded, [row], sampling, watched=True, remembered=self._remembered), 0
        while batch.rows:
            batch.step()
            text = row.shown(sampling.stop)
            if len(text) > told:
                yield text[told:]
                told = len(text)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes by the model's own tokenizer, without those a template adds."""
        return len(
            self.load().tokenizer(without_control(text, ()), add_special_tokens=False, verbose=False)["input_ids"]
        )

    def load(self, progress: Progress | None = None) -> LoadedModel:
        """Return the model, which is loaded the first time and then kept.

        Other generators of the same weights have the same one: who changes it takes a copy of `load_own`.
        """
        base = self._shared(progress)
        with self._lock:
            if self._loaded is None:
                if base.adapters is None or self._name is None:
                    self._loaded = base
                else:
                    from genre.language.adapters import WithAdapter

                    self._loaded = replace(base, model=WithAdapter(base.model, base.adapters, self._name))
                    self._loaded.adapters = None  # It is in every row already.
            return self._loaded

    def load_own(self, progress: Progress | None = None) -> LoadedModel:
        """Return the model without the adapter, loaded anew, for somebody who changes it."""
        return load(self._source(progress or Silent()), self.settings)

    def load_beside(self, progress: Progress | None = None) -> LoadedModel:
        """Return a model whose layers are its own, so that more can be put between them, and whose weights are not.

        All that call this for one base have them in common.
        """
        key = short_key("beside", key=self._key())
        base = shared_model(key, lambda: self.load_own(progress), self.settings)
        weights = [*base.model.parameters(), *base.model.buffers()]
        model = deepcopy(base.model, {id(weight): weight for weight in weights})
        return replace(base, model=model, gathering=Gathering(), kept=base)

    def _shared(self, progress: Progress | None = None) -> LoadedModel:
        """Return the model that all generators of its weights share, with this one's adapter beside the others'."""
        with self._lock:
            if self._base is None:
                # What is in memory stays what it is, whatever becomes of the files.
                weights, name = self._key(), self._name
                base = shared_model(weights, lambda: self.load_own(progress), self.settings)
                if name is not None:
                    self._put_beside(base, name)
                self._key, self._read_name, self._base = lambda: weights, name, base
            return self._base

    def _put_beside(self, base: LoadedModel, name: str) -> None:
        """Put the adapter on the model, where no other generator has done so."""
        from genre.language.adapters import Adapters, check_adapter, read_adapter

        place = self.settings.adapter or Path()
        check_adapter(place, base_key(self.settings))
        adapter = read_adapter(place)
        with LOADING:  # Generators of two scenarios may come at once, and there is one place for the adapters.
            base.adapters = base.adapters or Adapters(base.model)
        base.adapters.add(name, adapter, str(place))

    def files(self, progress: Progress | None = None) -> Path:
        """Return the directory, or the file, that the model is loaded from."""
        source = self._source(progress or Silent())
        return Path(source.place) / (source.gguf_file or "")

    def _rows(
        self, loaded: LoadedModel, prompts: Sequence[Prompt], sampling: Sampling, schema: Schema | None
    ) -> list[Row]:
        first = None if schema is None else loaded.constraints.matcher(schema)
        rows = []
        for prompt in prompts:
            tokens = tokens_of(loaded.tokenizer, prompt)
            room = loaded.context - len(tokens)
            digest = hashlib.sha256(np.array(tokens, np.int64).tobytes()).digest()
            rng = np.random.default_rng([sampling.seed + prompt.draw, *digest])
            row = Row(tokens, min(sampling.max_tokens, room), rng, self._name)
            row.matcher = None if first is None else first.deep_copy()
            if room < 1:
                row.finish = "error"
                row.error = f"the prompt takes {len(tokens):,} tokens, and the model reads {loaded.context:,}"
            rows.append(row)
        return rows

    def _written(self, rows: Sequence[Row], sampling: Sampling) -> Iterator[Row]:
        """Write all rows; yield each when it is done."""
        yield from (row for row in rows if row.finish is not None)
        # The longest first: a batch that memory does not hold shows at once.
        waiting = sorted((row for row in rows if row.finish is None), key=lambda row: -len(row.prompt))
        loaded = self._shared()
        yield from loaded.gathering.written(loaded, waiting, sampling, self.settings.batch_size)


def base_key(settings: LocalSettings) -> str:
    """Return what tells a model from others, whatever precision it is run in and whatever was added to it."""
    return settings.model_copy(update={"precision": "fp32", "adapter": None}).build().key


def _completion(row: Row) -> Completion:
    return Completion(row.text, len(row.prompt), len(row.tokens), row.finish or "error", row.error)


def tokens_of(tokenizer: Any, prompt: Prompt) -> list[int]:
    """Return what the model reads of a prompt, up to where its answer begins."""
    has_template = bool(tokenizer.chat_template)
    text = chat_text(tokenizer, prompt) + without_control(prompt.begin, tokenizer.all_special_tokens)
    tokens: list[int] = tokenizer(text, add_special_tokens=not has_template, verbose=False)["input_ids"]
    return tokens


def chat_text(tokenizer: Any, prompt: Prompt) -> str:
    """Return a prompt in the form that the model was taught, up to where its answer begins."""
    from jinja2 import TemplateError

    special = tokenizer.all_special_tokens
    messages = [{**message, "content": without_control(message["content"], special)} for message in prompt.messages]
    joined = "\n\n".join(message["content"] for message in messages)
    text = joined
    if tokenizer.chat_template:
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError:
            # Some models know no system role: what it would say then comes first.
            alone = [{"role": "user", "content": joined}]
            text = tokenizer.apply_chat_template(alone, tokenize=False, add_generation_prompt=True)
    return text
