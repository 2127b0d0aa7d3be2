"""Genre from Python: load, fit, recommend, and open what a run has left."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genre.config import RECOMMENDERS
from genre.config_file import parse, read_experiment, with_overrides
from genre.conversation.conversation import ConversationConfig
from genre.core.errors import ConfigError
from genre.core.files import atomic_file
from genre.core.run import RunContext
from genre.data.build import build_dataset
from genre.data.check import check_files
from genre.data.cleaning import CleaningConfig, CleaningReport, clean
from genre.data.dataset import Dataset
from genre.data.deduce import deduce
from genre.data.feedback import FeedbackConfig
from genre.data.findings import Finding
from genre.data.readers import FilesConfig, read_tables
from genre.engine import Engine
from genre.generation.write_config import WriteConfig
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.popularity import PopularityConfig
from genre.runs import open_run
from genre.strategies.rules import HideSeenConfig

__all__ = ["fit", "load", "open_run"]

FIRST_MODELS = ["item_knn", "ease", "graph", "popularity"]
"""What `genre init` proposes: quick to fit, and different enough to fuse. A catalogue adds `content`."""
SMOLLM = "smollm2"
KINDS = {"content": "behaviour_content"}


def load(
    interactions: str | Path,
    items: str | Path | None = None,
    users: str | Path | None = None,
    *,
    like_at: float | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> Dataset:
    """Load a log and, if there are any, a catalogue and what is known of users.

    Args:
        interactions: CSV, TSV, JSON lines, Parquet or one of the standard layouts.
        items: The catalogue.
        users: What is known of users.
        like_at: Values (ratings) from here up are likes, below it dislikes; None takes every event for a like.
        columns: What columns are called, for instance `{"interactions": {"user_id": "viewer"}}`; the usual names are
            recognised.

    Raises:
        ConfigError: An argument cannot be used.
        DataError: A file cannot be read or understood.
    """
    files = {"interactions": interactions, "items": items, "users": users, "columns": columns or {}}
    config = parse(FilesConfig, files, "load")
    feedback = parse(FeedbackConfig, {"like_at": like_at}, "load")
    return build_dataset(read_tables(config), feedback, config.item_columns, config.user_columns)


def fit(
    model: str | RecommenderConfig,
    data: Dataset,
    *,
    members: Mapping[str, Recommender] | None = None,
    run: RunContext | None = None,
    **settings: Any,
) -> Engine:
    """Fit one recommender on all of `data`; the engine hides what was seen, and fills up with what is popular.

    Args:
        model: A kind, such as "ease", or a config object.
        data: What to learn from.
        members: Fitted models, for a composite one.
        run: Seed, device and so on.
        settings: The kind's settings, such as `regularization=100`.

    Raises:
        ConfigError: There is no such kind, or a setting is wrong, or a member is missing.
    """
    context = run or RunContext()
    if isinstance(model, str):
        if model not in (kinds := kinds_of_recommenders()):
            raise ConfigError(f"there is no recommender {model!r}", place="fit", remedy=f"Choose from {sorted(kinds)}.")
        named = {"members": tuple(members)} if members else {}
        model = parse(kinds[model], named | settings, "fit")
    elif settings:
        raise ConfigError(
            f"settings {sorted(settings)} beside a config object", place="fit", remedy="Put them into the config."
        )
    missing = [name for name in model.member_names if name not in (members or {})]
    if missing:
        raise ConfigError(
            f"the member {missing[0]!r} is not given", place="fit", remedy="Pass every fitted member in `members`."
        )
    model.check_installed()
    fitted = model.build(members or {}).fit(data, context)
    popularity = PopularityConfig().build({}).fit(data, context)
    return Engine(data, fitted, shaping=(HideSeenConfig(),), fallback=(popularity,))


def kinds_of_recommenders() -> dict[str, type[RecommenderConfig]]:
    """Return every recommender's config class by its kind."""
    return {config.model_fields["kind"].default: config for config in RECOMMENDERS}


def write_config(
    interactions: Path, items: Path | None, users: Path | None, *, out: Path, force: bool = False
) -> list[str]:
    """Write a commented config for these files, and return what was found in them, in words.

    Raises:
        ConfigError: The file exists and `force` is off.
        DataError: A file cannot be read or understood.
    """
    if out.exists() and not force:
        raise ConfigError("the file exists", place=str(out), remedy="Choose another --out, or replace it with --force.")
    found = deduce(interactions, items, users, directory=out.parent)
    names = [*FIRST_MODELS, "content"] if items is not None else FIRST_MODELS
    models: dict[str, Any] = {name: {"kind": KINDS.get(name, name)} for name in names}
    fallback = ["content", "popularity"] if items is not None else ["popularity"]
    rest = {
        "split": {"kind": "leave_one_out"},
        "models": {**models, "fusion": {"kind": "fusion", "members": names}},
        "answer": {"reasons": "en", "fallback": fallback},
    }
    comments = {
        "split": [
            "Each user's last like is the test, the one before it the validation.",
            "Others: temporal, ratio, k_fold, few_shot.",
        ],
        "models": ["`genre models` lists what there is, `genre models KIND` the settings of one."],
        "answer": ["What is recommended in the end: the model that is best on the validation events."],
    }
    head = "# Written by `genre init`. Every setting that is not here has a default: see `genre schema`."
    text = f"{head}\nname: {out.stem}\n\n"
    with atomic_file(out) as path:
        path.write_text(text + found.to_yaml(rest, comments), encoding="utf-8")
    return found.notes


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as Parquet, CSV or JSON lines, whole or not at all.

    Raises:
        ConfigError: The file's name ends in something else.
    """
    writers: dict[str, Callable[[pl.DataFrame, Path], None]] = {
        ".parquet": pl.DataFrame.write_parquet,
        ".csv": pl.DataFrame.write_csv,
        ".jsonl": pl.DataFrame.write_ndjson,
    }
    if path.suffix not in writers:
        raise ConfigError(
            f"the name ends in {path.suffix!r}", place=str(path), remedy=f"Use one of {', '.join(writers)}."
        )
    with atomic_file(path) as temporary:
        writers[path.suffix](frame, temporary)


def write_settings(generator: str | None, overrides: Sequence[str] = (), audit: Path | None = None) -> WriteConfig:
    """Return how texts are written.

    Args:
        generator: `smollm2`, or the hub id, directory or .gguf file of another language model; none writes without.
        overrides: `candidates=5` and so on.
        audit: Where a line is added for each text that is shown or withheld.

    Raises:
        ConfigError: A setting is wrong.
    """
    settings: dict[str, Any] = {} if audit is None else {"audit": audit}
    if generator is not None:
        settings["generator"] = _generator(generator)
    return parse(WriteConfig, with_overrides(settings, overrides), "write")


def chat_settings(generator: str | None, overrides: Sequence[str] = (), **settings: Any) -> ConversationConfig:
    """Return how somebody is talked with.

    Args:
        generator: As for `write_settings`.
        overrides: `n=10`, `write.candidates=5` and so on.
        settings: Of `ConversationConfig`.

    Raises:
        ConfigError: A setting is wrong.
    """
    write = {} if generator is None else {"generator": _generator(generator)}
    return parse(ConversationConfig, with_overrides({"write": write, **settings}, overrides), "chat")


def _generator(name: str) -> dict[str, Any]:
    return {"kind": name} if name == SMOLLM else {"kind": "local", "model": name}


def write_lines(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as JSON lines, all or none."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def model_table(kind: str | None = None) -> pl.DataFrame:
    """Return the recommenders with their first lines, or the settings of one.

    Raises:
        ConfigError: There is no such kind.
    """
    kinds = kinds_of_recommenders()
    if kind is None:
        modules = {name: sys.modules[config.__module__] for name, config in kinds.items()}
        about = [(module.__doc__ or "").partition("\n")[0] for module in modules.values()]
        return pl.DataFrame({"kind": list(kinds), "what it does": about}).sort("kind")
    if kind not in kinds:
        raise ConfigError(f"there is no recommender {kind!r}", place="models", remedy=f"Choose from {sorted(kinds)}.")
    fields = {name: field for name, field in kinds[kind].model_fields.items() if name != "kind"}
    return pl.DataFrame(
        {
            "setting": list(fields),
            "default": ["" if field.is_required() else repr(field.default) for field in fields.values()],
            "meaning": [" ".join((field.description or "").split()) for field in fields.values()],
        },
        schema={"setting": pl.String, "default": pl.String, "meaning": pl.String},
    )


def check_data(files: Sequence[Path], overrides: Sequence[str] = ()) -> tuple[list[Finding], CleaningReport | None]:
    """Look for what is wrong in files, and find out what cleaning would drop.

    Args:
        files: Interactions, items and users, in this order; or one config file.
        overrides: Settings of the config file to change.

    Returns:
        What was found, and the account of cleaning; None where the files cannot be read as they are.

    Raises:
        ConfigError: More than three files, or a config without files.
    """
    if len(files) == 1 and files[0].suffix in {".yaml", ".yml"}:
        experiment = read_experiment(files[0], overrides)
        data, cleaning = experiment.data, experiment.clean
    elif len(files) <= 3:
        names = ("interactions", "items", "users")
        data = FilesConfig(**dict(zip(names, files, strict=False)))
        cleaning = CleaningConfig()
    else:
        raise ConfigError(
            f"{len(files)} files", place="data check", remedy="Give interactions, items and users, or a config."
        )
    if not isinstance(data, FilesConfig):
        raise ConfigError(
            "the config uses the sample world", place=str(files[0]), remedy="There is nothing to check in it."
        )
    findings = check_files(data)
    if any(finding.severity == "error" for finding in findings):
        return findings, None
    return findings, clean(read_tables(data), cleaning)[1]
