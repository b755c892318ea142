"""Pictures of the emulator's page for README.md and docs/emulator.md. Run by `make pictures`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from emulator.emulator import Emulator, example
from emulator.journal import Journal
from emulator.server import Server
from emulator.web import app

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
# Name: address, width, theme.
SHOWN = {
    "run-light": ("/runs/3", 1280, "light"),
    "failed-dark": ("/runs/2", 1280, "dark"),
    "sheet-light": ("/runs/3/sheet", 1280, "light"),
}


@contextmanager
def site() -> Iterator[str]:
    """A page with a run of each kind: one that went well, one that failed, one that met trouble."""
    with Emulator() as emulator:
        emulator.run(example())
        emulator.switches.turn_on("SendGrid", "unverified sender")
        emulator.run(example("full"))
        emulator.switches.turn_on("SendGrid", "server error", 2)
        emulator.run(example("full"))
        with Server("page", app(emulator), Journal()) as server:
            yield server.url


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with site() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for name, (path, width, theme) in SHOWN.items():
            page = _page(browser, width, theme)
            page.goto(url + path)
            page.evaluate("() => new Promise(requestAnimationFrame)")  # the mails' frames have their height
            page.screenshot(path=PICTURES / f"emulator-{name}.png")
            page.close()
        browser.close()


def _page(browser: Browser, width: int, theme: str) -> Page:
    scheme: Literal["dark", "light"] = "dark" if theme == "dark" else "light"
    return browser.new_page(viewport={"width": width, "height": 820}, color_scheme=scheme, reduced_motion="reduce")


if __name__ == "__main__":
    main()
