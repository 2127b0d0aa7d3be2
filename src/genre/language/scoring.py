"""What a causal language model thinks of texts that are already written: how surprising, and how far from another's.

Shapes: N texts or paths, B of a batch, L tokens of the longest in it, S places that are looked at, V the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre.core.run import Progress, Silent
from genre.language._batches import BATCH_TOKENS, batches_of
from genre.language.base import Completion, Prompt
from genre.language.decoding import LoadedModel
from genre.language.hardware import dtype_of
from genre.language.local import tokens_of
from genre.language.texts import without_control

if TYPE_CHECKING:
    from torch import Tensor

_PLACES = 256
"""Places whose distributions over the vocabulary are held as float32 at once."""


@dataclass(frozen=True)
class Path:
    """A prompt and an answer to it, along which distributions of the next token are compared."""

    tokens: list[int]
    start: int
    """The first place that is looked at: the last token of the prompt, behind which the answer begins."""
    stop: int
    """Behind the last place that is looked at."""


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Turn dropout off, in a model that may be in the middle of its training, and give each part its mode back."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def as_base(loaded: LoadedModel, base: LoadedModel | None) -> AbstractContextManager[Any]:
    """Return a block in which the base may be asked: the given one, or the model itself without its adapters."""
    without = getattr(loaded.model, "disable_adapter", None)
    return without() if base is None and without is not None else nullcontext()


def bits_and_bytes(
    loaded: LoadedModel, texts: Sequence[str], *, max_tokens: int, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Return (N, 2): the bits that the model needs to predict each text token by token, and the text's bytes in UTF-8.

    Bits per byte, the sum of one over the sum of the other, can be compared between models with different vocabularies;
    perplexity per token cannot (Gao et al.: The Pile. 2020). A text without any content has 0 of both. Each text is
    read alone, after the token that begins texts. It is calculated in bf16 where the hardware multiplies it.

    Args:
        loaded: The model, in evaluation mode.
        texts: In any order.
        max_tokens: A longer text is cut there, or where the model can read no more; bytes are of what was scored.
        progress: Shows how far it has come.
    """
    import torch

    begin = loaded.tokenizer.bos_token_id
    begin = min(loaded.ends) if begin is None else begin
    limit = min(max_tokens, loaded.context - 1)
    cut = [_cut(loaded, text, limit) for text in texts]
    found = np.array([(0.0, size) for _, size in cut], np.float64).reshape(-1, 2)
    filled = [at for at, (tokens, _) in enumerate(cut) if tokens]
    batches = batches_of(np.array([len(cut[at][0]) + 1 for at in filled], np.int64), BATCH_TOKENS)
    for batch in (progress or Silent()).track(batches, "reading texts", len(batches)):
        rows = [filled[place] for place in batch]
        inputs = [[begin, *cut[row][0]] for row in rows]
        logits = _logits(loaded, inputs)
        for row, tokens, one in zip(rows, inputs, logits, strict=True):
            following = torch.tensor(tokens[1:], device=one.device)
            nats = 0.0
            for start in range(0, len(following), _PLACES):
                aims = following[start : start + _PLACES]
                part = one[start : start + len(aims)].float()  # (S, V)
                nats += float(torch.nn.functional.cross_entropy(part, aims, reduction="sum"))
            found[row, 0] = nats / math.log(2)
    return found


def paths_of(loaded: LoadedModel, prompts: Sequence[Prompt], answers: Sequence[Completion]) -> list[Path]:
    """Return the paths along answers to prompts; where the answer ended by itself, its end is looked at too."""
    paths = []
    for prompt, answer in zip(prompts, answers, strict=True):
        asked = tokens_of(loaded.tokenizer, prompt)
        said = loaded.tokenizer(without_control(answer.text, ()), add_special_tokens=False, verbose=False)["input_ids"]
        tokens = [*asked, *said][: loaded.context]
        stop = len(tokens) if answer.finish == "stop" else len(tokens) - 1
        paths.append(Path(tokens, len(asked) - 1, max(stop, len(asked))))
    return paths


def divergences(
    loaded: LoadedModel, base: LoadedModel | None, paths: Sequence[Path], *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Return (N, 2): KL(base || model) summed over the places of each path, in nats, and how many places they are.

    It is exact: at each place the sum runs over the whole vocabulary.

    Args:
        loaded: The model, in evaluation mode.
        base: The model before it was fine-tuned; none takes `loaded` without its adapters.
        paths: What both read.
        progress: Shows how far it has come.
    """
    import torch

    found = np.array([(0.0, path.stop - path.start) for path in paths], np.float64).reshape(-1, 2)
    if base is loaded:
        return found  # Nothing is at any distance from itself.
    batches = batches_of(np.array([len(path.tokens) for path in paths], np.int64), BATCH_TOKENS)
    for batch in (progress or Silent()).track(batches, "comparing with the base", len(batches)):
        inputs = [paths[at].tokens for at in batch]
        changed = _logits(loaded, inputs)
        with as_base(loaded, base):
            before = _logits(loaded if base is None else base, inputs)
        for row, at in enumerate(batch):
            for start in range(paths[at].start, paths[at].stop, _PLACES):
                places = slice(start, min(start + _PLACES, paths[at].stop))
                wanted = torch.log_softmax(before[row, places].float(), -1)  # (S, V)
                given = torch.log_softmax(changed[row, places].float(), -1)
                found[at, 0] += float(torch.nn.functional.kl_div(given, wanted, reduction="sum", log_target=True))
    return found


def _cut(loaded: LoadedModel, text: str, limit: int) -> tuple[list[int], int]:
    """Return the tokens of a text, `limit` at most and whole characters, and the bytes that they stand for."""
    whole = without_control(text, ())
    tokens: list[int] = loaded.tokenizer(whole, add_special_tokens=False, verbose=False)["input_ids"]
    if len(tokens) <= limit:
        return tokens, len(whole.encode()) if tokens else 0
    tokens = tokens[:limit]
    while tokens and loaded.text_of(tokens).endswith("\ufffd"):
        tokens.pop()
    return tokens, len(loaded.text_of(tokens).encode())


def _logits(loaded: LoadedModel, inputs: Sequence[list[int]]) -> Tensor:
    """Return (B, L, V); what stands behind the end of a shorter text means nothing."""
    import torch

    device = loaded.model.device
    longest = max(map(len, inputs))
    padded = [tokens + [0] * (longest - len(tokens)) for tokens in inputs]
    read = [[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens in inputs]
    options = {"use_cache": False} if "use_cache" in loaded.accepted else {}
    fast = dtype_of("auto", device) == torch.bfloat16
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=fast):
        ids, mask = torch.tensor(padded, device=device), torch.tensor(read, device=device)
        logits: Tensor = loaded.model(input_ids=ids, attention_mask=mask, **options).logits
        # Learned prompts stand before what was asked for.
        return logits[:, -longest:]
