from __future__ import annotations

import polars as pl

from genre.conversation.catalogue import Catalogue, Label
from genre.conversation.phrases import folded
from genre.data.dataset import Entities, Roles, Vocabulary


def labels(catalogue: Catalogue, text: str) -> list[Label]:
    found = {(start, end): label for start, end, label in catalogue.labels.find(folded(text))}
    return [
        label
        for (start, end), label in sorted(found.items())
        if not any((a, b) != (start, end) and a <= start and end <= b for a, b in found)
    ]


def test_labels_have_words_in_both_languages(catalogue: Catalogue) -> None:
    for text in ("sci-fi", "science fiction", "SF", "科幻片"):
        assert labels(catalogue, text) == [Label("genres", ("Science Fiction",))]
    assert labels(catalogue, "Korean, 韩国") == [Label("country", ("South Korea",))] * 2
    assert labels(catalogue, "华语") == [Label("country", ("China", "Hong Kong", "Taiwan"))]
    assert labels(catalogue, "a rom-com") == [Label("genres", ("Romance", "Comedy"), every=True)]


def test_people_are_known_by_their_surname(catalogue: Catalogue) -> None:
    assert labels(catalogue, "kurosawa, 希区柯克") == [
        Label("director", ("Akira Kurosawa",)),
        Label("director", ("Alfred Hitchcock",)),
    ]
    assert labels(catalogue, "wise words, a hand") == [], "common words are no surnames"


def test_labels_are_said_in_chinese_where_they_are_known(catalogue: Catalogue) -> None:
    assert catalogue.say_label("genres", "Horror", "zh") == "恐怖"
    assert catalogue.say_label("genres", "Horror", "en") == "Horror"
    assert catalogue.say_label("director", "Jean Vigo", "zh") == "Jean Vigo"
    assert catalogue.say_column("year", "zh") == "年份"


def test_columns_with_one_label_an_item_are_told_from_others(catalogue: Catalogue) -> None:
    assert catalogue.single == {"country", "director"}
    assert {name: len(found) for name, found in catalogue.choices(60).items()} == {"genres": 17, "country": 28}


def test_numbers_are_known_by_the_names_of_their_columns() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "title": ["Alpha", "Beta"],
            "runtime": [90.0, 120.5],
            "pages": [1.0, 2.0],
            "directors": [["Ann Lee"], ["Bob Roe"]],
            "region": [["US"], ["us east"]],
        }
    )
    roles = Roles(text=("title",), category=("region", "directors"), number=("runtime", "pages"))
    catalogue = Catalogue(Entities(Vocabulary(frame["item_id"]), frame, roles))
    duration = catalogue.number("duration")
    assert duration is not None
    assert (duration.column, catalogue.number("year")) == ("runtime", None)
    assert (catalogue.is_whole("runtime"), catalogue.is_whole("pages")) == (False, True)
    assert [catalogue.say_column(name, "zh") for name in ("runtime", "pages", "directors")] == ["片长", "pages", "导演"]
    (label,) = labels(catalogue, "tell us")
    assert not catalogue.is_written(label, "us")
    assert catalogue.is_written(label, "US")
