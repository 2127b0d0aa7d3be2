"""What all tabs of the page share: the service, the scenario, the language, and what parts are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import gradio as gr

from genre.serving.schemas import Place
from genre.serving.service import Service
from genre.serving.studio.words import LANGUAGES, Labels, choices, say

PLACES: Final[Sequence[str]] = get_args(Place)
_TOLD: Final[dict[str, tuple[str, ...]]] = {
    "news": ("news", "article"),
    "video": ("film", "movie", "video", "series"),
    "music": ("music", "song"),
    "social": ("social", "post", "feed"),
    "courses": ("course", "lesson", "learn"),
}
QUIET: Final[dict[str, Any]] = {"show_progress": "hidden", "api_visibility": "private"}
"""Of handlers: no veil over what they change, and no endpoint of their own beside the service's."""


@dataclass(eq=False)
class Frame:
    """The head of the page."""

    service: Service
    labels: Labels = field(default_factory=Labels)
    scenario: gr.Dropdown = field(init=False)
    place: gr.Dropdown = field(init=False)
    language: gr.Radio = field(init=False)
    head: gr.HTML = field(init=False)

    def build(self) -> None:
        """Draw it."""
        names = sorted(self.service.scenarios)
        with gr.Row(elem_classes="head", equal_height=True):
            self.head = gr.HTML(head_of("en", leave=False), elem_classes="brand", min_width=260, scale=3)
            self.scenario = gr.Dropdown(names, value=names[0], interactive=True, min_width=140, elem_id="scenario")
            self.place = gr.Dropdown(
                choices("place", PLACES, "en"), value=PLACES[0], interactive=True, min_width=140, elem_id="place"
            )
            self.language = gr.Radio(
                LANGUAGES, value="en", show_label=False, container=False, min_width=150, elem_id="language"
            )
        self.labels.add(self.scenario, label="scenario")
        self.labels.add(self.place, label="place", choices=("place", PLACES))


def place_of(scenario: str) -> str:
    """Return where texts of a scenario are shown, as far as its name tells; people can choose another place."""
    small = scenario.casefold()
    return next((place for place, words in _TOLD.items() if any(word in small for word in words)), PLACES[0])


def head_of(language: Any, *, leave: bool) -> str:
    """Return the name of the page, and the way out where somebody had to come in."""
    out = f' <a class="leave" href="leave">{say("leave", language)}</a>' if leave else ""
    return f'<h1>Genre</h1><p class="hint">{say("subtitle", language)}{out}</p>'
