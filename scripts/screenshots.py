"""Take the screenshots in docs/images (the email, the emulator) with the system's Chromium: `make screenshots`."""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from playwright.sync_api import Browser, sync_playwright

from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import Emulator, example
from emulator.web.app import create_app
from scripts.preview import ROOT, compose_example

IMAGES = ROOT / "docs" / "images"
# Keep the browser from sending requests of its own.
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
Theme = Literal["light", "dark"]


class EmailScreenshot(NamedTuple):
    name: str
    language: str
    default_language: str
    theme: Theme
    width: int


EMAILS = (
    EmailScreenshot("en-light", "en", "en", "light", 600),
    EmailScreenshot("en-dark-narrow", "en", "en", "dark", 320),
    EmailScreenshot("de-and-en", "de", "en", "light", 600),
    EmailScreenshot("ja-light", "ja", "ja", "light", 600),
    EmailScreenshot("ar-light", "ar", "ar", "light", 600),
)
# The screenshot's name → the page's path, and the theme.
PAGES: dict[str, tuple[str, Theme]] = {
    "emulator-run-light": ("/runs/5", "light"),
    "emulator-failed-dark": ("/runs/3", "dark"),
    "emulator-languages-light": ("/runs/5/languages", "light"),
    "emulator-faults-light": ("/faults", "light"),
}


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        _take_email_screenshots(browser)
        _take_page_screenshots(browser)
        browser.close()
    print(IMAGES)


def _take_email_screenshots(browser: Browser) -> None:
    for name, language, default_language, theme, width in EMAILS:
        page = browser.new_page(viewport={"width": width, "height": 400}, color_scheme=theme)
        page.set_content(compose_example(language, default_language).html)
        page.screenshot(path=IMAGES / f"{name}.png", full_page=True)
        page.close()


def _take_page_screenshots(browser: Browser) -> None:
    with _emulator_pages() as (emulator, url):
        for name, (path, theme) in PAGES.items():
            if path == "/faults":  # active faults are on every page
                emulator.fault_toggles.turn_on("SendGrid", "unverified sender", 3)
            page = browser.new_page(
                viewport={"width": 1280, "height": 820}, color_scheme=theme, reduced_motion="reduce"
            )
            page.goto(url + path)
            page.evaluate("() => new Promise(requestAnimationFrame)")  # the emails' frames have their final height
            page.screenshot(path=IMAGES / f"{name}.png")
            page.close()


def _event(address: str) -> dict[str, Any]:
    event = example("full")
    event["user"]["email"] = address
    event["request"]["language"] = "en"
    return event


@contextmanager
def _emulator_pages() -> Iterator[tuple[Emulator, str]]:
    """Serve the pages of an emulator with varied runs, the last of which succeeded."""
    with Emulator() as emulator:
        emulator.run(_event("grace@example.com"))  # starts the forwarder's runtime
        emulator.fault_toggles.turn_on("SendGrid", "server error", 2)
        emulator.run(_event("bob@example.com"))
        emulator.fault_toggles.turn_on("SendGrid", "unverified sender")
        emulator.run(_event("carol@example.com"))
        emulator.run(example("no-email"))
        emulator.run(_event("ada@example.com"))
        with Server("page", create_app(emulator), Journal()) as server:
            yield emulator, server.url


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()  # rejects arguments
    main()
