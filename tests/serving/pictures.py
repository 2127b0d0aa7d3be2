"""Makes the pictures of `docs/studio.md` again: python -m tests.serving.pictures RUN docs/images."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import httpx2

from genre.serving.service import Service
from genre.serving.settings import ServeConfig
from genre.serving.stores.models import Models
from tests.serving.browser import Serving, chromium, listening, opened

if TYPE_CHECKING:
    from playwright.sync_api import Page


def main(run: Path, directory: Path) -> None:
    """Make all of them over a run of the sample world."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        config = ServeConfig(database=f"sqlite:///{place}/service.db", deadline=20)
        with listening(Service(config, {"films": run})) as serving, chromium() as browser:
            for name, locale in (("studio", "en-GB"), ("studio-zh", "zh-CN")):
                with opened(browser, locale=locale, viewport={"width": 1280, "height": 960}) as (page, _):
                    somebody(page, serving)
                    page.screenshot(path=directory / f"{name}.png")
            with opened(browser, viewport={"width": 1280, "height": 820}) as (page, _):
                page.goto(serving.address)
                live(page, serving)
                page.screenshot(path=directory / "studio-live.png")
            with opened(browser, viewport={"width": 1280, "height": 960}) as (page, _):
                compared(page, serving, run)
                page.screenshot(path=directory / "studio-experiments.png", full_page=True)


def somebody(page: Page, serving: Serving) -> None:
    """Show a list, with a text about its second item."""
    page.goto(serving.address)
    page.locator("#list .why").first.wait_for()
    page.locator("#list .act-write").nth(1).click()
    page.locator("#text [data-done='1']").wait_for()
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement.blur()")
    page.wait_for_timeout(1000)


def live(page: Page, serving: Serving) -> None:
    """Show what goes on while clients ask, more of them now and then."""
    page.locator("#list .why").first.wait_for()
    page.get_by_role("tab", name="Live").last.click()
    end = Event()

    def ask() -> None:
        with httpx2.Client(base_url=f"http://localhost:{serving.port}", timeout=30) as client:
            number = 0
            while not end.is_set():
                number += 1
                answer = client.post("/v1/recommend", json={"user_id": f"viewer-{number % 400:04}", "n": 10}).json()
                item = answer["items"][0]["item_id"]
                event = {"event_id": f"e{number}", "user_id": f"guest-{number % 50}", "item_id": item, "value": 5}
                client.post("/v1/events", json={"events": [event]})
                time.sleep(0.02 + 0.08 * (number % 200 > 120))

    client = Thread(target=ask)
    client.start()
    page.wait_for_timeout(62_000)
    end.set()
    client.join()


def compared(page: Page, serving: Serving, run: Path) -> None:
    """Show an experiment with two versions that are the same, in which 400 people take the first item now and then."""
    Models(serving.service.database).add("films", "second", str(run))
    with httpx2.Client(base_url=f"http://localhost:{serving.port}", timeout=60) as client:
        arms = {"v1": 0.5, "second": 0.5}
        client.post("/v1/experiments", json={"name": "two of a kind", "arms": arms}).raise_for_status()
        for number in range(400):
            user = f"viewer-{number:04}"
            answer = client.post("/v1/recommend", json={"user_id": user, "n": 5}).json()
            context = {name: answer[name] for name in ("experiment", "arm")}
            common = {"user_id": user, "list_id": answer["list_id"]}
            events: list[dict[str, Any]] = [
                {"event_id": f"{user} {item['rank']}", "item_id": item["item_id"], "event": "impression", **common}
                | {"position": item["rank"] - 1, "context": context}
                for item in answer["items"]
            ]
            if number % 3 == 0:
                item_id = answer["items"][0]["item_id"]
                events.append({"event_id": f"{user} takes", "item_id": item_id, "value": 5, **common})
            client.post("/v1/events", json={"events": events}).raise_for_status()
    page.goto(serving.address)
    page.locator("#list .why").first.wait_for()
    page.get_by_role("tab", name="Experiments").last.click()
    page.locator("#outcomes svg").first.wait_for()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
