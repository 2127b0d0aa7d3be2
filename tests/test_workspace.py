from __future__ import annotations

import json
from pathlib import Path

import pytest

from genre.core.errors import ArtifactError, ConfigError
from genre.workspace import MANIFEST, Stages, Workspace, read_manifest, verify

KEY = {"config": "a", "data": "b"}


def save(value: str, directory: Path) -> None:
    (directory / "value.txt").write_text(value, encoding="utf-8")


def load(directory: Path) -> str:
    return (directory / "value.txt").read_text(encoding="utf-8")


def never() -> str:
    raise AssertionError("a finished stage was run again")


def killed() -> str:
    raise KeyboardInterrupt


def finished(final: Path) -> Path:
    work = Workspace(final, KEY)
    work.stage("data", lambda: "one", save=save, load=load)
    work.finish(work.describe(chosen="ease"))
    return final


def test_a_killed_run_goes_on_at_the_stage_where_it_stopped(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "run", KEY)
    assert work.stage("data", lambda: "one", save=save, load=load) == "one"
    with pytest.raises(KeyboardInterrupt):
        work.stage("models/ease", killed, save=save, load=load)
    again = Workspace(tmp_path / "run", KEY)
    assert again.stage("data", never, save=save, load=load) == "one"
    assert again.stage("models/ease", lambda: "two", save=save, load=load) == "two"


def test_a_stage_killed_while_saving_is_not_taken_for_done(tmp_path: Path) -> None:
    def half(value: str, directory: Path) -> None:
        save(value[:1], directory)
        raise KeyboardInterrupt

    work = Workspace(tmp_path / "run", KEY)
    with pytest.raises(KeyboardInterrupt):
        work.stage("data", lambda: "one", save=half, load=load)
    assert Workspace(tmp_path / "run", KEY).stage("data", lambda: "whole", save=save, load=load) == "whole"


def test_a_partial_run_of_another_config_is_not_used(tmp_path: Path) -> None:
    Workspace(tmp_path / "run", KEY).stage("data", lambda: "old", save=save, load=load)
    other = Workspace(tmp_path / "run", {**KEY, "config": "c"})
    assert other.stage("data", lambda: "new", save=save, load=load) == "new"


def test_a_run_appears_only_when_it_is_finished(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "run", KEY)
    work.stage("data", lambda: "one", save=save, load=load)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ArtifactError, match=r"run: the run was not finished\. Run the experiment \(again\)"):
        read_manifest(tmp_path / "run")
    work.finish(work.describe(chosen="ease"))
    assert read_manifest(tmp_path / "run")["chosen"] == "ease"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_finished_run_is_not_run_again_and_not_overwritten(tmp_path: Path) -> None:
    final = finished(tmp_path / "run")
    assert Workspace(final, KEY).finished
    with pytest.raises(ConfigError, match=r"a finished run of another config.*--force"):
        Workspace(final, {**KEY, "config": "c"})
    assert not Workspace(final, {**KEY, "config": "c"}, force=True).finished


def test_a_directory_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(ConfigError, match="something here that is no run"):
            Workspace(tmp_path / "run", KEY, force=force)
    assert (tmp_path / "run" / "mine.txt").exists()


def test_a_kill_while_finishing_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Workspace(tmp_path / "run", KEY)
    work.stage("data", lambda: "one", save=save, load=load)
    with monkeypatch.context() as patch:
        patch.setattr("genre.workspace.sha256", lambda _: killed())
        with pytest.raises(KeyboardInterrupt):
            work.finish(work.describe())
    assert Workspace(tmp_path / "run", KEY).stage("data", never, save=save, load=load) == "one"


def test_of_two_processes_that_make_a_stage_the_quicker_one_writes_it(tmp_path: Path) -> None:
    stages = Stages(tmp_path / "study", tmp_path / "store")

    def make_while_another_does() -> str:
        Stages(tmp_path / "study", tmp_path / "store").stage("data", lambda: "theirs", save=save, load=load)
        return "ours"

    assert stages.stage("data", make_while_another_does, save=save, load=load) == "ours"
    assert stages.stage("data", never, save=save, load=load) == "theirs"


def test_what_dead_processes_left_half_written_is_removed(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "run", KEY)
    work.stage("models/ease", lambda: "one", save=save, load=load)
    half = work.directory / "models" / ".graph.999999999.tmp"
    half.mkdir()
    Workspace(tmp_path / "run", KEY)
    assert not half.exists()


def test_a_replaced_run_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    final = finished(tmp_path / "run")
    other = Workspace(final, {**KEY, "config": "c"}, force=True)
    other.stage("data", lambda: "two", save=save, load=load)
    assert load(final / "data") == "one"
    other.finish(other.describe())
    assert load(final / "data") == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_missing_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no run here"):
        read_manifest(tmp_path / "nothing")


def test_a_damaged_or_newer_manifest_is_refused(tmp_path: Path) -> None:
    manifest = finished(tmp_path / "run") / MANIFEST
    manifest.write_text(json.dumps({"format": 99}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"format 99, this version reads up to 1\. Upgrade with"):
        read_manifest(tmp_path / "run")
    manifest.write_text('{"format": 1', encoding="utf-8")
    with pytest.raises(ArtifactError, match="the manifest cannot be read"):
        read_manifest(tmp_path / "run")


def test_changed_and_missing_files_are_found(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    verify(run, "data")
    (run / "data" / "value.txt").write_text("changed", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"value.txt: the file is not what the run wrote"):
        verify(run, "data")
    verify(run, "models")
    (run / "data" / "value.txt").unlink()
    with pytest.raises(ArtifactError, match=r"value.txt: the file is missing"):
        verify(run, "data")
