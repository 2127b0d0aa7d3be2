"""From files to a language model in memory, which all that ask for the same weights may share."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from genre.core.errors import ConfigError, DependencyError, GenreError
from genre.core.run import Progress
from genre.language._batches import directory_hash, file_hash
from genre.language.decoding import LoadedModel
from genre.language.hardware import Precision, best_device, dtype_of

CHOICES = (
    "Choose the embedded model (`kind: smollm2`), a directory with a model in the form of `transformers`, a .gguf "
    "file, or a server (`kind: endpoint`)."
)
QUANTISED = "quantised.safetensors"
"""The weights of a directory that `genre compress` wrote."""
_CONTEXT = 2048
"""Tokens of a model that does not say how many it reads."""


class Settings(Protocol):
    """What loading asks of the settings of a generator."""

    @property
    def precision(self) -> Precision:
        """Numbers that the model calculates with."""

    @property
    def max_context(self) -> int | None:
        """Tokens of prompt and answer together at most."""


@dataclass(frozen=True)
class Source:
    """What `from_pretrained` is given."""

    place: str
    """A directory, since nothing may be fetched while loading."""
    gguf_file: str | None = None


def from_hub(model: str, revision: str | None, progress: Progress, *, download: bool) -> Source:
    """Return where the hub's local cache holds a model, which is fetched if it may be."""
    from huggingface_hub import snapshot_download

    def found(*, here: bool) -> str:
        return snapshot_download(model, revision=revision, allow_patterns=_WANTED, local_files_only=here)

    try:
        place = found(here=True)
        if any(Path(place).glob("*.safetensors")):
            return Source(place)
        problem: Exception | None = None
    except Exception as error:
        problem = error
    if download:
        try:
            for _ in progress.track(range(1), f"fetching {model} from the hub", 1):
                place = found(here=False)
            return Source(place)
        except Exception as error:
            problem = error
    where = "in the hub's local cache" + (", and cannot be fetched from the hub" if download else "")
    said = f" ({type(problem).__name__}: {' '.join(str(problem).split())[:200]})" if problem else ""
    raise DependencyError(
        f"{model!r} is not a directory, not {where}{said}", place="generator.model", remedy=CHOICES
    ) from problem


# Other frameworks' weights, and the same in older forms, are not wanted.
_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def load(source: Source, settings: Settings) -> LoadedModel:
    """Return a model in memory, from its files alone.

    Raises:
        ConfigError: They are no causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    device = best_device()
    options: dict[str, Any] = {"local_files_only": True}
    if source.gguf_file is not None:
        options["gguf_file"] = source.gguf_file
    extra = {} if source.gguf_file is None else {"quantization_config": GgufConfig(dequantize=True)}
    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(source.place, **options)
            dtype = dtype_of(settings.precision, device)
            model: Any
            if (Path(source.place) / QUANTISED).is_file() and source.gguf_file is None:
                from genre.language.compressed import load_quantised

                model = load_quantised(Path(source.place), dtype)
            else:
                model = AutoModelForCausalLM.from_pretrained(source.place, dtype=dtype, **options, **extra)
    except GenreError:
        raise
    except Exception as error:  # Each form of model has its own ways to be damaged.
        place = str(Path(source.place) / (source.gguf_file or ""))
        raise ConfigError(
            f"this is no causal language model that can be loaded ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]})",
            place=place,
            remedy=CHOICES,
        ) from error
    model.to(device).eval().requires_grad_(False)
    made_for = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None) or _CONTEXT
    return LoadedModel(model, tokenizer, min(made_for, settings.max_context or made_for))


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep the library's own progress bars away, for as long as it loads."""
    from transformers.utils import logging as library

    logging: Any = library
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


_SHARED: weakref.WeakValueDictionary[tuple[str, int | None], LoadedModel] = weakref.WeakValueDictionary()
"""Models in memory by what they are, for as long as anybody has them."""
LOADING = threading.Lock()
"""Held while one is looked for, and while something is put on one that several have."""


def shared_model(key: str, load: Callable[[], LoadedModel], settings: Settings) -> LoadedModel:
    """Return a model that is in memory already, or load it; one at a time, so that none is loaded twice."""
    with LOADING:
        found = _SHARED.get((key, settings.max_context))
        if found is None:
            found = _SHARED[key, settings.max_context] = load()
        return found


def fingerprint(path: Path) -> str:
    """Return a hash of a model's files, a chat template that stands alone among them."""
    if path.is_file():
        return file_hash(path)
    templates = [file_hash(template) for template in sorted(path.glob("*.jinja"))]
    return "-".join([directory_hash(path), *templates])
