"""The story: load, clean, split, fit, judge, recommend, write, save, report.

Read `run` from top to bottom; every step is a call into the package that does it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genre._version import __version__
from genre.adaptation.adapted import CONFIGS, AdaptedConfig
from genre.adaptation.compression.measuring import ACCOUNT as COMPRESSION
from genre.adaptation.compression.measuring import BESIDE
from genre.answers import frame_of
from genre.config import Experiment
from genre.config_file import digest_of, read_experiment, to_yaml
from genre.core.errors import ConfigError
from genre.core.files import atomic_file
from genre.core.run import Progress, RunContext, Silent
from genre.data.sample import SampleConfig
from genre.engine import Engine
from genre.enrichment import enriched
from genre.evaluation.judge import Judge, Judgement
from genre.evaluation.report import render_report
from genre.evaluation.results import METRICS_FILE, PER_QUERY_FILE, Results
from genre.evaluation.summary import summarize
from genre.few_users import STAGE as FEW_USERS
from genre.few_users import few_users
from genre.guarding import over_budget
from genre.recommenders.base import Recommender
from genre.runs import CONFIG, load_into, open_engine
from genre.stages import (
    JUDGEMENTS,
    MODELS,
    TRIALS,
    Planned,
    Prepared,
    Trial,
    accounts_of,
    check_installed,
    cost_of,
    make_judge,
    make_plan,
    prepare,
    represent,
    source_key,
)
from genre.texts import spread, write_texts
from genre.workspace import ACCOUNT, STORE, VERSION_OF, Workspace, read_manifest, verify

EXAMPLE = "example"
"""The kind of the lines of `content.jsonl` that are answers with their reasons; the others are texts."""
ANSWERS, CONTENT, REPORT = "recommendations.parquet", "content.jsonl", "report.html"
KINDS = "kinds"
"""Where a run keeps the files of its kinds of texts, so that it can be served wherever it is."""
PARTS = (CONFIG, KINDS, ACCOUNT, "data", "models", METRICS_FILE, PER_QUERY_FILE, ANSWERS, CONTENT)
"""All that a run holds but the report, which can be written again."""


def run(experiment: Experiment, directory: Path, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Run an experiment and return the directory that holds all that came out of it.

    Args:
        experiment: What to do.
        directory: Where runs are kept; this one gets the experiment's name.
        force: Replace a finished run of that name.
        progress: Shows how far it has come.
    """
    progress = progress or Silent()
    check_installed(experiment)
    experiment = _with_sources(experiment, directory, progress)
    work = Workspace(directory / experiment.name, key_of(experiment, directory), force=force)
    if work.finished:
        verify(work.final, *PARTS)
        if not (work.final / REPORT).exists():
            write_report(work.final)
        return work.final
    work.write(CONFIG, to_yaml(experiment, _kept_kinds(experiment, work)))

    prepared = work.stage(
        "data",
        lambda: enriched(prepare(experiment), experiment, work, progress),
        save=Prepared.save,
        load=Prepared.load,
    )
    if experiment.write is not None:
        experiment.write.check_columns(prepared.data.items, prepared.data.users)
    plan = make_plan(experiment, prepared.data, work.done(MODELS))
    reading = represent(experiment, prepared, work.store, progress)
    judges = [make_judge(experiment, prepared, index) for index in range(len(prepared.splits))]
    judgements = _fit_and_judge(experiment, plan, prepared, judges, work, progress)
    results = summarize(judgements, judges, experiment.evaluation, RunContext(seed=experiment.seeds[0]))
    results.save(work.directory)

    ranking = _by_validation(results)
    over = over_budget(experiment, work.directory, ranking, prepared.data, progress)
    chosen = _answering(experiment.answer.model, ranking, over)
    engine = open_engine(experiment, work.directory, prepared.data, chosen)
    _recommend(engine, experiment, work.directory)
    told = _write(engine, experiment, work.directory, progress)
    first = Trial.of(experiment, prepared, 0, experiment.seeds[0], work, progress)
    few = few_users(experiment, plan, first, judges[0], {name: found[0][0] for name, found in judgements.items()})

    account = {
        "data": prepared.account,
        "reading": reading,
        "plan": [_plain(planned) for planned in plan],
        "accounts": accounts_of(work.directory, [planned.name for planned in plan]),
        "texts": told,
        "few_users": few,
    }
    work.write(ACCOUNT, json.dumps(account, indent=2))
    skipped = {planned.name: planned.skipped for planned in plan if planned.skipped}
    manifest = work.describe(
        name=experiment.name,
        chosen=chosen,
        ranking=ranking,
        over_budget=over,
        skipped=skipped,
        seeds=experiment.seeds,
    )
    _report(work.directory, experiment, manifest)
    work.finish(manifest, discard=(TRIALS, JUDGEMENTS, FEW_USERS))
    return work.final


def key_of(experiment: Experiment, directory: Path) -> dict[str, str]:
    """Return hashes of all that decides what a run finds: it is done where one of the same has finished.

    Args:
        experiment: What would be run.
        directory: Where runs are kept, those that models are moved from among them.

    Raises:
        DataError: A file is not there.
    """
    models = dict(experiment.models)
    for name, config in models.items():
        if isinstance(config, AdaptedConfig) and config.source.suffix in CONFIGS:
            source = directory / read_experiment(config.source).name
            models[name] = config.model_copy(update={"source": source})
    experiment = experiment.model_copy(update={"models": models})
    return {"config": digest_of(experiment), "data": source_key(experiment), "genre": __version__}


def _with_sources(experiment: Experiment, directory: Path, progress: Progress) -> Experiment:
    """Return the experiment with every model that is moved from another experiment moved from its run, made if need be.

    Raises:
        ConfigError: The other experiment has the name of this one.
    """
    models = dict(experiment.models)
    for name, config in models.items():
        if isinstance(config, AdaptedConfig) and config.source.suffix in CONFIGS:
            other = read_experiment(config.source)
            if other.name == experiment.name:
                raise ConfigError(
                    f"the source is called {other.name!r} too, and both would be the same run",
                    place=f"models.{name}.source",
                    remedy="Give one of the experiments another `name`.",
                )
            models[name] = config.model_copy(update={"source": run(other, directory, progress=progress)})
    return experiment.model_copy(update={"models": models})


def encode(experiment: Experiment, directory: Path, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Load, clean and split, and read every text that the models will ask for; return the account of it.

    Raises:
        ConfigError: No model reads texts.
    """
    check_installed(experiment)
    if not any(config.reads for config in experiment.models.values()):
        raise ConfigError(
            f"none of the models {sorted(experiment.models)} reads texts",
            place="models",
            remedy="Add one that does, for instance `content: {kind: content}`.",
        )
    return represent(experiment, prepare(experiment), directory / STORE, progress or Silent())


def dry_run(experiment: Experiment) -> list[Planned]:
    """Load, clean and split, and say what fitting each model would take."""
    check_installed(experiment)
    return make_plan(experiment, prepare(experiment).data)


def evaluate_again(run: Path, overrides: Sequence[str] = (), progress: Progress | None = None) -> Results:
    """Judge the saved models of a run, which are those of its first seed and split, under other evaluation settings.

    Args:
        run: Directory of a finished run.
        overrides: `ks=[10,50]` and so on, of the section `evaluation`.
        progress: Shows how far it has come.
    """
    manifest = read_manifest(run)
    verify(run, CONFIG, "data")
    experiment = read_experiment(run / CONFIG, [f"evaluation.{override}" for override in overrides])
    prepared = Prepared.load(run / "data")
    judge = make_judge(experiment, prepared, 0)
    models: dict[str, Recommender] = {}
    judgements: dict[str, list[list[Judgement]]] = {}
    for name in manifest["ranking"]:
        load_into(models, experiment, run, name)
        found = judge.judge(models[name], **cost_of(run / "models" / name), progress=progress)
        judgements[name] = [[found]]
    return summarize(judgements, [judge], experiment.evaluation, RunContext(seed=experiment.seeds[0]))


def write_report(run: Path) -> Path:
    """Write the report of a finished run again, and return its path.

    Raises:
        ArtifactError: There is no finished run, or its files are damaged.
        ConfigError: It is a later version of a run, which has no report.
    """
    manifest = read_manifest(run)
    if VERSION_OF in manifest:
        raise ConfigError(
            f"it is a version of {manifest[VERSION_OF]!r} that was learned later, and has no report",
            place=str(run),
            remedy="Ask for that of the run; `genre versions` tells what is known of this one.",
        )
    verify(run, CONFIG, METRICS_FILE, PER_QUERY_FILE, ACCOUNT, CONTENT, COMPRESSION)
    return _report(run, read_experiment(run / CONFIG), manifest)


def _fit_and_judge(
    experiment: Experiment,
    plan: Sequence[Planned],
    prepared: Prepared,
    judges: Sequence[Judge],
    work: Workspace,
    progress: Progress,
) -> dict[str, list[list[Judgement]]]:
    """Fit every planned model, members first, and judge it: for each seed, once for each split."""
    wanted = [planned for planned in plan if planned.fitted]
    judgements: dict[str, list[list[Judgement]]] = {planned.name: [[] for _ in experiment.seeds] for planned in wanted}
    for place, seed in enumerate(experiment.seeds):
        for index, judge in enumerate(judges):
            trial = Trial.of(experiment, prepared, index, seed, work, progress)
            models: dict[str, Recommender] = {}
            for planned in progress.track(wanted, f"fit and judge: seed {seed}, split {index + 1}", len(wanted)):
                fitted = trial.fit(planned, models)
                models[planned.name] = fitted.model
                judgements[planned.name][place].append(trial.judge(planned, fitted, models, judge))
    return judgements


def _by_validation(results: Results) -> list[str]:
    """Return the models by the primary metric on the validation events, best first."""
    return sorted(results.models, key=lambda name: -results.models[name].validation[results.primary].mean)


def _answering(wanted: str, ranking: Sequence[str], over: Mapping[str, Sequence[str]]) -> str:
    """Return the model that answers: the wanted one, or the best, unless it is over the budget for its writing.

    There always is one: popularity writes nothing.
    """
    order = ranking if wanted == "best" else [wanted, *ranking]
    return next(name for name in order if name not in over)


def _recommend(engine: Engine, experiment: Experiment, directory: Path) -> None:
    """Answer everybody."""
    frame = engine.recommend(n=experiment.answer.n)
    with atomic_file(directory / ANSWERS) as path:
        frame.write_parquet(path)


def _write(engine: Engine, experiment: Experiment, directory: Path, progress: Progress) -> dict[str, Any]:
    """Write examples, with reasons if wanted, and the texts that are wanted; return what was measured of these."""
    data, language = engine.data, experiment.answer.reasons
    queries = data.queries(spread(data, experiment.answer.examples))
    users = data.users.vocabulary.names(queries.user_rows)
    answer = engine.answer(queries, experiment.answer.n)
    rows = frame_of(data, users, answer, language).to_dicts()
    if language is not None:
        reasons = (why for found in engine.reasons(queries, answer, language) for why in found)
        rows = [row | {"reason": why.text, "evidence": asdict(why)} for row, why in zip(rows, reasons, strict=True)]
    titles = data.items.title_in(language)
    liked = queries.history.liked().items
    histories = {user: titles.gather(liked[row][-10:]).to_list() for row, user in enumerate(users)}
    about = {"kind": EXAMPLE, "language": language, "reason": None}
    lines = [about | {"history": histories[row["user_id"]]} | row for row in rows]
    told: dict[str, Any] = {}
    if experiment.write is not None:
        run = RunContext(seed=engine.seed, store=engine.store, progress=progress)
        texts, told = write_texts(engine, experiment.write, run)
        lines += texts
    with atomic_file(directory / CONTENT) as path, path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return told


def _kept_kinds(experiment: Experiment, work: Workspace) -> list[str] | None:
    """Copy the files among the kinds of texts into the run, and return how its config names all of them."""
    if experiment.write is None:
        return None
    named = []
    for at, kind in enumerate(experiment.write.kinds):
        path = Path(kind)
        if path.suffix == ".j2":
            kind = f"{KINDS}/{at}/{path.name}"  # Two may have one name.
            work.write(kind, path.read_text(encoding="utf-8"))
        named.append(kind)
    return named


def _report(directory: Path, experiment: Experiment, manifest: Mapping[str, Any]) -> Path:
    account = json.loads((directory / ACCOUNT).read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (directory / CONTENT).read_text(encoding="utf-8").splitlines()]
    page = render_report(
        title=experiment.name,
        config_yaml=(directory / CONFIG).read_text(encoding="utf-8"),
        manifest=manifest,
        account=account["data"],
        reading=account.get("reading", []),
        accounts=account.get("accounts", {}),
        plan=account["plan"],
        results=Results.load(directory).to_dict(),
        examples=[line for line in lines if line["kind"] == EXAMPLE],
        texts=[line for line in lines if line["kind"] != EXAMPLE],
        measured=account.get("texts", {}),
        few_users=account.get("few_users", {}),
        beside=_beside(directory),
        notice=experiment.data.notice if isinstance(experiment.data, SampleConfig) else None,
    )
    with atomic_file(directory / REPORT) as path:
        path.write_text(page, encoding="utf-8")
    return directory / REPORT


def _beside(directory: Path) -> dict[str, Any]:
    """Return what is known of the models that a compressed one is shown beside; nothing of any other run."""
    path = directory / COMPRESSION
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found: dict[str, Any] = told.get(BESIDE, {})  # Earlier versions noted none.
    return found


def _plain(planned: Planned) -> dict[str, Any]:
    estimate = {"memory": planned.estimate.memory, "seconds": planned.estimate.seconds}
    return {"name": planned.name, "kind": planned.config.kind, **estimate, "skipped": planned.skipped}
