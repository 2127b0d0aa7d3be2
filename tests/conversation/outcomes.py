"""Whether a scripted dialogue comes out as it should: judged on the films themselves, not on what is under test.

A dialogue is a line of JSON: who talks, and turns with what is said and what is expected. The checker sees a reply's
text, the ids of its list and the state as JSON; films are looked up in the table that ships with the sample world.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genre.data.sample.films import film_table

DIALOGUES = Path(__file__).parent / "dialogues"
Film = Mapping[str, Any]


@dataclass
class Seen:
    """What the checker knows at one turn."""

    text: str
    ids: Sequence[str]
    state: Mapping[str, Any]
    before: Sequence[str]
    """Ids of the last list that was shown before this turn."""
    last_text: str
    films: Mapping[str, Film] = field(repr=False)

    @property
    def shown(self) -> list[Film]:
        return [self.films[name] for name in self.ids]

    def at(self, place: int) -> Film:
        """Return the film at a place of the list that the person spoke of, from 1; -1 is the last."""
        return self.films[self.before[place - 1 if place > 0 else place]]


@dataclass(frozen=True)
class Outcome:
    """How one dialogue came out."""

    name: str
    turns: int
    turns_came_out: int
    failures: tuple[str, ...]


def dialogues(name: str) -> list[dict[str, Any]]:
    """Return the dialogues of a file: `en`, `zh`, `held_out` or `reviewed`, whose wordings came from a review."""
    lines = (DIALOGUES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def play(dialogue: Mapping[str, Any], answer: Callable[[str], tuple[str, Sequence[str], Mapping[str, Any]]]) -> Outcome:
    """Say every turn of a dialogue, and return what did not come out.

    Args:
        dialogue: As it stands in its file.
        answer: Takes a message; returns the reply's text, the ids of its list, and the state as JSON.
    """
    films = {row["item_id"]: row for row in film_table().iter_rows(named=True)}
    failures, before, last_text, good = list[str](), list[str](), "", 0
    for turn in dialogue["turns"]:
        text, ids, state = answer(turn["say"])
        seen = Seen(text, ids, state, before, last_text, films)
        wrong = problems(turn["expect"], seen)
        good += not wrong
        failures += [f"{dialogue['name']}, {turn['say']!r}: {problem}" for problem in wrong]
        before, last_text = list(ids) or before, text
    return Outcome(dialogue["name"], len(dialogue["turns"]), good, tuple(failures))


def problems(expect: Mapping[str, Any], seen: Seen) -> list[str]:
    """Return what was expected and is not so."""
    found = []
    for name, wanted in expect.items():
        if not CHECKS[name](seen, wanted):
            found.append(f"{name} {json.dumps(wanted, ensure_ascii=False)}: {list(seen.ids)} {seen.text!r}")
    return found


def _meets(film: Film, rule: Mapping[str, Any]) -> bool:
    cell = film[rule["column"]]
    labels = cell if isinstance(cell, list) else [cell]
    if "has" in rule and not set(labels) & set(rule["has"]):
        return False
    if "lacks" in rule and set(labels) & set(rule["lacks"]):
        return False
    return rule.get("min", -1e9) <= (cell if isinstance(cell, int) else 0) <= rule.get("max", 1e9)


def _holds(seen: Seen, rules: Sequence[Mapping[str, Any]]) -> bool:
    return len(seen.ids) > 0 and all(_meets(film, rule) for film in seen.shown for rule in rules)


def _related(seen: Seen, other: int | str) -> bool:
    """Tell whether most films share a genre or a director with another one, which is not among them."""
    film = seen.at(other) if isinstance(other, int) else seen.films[other]
    own = {*film["genres"], *film["director"]}
    near = [bool(own & {*one["genres"], *one["director"]}) for one in seen.shown]
    return film["item_id"] not in seen.ids and sum(near) >= 0.6 * len(near) > 0


def _speaks(seen: Seen, words: Sequence[str]) -> bool:
    texts = [f"{film['title']} {film['description']} {film['description_zh']}".casefold() for film in seen.shown]
    return bool(texts) and sum(any(word in text for word in words) for text in texts) >= 0.4 * len(texts)


def _mean(films: Sequence[Film], column: str) -> float:
    return float(sum(film[column] for film in films) / max(1, len(films)))


def _moves(seen: Seen, column: str, sign: int) -> bool:
    old = [seen.films[name] for name in seen.before]
    return bool(seen.ids) and sign * (_mean(seen.shown, column) - _mean(old, column)) > 0


def _names(text: str, film: Film) -> bool:
    return film["title"] in text or film["title_zh"] in text


def _language(seen: Seen, code: str) -> bool:
    han, latin = len(re.findall(r"[\u4e00-\u9fff]", seen.text)), len(re.findall(r"[A-Za-z]+", seen.text))
    return han > latin if code == "zh" else latin > han


def _state(seen: Seen, wanted: Mapping[str, Any]) -> bool:
    state = seen.state
    tests = {
        "liked": lambda value: set(value) <= set(state["liked"]),
        "disliked": lambda value: set(value) <= set(state["disliked"]),
        "not_liked": lambda value: not set(value) & set(state["liked"]),
        "rules": lambda value: len(state["rules"]) == value,
        "log_counts": lambda value: state["log_counts"] is value,
    }
    return all(tests[name](value) for name, value in wanted.items())


def _oldest_is_said(seen: Seen, places: Sequence[int]) -> bool:
    films = [seen.at(place) for place in places]
    oldest = min(films, key=lambda film: film["year"])
    return _names(seen.text, oldest) and str(oldest["year"]) in seen.text


def _newest_is_said(seen: Seen, _: object) -> bool:
    return _names(seen.text, max((seen.films[name] for name in seen.before), key=lambda film: film["year"]))


def _director_is_said(seen: Seen, _: object) -> bool:
    film = seen.films[seen.state["focus"][-1]] if seen.state["focus"] else seen.at(1)
    return all(name in seen.text for name in film["director"])


CHECKS: dict[str, Callable[[Seen, Any], bool]] = {
    "size": lambda seen, wanted: len(seen.ids) == wanted,
    "least": lambda seen, wanted: len(seen.ids) >= wanted,
    "empty": lambda seen, _: not seen.ids,
    "all": _holds,
    "hidden": lambda seen, wanted: not set(wanted) & set(seen.ids),
    "hides_place": lambda seen, wanted: (
        bool(seen.ids) and not {seen.at(place)["item_id"] for place in wanted} & set(seen.ids)
    ),
    "related": _related,
    "speaks": _speaks,
    "rises": lambda seen, wanted: _moves(seen, wanted, 1),
    "falls": lambda seen, wanted: _moves(seen, wanted, -1),
    "same": lambda seen, _: not seen.ids,
    "other": lambda seen, _: bool(seen.ids) and not set(seen.ids) & set(seen.before),
    "says": lambda seen, wanted: all(word.casefold() in seen.text.casefold() for word in wanted),
    "says_any": lambda seen, wanted: any(word.casefold() in seen.text.casefold() for word in wanted),
    "says_not": lambda seen, wanted: not any(word.casefold() in seen.text.casefold() for word in wanted),
    "says_place": lambda seen, wanted: all(_names(seen.text, seen.at(place)) for place in wanted),
    "says_director_of_focus": _director_is_said,
    "says_older_of": _oldest_is_said,
    "says_newest": _newest_is_said,
    "brief": lambda seen, _: 0 < len(seen.text) < len(seen.last_text),
    "language": _language,
    "state": _state,
}
"""By their names in the files."""
