"""What replies say, without a model: the sentences stand in one file for each language, `replies/en.j2` and so on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genre.conversation.catalogue import Catalogue
from genre.conversation.state import State
from genre.features.text import Language
from genre.generation.scenarios import ScenarioName, scenario_of
from genre.strategies.rules import ColumnRuleConfig

if TYPE_CHECKING:
    from jinja2 import Template

_DIRECTORY: Final = Path(__file__).parent / "replies"


@cache
def _template(language: Language) -> Template:
    from jinja2 import Environment, StrictUndefined

    # Nothing is escaped: these texts are no HTML.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    environment.filters["counted"] = lambda count, noun: f"{count} {noun}{'' if count == 1 else 's'}"
    return environment.from_string((_DIRECTORY / f"{language}.j2").read_text(encoding="utf-8"))


class Replies:
    """Says things about one catalogue."""

    def __init__(self, catalogue: Catalogue, scenario: ScenarioName) -> None:
        """Keep what names things.

        Args:
            catalogue: Names labels and columns.
            scenario: Says what an item is called.
        """
        self._catalogue, self._scenario = catalogue, scenario

    def say(self, name: str, language: Language, **values: Any) -> str:
        """Return a block of the language's file, filled."""
        template = _template(language)
        given = {"noun": scenario_of(self._scenario, language).noun, **values}
        return " ".join("".join(template.blocks[name](template.new_context(given))).split())

    def titles(self, ids: Iterable[str], language: Language) -> list[str]:
        """Return items' titles."""
        items = self._catalogue.items
        names = items.title_in(language)
        found = [str(names[int(row)]) for row in items.vocabulary.rows(list(ids))]
        return [f"《{title}》" for title in found] if language == "zh" else found

    def rule(self, rule: ColumnRuleConfig, language: Language) -> str:
        """Return a constraint in words."""
        values = [self._catalogue.say_label(rule.column, value, language) for value in rule.values or ()]
        least, most = (None if bound is None else number_in_words(bound) for bound in (rule.at_least, rule.at_most))
        column = self._catalogue.say_column(rule.column, language)
        wanted = rule.kind == "allow"
        return self.say("rule", language, wanted=wanted, values=values, column=column, least=least, most=most)

    def column(self, column: str, language: Language) -> str:
        """Return the name of a column."""
        return self._catalogue.say_column(column, language)

    def condition(self, said: ColumnRuleConfig | str, language: Language) -> str:
        """Return a constraint, or a subject that is avoided, in words."""
        if isinstance(said, str):
            return self.say("wish", language, wanted=False, text=said)
        return self.rule(said, language)

    def conditions(self, state: State, language: Language, without: Sequence[str] = ()) -> list[str]:
        """Return all that narrows the list, a line for each, but for the wishes `without`."""
        found = [self.rule(rule, language) for rule in state.rules]
        found += [self.say("wish", language, wanted=True, text=text) for text in state.wishes if text not in without]
        found += [self.say("wish", language, wanted=False, text=text) for text in state.avoided]
        if state.like:
            found.append(self.say("like", language, titles=self.titles(state.like, language)))
        if state.n is not None:
            found.append(self.say("length", language, count=state.n))
        return found


def number_in_words(value: float) -> str:
    """Return a number without a needless point."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"
