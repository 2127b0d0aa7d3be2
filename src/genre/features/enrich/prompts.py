"""Prompts, from one Jinja2 template for each stage and language, with the parts `system`, `user` and `repair`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre.features.text import Language
from genre.language.base import Prompt

if TYPE_CHECKING:
    from jinja2 import Template

DIRECTORY = Path(__file__).parent / "prompts"


def make_prompt(stage: str, language: Language, **values: Any) -> Prompt:
    """Fill the template of a stage; all texts among `values` must be neutral already."""
    template = _template(stage, language)
    return Prompt(_part(template, "user", values), system=_part(template, "system", values))


def make_repair(stage: str, language: Language, first: Prompt, problem: str) -> Prompt:
    """Ask once more, showing what was wrong; not the answer itself, which small models repeat word for word."""
    more = _part(_template(stage, language), "repair", {"problem": problem})
    return Prompt(f"{first.user}\n\n{more}", system=first.system)


def _part(template: Template, name: str, values: dict[str, Any]) -> str:
    return "".join(template.blocks[name](template.new_context(values))).strip()


@cache
def _template(stage: str, language: Language) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Nothing is escaped: these texts are no HTML.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(DIRECTORY), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(f"{stage}.{language}.j2")
