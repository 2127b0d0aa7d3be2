"""Which device and which numbers a language model runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
"""`auto` is bf16 where the hardware multiplies it natively: half the memory to read for each token."""


def best_device() -> torch.device:
    """Return the first GPU, or the CPU where there is none."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the numbers that stand for a precision on a device."""
    import torch

    if precision == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    return torch.float32 if precision == "fp32" else torch.bfloat16


def _multiplies_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # oneDNN says yes for processors that only emulate, where float32 is faster: the instruction itself is asked for.
    has_instruction = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return device.type == "cpu" and bool(has_instruction) and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
