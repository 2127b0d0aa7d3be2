"""What a message says and asks about items: that they are liked, seen or not wanted, what they are, and why.

Titles and places of the list are marked; "it" is what was spoken of last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from genre.conversation import cues
from genre.conversation.acts import Act
from genre.conversation.catalogue import Catalogue
from genre.conversation.comparing import measures
from genre.conversation.mentions import Clause, Mention
from genre.conversation.polarity import stance
from genre.conversation.recalled import recalled
from genre.conversation.references import ALL, PAIR, Places
from genre.conversation.state import State
from genre.conversation.wanted import Wanted
from genre.features.text import Language


@dataclass
class Turn:
    """What one message has said so far."""

    state: State
    language: Language
    acts: list[Act] = field(default_factory=list)
    spoken_of: tuple[str, ...] = ()
    """Ids of the items that were named last."""

    @property
    def focus(self) -> tuple[str, ...]:
        """Ids of the items that "it" means."""
        if self.spoken_of or self.state.focus:
            return self.spoken_of or self.state.focus
        return self.state.shown if len(self.state.shown) == 1 else ()


class ItemHearing:
    """Hears what clauses say about items of one catalogue."""

    def __init__(self, catalogue: Catalogue, wanted: Wanted) -> None:
        """Keep what names things.

        Args:
            catalogue: Knows the columns.
            wanted: Turns labels into constraints.
        """
        self._catalogue, self._wanted = catalogue, wanted

    def hear(self, clause: Clause, turn: Turn) -> bool:
        """Hear what is said or asked about items; return whether the clause says nothing else."""
        text, named = clause.text, self.named(clause, turn)
        if named is None:
            return True
        gone = self._put_aside(clause, turn)
        if gone and not (named := tuple(item for item in named if item not in gone)):
            return not clause.of("l", "r")
        hears: tuple[Callable[[Clause, Turn, tuple[str, ...]], bool], ...] = (
            self._check, self._explain, self._extreme, self._compare, self._forget, self._similar, self._opinion,
            self._question,
        )  # fmt: skip
        heard = any(hear(clause, turn, named) for hear in hears)
        if named:
            turn.spoken_of = named
        # "More like it, but newer" speaks of the list too.
        return heard and not (turn.acts[-1].kind == "similar" and measures(text))

    def named(self, clause: Clause, turn: Turn) -> tuple[str, ...] | None:
        """Return the ids of the items that a clause names; None where it names what is not there."""
        found: list[str] = []
        for one in clause.of("t", "u", "p"):
            items = self._meant(one, turn)
            if items is None:
                return None
            found += items
        return tuple(dict.fromkeys(found))

    def _meant(self, mention: Mention, turn: Turn) -> list[str] | None:
        if mention.kind == "t":
            return [str(mention.value)]
        if mention.kind == "u":
            turn.acts.append(Act("problem", text=str(mention.value), problem="no_title"))
            return None
        return self._at(cast(Places, mention.value), turn)

    def _put_aside(self, clause: Clause, turn: Turn) -> tuple[str, ...]:
        """Return the items that are not to be shown, and say so: "by Nolan except Inception", "not like the first"."""
        text = clause.text
        bare = cues.MARK.sub(" ", text)
        likes = cues.LIKE.search(text) and not cues.SIMILAR.search(text)
        asks = clause.asks and not cues.RECOMMEND.search(text)
        if (
            any(cue.search(bare) for cue in (cues.EXPLAIN, cues.COMPARE, cues.FORGET, cues.REMEMBER, cues.DISLIKE))
            or any(cue.search(text) for cue in (cues.SEEN, cues.UNSEEN, cues.NOT_DISLIKED, cues.ABOUT))
            or likes
            or asks
            or measures(text)
        ):
            return ()
        gone: list[str] = []
        for one in clause.of("t", "p"):
            if stance(clause.before(one), clause.after(one)) == "unwanted":
                gone += self._meant(one, turn) or []
        if gone:
            turn.acts.append(Act("hide", items=tuple(dict.fromkeys(gone))))
        return tuple(gone)

    def _check(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
        """Hear whether an item has a label or lies in a range: "is Jaws a horror film?"."""
        is_that = turn.state.last == "words" and cues.IS_THAT.search(clause.text)
        if not clause.of("l", "r") or not (is_that or cues.IS_IT.search(clause.text)):
            return False
        items = named or turn.focus
        rules = self._wanted.named(clause)
        if not items or not rules:
            return False
        turn.acts.append(Act("check", items=items, rules=tuple(rules)))
        return True

    def _at(self, places: tuple[int, ...], turn: Turn) -> list[str] | None:
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
            turn.acts.append(Act("problem", count=abs(outside), problem="no_place"))
            return None
        return [shown[place - 1] if place > 0 else shown[place] for place in places]

    def _explain(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
        if not cues.EXPLAIN.search(clause.text):
            return False
        return self._about_items("explain", clause, turn, named or turn.focus or turn.state.shown[:1])

    def _extreme(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
        compared = measures(clause.text)
        if not (cues.WHICH.search(clause.text) and compared) or clause.of("l", "r"):
            return False
        measure, direction = compared[0]
        number = self._catalogue.number(measure.name)
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

    def _compare(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
        if not cues.COMPARE.search(clause.text) or cues.UNSEEN.search(clause.text) or clause.of("l", "r"):
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

    def _forget(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
        text = clause.text
        like = cues.SIMILAR.search(text) is not None and bool(named) and set(named) <= set(turn.state.like)
        if like and (cues.FORGET.search(text) or cues.FORGETS_RULE.search(text)):
            turn.acts.append(Act("drop", items=named))
            return True
        if (
            not cues.FORGET.search(text)
            or cues.REMEMBER.search(text)
            or clause.of("l", "r")
            or any(self._catalogue.columns.find(text))
        ):
            return False
        if not named and recalled(text, (*turn.state.wishes, *turn.state.avoided)):
            return False
        items = named or (turn.focus if cues.PRONOUN.search(text) else ())
        if items:
            turn.acts.append(Act("forget", items=items))
        return bool(items)

    def _similar(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
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

    def _opinion(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
        text = clause.text
        items = named or (turn.focus if cues.PRONOUN.search(text) or cues.PLURAL_PRONOUN.search(text) else ())
        if (
            not items
            or (not named and measures(text))
            or clause.asks
            or re.search("[吗么呢]$", text)
            or cues.NO_LIKE.search(text)
            or clause.of("l", "r")
        ):
            return False
        for kind, cue in (
            ("unseen", cues.UNSEEN), ("hide", cues.HIDE), ("allow", cues.NOT_DISLIKED), ("dislike", cues.DISLIKE),
            ("like", cues.LIKE), ("hide", cues.SEEN),
        ):  # fmt: skip
            if cue.search(text):
                turn.acts.append(Act(kind, items=items))  # type: ignore[arg-type]
                turn.spoken_of = items
                return True
        return False

    def _question(self, clause: Clause, turn: Turn, named: tuple[str, ...]) -> bool:
        text = clause.text
        if measures(text) and not clause.asks:
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

    def _about_items(self, kind: str, clause: Clause, turn: Turn, items: Sequence[str]) -> bool:
        if items:
            question = clause.spoken(clause.text)
            turn.acts.append(Act(kind, items=tuple(items), text=question if kind == "ask" else ""))  # type: ignore[arg-type]
        else:
            turn.acts.append(Act("problem", problem="nothing_shown" if kind == "explain" else "no_focus"))
        return True
