"""From a message to acts, by patterns over both languages and over what the catalogue lets people name.

A message falls into clauses. What each names is marked first, so that patterns need not know any catalogue; then the
clause is taken for what its words ask: about the conversation, about items, or about the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from genre.conversation import cues
from genre.conversation.acts import Act, Understanding
from genre.conversation.catalogue import Catalogue, Label
from genre.conversation.lexicon import Measure, lexicon
from genre.conversation.mentions import Clause, Reader, language_of
from genre.conversation.phrases import plain
from genre.conversation.ranges import Range
from genre.conversation.references import ALL, PAIR, Places
from genre.conversation.state import State
from genre.conversation.wanted import Wanted, is_allowed
from genre.core.words import is_unspaced, words_of
from genre.data.dataset import Entities
from genre.features.text import Language
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


@dataclass
class _Turn:
    """What one message has said so far."""

    state: State
    language: Language
    acts: list[Act] = field(default_factory=list)
    spoken_of: tuple[str, ...] = ()
    """Ids of the items that were named last."""

    @property
    def focus(self) -> tuple[str, ...]:
        if self.spoken_of or self.state.focus:
            return self.spoken_of or self.state.focus
        return self.state.shown if len(self.state.shown) == 1 else ()


class Listener:
    """Understands messages about one catalogue, without a model."""

    def __init__(self, items: Entities) -> None:
        """Index what the catalogue lets people name."""
        self.catalogue = Catalogue(items)
        self.reader = Reader(self.catalogue)
        self.wanted = Wanted(self.catalogue)

    def understand(self, message: str, state: State) -> Understanding:
        """Return what a message asks for.

        Args:
            message: In English, Chinese or both.
            state: Of the conversation: what "it" and "the second" are.
        """
        clauses = self.reader.read(message)
        turn = _Turn(state, language_of(plain(message), clauses, state.language))
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

    def _hear(self, clause: Clause, turn: _Turn) -> None:
        for hear in (self._of_itself, self._of_items, self._of_the_list):
            if hear(clause, turn):
                return

    def _of_itself(self, clause: Clause, turn: _Turn) -> bool:
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

    def _of_items(self, clause: Clause, turn: _Turn) -> bool:
        """Hear what is said or asked about items."""
        text, named = clause.text, self._named(clause, turn)
        if named is None:
            return True
        hears: tuple[Callable[[Clause, _Turn, tuple[str, ...]], bool], ...] = (
            self._explain, self._extreme, self._compare, self._forget, self._similar, self._opinion, self._question,
        )  # fmt: skip
        heard = any(hear(clause, turn, named) for hear in hears)
        if named:
            turn.spoken_of = named
        # "More like it, but newer" speaks of the list too.
        return heard and not (turn.acts[-1].kind == "similar" and self._measures(text))

    def _named(self, clause: Clause, turn: _Turn) -> tuple[str, ...] | None:
        """Return the ids of the items that a clause names; None where it names what is not there."""
        found: list[str] = []
        for one in clause.of("t", "u", "p"):
            if one.kind == "t":
                found.append(str(one.value))
            elif one.kind == "u":
                turn.acts.append(Act("problem", text=str(one.value), problem="no_title"))
                return None
            else:
                items = self._at(cast(Places, one.value), turn)
                if items is None:
                    return None
                found += items
        return tuple(dict.fromkeys(found))

    def _at(self, places: tuple[int, ...], turn: _Turn) -> list[str] | None:
        """Return the ids at places of the list; None, and a problem, where there are no such places."""
        shown = turn.state.shown
        if not shown:
            turn.acts.append(Act("problem", problem="nothing_shown"))
            return None
        if places == PAIR:
            return list(turn.focus if len(turn.focus) == 2 else shown[:2])
        if places == ALL:
            return list(shown)
        outside = next((place for place in places if abs(place) > len(shown) or place == 0), None)
        if outside is not None:
            turn.acts.append(Act("problem", count=outside, problem="no_place"))
            return None
        return [shown[place - 1] if place > 0 else shown[place] for place in places]

    def _explain(self, clause: Clause, turn: _Turn, named: tuple[str, ...]) -> bool:
        if not cues.EXPLAIN.search(clause.text):
            return False
        return self._about_items("explain", clause, turn, named or turn.focus or turn.state.shown[:1])

    def _extreme(self, clause: Clause, turn: _Turn, named: tuple[str, ...]) -> bool:
        measures = self._measures(clause.text)
        if not (cues.WHICH.search(clause.text) and measures) or clause.of("l", "r"):
            return False
        measure, direction = measures[0]
        number = self.catalogue.number(measure.name)
        if number is None:
            turn.acts.append(Act("problem", text=measure.name, problem="no_measure"))
            return True
        pair = turn.focus if len(turn.focus) > 1 else ()
        items = named if len(named) > 1 else pair or turn.state.shown
        if not items:
            turn.acts.append(Act("problem", problem="nothing_shown"))
            return True
        turn.acts.append(Act("extreme", items=items, column=number.column, direction=direction))
        return True

    def _compare(self, clause: Clause, turn: _Turn, named: tuple[str, ...]) -> bool:
        if not cues.COMPARE.search(clause.text) or clause.of("l", "r"):
            return False
        items = named
        if len(items) < 2:
            items = (
                tuple(dict.fromkeys([*turn.focus, *named]))[-2:]
                if len({*turn.focus, *named}) > 1
                else turn.state.shown[:2]
            )
        if len(items) < 2:
            turn.acts.append(Act("problem", problem="nothing_shown"))
            return True
        return self._about_items("compare", clause, turn, items)

    def _forget(self, clause: Clause, turn: _Turn, named: tuple[str, ...]) -> bool:
        if not cues.FORGET.search(clause.text) or clause.of("l", "r") or self._columns(clause.text):
            return False
        items = named or (turn.focus if cues.PRONOUN.search(clause.text) else ())
        if items:
            turn.acts.append(Act("forget", items=items))
        return bool(items)

    def _similar(self, clause: Clause, turn: _Turn, named: tuple[str, ...]) -> bool:
        if not cues.SIMILAR.search(clause.text) or self._opinion_on(clause, named):
            return False
        items = named or turn.focus or turn.state.liked[-1:]
        if not items:
            # 那种 and "similar" need not point at anything that was named.
            points = cues.PRONOUN.search(clause.text) is not None
            if points:
                turn.acts.append(Act("problem", problem="no_focus"))
            return points
        turn.acts.append(Act("similar", items=items))
        return not clause.of("l", "r")

    def _opinion_on(self, clause: Clause, named: tuple[str, ...]) -> bool:
        """Tell whether "like" is a verb here, and has a subject."""
        if not named:
            return False
        return cues.LIKE_IS_A_VERB.search(clause.text) is not None and not cues.NO_LIKE.search(clause.text)

    def _opinion(self, clause: Clause, turn: _Turn, named: tuple[str, ...]) -> bool:
        text = clause.text
        items = named or (turn.focus if cues.PRONOUN.search(text) or cues.PLURAL_PRONOUN.search(text) else ())
        if (
            not items
            or (not named and self._measures(text))
            or clause.asks
            or re.search("[吗么呢]$", text)
            or cues.NO_LIKE.search(text)
            or clause.of("l", "r")
        ):
            return False
        for kind, cue in (("hide", cues.HIDE), ("dislike", cues.DISLIKE), ("like", cues.LIKE), ("hide", cues.SEEN)):
            if cue.search(text):
                turn.acts.append(Act(kind, items=items))  # type: ignore[arg-type]
                turn.spoken_of = items
                return True
        return False

    def _question(self, clause: Clause, turn: _Turn, named: tuple[str, ...]) -> bool:
        text = clause.text
        if self._measures(text) and not clause.asks:
            return False
        points = cues.PRONOUN.search(text) is not None
        items = named or (turn.focus if points or not cues.RECOMMEND.search(text) else ())
        asks = cues.ASK.search(text) or cues.ABOUT.search(text)
        if not named and (not asks or (clause.of("l", "r") and not points)):
            return False
        if not items:
            if asks and points and not cues.RECOMMEND.search(text):
                turn.acts.append(Act("problem", problem="no_focus"))
                return True
            return False
        kind = "about" if cues.ABOUT.search(text) or not asks else "ask"
        return self._about_items(kind, clause, turn, items)

    def _about_items(self, kind: str, clause: Clause, turn: _Turn, items: Sequence[str]) -> bool:
        if items:
            question = clause.spoken(clause.text)
            turn.acts.append(Act(kind, items=tuple(items), text=question if kind == "ask" else ""))  # type: ignore[arg-type]
        else:
            turn.acts.append(Act("problem", problem="nothing_shown" if kind == "explain" else "no_focus"))
        return True

    def _of_the_list(self, clause: Clause, turn: _Turn) -> bool:
        """Hear what is said about what should be shown."""
        acts = [*self._dropped(clause, turn.state), *self._constrained(clause), *self._compared(clause, turn)]
        if (count := self._count(clause, turn.state)) is not None:
            acts.append(Act("count", count=count))
        if cues.MORE.search(clause.text):
            acts.append(Act("more"))
        acts += self._wished(clause, loose=not acts)
        if not acts and cues.RECOMMEND.search(clause.text):
            acts.append(Act("recommend"))
        turn.acts += acts
        return bool(acts)

    def _dropped(self, clause: Clause, state: State) -> list[Act]:
        """Return the constraints that need not hold any more."""
        found: list[Act] = []
        drops = cues.DROP.search(clause.text) is not None
        if drops:
            found += [Act("drop", column=column) for column in self._columns(clause.text)]
        for one in clause.of("l", "r"):
            rules = self._against(one.value, state.rules)
            forgets = drops and cues.FORGETS_RULE.search(clause.text)
            if forgets or (rules and is_allowed(clause, one)):
                found.append(Act("drop", rules=tuple(rules)))
            elif is_allowed(clause, one):
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

    def _compared(self, clause: Clause, turn: _Turn) -> list[Act]:
        """Return what "newer", "old" and "too long" ask for."""
        found = []
        named = self._named(clause, turn) or ()
        for measure, direction in self._measures(clause.text)[:1]:
            number = self.catalogue.number(measure.name)
            if number is None:
                return [Act("problem", text=measure.name, problem="no_measure")]
            found.append(Act("relative", items=named, column=number.column, direction=direction))
        if not found and not clause.of("r"):
            for measure, direction in self._degrees(clause.text)[:1]:
                rule = self.wanted.degree(measure.name, direction)
                if rule is not None:
                    found.append(Act("constrain", rules=(rule,)))
        return found

    def _measures(self, text: str) -> list[tuple[Measure, int]]:
        """Return which measures a text compares by, and whether more or less of each is wanted."""
        found = []
        for measure in lexicon().measures.values():
            for said in measure.said.values():
                for words, direction in ((said.up, 1), (said.down, -1)):
                    found += [(measure, direction) for word in words if _stands(word, text)]
                for words, direction in ((said.much, -1), (said.little, 1)):
                    found += [
                        (measure, direction)
                        for word in words
                        if re.search(rf"\btoo {word}\b" if word.isascii() else f"(?:太|那么|这么){word}", text)
                    ]
        return found

    def _degrees(self, text: str) -> list[tuple[Measure, int]]:
        """Return which measures a text wants much or little of."""
        found = []
        for measure in lexicon().measures.values():
            for said in measure.said.values():
                for words, direction in ((said.high, 1), (said.low, -1)):
                    for word in words:
                        at = _stands(word, text)
                        if at is not None:
                            turned = cues.NEGATIVE.search(text[: at.start()]) is not None
                            found.append((measure, -direction if turned else direction))
        return found

    def _columns(self, text: str) -> list[str]:
        return list(dict.fromkeys(column for _, _, column in self.catalogue.columns.find(text)))

    def _count(self, clause: Clause, state: State) -> int | None:
        if cues.FEWER.search(clause.text):
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


def _stands(word: str, text: str) -> re.Match[str] | None:
    """Return where a word stands in a text as a word."""
    return re.search(rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word), text)
