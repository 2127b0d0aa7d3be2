"""The command line: each command is a few lines over the Python interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from genre import cli_models
from genre.cli_models import RunArgument, SetOption
from genre.serving import measuring
from genre.serving.commands import keys_app, serve
from genre.serving.learning_commands import learning_app

# Everything heavy is imported inside the commands, so that `genre --help` answers at once.
app = typer.Typer(
    help="Recommendation that reads, ranks and writes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Look at data before it is used.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(cli_models.app)
app.add_typer(learning_app)
app.add_typer(keys_app, name="keys")
app.command()(serve)
app.add_typer(measuring.app)

CountOption = Annotated[int, typer.Option("-n", help="Answers for each user.")]


def main() -> None:
    """Run the command line; an error of Genre or of the file system ends it with its message and exit code 1."""
    from genre.core.errors import GenreError

    try:
        app()
    except (GenreError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


@app.command()
def demo(
    runs: Annotated[Path, typer.Option(help="Where to keep the run.")] = Path("runs"),
    force: Annotated[bool, typer.Option("--force", help="Run again even if it is done.")] = False,
) -> None:
    """Run the main job on the sample world, offline: 280 real films, simulated viewers."""
    from genre.demo import run_demo

    run_demo(runs, force=force)


@app.command()
def init(
    interactions: Annotated[Path, typer.Argument(help="Who did what: one row an event.")],
    items: Annotated[Optional[Path], typer.Argument(help="The catalogue.")] = None,  # noqa: UP045
    users: Annotated[Optional[Path], typer.Option(help="What is known of users.")] = None,  # noqa: UP045
    out: Annotated[Path, typer.Option(help="The config to write.")] = Path("genre.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Look at your files and write a commented config for them."""
    from genre.api import write_config

    notes = write_config(interactions, items, users, out=out, force=force)
    for note in notes:
        typer.echo(note)
    typer.echo(f"Wrote {out}. Next: genre run {out}")


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The experiment, in YAML.")],
    overrides: SetOption = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Where to keep runs.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished run of the same name.")] = False,
) -> None:
    """Run an experiment: fit, evaluate, recommend, report. An interrupted run goes on where it stopped."""
    from genre import pipeline
    from genre.config_file import read_experiment
    from genre.console import Bars, show_plan, show_run

    experiment = read_experiment(config, overrides)
    if dry_run:
        show_plan(pipeline.dry_run(experiment))
        return
    directory = pipeline.run(experiment, runs, force=force, progress=Bars())
    show_run(directory)


@app.command()
def recommend(
    run: RunArgument,
    users: Annotated[Optional[list[str]], typer.Argument(help="User ids.")] = None,  # noqa: UP045
    history: Annotated[str, typer.Option(help="Item ids that somebody likes, oldest first, with commas.")] = "",
    n: CountOption = 10,
    everybody: Annotated[bool, typer.Option("--all", help="Answer every known user.")] = False,
    out: Annotated[Optional[Path], typer.Option(help="Write to a .parquet, .csv or .jsonl file.")] = None,  # noqa: UP045
    reasons: Annotated[Optional[Literal["en", "zh"]], typer.Option(help="Add reasons in this language.")] = None,  # noqa: UP045
    new_items: Annotated[Optional[Path], typer.Option(help="Items to add to the catalogue first.")] = None,  # noqa: UP045
    model: Annotated[Optional[str], typer.Option(help="A model of the run in place of its choice.")] = None,  # noqa: UP045
) -> None:
    """Recommend to users, to everybody, or to anyone by what they like."""
    from genre.api import open_run, write_table
    from genre.console import show
    from genre.core.errors import ConfigError
    from genre.data.readers import read_items

    if sum([bool(users), bool(history), everybody]) != 1:
        raise ConfigError(
            "it is not clear whom to answer", place="recommend", remedy="Give user ids, --history or --all."
        )
    engine = open_run(run, model=model)
    if new_items is not None:
        engine = engine.with_items(read_items(new_items))
    histories = [[item.strip() for item in history.split(",")]] if history else None
    frame = engine.recommend(users or None, histories=histories, n=n, reasons=reasons)
    if out is None:
        show(frame)
    else:
        write_table(frame, out)
        typer.echo(f"Wrote {len(frame)} rows to {out}.")


@app.command()
def write(
    run: RunArgument,
    users: Annotated[Optional[list[str]], typer.Argument(help="User ids.")] = None,  # noqa: UP045
    history: Annotated[str, typer.Option(help="Item ids that somebody likes, oldest first, with commas.")] = "",
    item: Annotated[Optional[list[str]], typer.Option(help="Write about this item. May be repeated.")] = None,  # noqa: UP045
    n: Annotated[int, typer.Option("-n", help="Recommended items to write about.")] = 3,
    kind: Annotated[
        list[str],
        typer.Option(
            help="title, summary, synopsis, ad, reason, answer, continuation, translation: about an item. profile: "
            "about the person. path: the items in an order. Or a .j2 file. May be repeated."
        ),
    ] = ["synopsis"],  # noqa: B006
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of the texts.")] = "en",
    scenario: Annotated[
        Literal["shop", "news", "video", "music", "social", "courses"], typer.Option(help="Where they are shown.")
    ] = "shop",
    question: Annotated[str, typer.Option(help="What to answer about the items, with --kind answer.")] = "",
    begin: Annotated[
        str, typer.Option(help="What to go on with, with --kind continuation; else each item's own first sentence.")
    ] = "",
    generator: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A language model: smollm2, a hub id, a directory or a .gguf file. None writes without one."),
    ] = None,
    overrides: SetOption = [],  # noqa: B006
    model: Annotated[Optional[str], typer.Option(help="A model of the run in place of its choice.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Write to a .jsonl file, with provenance.")] = None,  # noqa: UP045
    audit: Annotated[Optional[Path], typer.Option(help="Add a line for each text to this .jsonl file.")] = None,  # noqa: UP045
    sentences: Annotated[
        bool, typer.Option("--stream", help="Show one text sentence by sentence, as it is written.")
    ] = False,
) -> None:
    """Write about what is recommended to somebody, true to the facts: --set candidates=5 changes how."""
    from genre.api import open_run, write_lines, write_settings
    from genre.console import Bars, show_texts
    from genre.core.errors import ConfigError

    if bool(users) == bool(history):
        raise ConfigError("it is not clear for whom to write", place="write", remedy="Give user ids or --history.")
    if out is not None and (out.suffix != ".jsonl" or sentences):
        remedy = "Leave one of --out and --stream out." if sentences else "Use a name that ends in .jsonl."
        raise ConfigError("the texts cannot be written there", place=str(out), remedy=remedy)
    config = write_settings(generator, overrides, audit)
    histories = [[one.strip() for one in history.split(",")]] if history else None
    if sentences:
        if len(kind) != 1 or len(users or [""]) != 1:
            raise ConfigError("one text is shown as a stream", place="write", remedy="Give one user and one --kind.")
        for sentence in open_run(run, model=model).stream(
            users[0] if users else None, item, history=histories[0] if histories else None, n=n, kind=kind[0],
            language=language, scenario=scenario, question=question, begin=begin, config=config,
        ):  # fmt: skip
            typer.echo(sentence)
        return
    texts = open_run(run, model=model).write(
        users or None, histories=histories, items=item, n=n, kinds=kind, language=language, scenario=scenario,
        question=question, begin=begin, config=config, progress=Bars(),
    )  # fmt: skip
    if out is None:
        show_texts(texts)
    else:
        write_lines(texts, out)
        typer.echo(f"Wrote {len(texts)} texts to {out}.")


@app.command()
def chat(
    run: RunArgument,
    user: Annotated[Optional[str], typer.Option(help="Who talks; nobody known without.")] = None,  # noqa: UP045
    history: Annotated[str, typer.Option(help="Item ids that somebody likes, oldest first, with commas.")] = "",
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of replies before you have written anything.")] = "en",
    scenario: Annotated[
        Literal["shop", "news", "video", "music", "social", "courses"], typer.Option(help="What is talked about.")
    ] = "shop",
    generator: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A language model: smollm2, a hub id, a directory or a .gguf file. It works without one."),
    ] = None,
    overrides: SetOption = [],  # noqa: B006
    model: Annotated[Optional[str], typer.Option(help="A model of the run in place of its choice.")] = None,  # noqa: UP045
    state: Annotated[Optional[Path], typer.Option(help="A .json file: where the talk is kept and taken up.")] = None,  # noqa: UP045
) -> None:
    """Talk about what is recommended: wishes, criticism, reasons. Also /state, /forget, /help and /quit."""
    from genre.api import chat_settings, open_run
    from genre.console import messages, show_reply
    from genre.conversation.conversation import Conversation
    from genre.conversation.terminal import talk

    config = chat_settings(generator, overrides, scenario=scenario)
    liked = [one.strip() for one in history.split(",")] if history else None
    conversation = Conversation(open_run(run, model=model), config)
    talk(
        conversation, messages(), show_reply, typer.echo, user=user, history=liked, file=state, language=language
    )  # fmt: skip


@app.command()
def why(
    run: RunArgument,
    who: Annotated[list[str], typer.Argument(help="A user id and an item id; with --history an item id alone.")],
    history: Annotated[str, typer.Option(help="Item ids that somebody likes, oldest first, with commas.")] = "",
    n: CountOption = 10,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of titles and of the reason.")] = "en",
    model: Annotated[Optional[str], typer.Option(help="A model of the run in place of its choice.")] = None,  # noqa: UP045
) -> None:
    """Tell how an item came to be recommended to somebody, or why it was not."""
    from genre.api import open_run
    from genre.console import show_trace
    from genre.core.errors import ConfigError

    if len(who) != (1 if history else 2):
        raise ConfigError("it is not clear for whom", place="why", remedy="Give USER ITEM, or ITEM and --history.")
    liked = [one.strip() for one in history.split(",")] if history else None
    show_trace(
        open_run(run, model=model).why(None if history else who[0], who[-1], history=liked, n=n, language=language)
    )


@app.command()
def similar(
    run: RunArgument,
    item: Annotated[Optional[str], typer.Argument(help="An item id.")] = None,  # noqa: UP045
    text: Annotated[Optional[str], typer.Option(help="Words to look for, in place of an item.")] = None,  # noqa: UP045
    n: CountOption = 10,
    model: Annotated[Optional[str], typer.Option(help="A model of the run that knows similarity.")] = None,  # noqa: UP045
) -> None:
    """Show which items go best with one item, or with a text."""
    from genre.api import open_run
    from genre.console import show
    from genre.core.errors import ConfigError
    from genre.recommenders.base import ReadsTexts, Similar

    if (item is None) == (text is None):
        raise ConfigError("it is not clear what to compare with", place="similar", remedy="Give an item id or --text.")
    if text is not None:
        show(open_run(run, model=model, able=ReadsTexts).similar_to_text(text, n))
    else:
        show(open_run(run, model=model, able=Similar).similar(str(item), n))


@app.command()
def evaluate(run: RunArgument, overrides: SetOption = []) -> None:  # noqa: B006
    """Judge the models of a run, with other evaluation settings if you like: --set ks=[10,50]."""
    from genre.console import Bars, show_results
    from genre.pipeline import evaluate_again

    show_results(evaluate_again(run, overrides, Bars()), f"{run}: test events")


@app.command()
def report(run: RunArgument) -> None:
    """Write a run's report again, and say where it is."""
    from genre.pipeline import write_report

    typer.echo(write_report(run))


@data_app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Interactions, then items, then users; or a config.")],
    overrides: SetOption = [],  # noqa: B006
) -> None:
    """Say what is wrong with data (file, line, column, value) and what cleaning would drop."""
    from genre.api import check_data
    from genre.console import console

    findings, report = check_data(files, overrides)
    for finding in findings:
        console.print(f"{finding.severity}: {finding}", highlight=False, markup=False, soft_wrap=True)
    errors = sum(finding.severity == "error" for finding in findings)
    console.print(f"{len(findings)} findings, {errors} of them errors.")
    if report is not None:
        console.print(f"What cleaning would drop:\n{report}", highlight=False, markup=False)
    raise typer.Exit(1 if errors else 0)


@app.command()
def models(kind: Annotated[Optional[str], typer.Argument(help="Show the settings of one.")] = None) -> None:  # noqa: UP045
    """List the recommenders, or the settings of one."""
    from genre.api import model_table
    from genre.console import show

    show(model_table(kind))


@app.command()
def schema() -> None:
    """Print the JSON Schema of config files, for editors."""
    import json

    from genre.config import Experiment

    typer.echo(json.dumps(Experiment.model_json_schema(), indent=2))
