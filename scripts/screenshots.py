"""The pictures in docs/images, of the mail and of the emulator's page, by the system's Chromium: `make screenshots`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, sync_playwright

from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import Emulator, example
from emulator.web.app import create_app
from scripts.preview import ROOT, mail

FOLDER = ROOT / "docs" / "images"
# Nothing of the browser's own goes out to the network.
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
Theme = Literal["light", "dark"]


class EmailScreenshot(NamedTuple):
    name: str
    wish: str
    default: str
    theme: Theme
    width: int


MAILS = (
    EmailScreenshot("en-light", "en", "en", "light", 600),
    EmailScreenshot("en-dark-narrow", "en", "en", "dark", 320),
    EmailScreenshot("de-and-en", "de", "en", "light", 600),
    EmailScreenshot("ja-light", "ja", "ja", "light", 600),
    EmailScreenshot("ar-light", "ar", "ar", "light", 600),
)
# Name: address, theme.
VIEWS: dict[str, tuple[str, Theme]] = {
    "emulator-run-light": ("/runs/3", "light"),
    "emulator-failed-dark": ("/runs/2", "dark"),
    "emulator-sheet-light": ("/runs/3/sheet", "light"),
}


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        _take_mails(browser)
        _take_views(browser)
        browser.close()
    print(FOLDER)


def _take_mails(browser: Browser) -> None:
    for name, wish, default, theme, width in MAILS:
        page = browser.new_page(viewport={"width": width, "height": 400}, color_scheme=theme)
        page.set_content(mail(wish, default).html)
        page.screenshot(path=FOLDER / f"{name}.png", full_page=True)
        page.close()


def _take_views(browser: Browser) -> None:
    with _site() as url:
        for name, (path, theme) in VIEWS.items():
            page = browser.new_page(
                viewport={"width": 1280, "height": 820}, color_scheme=theme, reduced_motion="reduce"
            )
            page.goto(url + path)
            page.evaluate("() => new Promise(requestAnimationFrame)")  # the mails' frames have their height
            page.screenshot(path=FOLDER / f"{name}.png")
            page.close()


@contextmanager
def _site() -> Iterator[str]:
    """A page with a run of each kind: one that went well, one that failed, one that met trouble."""
    with Emulator() as emulator:
        emulator.run(example())
        emulator.fault_toggles.turn_on("SendGrid", "unverified sender")
        emulator.run(example("full"))
        emulator.fault_toggles.turn_on("SendGrid", "server error", 2)
        emulator.run(example("full"))
        with Server("page", create_app(emulator), Journal()) as server:
            yield server.url


if __name__ == "__main__":
    main()
