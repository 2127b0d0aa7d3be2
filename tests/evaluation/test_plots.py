from __future__ import annotations

import math
import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.evaluation._labels import LINE, duration, shorten, width
from genre.evaluation.plots import LARGEST_ROW, Curve, Dot, Point, Row, curves, dots, heat, scatter, tone
from genre.metrics.statistics import Interval

NAN = math.nan


def texts(svg: str) -> dict[str, tuple[float, float]]:
    """Return where each text stands."""
    found = re.findall(r'<text [^>]*x="([-\d.]+)" y="([-\d.]+)"[^>]*>([^<]*)</text>', svg)
    return {text: (float(x), float(y)) for x, y, text in found}


def markers(svg: str, color: str) -> list[tuple[float, float]]:
    """Return where the dots of a colour stand."""
    found = re.findall(rf'<use href="#\w+" x="([-\d.]+)" y="([-\d.]+)" style="[^"]*stroke: {re.escape(color)}', svg)
    return [(float(x), float(y)) for x, y in found]


def strokes(svg: str, color: str) -> list[tuple[float, float]]:
    """Return from where to where the level lines of a colour go."""
    found = re.findall(rf'd="M ([\d.]+) ([\d.]+) L ([\d.]+) \2 "[^>]*stroke: {re.escape(color)}', svg)
    return [(float(left), float(right)) for left, _, right in found]


def test_a_dot_stands_at_its_mean_between_the_ends_of_its_interval() -> None:
    svg = dots(
        [
            Row("a", (Dot(Interval(0.2, 0.1, 0.4), tone(0)),)),
            Row("b", (Dot(Interval(0.4, 0.3, 0.5), tone(1)),)),
        ],
        axis="NDCG@10",
    )
    ((a, upper),), ((b, lower),) = markers(svg, "var(--tone-0)"), markers(svg, "var(--tone-1)")
    ((a_low, a_high),), ((b_low, _),) = strokes(svg, "var(--tone-0)"), strokes(svg, "var(--tone-1)")
    unit = (b - a) / 2
    assert lower - upper == LARGEST_ROW
    assert [a - a_low, a_high - a, b_low - a] == pytest.approx([unit, 2 * unit, unit], abs=0.05)
    assert texts(svg)["a"][1] == pytest.approx(upper, abs=6)


def test_an_unknown_mean_draws_nothing_and_unknown_bounds_no_line() -> None:
    rows = [
        Row("known", (Dot(Interval(0.2, NAN, NAN), tone(0)),), "note"),
        Row("unknown", (Dot(Interval(NAN, NAN, NAN), tone(1)),)),
    ]
    svg = dots(rows, axis="gini", reference=0.1)
    assert len(markers(svg, "var(--tone-0)")) == 1
    assert not strokes(svg, "var(--tone-0)")
    assert not markers(svg, "var(--tone-1)")
    assert {"known", "unknown", "note", "gini"} <= texts(svg).keys()


def test_a_hollow_dot_is_filled_with_paper() -> None:
    value = Interval(0.2, 0.1, 0.3)
    assert "fill: var(--paper)" in dots([Row("a", (Dot(value, tone(0), hollow=True),))], axis="x")
    assert "fill: var(--paper)" not in dots([Row("a", (Dot(value, tone(0)),))], axis="x")


def test_colours_are_variables_of_the_style_sheet_and_nothing_refers_outside() -> None:
    svg = scatter(
        [Point("a", 1, 2, tone(0)), Point("b", 2, 1, tone(99))], x_axis="x", y_axis="y", more_x_is_better=True
    )
    assert svg.startswith("<svg viewBox=")
    assert "var(--tone-0)" in svg
    assert "var(--tone-rest)" in svg
    assert not re.findall(r"#[0-9a-f]{6}\b(?![0-9a-f])", svg)
    assert not re.findall(r"https?:|<metadata|<style|font-family", svg)


def test_any_script_and_any_sign_is_written_as_it_is() -> None:
    svg = dots([Row("重庆森林 $x^2$ <b>&", (Dot(Interval(1, 0, 2), tone(0)),), "n = 3")], axis="分数")
    assert "重庆森林 $x^2$ &lt;b&gt;&amp;" in svg
    assert "分数" in svg


def test_labels_at_the_ends_of_lines_keep_their_order_and_do_not_overlap() -> None:
    ends = [0.5, 0.501, 0.502, 0.9, 0.1, 0.5]
    svg = curves([Curve(f"line{i}", [1, 2], [0, end], tone(i)) for i, end in enumerate(ends)], x_axis="x", y_axis="y")
    heights = [texts(svg)[f"line{i}"][1] for i in range(len(ends))]
    in_order = [heights[i] for i in np.argsort(ends, kind="stable")]
    assert -np.diff(in_order) == pytest.approx(np.clip(-np.diff(in_order), LINE - 0.02, None))


def test_a_logarithmic_axis_is_labelled_at_the_ticks() -> None:
    svg = curves([Curve("a", [5, 10, 20], [1, 2, 3], tone(0))], x_axis="k", y_axis="NDCG", x_ticks=[5, 10, 20])
    x = [texts(svg)[label][0] for label in ("5", "10", "20")]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.1)


def test_nothing_stands_at_the_left_edge_of_a_logarithmic_axis() -> None:
    lines = [Curve("a", [0, 1, 5, 25], [0.12, 0.2, 0.3, 0.38], tone(0)), Curve("b", [1, 25], [0.2, 0.3], tone(1))]
    svg = curves(lines, x_axis="users, %", y_axis="NDCG", x_ticks=[0, 1, 5, 25])
    x = [texts(svg)[label][0] for label in ("0", "1", "5", "25")]
    assert np.diff(x) == pytest.approx(np.full(3, x[1] - x[0]), abs=0.1)
    (mark,) = markers(svg, "var(--paper)")
    assert mark[0] == pytest.approx(x[0], abs=3)
    dotted = re.findall(r'<path d="M ([\d.]+) [\d.]+ L ([\d.]+) [\d.]+ "[^>]*stroke-dasharray[^>]*tone-0', svg)
    assert [float(end) for end in dotted[0]] == pytest.approx([mark[0], x[1]], abs=3)


def test_a_cell_is_the_darker_the_nearer_it_is_to_the_largest_of_its_column() -> None:
    svg = heat(["a", "b"], ["films", "news"], [[0.4, math.nan], [0.1, 0.02]], axis="NDCG@10")
    found = texts(svg)
    assert found["films"][0] == found["0.4000"][0] == found["0.1000"][0] != found["news"][0]
    assert found["0.4000"][1] == found["-"][1] < found["0.1000"][1]
    shades = [float(value) for value in re.findall(r"fill: var\(--tone-0\); opacity: ([.\d]+)", svg)]
    assert shades == pytest.approx([0.55, 0.05 + 0.5 / 4, 0.55], abs=0.01)


def test_larger_weights_make_larger_dots() -> None:
    svg = curves([Curve("a", [1, 2], [1, 2], tone(0), sizes=[1, 100])], x_axis="x", y_axis="y", diagonal=True)
    outlines = re.findall(r'd="([^"]* C [^"]*)"[^>]*fill: var\(--tone-0\)', svg)
    small, large = (np.ptp([float(x) for x in re.findall(r"[\d.]+", outline)[::2]]) for outline in outlines)
    assert large > 2 * small
    assert "stroke-dasharray" in svg


@pytest.mark.parametrize("times", [[0.0, 0.004], [2.6, 3.1], [0.02, 4000.0], [50.0, 50.0]])
def test_a_time_axis_is_labelled_in_words_a_person_uses(times: list[float]) -> None:
    points = [Point(f"model {i}", time, i, tone(i)) for i, time in enumerate(times)]
    labels = texts(scatter(points, x_axis="time to fit", y_axis="y", more_x_is_better=False, seconds=True))
    assert 1 <= sum(bool(re.fullmatch(r"[\d.]+ (ms|s|min|h)", label)) for label in labels) <= 6


def test_the_line_joins_the_points_that_no_other_beats_in_both_directions() -> None:
    points = [
        Point("slow and best", 100, 0.5, tone(0)),
        Point("fast and good", 1, 0.4, tone(1)),
        Point("slow and bad", 100, 0.1, tone(2)),
        Point("between, beaten", 10, 0.3, tone(3)),
    ]
    svg = scatter(points, x_axis="cost", y_axis="accuracy", more_x_is_better=False)
    (joined,) = re.findall(r'd="(M[^"]*)"[^>]*stroke: var\(--line\); stroke-width: 3', svg)
    corners = np.array([float(number) for number in re.findall(r"[\d.]+", joined)]).reshape(-1, 2)
    ends = [dot_of(svg, place) for place in (0, 1)]
    assert np.array(sorted(corners.tolist())) == pytest.approx(np.array(sorted(ends)), abs=0.02)


def dot_of(svg: str, place: int) -> tuple[float, float]:
    ((x, y),) = re.findall(rf'x="([-\d.]+)" y="([-\d.]+)" style="fill: var\(--tone-{place}\)', svg)
    return float(x), float(y)


def test_labels_of_points_stand_beside_them_and_not_on_each_other() -> None:
    rng = np.random.default_rng(0)
    places = rng.random((8, 2)) * [1, 0.2]
    points = [Point(f"model number {i}", x, y, tone(i)) for i, (x, y) in enumerate(places)]
    svg = scatter(points, x_axis="x", y_axis="y", more_x_is_better=True)
    found = re.findall(r'text-anchor: (\w+)[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>(model number \d)<', svg)
    assert len(found) == len(points)
    boxes = []
    for anchor, x, y, label in found:
        left = float(x) - width(label) * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        boxes.append((left, left + width(label), float(y)))
        point_x, point_y = dot_of(svg, int(label[-1]))
        assert abs(float(x) - point_x) < 15
        assert abs(float(y) - point_y) < 35
    for (left, right, y), (other_left, other_right, other_y) in combinations(boxes, 2):
        assert right <= other_left or other_right <= left or abs(y - other_y) >= LINE - 0.02


def test_the_same_plot_is_written_the_same_and_another_has_other_ids() -> None:
    def plot(label: str) -> str:
        return dots([Row(label, (Dot(Interval(1, 0, 2), tone(0)),))], axis="x")

    def ids(svg: str) -> set[str]:
        return set(re.findall(r' id="(\w+)"', svg))

    assert plot("a") == plot("a")
    assert ids(plot("a"))
    assert not ids(plot("a")) & ids(plot("b"))


@given(st.text(max_size=60), st.integers(2, 40))
def test_a_shortened_text_fits_in_one_line_and_a_short_one_stays(text: str, letters: int) -> None:
    short = shorten(text, letters)
    assert width(short) <= width("x" * letters) + 1e-9
    assert short.isprintable()
    assert shorten(short, letters) == short


def test_chinese_letters_count_twice() -> None:
    assert shorten("机器学习", 8) == "机器学习"
    assert shorten("机器学习入门", 8) == "机器学…"
    assert shorten("two\nlines\tof  text") == "two lines of text"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.08, "80 ms"), (1.0, "1 s"), (4.23, "4.2 s"), (59.0, "59 s"), (90.0, "1.5 min"), (7200.0, "2 h")],
)
def test_a_duration_is_said_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
