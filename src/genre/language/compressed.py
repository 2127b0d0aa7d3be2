"""A causal language model in few bits, on disk: a directory that `kind: local` loads as any other. Needs torch.

Beside the files of `transformers` for settings and tokenizer it holds `quantised.safetensors`, under a name of its own:
other programs then say that there are no weights, rather than take whole numbers for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genre.core.errors import ArtifactError
from genre.language.loading import QUANTISED
from genre.language.quantised import Int4Matrix, Int8Matrix, Int8Table, put

_FORMAT = "1"
_AGAIN = "Make the directory again with `genre compress`."


def save_quantised(model: Any, tokenizer: Any, directory: Path) -> None:
    """Write a quantised model into an existing directory."""
    state = {name: value for name, value in model.state_dict().items() if value is not None}
    for name, part in model.named_modules():
        if isinstance(part, Int4Matrix):
            state[f"{name}.codes"] = part.stored
            state[f"{name}.outputs"] = torch.tensor(part.outputs)
    once: dict[tuple[int, torch.Size], str] = {}  # What is shared, as by tied tables, is written once.
    for name, value in list(state.items()):
        if value.numel() and once.setdefault((value.data_ptr(), value.shape), name) != name:
            del state[name]
    told = {"format": _FORMAT}
    save_file({name: value.contiguous().cpu() for name, value in state.items()}, directory / QUANTISED, metadata=told)
    model.config.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def load_quantised(directory: Path, dtype: torch.dtype) -> Any:
    """Return the model of a directory that `save_quantised` wrote; what is not in few bits is in numbers of `dtype`.

    Raises:
        ArtifactError: The weights are damaged, newer, or those of another model.
    """
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    place = str(directory / QUANTISED)
    try:
        with safe_open(directory / QUANTISED, "pt") as stream:
            form = (stream.metadata() or {}).get("format")
        state = load_file(directory / QUANTISED)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"the weights cannot be read ({error})", place=place, remedy=_AGAIN) from error
    if form != _FORMAT:
        raise ArtifactError(
            f"the weights have format {form!r}, this version reads {_FORMAT!r}",
            place=place,
            remedy="Upgrade with `pip install -U genre-rec`, or make the directory again with `genre compress`.",
        )
    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    with init_empty_weights():
        made: Any = AutoModelForCausalLM
        model = made.from_config(config, dtype=dtype)
    try:
        _fill(model, state, dtype)
    except (KeyError, RuntimeError) as error:
        raise ArtifactError(f"the weights are not the model's ({error})", place=place, remedy=_AGAIN) from error
    if (directory / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(directory, local_files_only=True)
    return model


def _fill(model: Any, state: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Put matrices in few bits where the file has some, and all other weights where they belong."""
    tokens, scores = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(part): name for name, part in model.named_modules()}
    below = f"{names[id(tokens)]}.matrix"
    table = _taken(state, below, dtype)
    for name, part in list(model.named_modules()):
        if type(part) is nn.Linear:
            found = _taken(state, name, dtype)
            if found is None and part is scores:
                found = table
            if found is not None:
                put(model, name, found)
    if isinstance(table, Int8Matrix):
        model.set_input_embeddings(Int8Table(table, dtype))
    rest = {name: value.to(dtype) for name, value in state.items()}
    model.load_state_dict(rest, strict=False, assign=True)
    lacking = [name for name, value in model.named_parameters() if value.is_meta]
    if lacking:
        raise KeyError(lacking[0])


def _taken(state: dict[str, Tensor], name: str, dtype: torch.dtype) -> Int4Matrix | Int8Matrix | None:
    """Take a matrix out of what was read, if there is one of this name."""
    bias = state.pop(f"{name}.bias", None) if f"{name}.scale" in state or f"{name}.codes" in state else None
    bias = None if bias is None else bias.to(dtype)
    if f"{name}.codes" in state:
        parts = [state.pop(f"{name}.{part}") for part in ("codes", "grid", "outputs")]
        return Int4Matrix(parts[0], parts[1], bias, int(parts[2]))
    if f"{name}.scale" in state:
        return Int8Matrix(state.pop(f"{name}.weight"), state.pop(f"{name}.scale"), bias)
    return None
