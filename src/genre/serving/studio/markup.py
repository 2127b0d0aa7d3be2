"""Parts of the page as HTML: whatever comes from data or from people is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from genre.features.text import Language
from genre.serving.studio.words import say

CLICKS: Final = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button) trigger("click", {what: button.dataset.do, item: button.dataset.item});
});
"""
"""Tells which button inside was pressed."""
_UP: Final = (
    "M7 11v9H4v-9h3Zm2 8.5V11l4-8c1.4 0 2.3 1 2.1 2.4L14.600 9H19a2 2 0 0 1 2 2.300l-1 6.500A2 2 0 0 1 18 19.500Z"
)
_DRAWN: Final = {
    "up": f'<path d="{_UP}"/>',
    "down": f'<path transform="rotate(180 12 12)" d="{_UP}"/>',
    "write": '<path d="M4 20v-4L15.500 4.500l4 4L8 20H4Zm9.500-13.500 4 4"/>',
    "add": '<path d="M12 5v14M5 12h14"/>',
    "remove": '<path d="M6 6l12 12M18 6 6 18"/>',
}
_ICONS: Final = {name: f'<svg viewBox="0 0 24 24" aria-hidden="true">{path}</svg>' for name, path in _DRAWN.items()}


def button(what: str, item_id: str, words: str) -> str:
    """Return a small button about an item."""
    said, item = escape(words, quote=True), escape(item_id, quote=True)
    return (
        f'<button type="button" class="act act-{what}" data-do="{what}" data-item="{item}" title="{said}" '
        f'aria-label="{said}">{_ICONS[what]}</button>'
    )


def hint(words: str) -> str:
    """Return a quiet line."""
    return f'<p class="hint">{escape(words)}</p>'


def ranked(rows: Sequence[dict[str, Any]], language: Language) -> str:
    """Return a list of what is recommended, with its buttons."""
    if not rows:
        return hint(say("nothing", language))
    acts = (("up", "thumb_up"), ("down", "thumb_down"), ("write", "write_about"))
    lines = []
    for row in rows:
        reason = f'<p class="why">{escape(row["reason"])}</p>' if row["reason"] else ""
        chance = "" if row["propensity"] is None else f" · p {row['propensity']:.2f}"
        source = escape(say(f"source_{row['source']}", language)) + chance
        buttons = "".join(button(what, row["item_id"], say(key, language)) for what, key in acts)
        lines.append(
            f'<li data-item="{escape(row["item_id"], quote=True)}"><span class="rank">{row["rank"]}</span>'
            f'<div class="what"><b>{escape(row["title"])}</b> <span class="chip">{source}</span>{reason}</div>'
            f'<div class="acts">{buttons}</div></li>'
        )
    return f'<ol class="ranked">{"".join(lines)}</ol>'


def past(rows: Iterable[tuple[str, str, bool]], language: Language, *, own: bool) -> str:
    """Return a history: id, title and whether it was liked, of each item; one's own can be changed."""
    lines = [
        f'<li><span class="{kind}" title="{say(kind, language)}">{_ICONS[icon]}</span><span>{escape(title)}</span>'
        f"{button('remove', item_id, say('remove', language)) if own else ''}</li>"
        for item_id, title, liked in rows
        for kind, icon in [("liked", "up") if liked else ("not_liked", "down")]
    ]
    return f'<ul class="past">{"".join(lines)}</ul>' if lines else hint(say("no_history", language))


def found(rows: Iterable[tuple[str, str]], language: Language, *, asked: bool) -> str:
    """Return what a search has found: id and title of each item."""
    lines = [
        f"<li><span>{escape(title)}</span>{button('add', item_id, say('add', language))}</li>"
        for item_id, title in rows
    ]
    if lines:
        return f'<ul class="found">{"".join(lines)}</ul>'
    return hint(say("found_none", language)) if asked else ""


def text(title: str, sentences: Sequence[str], language: Language, *, done: bool) -> str:
    """Return a text as far as it has come."""
    if done and not sentences:
        return hint(say("no_text", language))
    head = f'<p class="about">{escape(say("about", language))} <b>{escape(title)}</b></p>' if title else ""
    gap = "" if language == "zh" else " "
    body = escape(gap.join(sentences)).replace("\n", "<br>")
    cursor = "" if done else '<i class="cursor"></i>'
    return f'<div class="text" data-done="{int(done)}">{head}<p>{body}{cursor}</p></div>'


def talk(turns: Sequence[Any], language: Language, *, waits: bool = False) -> str:
    """Return a conversation: who speaks, `you` or `it`, what is said, and titles with reasons that go with it."""
    if not turns:
        return hint(say("chat_hint", language))
    lines = []
    for who, said, items in turns:
        rows = "".join(f"<li><b>{escape(title)}</b> {escape(reason or '')}</li>" for title, reason in items)
        listed = f"<ol>{rows}</ol>" if rows else ""
        lines.append(f'<div class="turn {who}">{escape(said).replace(chr(10), "<br>")}{listed}</div>')
    if waits:
        lines.append('<div class="turn it"><i class="dots"></i></div>')
    return f'<div class="talk" role="log">{"".join(lines)}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are HTML already."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def state(name: str, language: Language) -> str:
    """Return the state of a version or an experiment."""
    return f'<span class="chip state-{escape(name, quote=True)}">{escape(say(f"state_{name}", language))}</span>'


def date(seconds: float) -> str:
    """Return a time in minutes of UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def tiles(values: Sequence[tuple[str, str]]) -> str:
    """Return large numbers, each with what it is."""
    lines = [f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in values]
    return f'<div class="tiles">{"".join(lines)}</div>'


def line(values: Sequence[float]) -> str:
    """Return a curve through values, from 0 to the largest, without axes."""
    if len(values) < 2:
        return '<svg class="curve" viewBox="0 0 600 60"></svg>'
    most = max(*values, 1e-9)
    points = " ".join(
        f"{600 * place / (len(values) - 1):.1f},{56 - 52 * value / most:.1f}" for place, value in enumerate(values)
    )
    return (
        f'<svg class="curve" viewBox="0 0 600 60" preserveAspectRatio="none" role="img">'
        f'<polyline points="{points}"/></svg>'
    )


def shares(values: Sequence[tuple[str, float]], language: Language) -> str:
    """Return counts as bars of their share."""
    total = sum(value for _, value in values)
    if not total:
        return hint(say("nothing_yet", language))
    lines = [
        f'<div class="share"><span>{escape(name)}</span><span class="bar">'
        f'<i style="width: {100 * value / total:.1f}%"></i></span><span>{value:,.0f}</span></div>'
        for name, value in values
    ]
    return "".join(lines)
