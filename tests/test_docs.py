"""What the docs say works: the guide's examples are run, and the page on adding a recommender is followed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from genre import pipeline
from genre.cli import app
from genre.config import Experiment
from genre.config_file import read_experiment
from tests.language.models import learn, write_tiny

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "add-a-recommender.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def follow(page: str, typed: str | None = None) -> int:
    """Run every `genre` command of a page, with what is typed into each, and return how many there are."""
    commands = [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("genre ")]
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        words = words[: words.index(">")] if ">" in words else words
        result = CliRunner().invoke(app, words, input=typed, catch_exceptions=False)
        assert result.exit_code == 0, f"{command}\n{result.output}"
    return len(commands)


def copy_examples(place: Path, **changed: dict[str, str]) -> None:
    """Copy the examples, some of them made smaller: each change of a text stands under the name of its file."""
    shutil.copytree(ROOT / "examples", place / "examples")
    for name, changes in changed.items():
        path = place / "examples" / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory with the guide's files in it, entered."""
    for name, text in re.findall(r"```csv (\S+)\n(.*?)```", GUIDE, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_guide_can_be_followed(workplace: Path) -> None:
    assert follow(GUIDE) >= 8
    assert (workplace / "recs.parquet").exists()
    names: dict[str, object] = {}
    for code in blocks(GUIDE, "python"):
        exec(compile(code, "guide.md", "exec"), names)  # noqa: S102


@pytest.mark.slow
def test_texts_can_be_written_by_following_the_page(workplace: Path) -> None:
    page = (ROOT / "docs" / "write-for-your-users.md").read_text(encoding="utf-8")
    assert follow(page) == 9
    (line,) = (workplace / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["item_id"] == "dune"
    teach, by_it, write = blocks(page, "yaml")
    for section in (f"{teach}\n{write}", by_it):
        text = f"data: {{kind: sample}}\nmodels: {{popularity: {{kind: popularity}}}}\n{section}"
        (workplace / "texts.yaml").write_text(text, encoding="utf-8")
        assert read_experiment(workplace / "texts.yaml").write is not None
    (own,) = blocks(page, "jinja")
    (workplace / "line.en.j2").write_text(own, encoding="utf-8")
    result = CliRunner().invoke(app, ["write", "runs/films", "ann", "--kind", "line.en.j2"], catch_exceptions=False)
    assert "line for ann" in result.output


@pytest.mark.slow
def test_the_example_moves_films_to_courses(tmp_path: Path) -> None:
    run = pipeline.run(read_experiment(ROOT / "examples" / "scenarios.yaml"), tmp_path)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "From one scenario to another" in page
    table = page[page.index("<h3>Each model on each scenario</h3>") :]
    assert "<svg" in table[: table.index("<table>")]
    lines = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")])
    heads, films, courses = (re.findall(r"<t[hd]>(.*?)</t[hd]>", line) for line in lines)
    assert heads == ["NDCG@10", "reader as it was (films)", "from_scratch", "zero_shot", "finetune", "domain"]
    assert (films[0], films[2], courses[0]) == ("films", "-", "courses")
    assert films[1] == films[3], "who learns nothing forgets nothing"
    assert all(float(cell) > 0 for cell in [films[1], *films[3:], *courses[1:]])
    points = json.loads((run / "account.json").read_text(encoding="utf-8"))["few_users"]["points"]
    found = points[1]["models"]["domain"]["over"]
    assert points[1]["share"] == 0.01
    assert found["low"] > 0, "with a hundredth of the learners, what films taught is worth more than beginning anew"


@pytest.mark.slow
def test_truth_can_be_looked_into_by_following_the_page(workplace: Path) -> None:
    page = (ROOT / "docs" / "keep-it-true.md").read_text(encoding="utf-8")
    assert follow(page) == 3
    lines = [json.loads(line) for line in (workplace / "shown.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["kind"] for line in lines] == ["reason"] * 3
    account = json.loads((workplace / "runs" / "checked" / "account.json").read_text(encoding="utf-8"))
    assert account["texts"]["reasons"]["share"]["mean"] > 0.5


@pytest.mark.slow
def test_users_can_be_talked_with_by_following_the_page(workplace: Path) -> None:
    page = (ROOT / "docs" / "talk-with-your-users.md").read_text(encoding="utf-8")
    assert follow(page, typed="I liked Dune\nno romance, please\n为什么推荐第一部？\n/state\n/quit\n") == 3
    state = json.loads((workplace / "ann.json").read_text(encoding="utf-8"))
    assert (state["turns"], state["liked"], state["language"]) == (3, ["dune"], "zh")
    for code in blocks(page, "python"):
        exec(compile(code, "talk-with-your-users.md", "exec"), {})  # noqa: S102


@pytest.mark.slow
def test_models_can_be_made_small_by_following_the_page(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genre import compressing
    from genre.adaptation.compression import writers
    from genre.evaluation.writing import WritingConfig

    write_tiny(workplace / "taught", context=512)  # In the place of one that somebody has taught.
    (workplace / "texts.txt").write_text("\n\n".join(["A text about a film."] * 40), encoding="utf-8")
    small = {"texts": 2, "max_text_tokens": 16, "max_answer_tokens": 8, "prompts": ("Write.",), "languages": ("en",)}
    monkeypatch.setattr(compressing, "WritingConfig", lambda: WritingConfig(**small))
    monkeypatch.setattr(writers, "WINDOWS", 4)
    monkeypatch.setattr(writers, "WINDOW", 32)
    page = (ROOT / "docs" / "make-it-small.md").read_text(encoding="utf-8")
    assert follow(page) == 8
    told = json.loads((workplace / "runs" / "next-int8" / "compression.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in told["measures"]] == ["size", "weights", "latency", "latency@many", "NDCG@10"]
    assert (workplace / "taught-int4" / "quantised.safetensors").exists()
    (config,) = blocks(page, "yaml")
    (workplace / "small.yaml").write_text(f"data: {{kind: sample}}\n{config}", encoding="utf-8")
    assert read_experiment(workplace / "small.yaml").models["next"].form == "int8"


@pytest.mark.slow
def test_exploring_can_be_followed_block_by_block(workplace: Path) -> None:
    page = (ROOT / "docs" / "explore-and-measure.md").read_text(encoding="utf-8")
    exploring, feedback = blocks(page, "yaml")
    (workplace / "exploring.yaml").write_text(exploring, encoding="utf-8")
    names: dict[str, object] = {}
    said = ""
    for language, code in re.findall(r"```(sh|python)\n(.*?)```", page, re.DOTALL):
        if language == "python":
            exec(compile(code, "explore-and-measure.md", "exec"), names)  # noqa: S102
            continue
        result = CliRunner().invoke(app, shlex.split(code)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        said += result.output
    assert "800 items were shown in 400 lists" in said
    assert "explore" in (workplace / "experiments.html").read_text(encoding="utf-8")
    text = f"data: {{kind: sample}}\nmodels: {{popularity: {{kind: popularity}}}}\n{feedback}"
    (workplace / "faded.yaml").write_text(text, encoding="utf-8")
    assert read_experiment(workplace / "faded.yaml").feedback.half_life == 90


@pytest.mark.slow
def test_feedback_is_learned_by_following_the_page(workplace: Path) -> None:
    page = (ROOT / "docs" / "learn-from-feedback.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"```csv (\S+)\n(.*?)```", page, re.DOTALL):
        (workplace / name).write_text(text, encoding="utf-8")
    assert follow(page) == 7
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(compile(code, "learn-from-feedback.md", "exec"), names)  # noqa: S102
    noted = json.loads((workplace / "runs" / "films.versions.json").read_text(encoding="utf-8"))
    assert [(one["version"], one["state"]) for one in noted] == [("v1", "live"), ("v2", "retired")]


@pytest.mark.slow
def test_many_scenarios_answer_by_following_the_page(workplace: Path) -> None:
    page = (ROOT / "docs" / "many-scenarios.md").read_text(encoding="utf-8")
    (text,) = blocks(page, "yaml")
    write_tiny(workplace / "base", context=2048)
    for seed, (name, world) in enumerate((("films", "films"), ("courses", "courses"))):
        learn(workplace / "base", workplace / f"{name}-teach" / "adapter", seed)
        config = yaml.safe_load(text.replace("films", name))
        config["data"] |= {"world": world, "num_viewers": 60}
        config["write"] |= {"candidates": 1, "draws": 1, "sampling": {"max_tokens": 8}}
        config["write"]["generator"]["model"] = str(workplace / "base")
        (workplace / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert follow(page) == 3
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(compile(code, "many-scenarios.md", "exec"), names)  # noqa: S102
    texts = names["texts"]
    assert isinstance(texts, list)
    assert [len(some) for some in texts] == [1, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_a_run_can_be_served_by_following_the_page() -> None:
    from contextlib import ExitStack

    from genre.serving.app import make_app
    from genre.serving.running import named_runs
    from genre.serving.service import Service
    from genre.serving.settings import ServeConfig
    from tests.serving.conftest import listening

    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    names: dict[str, str] = {}
    asked = 0
    with ExitStack() as stack:
        for language, code in re.findall(r"```(sh|python)\n(.*?)```", page, re.DOTALL):
            if language == "python":
                code = code.replace("http://127.0.0.1:8000", names["url"])
                exec(compile(code, "serve.md", "exec"), dict(names))  # noqa: S102
                continue
            for line in code.splitlines():
                name, is_kept, command = re.fullmatch(r"(?:(\w+)(=\$\())?(.*?)\)?", line).groups()  # type: ignore[union-attr]
                words = shlex.split(command if is_kept else line)
                if words[:2] == ["genre", "serve"]:
                    # As the command does, but on a free port.
                    service = Service(ServeConfig(deadline=20), named_runs(words[2:]))
                    stack.callback(service.close)
                    names["url"] = stack.enter_context(listening(make_app(service)))
                elif words[0] == "genre":
                    result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
                    assert result.exit_code == 0, result.output
                    if is_kept:
                        names[name] = result.stdout.strip()
                        service.keys.refresh()
                else:
                    place = line.replace("http://127.0.0.1:8000", names["url"])
                    command = ["sh", "-c", place.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)]
                    done = subprocess.run(
                        command, env={**os.environ, **names}, capture_output=True, text=True, check=False
                    )
                    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                    assert json.loads(done.stdout)
                    asked += 1
        assert asked == 14
        assert len(service.scenario(None).versions()) == 2


@pytest.mark.usefixtures("workplace")
def test_a_service_can_be_operated_by_following_the_page() -> None:
    import sqlite3

    from genre.serving.stores.database import Database
    from genre.serving.stores.models import Models

    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    with Database.open("sqlite:///genre.db") as database:
        models = Models(database)
        for name in ("v1", "second"):
            models.add("films", name, f"runs/{name}")
            models.move("films", name, "live")
    for code in blocks(page, "python"):
        exec(compile(code, "operate.md", "exec"), {})  # noqa: S102
    shutil.copy("genre-copy.db", "restored.db")
    with Database.open("sqlite:///restored.db") as database:
        assert [(one.version, one.state) for one in Models(database).all("films")] == [
            ("v1", "live"), ("second", "retired"),
        ]  # fmt: skip
    with sqlite3.connect("genre-copy.db") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()


@pytest.mark.usefixtures("workplace")
def test_the_readme_example_runs() -> None:
    for name in ("README.md", "README.zh.md"):
        code = blocks((ROOT / name).read_text(encoding="utf-8"), "python")[0]
        exec(compile(code.replace('"42"', '"ann"'), name, "exec"), {})  # noqa: S102


def test_every_kind_is_in_the_guide() -> None:
    from genre.api import kinds_of_recommenders

    for kind in kinds_of_recommenders():
        assert f"| `{kind}` |" in GUIDE


def test_links_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sequence_model_can_be_trained_by_following_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "train-a-sequence-model.md").read_text(encoding="utf-8")
    copy_examples(tmp_path, sequences={"epochs: 60": "epochs: 3"})
    monkeypatch.chdir(tmp_path)
    follow(page)
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(compile(code, "train-a-sequence-model.md", "exec"), names)  # noqa: S102
    (tmp_path / "own.yaml").write_text("data: {kind: sample}\n" + blocks(page, "yaml")[0], encoding="utf-8")
    assert list(read_experiment(tmp_path / "own.yaml").models)[:4] == ["graph", "sasrec", "sasrecs", "fusion"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_catalogue_can_be_enriched_by_following_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "enrich-a-catalogue.md").read_text(encoding="utf-8")
    copy_examples(tmp_path, enrich={"max_items: 3": "max_items: 2"}, versions={"epochs: 5": "epochs: 1"})
    monkeypatch.chdir(tmp_path)
    assert follow(page) == 5
    runs = tmp_path / "runs"
    account, again = (
        json.loads((runs / name / "account.json").read_text(encoding="utf-8")) for name in ("enrich-enriched", "enrich")
    )
    assert [stage["stage"] for stage in account] == ["summarise", "profile", "imagine"]
    assert sum(stage["accepted"] for stage in account) > 0
    assert [stage["asked"] for stage in again["data"]["enrichment"]] == [0, 0, 0]
    versions = json.loads((runs / "versions" / "account.json").read_text(encoding="utf-8"))
    assert [stage["stage"] for stage in versions["data"]["enrichment"]] == ["rewrite: synonyms", "rewrite: paraphrase"]
    assert sorted(reading["versions"] for reading in versions["reading"])[1] >= 4
    for number, section in enumerate(blocks(page, "yaml")):
        models = "" if "models:" in section else "models: {popularity: {kind: popularity}}\n"
        (tmp_path / f"{number}.yaml").write_text(f"data: {{kind: sample}}\n{models}{section}", encoding="utf-8")
        experiment = read_experiment(tmp_path / f"{number}.yaml")
        assert experiment.enrich is not None or any(one.reads_in_training.wanted for one in experiment.models.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_models_of_one_s_own_can_be_brought_by_following_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "bring-your-own-model.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"```(?:yaml|json) (\S+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert follow(page) >= 5
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(compile(code, "bring-your-own-model.md", "exec"), names)  # noqa: S102
    models, enrich = blocks(page, "yaml")
    for number, text in enumerate((models, f"{enrich}\nmodels: {{ease: {{kind: ease}}}}\n")):
        (tmp_path / f"{number}.yaml").write_text("data: {kind: sample}\n" + text, encoding="utf-8")
        read_experiment(tmp_path / f"{number}.yaml")


@pytest.mark.slow
def test_a_recommender_can_be_added_by_following_the_page(tmp_path: Path) -> None:
    file, line = blocks(PAGE, "python")
    for name in ("src", "tests", "pyproject.toml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "src" / "genre" / "recommenders" / "recent.py").write_text(file, encoding="utf-8")
    config = tmp_path / "src" / "genre" / "config.py"
    text = config.read_text(encoding="utf-8")
    before = "from genre.recommenders.segment"
    config.write_text(text.replace(before, line + before), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "tests/recommenders/test_contract.py", "-k", "recent", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 15


def test_the_configs_of_the_page_on_fine_tuning_are_valid() -> None:
    page = (ROOT / "docs" / "fine-tune-without-forgetting.md").read_text(encoding="utf-8")
    configs = [yaml.safe_load(block) for block in blocks(page, "yaml")]
    assert len(configs) == 4
    for config in configs:
        Experiment.model_validate({"data": {"kind": "sample"}, "models": {"graph": {"kind": "graph"}}, **config})


def test_the_configs_of_the_page_on_new_scenarios_are_valid() -> None:
    page = (ROOT / "docs" / "move-to-a-new-scenario.md").read_text(encoding="utf-8")
    configs = [yaml.safe_load(block) for block in blocks(page, "yaml")]
    assert len(configs) >= 3
    for config in configs:
        Experiment.model_validate({"data": {"kind": "sample"}, "models": {"graph": {"kind": "graph"}}, **config})
