"""Twenty scenarios' adapters on one language model, against twenty models and against peft's own mixed batches.

    python benchmarks/adapters.py

Adapters of rank 8 on all linear layers of SmolLM2, with small random weights: what they say does not matter for time
and memory. Ways to answer take turns on the same prompts, about real items where the data is there, and each way's
answers are counted in tokens that were written. Memory is what a process of its own takes for each way, over one that
has loaded the libraries. The twenty separate models have their adapters merged into them, and each answers its own
prompts; a "single adapter" answers all prompts of the batch. peft gets the same prompts, padded on the left.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from common import device_name, table, write_result
from generation import prompts as item_prompts

from genre.language.adapters import save_adapter
from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGenerator, base_key, tokens_of
from genre.language.smollm import SmolLmConfig
from genre.language.tuning import TunedModel, TuningConfig

COUNT, TOKENS = 20, 32
BASE = SmolLmConfig(precision="bf16")
Way = Callable[[Sequence[Prompt]], int]


def write_adapters(directory: Path) -> list[Path]:
    """Write adapters that have learned a little at random."""
    tuned = TunedModel(BASE.model_copy(update={"precision": "fp32"}).build().load_own().model, TuningConfig())
    found = []
    for seed in range(COUNT):
        torch.manual_seed(seed)
        with torch.no_grad():
            for name, weight in tuned.learned():
                weight.copy_(torch.randn_like(weight) * (0.02 if "lora_A" in name else 0.002))
        found.append(directory / f"adapter-{seed}")
        save_adapter(tuned, found[-1], base_key(BASE))
    return found


def generators(places: Sequence[Path], batch_size: int = 32) -> list[LocalGenerator]:
    """Return a generator for each adapter, on one base."""
    return [BASE.model_copy(update={"adapter": place, "batch_size": batch_size}).build() for place in places]


def merged(place: Path) -> LocalGenerator:
    """Return a model of its own, with the adapter within its weights."""
    from peft import PeftModel

    loaded = BASE.build().load_own()
    peft: Any = PeftModel
    loaded.model = peft.from_pretrained(loaded.model, place).merge_and_unload().eval()
    return LocalGenerator.of(loaded, key=place.name)


def memory(way: str, places: Sequence[Path]) -> float:
    """Return MB that a process takes which answers for all scenarios in a way."""
    command = [sys.executable, __file__, "--hold", way, *map(str, places)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(said.strip().splitlines()[-1])


def hold(way: str, places: Sequence[Path]) -> float:
    """Load what is needed to answer for all scenarios, answer for each, and return MB over a process without it."""
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    before = psutil.Process().memory_info().rss
    kept = generators(places) if way == "adapters" else [merged(place) for place in places]
    for one in kept:
        one.generate([Prompt("Describe a kettle.")], sampling=Sampling(max_tokens=2))
    return (psutil.Process().memory_info().rss - before) / 2**20


def ways(places: Sequence[Path], alone: Sequence[LocalGenerator]) -> dict[str, Way]:
    """Return how prompts are answered, each way giving the tokens written."""
    beside, sampling = generators(places), Sampling(max_tokens=TOKENS)
    base = beside[0]._shared()
    for one in beside:
        one._shared()

    def together(prompts: Sequence[Prompt], which: Callable[[int], int]) -> int:
        rows = [
            row
            for at, prompt in enumerate(prompts)
            for row in beside[which(at)]._rows(base, [prompt], sampling, None)
        ]  # fmt: skip
        return sum(len(row.tokens) for row in base.gathering.written(base, rows, sampling, 32))

    def separate(prompts: Sequence[Prompt]) -> int:
        written = 0
        for at, model in enumerate(alone):
            own = [prompt for place, prompt in enumerate(prompts) if place % COUNT == at]
            written += sum(one.completion_tokens for one in model.generate(own, sampling=sampling))
        return written

    def whole(prompts: Sequence[Prompt]) -> int:
        return sum(one.completion_tokens for one in alone[0].generate(prompts, sampling=sampling))

    return {
        "one merged model": whole,
        "single adapter": lambda prompts: together(prompts, lambda _: 0),
        "20 adapters, mixed": lambda prompts: together(prompts, lambda at: at % COUNT),
        "20 models, in turn": separate,
        **peft_ways(places),
    }


def peft_ways(places: Sequence[Path]) -> dict[str, Way]:
    """Return how peft answers with one adapter for all rows, and with one for each."""
    from peft import PeftModel

    loaded = BASE.build().load_own()
    library: Any = PeftModel
    model = library.from_pretrained(loaded.model, places[0], adapter_name="0")
    for at, place in enumerate(places[1:], 1):
        model.load_adapter(place, adapter_name=str(at))
    model.eval()

    def answer(prompts: Sequence[Prompt], names: Sequence[str] | None) -> int:
        written = 0
        for start in range(0, len(prompts), 32):
            tokens = [tokens_of(loaded.tokenizer, one) for one in prompts[start : start + 32]]
            longest = max(map(len, tokens))
            ids = torch.tensor([[0] * (longest - len(one)) + one for one in tokens])
            there = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in tokens])
            options: dict[str, Any] = {} if names is None else {"adapter_names": list(names[start : start + 32])}
            with torch.inference_mode():
                found = model.generate(
                    input_ids=ids, attention_mask=there, max_new_tokens=TOKENS, do_sample=False, **options
                )[:, longest:]
            ends = torch.tensor(sorted(loaded.ends))
            written += int((torch.isin(found, ends).cumsum(1) == 0).sum())
        return written

    return {
        "peft, single adapter": lambda prompts: answer(prompts, None),
        "peft, 20 adapters, mixed": lambda prompts: answer(prompts, [str(at % COUNT) for at in range(len(prompts))]),
    }


def measure(rounds: int) -> dict[str, Any]:
    """Take all measures."""
    asked = item_prompts()[:40]
    asked = [asked[at % len(asked)] for at in range(40)]
    with tempfile.TemporaryDirectory() as directory:
        places = write_adapters(Path(directory))
        held = {way: memory(way, places) for way in ("adapters", "models")}
        on_disk = {
            "adapters": sum(file.stat().st_size for file in places[0].iterdir()) / 2**20,
            "models": sum(weight.nbytes for weight in BASE.build().load().model.parameters()) / 2**20,
        }
        alone = [merged(place) for place in places]
        tried = ways(places, alone)
        speeds: dict[str, list[float]] = {name: [] for name in tried}
        for _ in range(rounds):
            for name, way in tried.items():
                began = time.perf_counter()
                speeds[name].append(way(asked) / (time.perf_counter() - began))
        beside, sampling = generators(places), Sampling(max_tokens=TOKENS)
        single: dict[str, list[float]] = {"adapters": [], "models": []}
        for at in range(3 * rounds):
            for name, kept in (("adapters", beside), ("models", alone)):
                began = time.perf_counter()
                (answer,) = kept[at % COUNT].generate([asked[at % 40]], sampling=sampling)
                single[name].append((time.perf_counter() - began) / max(1, answer.completion_tokens))
    return {
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "memory_mb": held,
        "each_on_disk_mb": on_disk,
        "tokens_per_second": speeds,
        "seconds_per_token_alone": single,
    }


def told(found: dict[str, Any]) -> str:
    """Return what a person reads."""
    speeds = {name: statistics.median(values) for name, values in found["tokens_per_second"].items()}
    one = speeds["single adapter"]
    rows: list[list[object]] = []
    for name, value in speeds.items():
        ratios = [
            mine / other
            for mine, other in zip(
                found["tokens_per_second"][name], found["tokens_per_second"]["single adapter"], strict=True
            )
        ]
        rows.append([name, f"{value:.1f}", f"{value / one:.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"])
    alone = {name: statistics.median(values) for name, values in found["seconds_per_token_alone"].items()}
    held, disk = found["memory_mb"], found["each_on_disk_mb"]
    return (
        f"SmolLM2-135M-Instruct in bf16, 40 prompts in batches of 32, {TOKENS} tokens each, on {found['device']}, "
        f"{found['threads']} thread(s). {' '.join((__doc__ or '').partition('Adapters of')[1:]).strip()}\n\n"
        f"{table(['way', 'tokens/s, median', 'over a single adapter [least, most of a round]'], rows)}\n\n"
        f"Memory to answer for {COUNT} scenarios: {held['adapters']:.0f} MB with adapters, {held['models']:.0f} MB "
        f"with models (1/{held['models'] / held['adapters']:.1f}); each takes {disk['adapters']:.0f} and "
        f"{disk['models']:.0f} MB on disk.\n\nA request alone: {1000 * alone['adapters']:.0f} ms for each token with "
        f"its adapter, {1000 * alone['models']:.0f} ms by its own merged model."
    )


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="in which the ways take turns")
    parser.add_argument("--hold", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold:
        print(hold(given.hold[0], list(map(Path, given.hold[1:]))))
        return
    found = measure(given.rounds)
    write_result("adapters", found, told(found))


if __name__ == "__main__":
    main()
