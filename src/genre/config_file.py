"""YAML in, `Experiment` out; a mistake names the file, the line, the path, the value and the valid choices."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from genre.config import Experiment
from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.core.files import sha256
from genre.core.yaml_reading import read_yaml
from genre.language.loading import fingerprint

Place = tuple[str | int, ...]
ConfigT = TypeVar("ConfigT", bound=Config)
_PATHS = ("interactions", "items", "users", "impressions")
_UNLABELLED = "unlabelled"
_WRITE_PATHS = ("weights_from", "audit")
_PYDANTIC = ("function-", "lax-or-strict[", "tuple[", "[key]")
"""How pydantic calls steps of its own that stand between settings in a location."""


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        path: A YAML file. Data paths in it are relative to its directory.
        overrides: `a.b.c=value` with the value in YAML; paths in them are relative to the current directory.

    Raises:
        ConfigError: The file cannot be read, or a setting is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the config cannot be read ({error})", place=str(path), remedy="Write one with `genre init`."
        ) from error
    try:
        settings, node = read_yaml(text)
        lines = _lines_of(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # The last two: no such day, an alias of itself.
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(
            f"not valid YAML: {getattr(error, 'problem', error)}", place=where, remedy="Check indentation and quotes."
        ) from error
    if not isinstance(settings, dict):
        raise ConfigError(
            f"holds {settings!r}, not settings", place=str(path), remedy="Write `key: value` lines; see `genre init`."
        )
    _resolve_paths(settings, path.parent)
    for override in overrides:
        _override(settings, override)
    try:
        return Experiment.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(explain(error, str(path), lines)) from error


def digest_of(experiment: Experiment) -> str:
    """Return a hash of all settings that decide what a run finds; of data files, the content counts, not the place."""
    settings = experiment.model_dump(mode="json", exclude={"tune", "teach"})
    for files in (settings["data"], *(_files_of(model) for model in settings["models"].values())):
        for name in _PATHS:
            files.pop(name, None)
    for model in settings["models"].values():
        if model["kind"] == "adapted" and (manifest := Path(model["source"]) / "manifest.json").is_file():
            model["source"] = sha256(manifest)  # What it has learned counts, not where it lies.
    if (write := experiment.write) is not None:
        _by_content(settings["write"])
        del settings["write"]["audit"]
        settings["write"]["weights_from"] = write.weights_from and sha256(write.weights_from)
        settings["write"]["kinds"] = [_told_apart(kind) for kind in write.kinds]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _by_content(settings: dict[str, Any]) -> None:
    """Let adapters be told apart by what they have learned, not by where they lie."""
    for key, value in settings.items():
        if key == "adapter" and value is not None and Path(value).is_dir():
            settings[key] = fingerprint(Path(value))
        if isinstance(value, dict):
            _by_content(value)


def _told_apart(kind: str) -> str:
    """Return what tells a kind of text from others: of a file of one's own, name and content, not where it lies."""
    path = Path(kind)
    return f"{path.name} {sha256(path)}" if path.suffix == ".j2" and path.is_file() else kind


def to_yaml(experiment: Experiment, kinds: Sequence[str] | None = None) -> str:
    """Return an experiment with all its defaults, and with data paths that hold from anywhere.

    Args:
        experiment: What to write down.
        kinds: How its kinds of texts are named there; by default as it names them itself.
    """
    settings = experiment.model_dump(mode="json")
    _resolve_paths(settings, Path.cwd())
    if kinds is not None:
        settings["write"]["kinds"] = list(kinds)
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def parse(config: type[ConfigT], settings: Mapping[str, Any], place: str) -> ConfigT:
    """Build one config from Python.

    Raises:
        ConfigError: A setting is wrong; the message begins with `place`.
    """
    try:
        return config(**settings)
    except ValidationError as error:
        raise ConfigError(explain(error, place, owner=config)) from error


def with_overrides(settings: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return settings with some replaced by `a.b.c=value`, the value in YAML.

    Raises:
        ConfigError: An override is not of this form.
    """
    found = dict(settings)
    for override in overrides:
        _override(found, override)
    return found


def explain(
    error: ValidationError, file: str, lines: Mapping[Place, int] | None = None, owner: type[Config] = Experiment
) -> str:
    """Put a validation error of an `owner` into words: one line for each mistake."""
    problems = error.errors(include_url=False)
    return "\n".join(_explain_one(dict(problem), file, lines or {}, owner) for problem in problems)


def _explain_one(problem: dict[str, Any], file: str, lines: Mapping[Place, int], root: type[Config]) -> str:
    place, owner = _without_tags(problem["loc"], root)
    kind, value = problem["type"], problem["input"]
    if kind == "union_tag_invalid":
        place = (*place, "kind")
    line = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), None)
    where = f"{file}:{line}" if line else file
    path = ".".join(str(part) for part in place)
    if kind == "extra_forbidden":
        return f"{where}: {path}: there is no such setting. {_choices(str(place[-1]), list(owner.model_fields))}"
    if kind == "missing":
        return f"{where}: {path}: this setting is missing. Write it; `genre schema` describes it."
    if kind == "union_tag_not_found":
        return f"{where}: {path}: {value!r} has no `kind`. `genre models` lists the recommenders."
    if kind == "union_tag_invalid":
        expected = [tag.strip(" '") for tag in problem["ctx"]["expected_tags"].split(",")]
        return f"{where}: {path}: there is no kind {value['kind']!r}. {_choices(str(value['kind']), expected)}"
    message = problem["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{where}: {path}: {message}" if path else f"{where}: {message}"
    return f"{where}: {path} = {value!r}: {message[:1].lower()}{message[1:]}"


def _choices(given: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(given, valid, n=1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return f"{guess}Valid: {', '.join(sorted(valid))}."


def _without_tags(location: Place, root: type[BaseModel]) -> tuple[Place, type[BaseModel]]:
    """Return the path as written in YAML (pydantic adds the kinds it passed) and the class that holds its end."""
    owner = root
    path: list[str | int] = []
    kinds: dict[str | int, type[BaseModel]] = {}
    key_comes = False
    for part in location:
        if isinstance(part, str) and part.startswith(_PYDANTIC):
            continue
        if not key_comes and part in kinds:
            owner, kinds = kinds[part], {}
            continue
        path.append(part)
        if key_comes:
            key_comes = False
            continue
        field = owner.model_fields.get(str(part))
        if field is None:
            continue
        configs = list(_configs_in((field.annotation, *field.metadata)))
        kinds = {kind: config for config in configs for kind in _kinds_of(config)}
        key_comes = get_origin(field.annotation) in (dict, tuple)
        if len(configs) == 1 and not kinds:
            owner = configs[0]
    return tuple(path), owner


def _kinds_of(config: type[BaseModel]) -> tuple[str, ...]:
    field = config.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _configs_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the config classes that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
        return
    for part in annotation if isinstance(annotation, tuple) else get_args(annotation):
        yield from _configs_in(part)


def _lines_of(node: yaml.Node | None, place: Place = ()) -> dict[Place, int]:
    """Return the line on which each setting stands."""
    lines: dict[Place, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            lines[inner] = key.start_mark.line + 1
            lines.update(_lines_of(value, inner))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, index)] = value.start_mark.line + 1
            lines.update(_lines_of(value, (*place, index)))
    return lines


def _resolve_paths(settings: dict[str, Any], base: Path) -> None:
    """Let all that names a file hold from anywhere."""
    _resolve_texts(settings, base)
    _resolve_sources(settings.get("models"), base)
    write = settings.get("write")
    if isinstance(write, dict):
        if isinstance(write.get("kinds"), list):
            write["kinds"] = [str(base / kind) if str(kind).endswith(".j2") else kind for kind in write["kinds"]]
        for key in _WRITE_PATHS:
            if isinstance(write.get(key), str):
                write[key] = str(base / write[key])
    models = settings.get("models")
    for files in [settings.get("data"), *map(_files_of, models.values() if isinstance(models, dict) else ())]:
        if not isinstance(files, dict):
            continue
        for key in _PATHS:
            value = files.get(key)
            if isinstance(value, str):
                files[key] = str(base / value)
            elif isinstance(value, list):
                files[key] = [str(base / part) if isinstance(part, str) else part for part in value]


def _files_of(model: Any) -> dict[str, Any]:
    """Return the section of a model that names files of events, where it has one."""
    files = model.get(_UNLABELLED) if isinstance(model, dict) else None
    return files if isinstance(files, dict) else {}


def _resolve_sources(models: Any, base: Path) -> None:
    """Do so with the runs that models were moved from."""
    for model in models.values() if isinstance(models, dict) else ():
        if isinstance(model, dict) and isinstance(model.get("source"), str):
            model["source"] = str(base / model["source"])


def _resolve_texts(settings: dict[str, Any], base: Path) -> None:
    """Do so with the texts and instructions that writing is measured on, and with adapters, wherever that is said."""
    for key, value in settings.items():
        if key == "adapter" and isinstance(value, str):
            settings[key] = str(base / value)
        if isinstance(value, dict):
            for name in ("general", "instructions") if key == "writing" else ():
                if isinstance(value.get(name), str):
                    value[name] = str(base / value[name])
            _resolve_texts(value, base)


def _override(settings: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"{override!r} is not of the form a.b=value",
            place="--set",
            remedy="For instance --set models.ease.regularization=100.",
        )
    *parents, last = path.split(".")
    target: Any = settings
    for step, key in enumerate(parents):
        target = target[_index(target, key, override)] if isinstance(target, list) else target.setdefault(key, {})
        if not isinstance(target, dict | list):
            raise ConfigError(
                f"{'.'.join(parents[: step + 1])} holds {target!r}, which has no parts",
                place="--set",
                remedy="Set it as a whole.",
            )
    try:
        value, _ = read_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(
            f"{text!r} is not valid YAML ({getattr(error, 'problem', error)})",
            place=f"--set {path}",
            remedy="Put quotes around text with special characters.",
        ) from error
    target[_index(target, last, override) if isinstance(target, list) else last] = value


def _index(parts: list[Any], key: str, override: str) -> int:
    if not key.isdecimal() or int(key) >= len(parts):
        raise ConfigError(
            f"{override!r} asks for part {key!r} of a list of {len(parts)}",
            place="--set",
            remedy="Count from 0, or set the list as a whole.",
        )
    return int(key)
