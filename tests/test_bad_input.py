"""Bad files and settings: each ends with a message that names place, value and remedy, or does what is right.

What single readers, rules and settings say of bad input is tested beside them; here it comes through the commands, and
from Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import genre
from genre.cli import app
from genre.core.errors import ConfigError, DataError, GenreError
from genre.data.dataset import Dataset

pytestmark = pytest.mark.usefixtures("undrawn")

HEADER = "userId,movieId,rating,timestamp\n"
TINY = """\
name: tiny
data: {kind: sample, num_viewers: 40}
models: {ease: {kind: ease}, popularity: {kind: popularity}}
answer: {examples: 3}
evaluation: {bootstrap: 20}
"""
OWN = """\
name: own
data: {kind: files, interactions: FILE}
feedback: {like_at: 3}
models: {ease: {kind: ease, regularization: 10}}
answer: {examples: 3}
evaluation: {bootstrap: 20}
"""


def log_of(num_users: int = 6, num_items: int = 8, each: int = 5, unit: str = "") -> str:
    """Return a log in which user u likes `each` items from the u-th on, one a day."""
    lines = [
        f"u{user},i{(user + step) % num_items},5,{1_700_000_000 + 86_400 * step + user}{unit}\n"
        for user in range(num_users)
        for step in range(each)
    ]
    return HEADER + "".join(lines)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result: Result) -> GenreError:
    assert isinstance(result.exception, GenreError), repr(result.exception)
    return result.exception


def run_own(directory: Path, log: str | bytes, *settings: str, name: str = "log.csv") -> Result:
    """Write a log and a config into the directory, and run it."""
    (directory / name).write_bytes(log if isinstance(log, bytes) else log.encode())
    (directory / "own.yaml").write_text(OWN.replace("FILE", name), encoding="utf-8")
    overrides = [part for setting in settings for part in ("--set", setting)]
    return command("run", directory / "own.yaml", "--runs", directory / "runs", *overrides)


def answers_of(directory: Path) -> pl.DataFrame:
    return pl.read_parquet(directory / "runs" / "own" / "recommendations.parquet")


def parquet_of(log: str) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    pl.read_csv(log.encode()).write_parquet(stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a finished run on a log in which nothing is wrong."""
    directory = tmp_path_factory.mktemp("own")
    assert run_own(directory, log_of()).exit_code == 0
    return directory


@pytest.mark.parametrize(
    ("name", "log", "message"),
    [
        (
            "log.csv",
            "userId,movieId\n李,solaris\n".encode("gb18030"),
            r"log\.csv:2: byte 0xc0 .*data\.encoding: gb18030",
        ),
        ("log.parquet", parquet_of(log_of())[:-9], r"log\.parquet: the Parquet file ends too early.*Copy or export"),
        ("log.csv", log_of().replace("movieId", "what"), r"log\.csv, column 'item_id'.*'what'.*Name it in the config"),
        ("log.csv", log_of().replace("u0,i1,5", "u0,i1,five"), r"log\.csv:3, column 'rating': 'five' is not a number"),
        (
            "log.csv",
            log_of().replace("u0,i1", ",i1").replace("u1", "NaN"),
            r"log\.csv:3, column 'userId'.*6 such lines",
        ),
        ("log.csv", log_of().replace(",17", ",-17"), r"clean: no event is left after .*time before 1990.*right unit"),
        ("log.csv", HEADER, r"log\.csv: the file holds no rows\. Export it again"),
        ("log.csv", log_of(1, 8, 1), r"split\.kind: 'leave_one_out': a log of 1 events leaves nothing.*Choose another"),
        ("log.csv", log_of(6, 1, 5), r"split\.kind: 'leave_one_out'.*leaves nothing .*`repeats: true`"),
    ],
    ids=["encoding", "cut", "column", "type", "ids", "negative times", "no event", "one event", "one item"],
)
def test_a_log_that_cannot_be_used_is_explained_by_the_run(
    tmp_path: Path, name: str, log: str | bytes, message: str
) -> None:
    result = run_own(tmp_path, log, name=name)
    assert result.exit_code == 1
    with pytest.raises(DataError, match=message):
        raise error_of(result)
    assert not (tmp_path / "runs" / "own").exists()


def test_a_missing_log_is_named_by_every_command(tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(OWN.replace("FILE", "none.csv"), encoding="utf-8")
    for arguments in (["run", config], ["run", config, "--dry-run"], ["init", tmp_path / "none.csv"]):
        with pytest.raises(
            DataError, match=r"none\.csv: .*not there|none\.csv: there is no such file\. Check the path"
        ):
            raise error_of(command(*arguments))
    checked = command("data", "check", config)
    assert checked.exit_code == 1
    assert "none.csv: there is no such file. Check the path" in checked.output


@pytest.mark.parametrize(
    ("log", "note"),
    [
        (log_of(unit="000"), "times are in milliseconds; they were turned into seconds"),
        (log_of() + log_of().removeprefix(HEADER), ""),
        (log_of() + "u0,i7,5,-5\n", ""),
    ],
    ids=["milliseconds", "every event twice", "one negative time"],
)
def test_what_can_be_put_right_gives_the_answers_of_the_right_log(
    tmp_path: Path, own: Path, log: str, note: str
) -> None:
    result = run_own(tmp_path, log)
    assert result.exit_code == 0, result.output
    assert note in " ".join(result.output.split())
    assert answers_of(tmp_path).equals(answers_of(own))


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    result = run_own(tmp_path, log_of() + "u0,,5,1700000000\n", "data.bad_rows=drop")
    assert result.exit_code == 0, result.output
    assert "log.csv:32, column 'movieId': an empty cell is not an id" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("log", "rows"),
    [
        (log_of(1, 8, 5), 0),  # Nobody else touched anything: the only user has seen all there is.
        (log_of(6, 4, 4), 0),
        (log_of(6, 8, 5), 6 * 3),  # Three are left for each; ten are asked for.
    ],
    ids=["one user", "all items seen", "more than there is"],
)
def test_small_logs_are_answered_with_what_there_is(tmp_path: Path, log: str, rows: int) -> None:
    result = run_own(tmp_path, log)
    assert result.exit_code == 0, result.output
    answers = answers_of(tmp_path)
    assert len(answers) == rows
    assert answers.columns == ["user_id", "rank", "item_id", "title", "score", "source"]
    shown = command("recommend", tmp_path / "runs" / "own", "--all", "--reasons", "en")
    assert shown.exit_code == 0, shown.exception


@pytest.mark.parametrize(("n", "rows"), [(0, 0), (1_000_000_000, 18)])
def test_any_number_of_answers_can_be_asked_for(tmp_path: Path, own: Path, n: int, rows: int) -> None:
    result = run_own(tmp_path, log_of(), f"answer.n={n}")
    assert result.exit_code == 0, result.output
    assert len(answers_of(tmp_path)) == rows
    run = own / "runs" / "own"
    assert f"Wrote {rows} rows" in command("recommend", run, "--all", "-n", n, "--out", tmp_path / "all.csv").output
    assert command("similar", run, "i1", "-n", n).exit_code == 0


def test_unknown_ids_and_a_negative_number_are_answered_or_named(own: Path) -> None:
    run = own / "runs" / "own"
    assert "popular" in command("recommend", run, "nobody", "-n", "2").output
    with pytest.raises(DataError, match=r"item_id: 'nix' is not in the catalogue\. Use ids of the item file"):
        raise error_of(command("recommend", run, "--history", "i1,nix"))
    with pytest.raises(ConfigError, match=r"similar: n is -1\. Ask for 0 or more"):
        raise error_of(command("similar", run, "i1", "-n", "-1"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "models.ease.regularisation=5",
            r"models\.ease\.regularisation: there is no such.*Did you mean 'regularization'",
        ),
        ("models.ease.kind=eaze", r"models\.ease\.kind: there is no kind 'eaze'\. Did you mean 'ease'"),
        ("format=2", r"tiny\.yaml: format 2 is newer than this version's 1: upgrade with `pip install -U"),
        ("name=..", r"tiny\.yaml:1: name = '\.\.': string should match pattern"),
        ("models={../up: {kind: ease}}", r"tiny\.yaml:3: models\.\.\./up = '\.\./up': string should match pattern"),
        ("name=[", r"--set name: '\[' is not valid YAML \(expected the node.*Put quotes around"),
        ("seeds.1=3", r"--set: 'seeds\.1=3' asks for part '1' of a list of 1\. Count from 0"),
        ("seeds.x=3", r"--set: 'seeds\.x=3' asks for part 'x' of a list of 1\. Count from 0"),
        ("clean.times.earliest=2020-99-01", r"--set clean\.times\.earliest: '2020-99-01' is not valid YAML \(month"),
    ],
)
def test_a_wrong_setting_is_explained_by_the_run(tmp_path: Path, setting: str, message: str) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY + "seeds: [0]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        raise error_of(command("run", tmp_path / "tiny.yaml", "--runs", tmp_path / "runs", "--set", setting))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clean: {times: {earliest: 2020-99-01}}", r"tiny\.yaml: not valid YAML: month must be in 1\.\.12"),
        ("columns: &a {items: *a}", r"tiny\.yaml: not valid YAML: maximum recursion depth"),
    ],
)
def test_a_file_that_yaml_cannot_take_is_explained(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "tiny.yaml").write_text(f"{TINY}{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        raise error_of(command("run", tmp_path / "tiny.yaml"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("data") / "log.csv"
    path.write_text(log_of(), encoding="utf-8")
    return genre.load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": {"logs": {"user_id": "a"}}}, r"load: columns\.logs = 'logs': input should be 'interactions', 'it"),
        ({"columns": {"items": {"item_id": "a"}}}, r"load: `columns\.items` is set, and `items` is not; name the file"),
        ({"like_at": "high"}, r"load: like_at = 'high': input should be a valid number"),
        ({"users": 5}, r"load: users = 5: input is not a valid path"),
    ],
)
def test_wrong_arguments_of_load_are_explained(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        genre.load(tmp_path / "log.csv", **arguments)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("ease", {"regularization": -1}, r"fit: regularization = -1: input should be greater than 0"),
        (
            "ease",
            {"regularisation": 1},
            r"fit: regularisation: there is no such setting\. Did you mean 'regularization'",
        ),
        ("eaze", {}, r"fit: there is no recommender 'eaze'\. Choose from \['adapted', 'als'"),
        ("fusion", {}, r"fit: members: this setting is missing"),
    ],
)
def test_wrong_arguments_of_fit_are_explained(data: Dataset, kind: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        genre.fit(kind, data, **settings)


def test_members_are_named_once_and_a_missing_one_is_named(data: Dataset) -> None:
    ease = genre.fit("ease", data).model
    fused = genre.fit("fusion", data, members={"ease": ease}, weights={"ease": 1.0})
    assert (
        fused.recommend("u0", n=1)["item_id"].to_list()
        == genre.fit("ease", data).recommend("u0", n=1)["item_id"].to_list()
    )
    with pytest.raises(
        ConfigError, match=r"fit: the member 'ease' is not given\. Pass every fitted member in `members`"
    ):
        genre.fit(fused.model.config, data)


def test_questions_from_python_are_explained_or_answered(data: Dataset) -> None:
    engine = genre.fit("ease", data)
    with pytest.raises(ConfigError, match=r"recommend: there are no reasons in 'fr'\. Choose from \['en', 'zh'\]"):
        engine.recommend(reasons="fr")  # type: ignore[arg-type]
    assert engine.recommend([7], n=2)["user_id"].to_list() == ["7", "7"]  # type: ignore[list-item]
    assert engine.recommend([]).is_empty()
    assert len(engine.recommend(histories=[[]], n=1000)) == data.num_items
    everything = [data.items.vocabulary.ids.to_list()]
    assert engine.recommend(histories=everything, reasons="zh").is_empty()
