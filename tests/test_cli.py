"""The commands, run as a person runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from genre.cli import app, main

RATINGS = """\
userId,movieId,rating,timestamp
ann,solaris,5,1700050000
ann,dune,4,1700100000
ann,arrival,5,1700150000
ann,stalker,4,1700200000
ann,paris,2,1700250000
bob,paris,4,1700300000
bob,once,4,1700350000
bob,her,4,1700400000
bob,stalker,2,1700450000
bob,carol,5,1700500000
bob,amelie,4,1700550000
cid,dune,5,1700600000
cid,stalker,4,1700650000
cid,alien,5,1700700000
cid,solaris,5,1700750000
cid,once,2,1700800000
dee,amelie,5,1700850000
dee,dune,2,1700900000
dee,carol,5,1700950000
dee,paris,4,1701000000
dee,her,4,1701050000
dee,once,4,1701100000
eve,dune,5,1701150000
eve,arrival,5,1701200000
eve,stalker,5,1701250000
eve,alien,4,1701300000
eve,amelie,1,1701350000
fay,once,4,1701400000
fay,amelie,4,1701450000
fay,her,5,1701500000
fay,dune,2,1701550000
fay,paris,4,1701600000
fay,carol,4,1701650000
gus,stalker,5,1701700000
gus,dune,5,1701750000
gus,her,2,1701800000
gus,arrival,5,1701850000
gus,alien,4,1701900000
hal,once,5,1701950000
hal,her,5,1702000000
hal,alien,2,1702050000
hal,amelie,4,1702100000
hal,carol,4,1702150000
hal,paris,5,1702200000
"""
FILMS = """\
movieId,title,genres
alien,Alien,Horror|Science Fiction
dune,Dune,Science Fiction
stalker,Stalker,Science Fiction|Drama
solaris,Solaris,Science Fiction|Drama
arrival,Arrival,Science Fiction|Drama
amelie,Amélie,Comedy|Romance
paris,Before Sunset,Romance
once,Once,Music|Romance
carol,Carol,Drama|Romance
her,Her,Romance|Science Fiction
contact,Contact,Science Fiction|Drama
"""


def genre(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with own files, a config and a finished run, all made by commands."""
    directory = tmp_path_factory.mktemp("own")
    (directory / "ratings.csv").write_text(RATINGS, encoding="utf-8")
    (directory / "films.csv").write_text(FILMS, encoding="utf-8")
    config = directory / "films.yaml"
    genre("init", str(directory / "ratings.csv"), str(directory / "films.csv"), "--out", str(config))
    genre("run", str(config), "--runs", str(directory / "runs"), "--set", "evaluation.bootstrap=20")
    return directory


def test_init_writes_a_config_that_says_what_was_found(own: Path) -> None:
    text = (own / "films.yaml").read_text(encoding="utf-8")
    assert "# 44 events of 8 users with 10 items" in text
    assert "like_at: 4" in text
    assert "interactions: ratings.csv" in text


def test_init_does_not_overwrite(own: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(own / "ratings.csv"), "--out", str(own / "films.yaml")])
    assert result.exit_code == 1
    assert "the file exists" in str(result.exception)


def test_recommend_shows_titles_and_reasons(own: Path) -> None:
    shown = genre("recommend", str(own / "runs" / "films"), "ann", "-n", "3", "--reasons", "en")
    assert "Because" in shown
    assert "reason" in shown


def test_recommend_takes_a_history(own: Path) -> None:
    assert "guest-1" in genre("recommend", str(own / "runs" / "films"), "--history", "alien,dune", "-n", "2")


def test_why_tells_stages_events_and_what_forbids(own: Path) -> None:
    run = str(own / "runs" / "films")
    genre("recommend", run, "ann", "-n", "1", "--out", str(own / "one.jsonl"))
    best = pl.read_ndjson(own / "one.jsonl").row(0, named=True)
    told = " ".join(genre("why", run, "ann", best["item_id"]).split())
    assert f"{best['title']} is recommended at place 1 to ann" in told
    assert "each left out in turn" in told
    assert "Forbidden by hide_seen." in genre("why", run, "alien", "--history", "alien,dune")


def test_write_shows_what_the_facts_say_and_keeps_where_it_comes_from(own: Path) -> None:
    run, out = str(own / "runs" / "films"), own / "texts.jsonl"
    shown = genre("write", run, "ann", "-n", "2", "--kind", "title", "--kind", "reason", "--scenario", "video")
    assert shown.count("title for ann") == shown.count("reason for ann") == 2
    assert "put together from the facts" in shown
    asked = ["--history", "alien,dune", "--item", "solaris", "--language", "zh"]
    genre("write", run, *asked, "--out", str(out))
    (line,) = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert (line["item_id"], line["kind"], line["language"]) == ("solaris", "synopsis", "zh")
    assert line["text"].startswith("《Solaris》")
    assert line["provenance"]["facts"] == ["title", "类型"]


def test_write_shows_one_text_as_a_stream(own: Path) -> None:
    run = str(own / "runs" / "films")
    assert "Solaris (genres: Science Fiction, Drama)." in genre("write", run, "ann", "--item", "solaris", "--stream")
    answers = "generator={kind: fake, answers: ['Solaris is a drama. Nobody else is named Kris.']}"
    shown = genre("write", run, "ann", "--item", "solaris", "--stream", "--set", answers)
    assert shown.splitlines() == ["You liked Stalker and Arrival.", "Solaris is a drama."]


def test_write_knows_texts_about_somebody_about_several_items_and_beginnings(own: Path) -> None:
    run = str(own / "runs" / "films")
    shown = genre("write", run, "ann", "--kind", "profile", "--kind", "path", "-n", "2", "--scenario", "video")
    assert "profile for ann\n  Lately you have liked " in shown
    assert "path for ann\n  1. Start with " in shown
    assert "\n  2. End with " in shown
    assert genre("write", run, "ann", "--kind", "path", "-n", "2", "--stream").startswith("1. Start with ")
    begun = ["--kind", "continuation", "--item", "solaris", "--begin"]
    assert "Solaris (genres: Science Fiction, Drama)." in genre("write", run, "ann", *begun, "Far away")
    assert "Nothing more is known." in genre("write", run, "ann", *begun, "Science Fiction, Drama")


def test_write_asks_a_language_model_and_says_what_it_could_not_use(own: Path) -> None:
    answers = "generator={kind: fake, answers: [Nothing of the kind.]}"
    shown = genre("write", str(own / "runs" / "films"), "ann", "-n", "1", "--set", answers, "--set", "draws=1")
    assert "the language model wrote nothing that may be shown" in " ".join(shown.split())


def test_what_was_preferred_weighs_texts_and_what_is_shown_is_logged(own: Path) -> None:
    run, out, log = str(own / "runs" / "films"), own / "candidates.jsonl", own / "audit.jsonl"
    answers = "generator={kind: fake, answers: [Solaris is a drama., Solaris is science fiction.]}"
    asked = ["ann", "--item", "solaris", "--set", answers, "--set", "candidates=2", "--audit", str(log)]
    genre("write", run, *asked, "--out", str(out))
    line = json.loads(out.read_text(encoding="utf-8"))
    assert len(line["provenance"]["candidates"]) == 2
    out.write_text(json.dumps(line | {"preferred": 1}) + "\n", encoding="utf-8")
    again = own / "again.jsonl"
    genre("write", run, *asked, "--set", f"weights_from={out}", "--out", str(again))
    weights = json.loads(again.read_text(encoding="utf-8"))["provenance"]["weights"]
    assert weights != line["provenance"]["weights"]
    out.write_text(json.dumps(line | {"preferred": 7}) + "\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["write", run, *asked, "--set", f"weights_from={out}"])
    assert "candidates.jsonl:1: `preferred` is 7" in str(result.exception)
    assert len(log.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_recommend_writes_everybody_to_a_file(own: Path, suffix: str) -> None:
    out = own / f"recs.{suffix}"
    genre("recommend", str(own / "runs" / "films"), "--all", "--out", str(out))
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[suffix]
    assert read(out)["user_id"].unique().sort().to_list() == ["ann", "bob", "cid", "dee", "eve", "fay", "gus", "hal"]


def test_similar_evaluate_and_report(own: Path) -> None:
    run = str(own / "runs" / "films")
    assert "Stalker" in genre("similar", run, "dune")
    assert "NDCG@3" in genre("evaluate", run, "--set", "ks=[3]", "--set", "primary=NDCG@3")
    (own / "runs" / "films" / "report.html").unlink()
    assert genre("report", run).strip() == f"{run}/report.html"
    assert (own / "runs" / "films" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_dry_run_only_plans(own: Path, tmp_path: Path) -> None:
    shown = genre("run", str(own / "films.yaml"), "--dry-run", "--runs", str(tmp_path))
    assert "What fitting would take" in shown
    assert list(tmp_path.iterdir()) == []


def test_data_check_names_what_is_wrong_and_ends_with_an_error(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(RATINGS.replace("ann,dune,4", "ann,dune,four"), encoding="utf-8")
    result = CliRunner().invoke(app, ["data", "check", str(log)])
    assert result.exit_code == 1
    assert "log.csv:3, column 'rating'" in result.output
    assert "'four'" in result.output


def test_data_check_says_what_cleaning_would_drop(own: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(RATINGS + "hal,paris,5,1702200000\n", encoding="utf-8")
    shown = genre("data", "check", str(log), str(own / "films.csv"))
    assert "duplicates" in shown
    assert "What cleaning would drop" in shown


def test_models_and_schema_list_what_there_is() -> None:
    assert "ease" in genre("models")
    assert "regularization" in genre("models", "ease")
    assert "Experiment" in json.loads(genre("schema"))["title"]


def test_an_error_is_one_message_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["genre", "recommend", "nowhere", "ann"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: nowhere: there is no run here.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend", "RUN"], "it is not clear whom to answer"),
        (["recommend", "RUN", "ann", "--all"], "it is not clear whom to answer"),
        (["recommend", "RUN", "ann", "--out", "x.xls"], "the name ends in '.xls'"),
        (["recommend", "RUN", "ann", "-n", "-2"], "n is -2"),
        (["similar", "RUN", "nix"], "'nix' is not in the catalogue"),
        (["similar", "RUN"], "Give an item id or --text"),
        (["similar", "RUN", "dune", "--text", "sand"], "Give an item id or --text"),
        (["similar", "RUN", "--text", "sand"], "none of the run's models"),
        (["recommend", "RUN", "ann", "--new-items", "new.txt"], "new.txt: there is no such file"),
        (["models", "nix"], "there is no recommender 'nix'"),
        (["why", "RUN", "ann"], "it is not clear for whom"),
        (["why", "RUN", "ann", "nix"], "'nix' is not in the catalogue"),
        (["write", "RUN"], "it is not clear for whom to write"),
        (["write", "RUN", "ann", "--stream"], "one text is shown as a stream"),
        (["write", "RUN", "ann", "--out", "x.csv"], "Use a name that ends in .jsonl"),
        (["write", "RUN", "ann", "--stream", "--out", "x.jsonl"], "Leave one of --out and --stream out"),
        (["write", "RUN", "ann", "--kind", "poem"], "there is no kind of text 'poem'"),
        (["write", "RUN", "ann", "--set", "candidates=0"], "candidates"),
    ],
)
def test_wrong_arguments_are_explained(own: Path, arguments: list[str], message: str) -> None:
    filled = [str(own / "runs" / "films") if part == "RUN" else part for part in arguments]
    result = CliRunner().invoke(app, filled)
    assert result.exit_code == 1
    assert message in str(result.exception)


@pytest.mark.slow
def test_texts_are_read_once_and_searched(tmp_path: Path) -> None:
    config, runs = str(tmp_path / "words.yaml"), str(tmp_path / "runs")
    Path(config).write_text(
        "name: words\ndata: {kind: sample}\nfeedback: {like_at: 3}\nevaluation: {bootstrap: 20}\n"
        "models: {words: {kind: content, vectors: {encoder: {kind: hashing}}}}\n",
        encoding="utf-8",
    )
    assert re.search(r"hashing\s.+words\s.+280\s.+280", genre("encode", config, "--runs", runs))
    store = Path(runs) / ".store"
    before = {path: path.stat().st_size for path in store.rglob("*.bin")}
    genre("run", config, "--runs", runs)
    assert before
    assert {path: path.stat().st_size for path in store.rglob("*.bin")} == before, "all was read before"
    run = str(Path(runs) / "words")
    assert "Spirited Away" in genre("similar", run, "--text", "a bathhouse for spirits", "-n", "1")
    new = tmp_path / "new.csv"
    new.write_text("item_id,title,genres,year\nx,Bathhouse of Spirits,Animation|Fantasy,2026\n", encoding="utf-8")
    asked = ["--history", "spirited-away-2001", "-n", "20", "--model", "words"]
    answer = genre("recommend", run, *asked, "--new-items", str(new))
    assert "Bathhouse of Spirits" in answer


def test_encoding_for_models_that_read_nothing_is_an_error(own: Path) -> None:
    result = CliRunner().invoke(
        app,
        [
            "encode",
            str(own / "films.yaml"),
            "--set",
            "models={ease: {kind: ease}}",
            "--set",
            "answer.fallback=[popularity]",
        ],
    )
    assert result.exit_code == 1
    assert "none of the models ['ease', 'popularity'] reads texts" in str(result.exception)


def test_help_answers_at_once() -> None:
    command = [sys.executable, "-c", "from genre.cli import main; main()", "--help"]
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    # Half a second on an idle machine; this leaves room for a busy one.
    assert min(seconds) < 1.5


NETWORKS = (
    "transformer",
    "towers",
    "item_vectors",
    "language_reader",
    "candidate_reader",
    "pair_reader",
    "beam",
    "code_language",
    "code_transformer",
    "token_layout",
)


def test_the_base_install_needs_no_torch_and_no_language_model() -> None:
    # Networks and losses need torch; nothing else may import them before it is used.
    few_bits = [f"genre.language.{name}" for name in ("_int8", "adapters", "compressed", "quantised", "second_order")]
    few_bits += [f"genre.adaptation.compression.{name}" for name in ("heads", "pruning")]
    few_bits += ["genre.recommenders.compact_networks"]
    networks = ("genre.training.", *few_bits, *(f"genre.recommenders.{name}" for name in NETWORKS))
    # A search needs Optuna and a service FastAPI and SQLAlchemy; they are imported when they begin, and the commands of
    # the service, which `genre.cli` imports, do without.
    skipped = (*networks, "genre.tuning.study", "genre.serving.")
    code = f"""
import importlib, pkgutil, sys, genre
def load(package):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if not module.name.startswith({skipped!r}):
            loaded = importlib.import_module(module.name)
            if module.ispkg:
                load(loaded)
load(genre)
print(",".join(sys.modules))
"""
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split(",")
    assert "genre.pipeline" in modules
    heavy = {
        "torch",
        "transformers",
        "sentence_transformers",
        "onnxruntime",
        "openai",
        "faiss",
        "jieba",
        "fastapi",
        "optuna",
        "sqlalchemy",
    }
    assert heavy.isdisjoint(modules)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; import genre.cli; print(','.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split(",")
    assert {"numpy", "polars", "scipy", "pydantic", "matplotlib"}.isdisjoint(modules)


def test_a_person_can_talk(own: Path, tmp_path: Path) -> None:
    command = ["chat", str(own / "runs" / "films"), "--history", "alien,dune", "--state", str(tmp_path / "talk.json")]
    first = CliRunner().invoke(app, command, input="no romance [bold]please\n/state\n", catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert "not Romance" in first.output
    assert '"Romance"' in first.output
    again = CliRunner().invoke(
        app, [*command, "--language", "zh"], input="what are my filters?\n", catch_exceptions=False
    )
    assert "In force: not Romance" in again.output
    (tmp_path / "talk.json").write_text("{", encoding="utf-8")
    broken = CliRunner().invoke(app, command, input="hi\n")
    assert "no JSON" in str(broken.exception)


def test_who_talks_must_be_known(own: Path) -> None:
    result = CliRunner().invoke(app, ["chat", str(own / "runs" / "films"), "--history", "soap"], input="hi\n")
    assert "'soap' is not in the catalogue" in str(result.exception)
    result = CliRunner().invoke(app, ["chat", str(own / "runs" / "films"), "--set", "n=0"], input="hi\n")
    assert "chat: n" in str(result.exception)
