"""Bad luck: damaged files, full disks, killed processes. What is not whole is never used, and a run goes on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest
from safetensors import SafetensorError

import genre
from genre import pipeline
from genre.cli import main
from genre.config_file import read_experiment
from genre.core.errors import ArtifactError, ConfigError, ResourceError
from genre.core.files import temporary_name
from genre.workspace import Workspace
from tests.test_bad_input import TINY, command, error_of

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(config: Path) -> Path:
    return pipeline.run(read_experiment(config), config.parent / "runs")


def test_a_directory_that_is_no_run_is_not_replaced_even_by_force(tmp_path: Path, config: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tiny: there is something here that is no run\. Choose another name"):
        raise error_of(command("run", config, "--runs", tmp_path, "--force"))
    assert (tmp_path / "tiny" / "thesis.txt").exists()


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["genre", "run", str(config), "--runs", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(tmp_path / "runs") in error


def uses_of(name: str) -> list[Callable[[Path], object]]:
    """Return what reads a file of a finished run."""
    everything: list[Callable[[Path], object]] = [genre.open_run, pipeline.evaluate_again, pipeline.write_report]
    if name in ("manifest.json", "config.yaml"):
        return everything
    if name.startswith("data/all"):
        return everything[:2]
    if name.startswith("data/"):
        return [pipeline.evaluate_again]
    if name.startswith("models/"):
        return [lambda run: genre.open_run(run, model=name.split("/")[1])]
    return [] if name == "recommendations.parquet" else [pipeline.write_report]


def test_no_file_of_a_run_is_used_when_it_is_damaged(finished: Path, config: Path) -> None:
    experiment = read_experiment(config)
    names = sorted(path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file())
    names.remove("report.html")  # Made of the others: it can be written again.
    assert len(names) > 15
    for name in names:
        path = finished / name
        whole = path.read_bytes()
        for damaged in (whole[:-3], b"", whole[: len(whole) // 2], None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            for use in uses_of(name):
                with pytest.raises(ArtifactError, match=r"[Rr]un the experiment"):
                    use(finished)
            refused = ConfigError if (name, damaged) == ("manifest.json", None) else ArtifactError
            with pytest.raises(refused, match=r"tiny"):
                pipeline.run(experiment, finished.parent)
            path.write_bytes(whole)
    assert pipeline.run(experiment, finished.parent) == finished


def test_a_damaged_run_is_repaired_by_force(finished: Path, config: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "tiny"))
    (copy / "models" / "ease" / "state.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"state\.safetensors: the file is missing\. Restore it, or run .*--force"):
        raise error_of(command("run", config, "--runs", tmp_path))
    assert command("run", config, "--runs", tmp_path, "--force").exit_code == 0
    assert same_answers(copy, finished)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_lost_report_is_written_again(finished: Path, config: Path) -> None:
    (finished / "report.html").unlink()
    assert command("run", config, "--runs", finished.parent).exit_code == 0
    assert (finished / "report.html").exists()


def test_what_a_killed_process_was_writing_does_not_stay_in_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    work = Workspace(tmp_path / "run", {"config": "a"})
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: process.pid)
        for name in ("data", "models/ease"):
            half = temporary_name(work.directory / name)
            half.mkdir(parents=True)
            (half / "half.txt").write_text("ha", encoding="utf-8")
        temporary_name(work.directory / "content.jsonl").write_text("ha", encoding="utf-8")
    again = Workspace(tmp_path / "run", {"config": "a"})
    assert [path.name for path in again.directory.rglob("*") if path.is_file()] == ["key.json"]


def same_answers(one: Path, other: Path) -> bool:
    name = "recommendations.parquet"
    return pl.read_parquet(one / name).equals(pl.read_parquet(other / name))


def test_a_full_disk_is_explained_whoever_writes(
    config: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "I/O error: No space left on device (os error 28)"  # What they say themselves, in errors of their own.
    of_polars = Mock(side_effect=pl.exceptions.ComputeError(text))
    of_safetensors = Mock(side_effect=SafetensorError(text))
    for place, full in (
        ("genre.data.files.pl.DataFrame.write_parquet", of_polars),
        ("genre.recommenders.store.save_file", of_safetensors),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(
                ResourceError, match=r"tiny\.partial/.*: the disk is full, \d+ MiB are left\. Free some"
            ):
                raise error_of(command("run", config, "--runs", tmp_path))
        assert full.called
        assert list(tmp_path.rglob("*.tmp")) == []
    assert command("run", config, "--runs", tmp_path).exit_code == 0
    assert same_answers(tmp_path / "tiny", finished)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 30 KiB, where that is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=30k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("mount") is None, reason="mounts as Linux does")
def test_a_disk_that_is_really_full_stops_the_run_until_there_is_space(
    config: Path, finished: Path, small_disk: Path
) -> None:
    stops = []
    for size in ("30k", "200k", "600k"):
        subprocess.run(["mount", "-o", f"remount,size={size}", small_disk], check=True)
        with pytest.raises(ResourceError, match=r"the disk is full.*nothing half-written was kept") as stop:
            raise error_of(command("run", config, "--runs", small_disk))
        stops.append(stop.value.place)
        assert list(small_disk.rglob("*.tmp")) == []
        assert not (small_disk / "tiny").exists()
    assert len(set(stops)) > 1  # What was whole was kept, and the run came further each time.
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert command("run", config, "--runs", small_disk).exit_code == 0
    assert same_answers(small_disk / "tiny", finished)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(config: Path, finished: Path, tmp_path: Path) -> None:
    arguments = [
        sys.executable,
        "-c",
        "from genre.cli import main; main()",
        "run",
        str(config),
        "--runs",
        str(tmp_path),
    ]
    started = time.perf_counter()
    subprocess.run([*arguments[:-1], str(tmp_path / "whole")], check=True, capture_output=True)
    whole = time.perf_counter() - started
    rng = np.random.default_rng(0)
    killed = 0
    for share in rng.uniform(0.3, 1.0, 8):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(share * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        if (tmp_path / "tiny").exists():
            genre.open_run(tmp_path / "tiny").recommend(n=1)
            shutil.rmtree(tmp_path / "tiny")
    assert killed > 2
    subprocess.run(arguments, check=True, capture_output=True)
    assert same_answers(tmp_path / "tiny", finished)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "whole"}
    names = [{path.relative_to(run).as_posix() for path in run.rglob("*")} for run in (tmp_path / "tiny", finished)]
    assert names[0] == names[1]
