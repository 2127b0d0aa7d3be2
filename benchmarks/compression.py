"""What compression takes and gives: a tuned SmolLM2, the embedded encoder, `sasrec` and `two_tower`.

    python benchmarks/compression.py writer --model DIRECTORY
    python benchmarks/compression.py encoder
    python benchmarks/compression.py recommenders --data amazon-beauty

Each part compares forms within one process, which take turns. The writer is a directory in float32 or bfloat16, as
`genre teach` writes it; it is compared as bfloat16. The encoder's whole form is in float32. Recommenders are fitted
with their own defaults, and measured on the validation questions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import data_files, table, write_result

from genre.adaptation.compression.measuring import Compression
from genre.compressing import Wish, compress
from genre.config import Experiment
from genre.data.sample.films import film_table
from genre.pipeline import run

ANYTHING = ("size=+1000%",)
"""A limit that nothing breaks: here everything is told."""


def in_bfloat16(source: Path, directory: Path) -> Path:
    """Write a language model in bfloat16, to be compared with."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16).save_pretrained(directory)
    AutoTokenizer.from_pretrained(source).save_pretrained(directory)
    return directory


def writer(options: argparse.Namespace, directory: Path) -> list[Compression]:
    """Compress a language model in every way."""
    target = str(in_bfloat16(options.model, directory / "bf16"))
    texts = options.texts or directory / "films.jsonl"
    if options.texts is None:
        texts.write_text(film_table().select(text="description").write_ndjson(), encoding="utf-8")
    wishes = {
        "int4": {"method": "int4"},
        "int8": {"method": "int8"},
        f"prune {options.layers} layers": {"method": "prune", "layers": options.layers},
        f"prune {options.heads} of each layer's heads": {"method": "prune", "heads": options.heads},
    }
    found = {}
    for at, (form, wish) in enumerate(wishes.items()):
        began = time.perf_counter()
        found[form] = compress(target, Wish(limits=ANYTHING, out=directory / str(at), texts=texts, **wish))
        print(f"{form}: {time.perf_counter() - began:.0f} s", flush=True)
    return [replace(one, method=form) for form, one in found.items()]


def encoder(_: argparse.Namespace, directory: Path) -> list[Compression]:
    """Compress the embedded encoder in every way."""
    return [compress("minilm", Wish(method, ANYTHING, directory / method)) for method in ("onnx", "int8")]


def recommenders(options: argparse.Namespace, directory: Path) -> list[Compression]:
    """Fit both kinds, and compress them in every way."""
    found = []
    for kind in ("sasrec", "two_tower"):
        settings = {
            "name": kind,
            "data": {"kind": "files", **data_files(options.data)},
            "models": {kind: {"kind": kind}},
            "answer": {"model": kind},
        }
        whole = run(Experiment.model_validate(settings), directory)
        found += [
            compress(str(whole), Wish(method, ANYTHING, directory / f"{kind}-{method}", model=kind))
            for method in ("int8", "onnx")
        ]
    return found


def told(found: Compression) -> dict[str, Any]:
    """Return all measures as plain values."""
    measures = {one.name: {"before": one.before, "after": one.after} for one in found.compared}
    return {"model": found.model, "method": found.method, "measures": measures}


def main() -> None:
    """Compare one part and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=("writer", "encoder", "recommenders"))
    parser.add_argument("--model", type=Path, help="a directory with a language model")
    parser.add_argument("--texts", type=Path, help="texts that it shall write like; those of the sample world's films")
    parser.add_argument("--layers", type=int, default=3, help="layers that are taken away")
    parser.add_argument("--heads", type=int, default=1, help="groups of heads that are taken from each layer")
    parser.add_argument("--data", default="amazon-beauty", help="a data set")
    options = parser.parse_args()
    part = {"writer": writer, "encoder": encoder, "recommenders": recommenders}[options.part]
    with tempfile.TemporaryDirectory() as directory:
        found = part(options, Path(directory))
    rows: list[list[object]] = [
        [Path(one.model).name, one.method, each.label, each.shown(each.before), each.shown(each.after),
         f"{each.after / each.before:.3f}" if each.before else ""]
        for one in found
        for each in one.compared
    ]  # fmt: skip
    summary = table(["model", "form", "measure", "whole", "small", "small over whole"], rows)
    write_result(f"compression-{options.part}", {"found": [told(one) for one in found]}, summary)


if __name__ == "__main__":
    main()
