"""Kinds of text: what each is given, how long it may be, and how it is written with a language model and without.

A kind in a language is one Jinja2 file, as

::

    {% set inputs = ["facts", "person"] %}
    {% set sentences = 2 %}
    {% set words = 50 %}
    {% block system %}...{% endblock %}
    {% block user %}...{% endblock %}
    {% block plain %}...{% endblock %}

A block `opening` may say how the text begins where a language model writes it: a small one then goes on in its way.

With ``{% set about = "person" %}`` it is about somebody, and there is one text a user; its facts are what the history
says. With ``{% set about = "items" %}`` it is about several items in an order, and there is one text a user too: the
file writes one step of it, about one item, and the limits are those of a step. Without it, it is about one item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from genre.core.errors import ConfigError
from genre.core.words import CJK
from genre.features.text import Language
from genre.generation.across import spoken
from genre.generation.answering import answering
from genre.generation.facts import Facts
from genre.generation.person import Person
from genre.generation.sentences import (
    best_sentences,
    ended,
    first_sentences,
    first_words,
    joined,
    labelled,
    length_of,
    rest_of,
    within,
)
from genre.language.base import Prompt

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes

DIRECTORY: Final = Path(__file__).parent / "kinds"
About: TypeAlias = Literal["item", "person", "items"]
INPUTS: Final[Mapping[About, tuple[str, ...]]] = {
    "item": ("facts", "person", "reason", "question", "begin", "source", "scenario"),
    "person": ("facts", "person", "scenario"),
    "items": ("facts", "person", "reason", "step", "scenario"),
}
"""What a template may be given, by what it is about: the `Facts` of the item or the person, the `Person`, the reason as
a sentence, what is asked about the item, the beginning that is continued, the facts that are translated, the `Step`
that the item is, and the `Scenario`."""
_BLOCKS: Final = ("system", "user", "plain")
_OPENING: Final = "opening"
_DATA: Final = re.compile(r"<<<\n.*?>>>|\"[^\"]*\"|“[^”]*”", re.DOTALL)
_SPACES: Final = re.compile(rf"(?<=[，。：；！？、》」』]) |(?<=[{CJK}]) (?=[{CJK}《「『])")
"""What a template leaves between Chinese sentences, and before the Latin letters of the next one."""


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of text in one language."""

    name: str
    language: Language
    inputs: tuple[str, ...]
    sentences: int
    """At most."""
    words: int
    """At most; of Chinese, characters."""
    about: About
    """Whose facts its texts say; of several items, it writes a step for each."""
    _template: Template

    def prompt(self, given: Mapping[str, Any]) -> Prompt:
        """Return how a language model is asked; `given` holds the inputs."""
        return Prompt(self._block("user", given), system=self._block("system", given), begin=self.opening(given))

    def opening(self, given: Mapping[str, Any]) -> str:
        """Return the words that the text begins with where a language model writes it; "" where it is free."""
        return " ".join(self._block(_OPENING, given).split()) if _OPENING in self._template.blocks else ""

    def instructions(self, given: Mapping[str, Any]) -> str:
        """Return what a language model is told beside the data: what stands neither between marks nor in quotes."""
        prompt = self.prompt(given)
        return _DATA.sub("\n", f"{prompt.system}\n{prompt.user}")

    def plain(self, given: Mapping[str, Any]) -> str:
        """Return the text that is put together without a model: it says only what the facts say.

        What is longer than `words` is cut there, and ends with an ellipsis.
        """
        text = _SPACES.sub("", " ".join(self._block("plain", given).split()))
        text = within(text, sentences=self.sentences + 1, words=self.words)
        return text if length_of(text) <= self.words else first_words(text, self.words)

    def _block(self, name: str, given: Mapping[str, Any]) -> str:
        from jinja2 import TemplateError

        values = {key: given[key] for key in self.inputs}
        limits = {"sentences": self.sentences, "words": self.words}
        try:
            return "".join(self._template.blocks[name](self._template.new_context({**values, **limits}))).strip()
        except TemplateError as error:
            raise ConfigError(
                f"its block `{name}` cannot be filled: {error}", place=self.name, remedy="Use what its inputs have."
            ) from error


def kinds() -> list[str]:
    """Return the names of the kinds that come with Genre."""
    return sorted({path.name.split(".")[0] for path in DIRECTORY.glob("*.j2")})


def kind_of(name: str, language: Language) -> Kind:
    """Return a kind.

    Args:
        name: One of `kinds()`, or the path of a file of your own.
        language: Of the text. A file of your own holds one language, and is taken as it is.

    Raises:
        ConfigError: There is no such kind, or its file is not of the form.
    """
    own = Path(name)
    path = own if own.suffix == ".j2" else DIRECTORY / f"{name}.{language}.j2"
    if not path.is_file():
        raise ConfigError(
            f"there is no kind of text {name!r} in {language!r}",
            place="kind",
            remedy=f"Choose from {kinds()}, or give the path of a .j2 file of your own.",
        )
    return _read(path, language)


@cache
def _read(path: Path, language: Language) -> Kind:
    from jinja2 import TemplateError, meta

    environment, source = _environment(language), path.read_text(encoding="utf-8")
    try:
        tree = environment.parse(source, filename=str(path))
        template = environment.from_string(source)
    except TemplateError as error:
        raise _wrong(path, f"it is no template: {error}") from error
    settings = _settings(tree)
    for name in ("inputs", "sentences", "words"):
        if name not in settings:
            raise _wrong(path, f"it does not set `{name}`")
    for name in _BLOCKS:
        if name not in template.blocks:
            raise _wrong(path, f"it has no block `{name}`")
    if not _is_of_the_form(settings):
        raise _wrong(path, "`inputs` must be a list of names, `sentences` and `words` whole numbers above 0")
    inputs, about = tuple(settings["inputs"]), settings.get("about", "item")
    if about not in list(INPUTS):
        raise _wrong(path, f"`about` is {about!r}, and must be one of {list(INPUTS)}")
    if strangers := sorted(set(inputs) - set(INPUTS[about])):
        raise _wrong(path, f"there is no input {strangers[0]!r} among {list(INPUTS[about])}, for texts about {about!r}")
    if strangers := sorted(meta.find_undeclared_variables(tree) - set(inputs) - {"sentences", "words"}):
        raise _wrong(path, f"it uses {strangers[0]!r}, which is not among its `inputs` {list(inputs)}")
    name = path.name.split(".")[0]
    return Kind(name, language, inputs, int(settings["sentences"]), int(settings["words"]), about, template)


def _settings(tree: nodes.Template) -> dict[str, Any]:
    """Return what a template sets outside its blocks."""
    from jinja2 import nodes

    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name) and isinstance(node.node, nodes.Expr):
            with suppress(nodes.Impossible):
                found[node.target.name] = node.node.as_const()
    return found


def _is_of_the_form(settings: Mapping[str, Any]) -> bool:
    inputs, limits = settings["inputs"], (settings["sentences"], settings["words"])
    named = isinstance(inputs, list) and all(isinstance(name, str) for name in inputs)
    return named and all(type(limit) is int and limit > 0 for limit in limits)


def _wrong(path: Path, problem: str) -> ConfigError:
    return ConfigError(problem, place=str(path), remedy="See the kinds that come with Genre for the form.")


def _environment(language: Language) -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # A service reads files that the configs of its runs name: they reach what they are given, and nothing else. And
    # nothing is escaped: these texts are no HTML.
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.do"]
    )
    environment.filters["first_sentences"] = first_sentences

    def for_person(text: str, person: Person, count: int, most: int | None = None) -> str:
        return best_sentences(text, person.words, count, most)

    def listed(values: list[str]) -> str:
        return joined(values, language)

    def answers(facts: Facts, question: str) -> str:
        return answering(facts, question, language)

    def understood(labels: Mapping[str, str]) -> dict[str, str]:
        return spoken(labels, language)

    def whole(text: str) -> str:
        return ended(text, language)

    def told(labels: Mapping[str, str]) -> str:
        return labelled(labels, language)

    environment.filters["answering"] = answers
    environment.filters["ended"] = whole
    environment.filters["labelled"] = told
    environment.filters["length_of"] = length_of
    environment.filters["continuing"] = rest_of
    environment.filters["understood"] = understood
    environment.filters["for_person"] = for_person
    environment.filters["listed"] = listed
    return environment
