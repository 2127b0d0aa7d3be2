"""The commands that make, move and shrink models; the everyday ones are in `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer

# Everything heavy is imported inside the commands, so that `genre --help` answers at once.
app = typer.Typer()

RunArgument = Annotated[Path, typer.Argument(help="Directory of a finished run.")]
SetOption = Annotated[list[str], typer.Option("--set", help="Override a setting: a.b=value. May be repeated.")]


@app.command()
def encode(
    config: Annotated[Path, typer.Argument(help="The experiment, in YAML.")],
    overrides: SetOption = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Where runs are kept, and what was read beside them.")] = Path("runs"),
) -> None:
    """Read the items' texts for all models of an experiment; what was read before is not read again."""
    from genre import pipeline
    from genre.config_file import read_experiment
    from genre.console import Bars, show_reading

    show_reading(pipeline.encode(read_experiment(config, overrides), runs, Bars()))


@app.command()
def enrich(
    config: Annotated[Path, typer.Argument(help="The experiment, in YAML.")],
    overrides: SetOption = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Where the tables are written.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
) -> None:
    """Let a language model write about items and users; what was written before is not asked for again."""
    from genre import enrichment
    from genre.config_file import read_experiment
    from genre.console import Bars, show_enrichment, show_enrichment_plan

    experiment = read_experiment(config, overrides)
    if dry_run:
        show_enrichment_plan(enrichment.estimated(experiment, runs, Bars()))
        return
    show_enrichment(enrichment.write_tables(experiment, runs, Bars()))


@app.command()
def guard(
    run: RunArgument,
    model: Annotated[Optional[str], typer.Option(help="A fine-tuned language model of the run.")] = None,  # noqa: UP045
    budget: Annotated[Optional[list[str]], typer.Option(help="A limit, as in bits_per_byte=+2%.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Write the profiles to a .json file.")] = None,  # noqa: UP045
) -> None:
    """Compare how a fine-tuned model writes with how its base does; ends with 1 where it is over the budget."""
    from genre.console import Bars, show_writing
    from genre.guarding import guard_run

    found = guard_run(run, model, budget or [], Bars())
    show_writing(found)
    if out is not None:
        found.save(out)
    if found.breaches:
        raise typer.Exit(1)


@app.command()
def tune(
    config: Annotated[Path, typer.Argument(help="The experiment, in YAML, with a section `tune`.")],
    overrides: SetOption = [],  # noqa: B006
    trials: Annotated[Optional[int], typer.Option(min=1, help="Trials in all, earlier ones included.")] = None,  # noqa: UP045
    minutes: Annotated[Optional[float], typer.Option(min=0, help="Begin no trial after these.")] = None,  # noqa: UP045
    runs: Annotated[Path, typer.Option(help="Where to keep the search.")] = Path("runs"),
) -> None:
    """Search for the best settings on the validation events. Stop it as you like: the same command goes on."""
    from genre import tune as search
    from genre.config_file import read_experiment
    from genre.console import Bars, show_trial, show_tuned

    experiment = read_experiment(config, overrides)
    bars = Bars(inner_lines=False)
    show_tuned(search.tune(experiment, runs, trials=trials, minutes=minutes, progress=bars, told=show_trial))


@app.command()
def teach(
    config: Annotated[Path, typer.Argument(help="The experiment, in YAML, with a section `teach`.")],
    overrides: SetOption = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Where to keep the model.")] = Path("runs"),
) -> None:
    """Teach a language model to write as the catalogue wants it, within a budget for the rest of its writing."""
    from genre.config_file import read_experiment
    from genre.console import Bars, show_taught
    from genre.teach import teach_writer

    taught = teach_writer(read_experiment(config, overrides), runs, Bars())
    show_taught(taught)
    if taught.model is None:
        raise typer.Exit(1)


@app.command()
def adapt(
    source: Annotated[Path, typer.Argument(help="A finished run, or the config of one.")],
    to: Annotated[Path, typer.Option(help="The other scenario: an experiment, in YAML.")],
    method: Annotated[
        list[str],
        typer.Option(
            help="zero_shot, finetune, or domain, which aligns texts first, and lets a language model read them; "
            "prompt asks a language model that learns nothing, without and with examples; distill lets the moved model "
            "teach a small one. May be repeated."
        ),
    ] = ["finetune"],  # noqa: B006
    model: Annotated[Optional[str], typer.Option(help="Of the source; its best that can be moved without.")] = None,  # noqa: UP045
    base: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="The language model of prompt, and of a student that is one, a directory or a name on the hub; the "
            "embedded one without."
        ),
    ] = None,
    student: Annotated[
        Optional[Literal["sasrec", "two_tower", "llm_sequential"]],  # noqa: UP045
        typer.Option(help="The small model of distill; sasrec without, or two_tower where the source is a sasrec."),
    ] = None,
    unlabelled: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A file of further histories of the target that the teacher of distill is asked about."),
    ] = None,
    keep: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, help="Share of the source's accuracy that may be lost by learning on; .02 without."),
    ] = None,
    rehearse: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, help="Weight of the source's log beside the new one; 1 without, and 0 leaves it out."),
    ] = None,
    layers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Layers that learn on, from the output down; all without."),
    ] = None,
    budget: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="A limit for what a language model loses of its writing, as in bits_per_byte=+2%."),
    ] = None,
    same_users: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(help="Whether the same ids mean the same people; the validation questions decide without."),
    ] = None,
    overrides: SetOption = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
) -> None:
    """Move a model to another scenario: as it is, or learning on there without forgetting where it came from."""
    from genre.adapt import adapt as moved
    from genre.config_file import read_experiment
    from genre.console import Bars, show_run
    from genre.guarding import limits_of

    target = read_experiment(to, overrides)
    given = {"keep": keep, "rehearse": rehearse, "layers": layers, "same_users": same_users}
    settings: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if budget:
        settings["budget"] = limits_of(budget)
    how: dict[str, Any] = {"model": model, "base": base, "student": student, "unlabelled": unlabelled}
    found = moved(source, target, runs, methods=method, settings=settings, progress=Bars(), **how)
    show_run(found)


@app.command()
def scenarios(
    places: Annotated[Optional[list[Path]], typer.Argument(help="Configs and runs; all runs without.")] = None,  # noqa: UP045
    runs: Annotated[Path, typer.Option(help="Where the runs of configs are kept.")] = Path("runs"),
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Also measure how well each one's language model knows the texts of each.")
    ] = False,
) -> None:
    """List scenarios with their state: what answers, who writes with which adapter, and what they have in common."""
    from genre.console import Bars, show_matrix, show_scenarios
    from genre.scenarios import Scenarios, overlaps_of, standings

    found = standings(places or [], runs)
    show_scenarios(found, overlaps_of(found))
    if matrix:
        open_ones = Scenarios.open([one.run for one in found if one.state in {"done", "changed"}])
        show_matrix(open_ones.matrix(progress=Bars()))


@app.command()
def compress(
    target: Annotated[
        str, typer.Argument(help="A finished run, a directory with a language model or an encoder, smollm2 or minilm.")
    ],
    method: Annotated[
        Literal["int8", "int4", "prune", "onnx"],
        typer.Option(help="8 or 4 bits; less of it; or a graph. Runs and encoders: int8, onnx. Writers: not onnx."),
    ],
    model: Annotated[Optional[str], typer.Option(help="A model of the run in place of its choice.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Where to; TARGET-METHOD by default.")] = None,  # noqa: UP045
    budget: Annotated[Optional[list[str]], typer.Option(help="A limit, as in bits_per_byte=+3%.")] = None,  # noqa: UP045
    texts: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="What a language model writes like: a .jsonl file with a text in each line, or a text file."),
    ] = None,
    layers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Layers that prune takes away; 1 by default, and 0 beside --heads."),
    ] = None,
    heads: Annotated[
        int, typer.Option(min=0, help="Heads that prune takes from each layer; groups where they share keys.")
    ] = 0,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the texts, for the others to make up for it.")] = 3,
) -> None:
    """Make a model smaller, and measure it beside what it was; past the budget it ends with 1 and leaves nothing."""
    from genre.compressing import Wish
    from genre.compressing import compress as make_smaller
    from genre.console import Bars, show_compression

    limits = tuple(budget or ())
    wish = Wish(method, limits, out, model=model, texts=texts, layers=layers, heads=heads, epochs=epochs)
    found = make_smaller(target, wish, Bars())
    show_compression(found)
    if found.breaches:
        raise typer.Exit(1)
