"""The pictures of the mail in docs/pictures, made from the real mail by the system's Chromium: `make pictures`."""

import shutil
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import sync_playwright

from scripts.preview import ROOT, mail

FOLDER = ROOT / "docs" / "pictures"
# Nothing of the browser's own goes out to the network.
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


class Picture(NamedTuple):
    name: str
    wish: str
    default: str
    theme: Literal["light", "dark"]
    width: int


PICTURES = (
    Picture("en-light", "en", "en", "light", 600),
    Picture("en-dark-narrow", "en", "en", "dark", 320),
    Picture("de-and-en", "de", "en", "light", 600),
    Picture("ja-light", "ja", "ja", "light", 600),
    Picture("ar-light", "ar", "ar", "light", 600),
)


def take(pictures: tuple[Picture, ...], folder: Path) -> None:
    """A PNG of each whole mail."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for picture in pictures:
            size = {"width": picture.width, "height": 400}
            page = browser.new_page(viewport=size, color_scheme=picture.theme)  # type: ignore[arg-type]
            page.set_content(mail(picture.wish, picture.default).html)
            page.screenshot(path=folder / f"{picture.name}.png", full_page=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    take(PICTURES, FOLDER)
    sys.stdout.write(f"{FOLDER}\n")
