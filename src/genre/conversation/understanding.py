"""From a message to acts, by patterns over both languages and over what the catalogue lets people name.

A message falls into clauses. What each names is marked first, so that patterns need not know any catalogue; then the
clause is taken for what its words ask: about the conversation, about items, or about the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from genre.conversation import cues
from genre.conversation.acts import Act, Understanding
from genre.conversation.catalogue import Catalogue, Label
from genre.conversation.comparing import degrees, measures
from genre.conversation.hearing import ItemHearing, Turn
from genre.conversation.mentions import Clause, Reader, language_of
from genre.conversation.phrases import plain
from genre.conversation.ranges import Range
from genre.conversation.recalled import recalled
from genre.conversation.state import State
from genre.conversation.wanted import Wanted, stance_on
from genre.core.words import is_unspaced, words_of
from genre.data.dataset import Entities
from genre.generation.numerals import chinese_number
from genre.strategies.rules import ColumnRuleConfig

_WORDS: Final = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "twelve": 12, "fifteen": 15, "twenty": 20, "a couple": 2, "a couple of": 2, "a few": 3,
}  # fmt: skip
_EMPTY: Final = frozenset(
    (  # noqa: SIM905
        "a about again all also am an and any anything are as at be been but by can could did do does else ever "
        "few film films for from get give good great had has have he her here him his how i if in into is it its "
        "just kind know let like little lot made make maybe me mood more movie movies much my need nice not now "
        "of ok on one ones or other our out please really recommend see she show so some something stuff suggest "
        "than thanks that the their them then there these they thing things this those to today tonight too type "
        "up us very want was watch way we well what when where which who will with would you your decent proper "
        "bit sort"
    ).split()
)


class Listener:
    """Understands messages about one catalogue, without a model."""

    def __init__(self, items: Entities) -> None:
        """Index what the catalogue lets people name."""
        self.catalogue = Catalogue(items)
        self.reader = Reader(self.catalogue)
        self.wanted = Wanted(self.catalogue)
        self._items = ItemHearing(self.catalogue, self.wanted)

    def understand(self, message: str, state: State) -> Understanding:
        """Return what a message asks for.

        Args:
            message: In English, Chinese or both.
            state: Of the conversation: what "it" and "the second" are.
        """
        clauses = self.reader.read(message)
        turn = Turn(state, language_of(plain(message), clauses, state.language))
        for clause in clauses:
            self._hear(clause, turn)
        acts = list(dict.fromkeys(turn.acts))
        # A greeting and thanks say something only where nothing else is said.
        said = [act for act in acts if act.kind not in {"greet", "thank"}] or acts
        if any(act.kind != "recommend" for act in said):
            said = [act for act in said if act.kind != "recommend"]
        return Understanding(turn.language, tuple(said))

    def turns_round(self, message: str) -> bool:
        """Tell whether a message says that something is not wanted."""
        return any(cues.NEGATIVE.search(clause.text) for clause in self.reader.read(message))

    def _hear(self, clause: Clause, turn: Turn) -> None:
        for hear in (self._of_itself, self._items.hear, self._of_the_list):
            if hear(clause, turn):
                return

    def _of_itself(self, clause: Clause, turn: Turn) -> bool:
        """Hear what is said about the conversation."""
        text = clause.text
        for kind, cue in (
            ("forget_all", cues.FORGET_ALL), ("restart", cues.RESTART), ("show", cues.SHOW), ("help", cues.HELP),
            ("greet", cues.GREET), ("thank", cues.THANK), ("undo", cues.UNDO),
        ):  # fmt: skip
            if cue.search(text) and not (kind == "forget_all" and clause.of("t", "p")):
                turn.acts.append(Act(kind))  # type: ignore[arg-type]
                return True
        brief = cues.BRIEF.search(text) is not None and turn.state.last == "words"
        brief = brief and (not cues.WANTS_ITEMS.search(text) or re.search("说|讲|答|写", text) is not None)
        if brief:
            turn.acts.append(Act("brief"))
        return brief

    def _of_the_list(self, clause: Clause, turn: Turn) -> bool:
        """Hear what is said about what should be shown."""
        acts = [*self._dropped(clause, turn.state), *self._constrained(clause), *self._compared(clause, turn)]
        if (count := self._count(clause, turn.state)) is not None:
            acts.append(Act("count", count=count))
        if cues.MORE.search(clause.text):
            acts.append(Act("more"))
        wished = self._wished(clause, loose=not acts and not cues.AGE.search(clause.text))
        if not _takes_back(clause.text):
            acts += wished
        elif not acts:
            # It names a wish that was not made: the reply says so, and it is none now either.
            acts += [Act("drop", text=act.text) for act in wished]
        if not acts and (cues.RECOMMEND.search(clause.text) or cues.AGE.search(clause.text)):
            acts.append(Act("recommend"))
        turn.acts += acts
        return bool(acts)

    def _dropped(self, clause: Clause, state: State) -> list[Act]:
        """Return the constraints that need not hold any more."""
        found: list[Act] = []
        drops = cues.DROP.search(clause.text) is not None
        if drops:
            found += [Act("drop", column=column) for column in self._columns(clause.text)]
        if _takes_back(clause.text):
            wishes = recalled(clause.text, (*state.wishes, *state.avoided))
            found += [Act("drop", text=wish) for wish in dict.fromkeys(wishes)]
        for one in clause.of("l", "r"):
            rules = self._against(one.value, state.rules)
            forgets = drops and cues.FORGETS_RULE.search(clause.text)
            if forgets or (rules and stance_on(clause, one) == "open"):
                found.append(Act("drop", rules=tuple(rules)))
            elif stance_on(clause, one) == "open":
                found.append(Act("recommend"))
        return found

    def _against(self, value: object, rules: Sequence[ColumnRuleConfig]) -> list[ColumnRuleConfig]:
        """Return the constraints that speak of a label or of a range."""
        if isinstance(value, Label):
            return [
                rule for rule in rules if rule.column == value.column and set(rule.values or ()) & set(value.values)
            ]
        if isinstance(value, Range):
            same = self.wanted.range_rule(value)
            return [rule for rule in rules if same is not None and rule.column == same.column and rule.values is None]
        return []

    def _constrained(self, clause: Clause) -> list[Act]:
        if cues.DROP.search(clause.text) and cues.FORGETS_RULE.search(clause.text):
            return []
        rules = self.wanted.rules(clause)
        kind = "replace" if cues.INSTEAD.search(clause.text) else "constrain"
        found = [Act(kind, rules=tuple(rules), count=int(cues.ALSO.search(clause.text) is not None))] if rules else []  # type: ignore[arg-type]
        return [*self.wanted.problems(clause), *found]

    def _compared(self, clause: Clause, turn: Turn) -> list[Act]:
        """Return what "newer", "old" and "too long" ask for."""
        found = []
        named = self._items.named(clause, turn) or ()
        for measure, direction in measures(clause.text)[:1]:
            number = self.catalogue.number(measure.name)
            if number is None:
                return [Act("problem", text=measure.name, problem="no_measure")]
            found.append(Act("relative", items=named, column=number.column, direction=direction))
        if not found and not clause.of("r"):
            for measure, direction in degrees(clause.text)[:1]:
                rule = self.wanted.degree(measure.name, direction)
                if rule is not None and direction:
                    found.append(Act("constrain", rules=(rule,)))
                elif rule is not None:
                    held = any(one.column == rule.column for one in turn.state.rules)
                    found.append(Act("drop", column=rule.column) if held else Act("recommend"))
        return found

    def _columns(self, text: str) -> list[str]:
        return list(dict.fromkeys(column for _, _, column in self.catalogue.columns.find(text)))

    def _count(self, clause: Clause, state: State) -> int | None:
        if cues.FEWER.search(clause.text) and not clause.of("l", "r"):
            return max(1, len(state.shown) // 2)
        hit = cues.COUNT.search(clause.text)
        if hit is None:
            return None
        said = next(part for part in hit.groups() if part is not None)
        if said.isdigit():
            return int(said)
        if said in _WORDS:
            return _WORDS[said]
        count = chinese_number(said)
        # 一部 is "a film" as often as it is "one film".
        return None if count == 1 and not re.search(f"(?:推荐|只要|就要|给我){said}", clause.text) else count

    def _wished(self, clause: Clause, *, loose: bool) -> list[Act]:
        """Return what the list should be about, and what not, in the person's words."""
        hit = cues.WISH.search(clause.text)
        if hit is None and loose:
            hit = cues.LOOSE_WISH.search(clause.text)
        if hit is None:
            return []
        part = next(name for name, value in hit.groupdict().items() if value is not None)
        marked = hit[part]
        said = clause.spoken(marked)
        rest = cues.MARK.sub(" ", marked)
        if not (is_unspaced(rest) or set(words_of(rest)) - _EMPTY):
            return []
        unwanted = cues.NEGATIVE.search(clause.text[: hit.start(part)]) is not None
        return [Act("avoid" if unwanted else "wish", text=said)]


def _takes_back(text: str) -> bool:
    """Tell whether a clause takes back what was said; in "about robots that forget" nothing is."""
    forgets, wish = cues.FORGETS_RULE.search(text), cues.WISH.search(text)
    return forgets is not None and (wish is None or forgets.start() < wish.start() or bool(cues.DEMAND.search(text)))
