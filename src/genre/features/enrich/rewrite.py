"""Other versions of items' texts, for training alone: other words, other sentences, or there and back in translation.

Each version is one answer, and a back-translation two, of which the second reads what the first has written. A version
is kept if it is in the language of the text, about the same, of about its length, and neither the text itself nor a
version that is there already; what is not is asked for once more, and dropped then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import polars as pl

from genre.data.columns import ITEM_ID
from genre.data.dataset import Entities
from genre.data.splits import Split
from genre.features.enrich.answers import Rewriting, Translation
from genre.features.enrich.checks import Source, in_language
from genre.features.enrich.config import EnrichConfig, RewriteConfig
from genre.features.enrich.subjects import Catalogue
from genre.features.enrich.untrusted import neutralise
from genre.features.enrich.writing import AnyWriter, Task
from genre.features.text import Language, TextConfig

SAME, LENGTH = "not another version", "other length"
"""The reasons for which a version of the right form and subject is refused."""
VERSIONS: Final[dict[str, Any]] = {ITEM_ID: pl.String, "way": pl.String, "text": pl.String}
"""A row for each version."""

Turn: TypeAlias = Literal["synonyms", "paraphrase", "there", "back"]
_TURNS: Final[Mapping[str, tuple[Turn, ...]]] = {
    "synonyms": ("synonyms",),
    "paraphrase": ("paraphrase",),
    "back_translation": ("there", "back"),
}
_BETWEEN: Final[dict[Language, str]] = {"en": ". ", "zh": "。"}
_SHORTEST, _LONGEST, _SLACK = 0.5, 2.0, 20
"""Characters of a version, as shares of those of the text; a title alone may grow by some more."""
_TIGHTEST, _WIDEST = 0.15, 6.0
"""The same for a translation: a Chinese text has a third of the characters of an English one."""
_SIGNS: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Step:
    """One pass over the items: one question about each."""

    name: str
    way: str
    turn: Turn
    config: RewriteConfig
    """That of the stage, with a seed of its own for a second version in the same way."""

    @property
    def form(self) -> type[Rewriting]:
        """What is expected."""
        return Translation if self.turn == "there" else Rewriting


@dataclass
class Rewriter:
    """The items to rewrite, and what was written of them so far."""

    config: EnrichConfig
    stage: RewriteConfig
    catalogue: Catalogue
    texts: Mapping[str, str]
    """By item id, what is to be rewritten: only of items that somebody liked in training, made harmless."""

    @classmethod
    def of(cls, items: Entities, splits: Sequence[Split], config: EnrichConfig, stage: RewriteConfig) -> Rewriter:
        """Read the texts; personal data is masked where the generator is not on this machine.

        Raises:
            DataError: There are items, and not one of them has any text.
        """
        text = stage.text.model_copy(update={"language": config.language})
        catalogue = Catalogue.read(items, text, mask=not config.generator.local)
        liked = np.zeros(len(items), bool)
        for part in splits:
            liked |= part.train.interactions.item_counts(len(items)) > 0
        read = zip(catalogue.ids, catalogue.sources, liked, strict=True)
        return cls(config, stage, catalogue, {item: _whole(source, text) for item, source, known in read if known})

    def steps(self) -> Iterator[Step]:
        """Yield what is done, in this order: a translation goes there before it comes back."""
        for way in self.stage.ways:
            for number in range(self.stage.per_way):
                sampling = self.stage.sampling.model_copy(update={"seed": self.stage.sampling.seed + number})
                config = self.stage.model_copy(update={"sampling": sampling})
                for turn in _TURNS[way]:
                    words = ["rewrite:", way.replace("_", " "), *([turn] if len(_TURNS[way]) > 1 else [])]
                    name = " ".join(words + ([] if self.stage.per_way == 1 else [str(number + 1)]))
                    yield Step(name, way, turn, config)

    def tasks(self, step: Step, abroad: Mapping[str, str] | None, before: Mapping[str, Sequence[str]]) -> list[Task]:
        """Return what is asked of the items.

        Args:
            step: Which pass.
            abroad: For the way back, by item id, what to translate; for an estimate nothing, and the texts are taken.
            before: By item id, the versions that are there.
        """
        language, through = self.config.language, self.config.through(self.stage)
        sources = dict(zip(self.catalogue.ids, self.catalogue.sources, strict=True))
        found = []
        for item, text in self.texts.items():
            if step.turn == "back" and abroad is not None and item not in abroad:
                continue  # It was dropped on the way there.
            shown = text if step.turn != "back" or abroad is None else neutralise(abroad[item]).text
            unfit = None
            if text and not in_language(text, language):
                unfit = f"the text is not in {'English' if language == 'en' else 'Chinese'}"
            elif text and not shown:
                unfit = "no words of the translation are left that are not orders to a model"
            check = partial(_problem_of, text=text, before=(text, *before.get(item, ())))
            values = {"turn": step.turn, "text": shown, "through": through}
            found.append(Task(item, sources[item], values, unfit, check))
        return found


def rewrite(writer: AnyWriter, rewriter: Rewriter) -> pl.DataFrame:
    """Return all versions that may be kept, as rows of `VERSIONS`.

    Args:
        writer: Asks, and keeps the account.
        rewriter: What to ask.
    """
    versions: dict[str, list[str]] = {}
    abroad: dict[str, str] = {}
    rows = []
    for step in rewriter.steps():
        tasks = rewriter.tasks(step, abroad if step.turn == "back" else None, versions)
        found = writer.write(step.config, tasks, step.form, name=step.name, masked=rewriter.catalogue.masked)
        written = {item: answer.text for item, answer in found.items()}
        if step.turn == "there":
            abroad = written
            continue
        for item, text in written.items():
            versions.setdefault(item, []).append(text)
            rows.append((item, step.way, text))
    return pl.DataFrame(rows, schema=VERSIONS, orient="row")


def _whole(source: Source, config: TextConfig) -> str:
    """Return the title and the text; where columns are named, the title is in the text if it is wanted."""
    named = config.fields is not None or config.template is not None
    if not source.text or not source.title or named:
        return source.text or source.title
    return f"{source.title.rstrip('.。')}{_BETWEEN[config.language]}{source.text}"


def _problem_of(answer: Rewriting, *, text: str, before: Sequence[str]) -> tuple[str, str] | None:
    """Return why an answer is no version of a text, as `checks.problem_of` does."""
    if any(_bare(answer.text) == _bare(other) for other in before):
        return SAME, "the answer says the same in the same words"
    least, most = (_TIGHTEST, _WIDEST) if answer.translated else (_SHORTEST, _LONGEST)
    if len(answer.text) < least * len(text):
        return LENGTH, "the answer leaves too much out"
    if len(answer.text) > most * len(text) + _SLACK:
        return LENGTH, "the answer adds too much"
    return None


def _bare(text: str) -> str:
    """Return the letters and digits alone."""
    return _SIGNS.sub("", text).casefold()
