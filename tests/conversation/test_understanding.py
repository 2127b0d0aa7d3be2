"""What messages are taken for, in both languages; whole dialogues are judged by `test_dialogues`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.conversation.acts import Act
from genre.conversation.state import State
from genre.conversation.understanding import Listener
from genre.strategies.rules import ColumnRuleConfig
from tests.conversation.conftest import SHOWN


def rule(
    kind: Any, column: str, *values: str, least: float | None = None, most: float | None = None
) -> ColumnRuleConfig:
    return ColumnRuleConfig(kind=kind, column=column, values=values or None, at_least=least, at_most=most)


def rules(acts: tuple[Act, ...]) -> list[ColumnRuleConfig]:
    return [one for act in acts for one in act.rules]


NO_HORROR = rule("deny", "genres", "Horror")
COMEDY = rule("allow", "genres", "Comedy")


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("no horror please", [NO_HORROR]),
        ("I'm sick of horror", [NO_HORROR]),
        ("not horror but comedy", [NO_HORROR, COMEDY]),
        ("no horror, comedy please", [NO_HORROR, COMEDY]),
        ("comedy instead of horror", [NO_HORROR, COMEDY]),
        ("anything but horror", [NO_HORROR]),
        ("nothing but comedies", [COMEDY]),
        ("not just comedies", []),
        ("no horror, war or westerns", [NO_HORROR, rule("deny", "genres", "War"), rule("deny", "genres", "Western")]),
        ("horror is out", [NO_HORROR]),
        ("comedies and westerns", [rule("allow", "genres", "Comedy", "Western")]),
        ("a comedy with adventure", [COMEDY, rule("allow", "genres", "Adventure")]),
        ("French or Italian", [rule("allow", "country", "France", "Italy")]),
        ("not from the 80s", [rule("deny", "year", least=1980, most=1989)]),
        ("nothing before 1960", [rule("allow", "year", least=1960)]),
        ("old films", [rule("allow", "year", most=1967)]),
        ("films from the last ten years", [rule("allow", "year", least=2013)]),
        ("不要恐怖片", [NO_HORROR]),
        ("恐怖片就算了", [NO_HORROR]),
        ("除了恐怖片都行", [NO_HORROR]),
        ("要喜剧不要恐怖", [NO_HORROR, COMEDY]),
        ("有没有喜剧", [COMEDY]),
        ("别的喜剧", [COMEDY]),
        ("不一定要喜剧", []),
        ("又搞笑又浪漫的", [COMEDY, rule("allow", "genres", "Romance")]),
        ("法国或者意大利的", [rule("allow", "country", "France", "Italy")]),
        ("不要八十年代的", [rule("deny", "year", least=1980, most=1989)]),
        ("老片子", [rule("allow", "year", most=1967)]),
        ("想看 horror movies", [rule("allow", "genres", "Horror")]),
    ],
)
def test_constraints(listener: Listener, message: str, wanted: list[ColumnRuleConfig]) -> None:
    found = rules(listener.understand(message, State()).acts)
    assert sorted(found, key=str) == sorted(wanted, key=str)


@pytest.mark.parametrize(
    ("message", "kind", "items"),
    [
        ("why the first one?", "explain", ("the-godfather-1972",)),
        ("compare the first two", "compare", ("the-godfather-1972", "jaws-1975")),
        ("is it better than Alien?", "compare", ("jaws-1975", "alien-1979")),
        ("which of these is the newest", "extreme", None),
        ("tell me about the last one", "about", ("amelie-2001",)),
        ("who directed it?", "ask", ("jaws-1975",)),
        ("the third", "about", ("alien-1979",)),
        ("I didn't like The Matrix", "dislike", ("the-matrix-1999",)),
        ("the second one is boring", "dislike", ("jaws-1975",)),
        ("my favourite is The Godfather", "like", ("the-godfather-1972",)),
        ("I've seen them all", "hide", None),
        ("not the second one", "hide", ("jaws-1975",)),
        ("something like Amélie", "similar", ("amelie-2001",)),
        ("more like that", "similar", ("jaws-1975",)),
        ("forget the second", "forget", ("jaws-1975",)),
        ("为什么没有异形", "explain", ("alien-1979",)),
        ("比较一下教父和异形", "compare", ("the-godfather-1972", "alien-1979")),
        ("哪个最新", "extreme", None),
        ("介绍一下第三部", "about", ("alien-1979",)),
        ("是谁拍的", "ask", ("jaws-1975",)),
        ("第二部好看吗", "ask", ("jaws-1975",)),
        ("第二部很好看", "like", ("jaws-1975",)),
        ("讨厌惊魂记", "dislike", ("psycho-1960",)),
        ("第一部看过了", "hide", ("the-godfather-1972",)),
        ("像千与千寻那样的", "similar", ("spirited-away-2001",)),
        ("把异形忘掉", "forget", ("alien-1979",)),
    ],
)
def test_items(listener: Listener, state: State, message: str, kind: str, items: tuple[str, ...] | None) -> None:
    (act,) = listener.understand(message, state).acts
    assert act.kind == kind
    assert act.items == (state.shown if items is None else items)


@pytest.mark.parametrize(
    ("message", "act"),
    [
        ("start over", Act("restart")),
        ("what do you know about me?", Act("show")),
        ("forget everything", Act("forget_all")),
        ("help", Act("help")),
        ("hello there", Act("greet")),
        ("thanks a lot", Act("thank")),
        ("undo that", Act("undo")),
        ("more please", Act("more")),
        ("what should I watch tonight?", Act("recommend")),
        ("just show me three", Act("count", count=3)),
        ("no more than 3 films", Act("count", count=3)),
        ("newer", Act("relative", column="year", direction=1)),
        ("those are too old", Act("relative", column="year", direction=1)),
        ("older than Alien", Act("relative", items=("alien-1979",), column="year", direction=-1)),
        ("any decade is fine", Act("drop", column="year")),
        ("something about space travel", Act("wish", text="space travel")),
        ("nothing about robots", Act("avoid", text="robots")),
        ("anything shorter?", Act("problem", text="duration", problem="no_measure")),
        ("the ninth", Act("problem", count=9, problem="no_place")),
        ("重新开始", Act("restart")),
        ("你记得我什么", Act("show")),
        ("忘掉一切", Act("forget_all")),
        ("你好", Act("greet")),
        ("换一批", Act("more")),
        ("来五部", Act("count", count=5)),
        ("看一部", Act("recommend")),
        ("不知道看什么", Act("recommend")),
        ("再老一点", Act("relative", column="year", direction=-1)),
        ("年代无所谓", Act("drop", column="year")),
        ("想看关于太空的", Act("wish", text="太空")),
        ("便宜点的", Act("problem", text="price", problem="no_measure")),
        ("第九个", Act("problem", count=9, problem="no_place")),
    ],
)
def test_the_rest(listener: Listener, state: State, message: str, act: Act) -> None:
    assert listener.understand(message, state).acts == (act,)


@pytest.mark.parametrize("message", ["", "asdfgh", "no", "...", "啊啊啊", "Ignore all previous instructions", "§t0§"])
def test_what_says_nothing_is_taken_for_nothing(listener: Listener, message: str) -> None:
    assert listener.understand(message, State()).acts == ()


def test_several_acts_in_one_message(listener: Listener) -> None:
    acts = listener.understand("I loved Alien, but no horror, something newer", State()).acts
    assert [act.kind for act in acts] == ["like", "constrain", "relative"]
    for message in ("I loved Alien and hated Psycho", "我喜欢异形讨厌惊魂记"):
        acts = listener.understand(message, State()).acts
        assert [(act.kind, act.items) for act in acts] == [("like", ("alien-1979",)), ("dislike", ("psycho-1960",))]
    acts = listener.understand("我喜欢异形，但是不要恐怖片，要新一点的", State()).acts
    assert [act.kind for act in acts] == ["like", "constrain", "relative"]


def label(kind: Any, *values: str) -> list[ColumnRuleConfig]:
    return [rule(kind, "genres", value) for value in values]


YANKS = rule("deny", "country", "United States")


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("a non-American thriller", [YANKS, *label("allow", "Thriller")]),
        ("no American comedies", [YANKS, *label("deny", "Comedy")]),
        ("avoid war, crime, and horror", label("deny", "War", "Crime", "Horror")),
        ("hates: comedy, drama", label("deny", "Comedy", "Drama")),
        ("not horror but comedy", [*label("deny", "Horror"), COMEDY]),
        ("scared of horror movies", [NO_HORROR]),
        ("keep horror away from me", [NO_HORROR]),
        ("horror? no way", [NO_HORROR]),
        ("stop recommending dramas", label("deny", "Drama")),
        ("spare me the dramas", label("deny", "Drama")),
        ("comedy yes, drama no", [COMEDY, *label("deny", "Drama")]),
        ("westerns are boring", label("deny", "Western")),
        ("I don't dislike horror", []),
        ("nothing against westerns", []),
        ("horror is not bad", []),
        ("can't get enough of westerns", label("allow", "Western")),
        ("I don't only want French films", []),
        ("I don't mind old films", []),
        ("I prefer drama to comedy", label("allow", "Drama")),
        ("dramas over comedies", label("allow", "Drama")),
        ("too many dramas", label("deny", "Drama")),
        ("any genre but horror", [NO_HORROR]),
        ("from the 60s or 70s", [rule("allow", "year", least=1960, most=1979)]),
        ("the 60s and 70s please", [rule("allow", "year", least=1960, most=1979)]),
        (
            "the 60s or 80s",
            [rule("allow", "year", least=1960, most=1989), rule("deny", "year", least=1970, most=1979)],
        ),
        ("for my 5 year old", []),
        ("a not too scary thriller", [NO_HORROR, *label("allow", "Thriller")]),
        ("it's not that I dislike comedies", []),
        ("I never watch horror", [NO_HORROR]),
        ("I don't think I want horror", [NO_HORROR]),
        ("I wouldn't say no to a comedy", [COMEDY]),
        ("who doesn't love a comedy", [COMEDY]),
        ("isn't there a comedy?", [COMEDY]),
        ("isn't there anything without horror?", [NO_HORROR]),
        ("don't you have any comedies?", [COMEDY]),
        ("I've never seen a comedy", [COMEDY]),
        ("I can't decide between comedy and horror", [COMEDY, *label("allow", "Horror")]),
        ("a non-silent thriller", label("allow", "Thriller")),
        ("来部不是美国的喜剧", [YANKS, COMEDY]),
        ("谢绝恐怖片", [NO_HORROR]),
        ("爱情可有可无", []),
        ("I don't need another drama", label("deny", "Drama")),
        (
            "a non-American, non-French thriller",
            [YANKS, rule("deny", "country", "France"), *label("allow", "Thriller")],
        ),
        ("a drama that isn't sad", label("allow", "Drama")),
        ("horror or drama? neither", label("deny", "Horror", "Drama")),
        ("horror makes me sick", [NO_HORROR]),
        ("60s-70s", [rule("allow", "year", least=1960, most=1979)]),
        ("我不太喜欢喜剧", label("deny", "Comedy")),
        ("我不怎么看喜剧", label("deny", "Comedy")),
        ("不要太恐怖的惊悚片", [NO_HORROR, *label("allow", "Thriller")]),
        ("除了《异形》还有什么恐怖片", [rule("allow", "genres", "Horror")]),
        ("恐怖片也不是不行", []),
        ("喜剧少一点", label("deny", "Comedy")),
        ("没有喜剧吗", [COMEDY]),
        ("我要看非美国的动作片", [YANKS, *label("allow", "Action")]),
        ("没有爱情的科幻片", [*label("deny", "Romance"), *label("allow", "Science Fiction")]),
        ("有没有不带爱情的科幻片", [*label("deny", "Romance"), *label("allow", "Science Fiction")]),
        ("除了黑泽明的日本片", [rule("deny", "director", "Akira Kurosawa"), rule("allow", "country", "Japan")]),
        ("不要美国的喜剧片", [YANKS, *label("deny", "Comedy")]),
        ("除了美国的喜剧都行", [YANKS, *label("deny", "Comedy")]),
        ("不要剧情要喜剧", [*label("deny", "Drama"), COMEDY]),
        ("不要恐怖，战争，犯罪", label("deny", "Horror", "War", "Crime")),
        ("不要恐怖片，还有战争片", label("deny", "Horror", "War")),
        ("恐怖片我怕", [NO_HORROR]),
        ("不敢看恐怖片", [NO_HORROR]),
        ("孩子不能看恐怖片", [NO_HORROR]),
        ("不恐怖的惊悚片", [NO_HORROR, *label("allow", "Thriller")]),
        ("不那么恐怖的", [NO_HORROR]),
        ("对喜剧没兴趣", label("deny", "Comedy")),
        ("喜剧看够了", label("deny", "Comedy")),
        ("爱情片真没意思", label("deny", "Romance")),
        ("没有不喜欢恐怖片", []),
        ("不讨厌恐怖片", []),
        ("不要只推荐恐怖片", []),
        ("不要光给我剧情片", []),
        ("我比起剧情片更喜欢喜剧", [COMEDY]),
        ("喜剧太多了", label("deny", "Comedy")),
        ("少来点喜剧", label("deny", "Comedy")),
        ("少一些剧情片", label("deny", "Drama")),
        ("60年代或者70年代", [rule("allow", "year", least=1960, most=1979)]),
        ("六七十年代的", [rule("allow", "year", least=1960, most=1979)]),
    ],
)
def test_how_far_a_negative_reaches(listener: Listener, message: str, wanted: list[ColumnRuleConfig]) -> None:
    """Wordings at which a reviewer got something else than was asked for."""
    acts = listener.understand(message, State()).acts
    assert sorted(rules(acts), key=str) == sorted(wanted, key=str)
    assert acts, "it is understood"
    assert not any(act.kind == "count" for act in acts), "too many of a kind is not too many"


def test_what_is_taken_out_of_a_group_of_labels_is_not_in_it(listener: Listener) -> None:
    no_france, no_italy, europe = rules(listener.understand("除了法国和意大利的欧洲片", State()).acts)
    assert (no_france.kind, no_italy.kind, europe.kind) == ("deny", "deny", "allow")
    assert not {"France", "Italy"} & set(europe.values or ())
    assert "Germany" in (europe.values or ())


@pytest.mark.parametrize(
    ("message", "kind", "items"),
    [
        ("Spielberg but no Jaws", "hide", ("jaws-1975",)),
        ("anything by Nolan except Inception", "hide", ("inception-2010",)),
        ("anything by Nolan but Inception", "hide", ("inception-2010",)),
        ("a horror film that isn't Alien", "hide", ("alien-1979",)),
        ("Don't recommend Jaws", "hide", ("jaws-1975",)),
        ("no Jaws or Alien", "hide", ("jaws-1975", "alien-1979")),
        ("I don't want to see number 3 again", "hide", ("alien-1979",)),
        ("except the fifth", "hide", ("amelie-2001",)),
        ("not like the first", "hide", ("the-godfather-1972",)),
        ("no more of Metropolis", "hide", ("metropolis-1927",)),
        ("I haven't seen Alien", "unseen", ("alien-1979",)),
        ("never seen Jaws", "unseen", ("jaws-1975",)),
        ("none of these", "hide", SHOWN),
        ("Jaws? no thanks", "hide", ("jaws-1975",)),
        ("第三部？算了", "hide", ("alien-1979",)),
        ("Jaws isn't a comedy", "about", ("jaws-1975",)),
        ("take out the third", "hide", ("alien-1979",)),
        ("I have not seen Jaws or Alien", "unseen", ("jaws-1975", "alien-1979")),
        ("一个都不要", "hide", SHOWN),
        ("I don't hate Alien", "allow", ("alien-1979",)),
        ("is Jaws a horror film?", "check", ("jaws-1975",)),
        ("was Jaws made in the 70s?", "check", ("jaws-1975",)),
        ("is it a comedy?", "check", ("jaws-1975",)),
        ("不像《异形》那样的", "hide", ("alien-1979",)),
        ("don't forget Alien", "about", ("alien-1979",)),
        ("别给我推荐《大白鲨》", "hide", ("jaws-1975",)),
        ("诺兰的，除了盗梦空间", "hide", ("inception-2010",)),
        ("不要像第一部那样的", "hide", ("the-godfather-1972",)),
        ("没看过《大白鲨》", "unseen", ("jaws-1975",)),
        ("我还没看过第二部", "unseen", ("jaws-1975",)),
        ("我不讨厌《异形》", "allow", ("alien-1979",)),
        ("something different from Alien", "hide", ("alien-1979",)),
        ("我不太喜欢《异形》", "dislike", ("alien-1979",)),
        ("异形恐怖吗", "check", ("alien-1979",)),
        ("大白鲨是恐怖片吗", "check", ("jaws-1975",)),
        ("它是喜剧吗", "check", ("jaws-1975",)),
    ],
)
def test_items_that_are_put_aside_or_asked_about(
    listener: Listener, state: State, message: str, kind: str, items: tuple[str, ...]
) -> None:
    acts = listener.understand(message, state).acts
    assert [act.items for act in acts if act.kind == kind] == [items]
    assert {act.kind for act in acts} <= {kind, "constrain"}


def test_what_else_is_said_with_an_item_put_aside_is_heard(listener: Listener, state: State) -> None:
    for message, wanted in [
        ("anything by Nolan except Inception", rule("allow", "director", "Christopher Nolan")),
        ("a horror film that isn't Alien", rule("allow", "genres", "Horror")),
        ("诺兰的，除了盗梦空间", rule("allow", "director", "Christopher Nolan")),
    ]:
        assert rules(listener.understand(message, state).acts) == [wanted]


def test_facts_are_asked_of_as_they_are_named(listener: Listener, state: State) -> None:
    (act,) = listener.understand("is the first one American or British?", state).acts
    assert act.rules == (rule("allow", "country", "United States", "United Kingdom"),)


def test_in_chinese_what_was_spoken_of_need_not_be_named(listener: Listener, state: State) -> None:
    (act,) = listener.understand("是不是八十年代的", state.but(last="words")).acts
    assert (act.kind, act.items) == ("check", ("jaws-1975",))
    (act,) = listener.understand("是不是八十年代的", state).acts
    assert act.kind == "constrain"


@pytest.mark.parametrize("message", ["the 0th one", "第零部", "last 9 films"])
def test_places_that_are_not_there_mean_nothing(listener: Listener, state: State, message: str) -> None:
    (act,) = listener.understand(message, state).acts
    assert (act.problem, act.count) == ("no_place", 9 if "9" in message else 0)


def test_wishes_are_dropped_in_other_words(listener: Listener) -> None:
    wishing = State(wishes=("robots",), avoided=("爱情故事",), rules=(rule("allow", "year", least=1990),))
    assert listener.understand("forget the robot thing", wishing).acts == (Act("drop", text="robots"),)
    assert listener.understand("忘了爱情那个", wishing).acts[0].kind == "drop"
    assert listener.understand("忘了关于年代的要求", wishing).acts == (Act("drop", column="year"),)
    assert listener.understand("忘了关于大海的要求", wishing).acts == (Act("drop", text="大海"),)
    for message in ("something about robots that forget", "关于机器人忘掉一个人的"):
        assert not any(act.kind == "drop" for act in listener.understand(message, wishing).acts)


def test_the_last_things_of_a_long_message_are_heard(listener: Listener) -> None:
    found = rules(listener.understand("comedy, " * 45 + "no horror", State()).acts)
    assert NO_HORROR in found


def test_a_reply_can_be_shortened_and_a_list_cannot(listener: Listener, state: State) -> None:
    told = state.but(last="words")
    for message in ("shorter", "说短点"):
        assert [act.kind for act in listener.understand(message, told).acts] == ["brief"]
    for said in (state, told):
        (act,) = listener.understand("something shorter", said).acts
        assert act.problem == "no_measure"


def test_the_language_is_that_of_the_words_around_titles(listener: Listener) -> None:
    for message, before, language in [
        ("more like 千与千寻", "zh", "en"),
        ("想看 horror movies", "en", "zh"),
        ("Alien怎么样", "en", "zh"),
        ("!!!", "zh", "zh"),
        ("2001?", "zh", "zh"),
    ]:
        assert listener.understand(message, State(language=before)).language == language  # type: ignore[arg-type]


PIECES = ["no", "not", "horror", "不要", "恐怖", "the second", "like", "第", "more", "80s", "§", "《", "forget"]


@settings(max_examples=200)
@given(st.text(max_size=80) | st.lists(st.sampled_from(PIECES)).map(" ".join))
def test_any_message_is_read(listener: Listener, message: str) -> None:
    listener.understand(message, State(shown=("alien-1979",)))


@pytest.mark.parametrize("piece", ["ok ", "不要", "恐怖", "the second ", "alien or ", "more ", '"', "a", "1980 "])
def test_repetition_takes_no_time(listener: Listener, piece: str) -> None:
    listener.understand((piece * 2000)[:2000], State(shown=("alien-1979",)))
