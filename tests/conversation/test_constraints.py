from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre.conversation.constraints import allowed_by, joined, to_drop
from genre.data.dataset import Dataset
from genre.strategies.rules import ColumnRuleConfig

SINGLE = {"country"}


def allow(column: str, *values: str) -> ColumnRuleConfig:
    return ColumnRuleConfig(kind="allow", column=column, values=values)


def years(least: float | None = None, most: float | None = None) -> ColumnRuleConfig:
    return ColumnRuleConfig(kind="allow", column="year", at_least=least, at_most=most)


NO_WAR = ColumnRuleConfig(kind="deny", column="genres", values=("War",))


def masks(data: Dataset, rules: list[ColumnRuleConfig]) -> list[tuple[ColumnRuleConfig, NDArray[np.bool_]]]:
    return [(rule, rule.build(data).allowed) for rule in rules]


def after(*said: ColumnRuleConfig, also: bool = False, instead: bool = False) -> tuple[ColumnRuleConfig, ...]:
    """Return what is in force when these were said one after the other."""
    rules: tuple[ColumnRuleConfig, ...] = ()
    for rule in said:
        rules = joined(rules, [rule], single=SINGLE, also=also, instead=instead)
    return rules


def test_what_is_said_last_about_a_label_counts() -> None:
    assert after(allow("genres", "War"), NO_WAR) == (NO_WAR,)
    assert after(NO_WAR, allow("genres", "War")) == (allow("genres", "War"),)


def test_some_of_several_labels_can_be_taken_out() -> None:
    no_japan = ColumnRuleConfig(kind="deny", column="country", values=("Japan",))
    assert after(allow("country", "China", "Japan"), no_japan) == (allow("country", "China"), no_japan)


def test_labels_add_up_where_an_item_may_have_several() -> None:
    comedy, romance = allow("genres", "Comedy"), allow("genres", "Romance")
    assert after(comedy, romance) == (comedy, romance)
    assert after(comedy, romance, instead=True) == (romance,)
    assert after(comedy, comedy) == (comedy,)


def test_a_country_takes_the_place_of_the_one_before() -> None:
    assert after(allow("country", "France"), allow("country", "Japan")) == (allow("country", "Japan"),)
    both = after(allow("country", "France"), allow("country", "Japan"), also=True)
    assert both == (allow("country", "France", "Japan"),)


def test_bounds_are_moved_one_by_one() -> None:
    assert after(years(1960), years(most=1980)) == (years(1960, 1980),)
    assert after(years(1960), years(1970)) == (years(1970),)
    assert after(years(1960, 1969), years(1980, 1989)) == (years(1980, 1989),)
    assert after(years(1960), years(most=1950)) == (years(1960), years(most=1950)), "a contradiction is kept, and told"


def test_years_that_were_taken_out_can_be_wanted_again_and_the_reverse() -> None:
    no_eighties = ColumnRuleConfig(kind="deny", column="year", at_least=1980, at_most=1989)
    assert after(no_eighties, years(1980, 1989)) == (years(1980, 1989),)
    assert after(years(1980, 1989), no_eighties) == (no_eighties,)
    assert after(years(1970, 1999), no_eighties) == (years(1970, 1999), no_eighties), "a part can be taken out"


def test_contradictions_of_one_message_stay_apart() -> None:
    new = [years(1980, 1989), years(most=1970)]
    assert joined((), new, single=SINGLE, also=False, instead=False) == tuple(new)


def test_what_to_drop_is_what_frees_most(films: Dataset) -> None:
    rules = [allow("genres", "Western"), allow("country", "Japan")]
    free = np.ones(films.num_items, bool)
    assert not allowed_by(films, rules).any()
    japan, west = (int(allowed_by(films, [rule]).sum()) for rule in rules[::-1])
    assert to_drop(masks(films, rules), free) == [((rules[0],), japan), ((rules[1],), west)]
    assert to_drop(masks(films, rules), ~free) == []


def test_constraints_are_dropped_together_where_one_is_not_enough(films: Dataset) -> None:
    rules = [allow("genres", "Western"), allow("country", "Japan"), years(2100), years(most=1800)]
    (first, *_) = to_drop(masks(films, rules), np.ones(films.num_items, bool))
    assert len(first[0]) == 3
