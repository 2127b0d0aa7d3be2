from __future__ import annotations

import io

import polars as pl
import pytest
from rich.console import Console

from genre import console


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what is shown on a terminal of 100 columns."""
    text = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=text, force_terminal=True, width=100))
    return text


def test_bars_stand_inside_bars_and_pass_every_step_on(screen: io.StringIO) -> None:
    bars = console.Bars()
    seen = [(outer, inner) for outer in bars.track("ab", "fit", 2) for inner in bars.track([1, 2], "epochs", 2)]
    assert seen == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert "fit" in screen.getvalue()
    assert list(bars.track([3], "again", 1)) == [3], "a bar can follow a finished one"


def interrupt(bars: console.Bars) -> None:
    for _ in bars.track([1, 2], "fit", 2):
        raise KeyboardInterrupt


@pytest.mark.usefixtures("screen")
def test_an_interrupted_bar_leaves_the_next_one_free() -> None:
    bars = console.Bars()
    with pytest.raises(KeyboardInterrupt):
        interrupt(bars)
    assert list(bars.track([3], "again", 1)) == [3]


def test_without_a_terminal_one_line_says_what_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=text, force_terminal=False, width=100))
    assert list(console.Bars().track([1, 2], "fit and judge", 2)) == [1, 2]
    assert text.getvalue() == "fit and judge\n"


def test_without_a_terminal_inner_work_is_told_only_if_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=text, force_terminal=False, width=100))
    for inner_lines in (True, False):
        bars = console.Bars(inner_lines=inner_lines)
        assert [one for _ in bars.track("ab", "tune") for one in bars.track([1], "train")] == [1, 1]
    assert text.getvalue() == "tune\ntrain\ntrain\ntune\n"


@pytest.mark.usefixtures("screen")
def test_an_inner_bar_that_is_given_up_is_taken_away() -> None:
    bars = console.Bars()
    for _ in bars.track([1], "tune", 1):
        inner = bars.track([1, 2], "train", 2)
        next(inner)
        assert bars._bars is not None
        assert len(bars._bars.tasks) == 2
        inner.close()  # type: ignore[attr-defined]
        assert len(bars._bars.tasks) == 1


def test_long_chinese_cells_are_folded_and_not_cut(screen: io.StringIO) -> None:
    reason = "因为你喜欢《幽灵公主》：" * 10
    console.show(pl.DataFrame({"rank": [1], "reason": [reason]}))
    shown = screen.getvalue()
    assert "…" not in shown
    assert shown.count("公主") == 10 or sum(shown.count(sign) for sign in "公") == 10
