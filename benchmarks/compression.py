"""What compression takes and gives: a tuned SmolLM2, the embedded encoder, `sasrec` and `two_tower`.

    python benchmarks/compression.py writer --model DIRECTORY
    python benchmarks/compression.py encoder
    python benchmarks/compression.py recommenders --data amazon-beauty

Each part compares forms within one process, which take turns. The writer is a directory in float32 or bfloat16, as
`genre teach` writes it; it is compared as bfloat16. The encoder's whole form is in float32; all forms read all item
texts of a catalogue once, and `content`, which learns nothing else, answers the validation questions with the vectors
of each. Recommenders are fitted with their own defaults, and measured on the validation questions. Figures of one core
need `OMP_NUM_THREADS=1`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import data_files, table, write_result
from numpy.typing import NDArray

from genre.adaptation.compression.measuring import Compression
from genre.compressing import Wish, compress
from genre.config import Experiment
from genre.core.run import RunContext
from genre.data.sample.films import film_table
from genre.data.splits import Split
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.judge import judge_on_validation, validation_task
from genre.evaluation.ranking import RankingTask
from genre.features.text import TextConfig, item_texts
from genre.language.base import EncoderConfig, TextEncoder
from genre.language.minilm import MiniLmConfig
from genre.language.onnx import OnnxEncoderConfig
from genre.language.whitening import Whitening, WhiteningConfig
from genre.metrics.statistics import paired_difference
from genre.pipeline import run
from genre.recommenders.content import ContentConfig
from genre.stages import prepare

WHOLE = "whole, fp32"
WARM_UP, PARTS = 64, 8
"""Texts that every encoder reads before its clock starts, and parts of the catalogue."""
CATALOGUE: dict[str, dict[str, Any]] = {}
"""What was found of each form of the encoder on a whole catalogue."""
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


def encoder(options: argparse.Namespace, directory: Path) -> list[Compression]:
    """Compress the embedded encoder in every way, and see what a catalogue and its questions make of each."""
    found = [compress("minilm", Wish(method, ANYTHING, directory / method)) for method in ("onnx", "int8")]
    part = prepare(
        Experiment.model_validate(
            {
                "data": {"kind": "files", **data_files(options.data)},
                "split": {"kind": "leave_one_out"},
                "models": {"content": {"kind": "content"}},
            }
        )
    ).splits[0]
    texts = item_texts(part.train.items, TextConfig())
    forms: dict[str, EncoderConfig] = {
        WHOLE: MiniLmConfig(precision="fp32"),
        "whole, bf16": MiniLmConfig(precision="bf16"),
        "whole, int8": MiniLmConfig(precision="int8"),
        "onnx": OnnxEncoderConfig(model=str(directory / "onnx")),
        "int8": OnnxEncoderConfig(model=str(directory / "int8")),
    }
    seconds, vectors = read_by_all({name: form.build() for name, form in forms.items()}, texts)
    task = validation_task(part, EvaluationConfig(), RunContext())
    values = {name: answered(one, part, task) for name, one in vectors.items()}
    for name in forms:
        ratios = np.array(seconds[WHOLE]) / np.array(seconds[name])
        cosine = float((vectors[WHOLE] * vectors[name]).sum(axis=1)[vectors[WHOLE].any(axis=1)].mean())
        gain = paired_difference(values[name], values[WHOLE], rng=np.random.default_rng(0))
        CATALOGUE[name] = {
            "seconds": seconds[name],
            "texts_per_second": len(texts) / PARTS / float(np.median(seconds[name])),
            "times_as_fast": float(np.median(ratios)),
            "times_as_fast_in_each_part": ratios.tolist(),
            "cosine": cosine,
            "NDCG@10": float(values[name].mean()),
            "difference": asdict(gain),
        }
    return found


def read_by_all(
    encoders: dict[str, TextEncoder], texts: list[str]
) -> tuple[dict[str, list[float]], dict[str, NDArray[np.float32]]]:
    """Return the seconds that each encoder takes for each part of the texts, and all vectors.

    All read a part, in an order that turns round, before the next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    vectors = {name: np.zeros((len(texts), one.encode(texts[:WARM_UP]).shape[1]), np.float32)
               for name, one in encoders.items()}  # fmt: skip
    for turn in range(PARTS):
        for name, one in list(encoders.items())[:: -1 if turn % 2 else 1]:
            began = time.perf_counter()
            vectors[name][turn::PARTS] = one.encode(texts[turn::PARTS])
            seconds[name].append(time.perf_counter() - began)
            print(f"part {turn + 1} of {PARTS}: {name}, {seconds[name][-1]:.1f} s", flush=True)
    return seconds, vectors


def answered(vectors: NDArray[np.float32], part: Split, task: RankingTask) -> NDArray[np.float64]:
    """Return NDCG@10 of each question, answered by what reads like the likes, with whitened vectors (I, D)."""
    config = ContentConfig()
    known = part.train.interactions.item_counts(part.train.num_items) > 0
    whitening = Whitening.fit(vectors[known & vectors.any(axis=1)], config.vectors.whitening or WhiteningConfig())
    white = whitening.transform(vectors)
    white[~vectors.any(axis=1)] = 0
    model = config.build({})
    model.restore({"text": white, "size": np.array([vectors.shape[1]])})
    return judge_on_validation(model, task, ()).per_query["NDCG@10"]


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
    return {"model": Path(found.model).name, "method": found.method, "measures": measures}


def of_catalogue(name: str) -> str:
    """Return what a person reads of the encoder's forms."""
    rows: list[list[object]] = []
    for form, one in CATALOGUE.items():
        low, high = (f(one["times_as_fast_in_each_part"]) for f in (min, max))
        gain = "{mean:+.5f} [{low:+.5f}, {high:+.5f}]".format(**one["difference"])
        rows.append(
            [form, f"{one['texts_per_second']:.0f}", f"{one['times_as_fast']:.2f} ({low:.2f} to {high:.2f})",
             f"{one['cosine']:.4f}", f"{one['NDCG@10']:.4f}", gain]
        )  # fmt: skip
    head = ["form", "texts/s", "times as fast (least to most)", "cosine", "NDCG@10 of `content`", "difference [95 %]"]
    return (
        f"All item texts of {name} in {PARTS} parts, of whose speeds the medians are told, and its validation "
        f"questions:\n\n{table(head, rows)}"
    )


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
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "found": [told(one) for one in found]}
    if CATALOGUE:
        result["catalogue"] = CATALOGUE
        summary = f"{of_catalogue(options.data)}\n\nOf general passages:\n\n{summary}"
    write_result(f"compression-{options.part}", result, f"Threads: {torch.get_num_threads()}.\n\n{summary}")


if __name__ == "__main__":
    main()
