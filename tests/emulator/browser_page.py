"""Fixtures for tests of the emulator's pages: an emulator with an editable copy of the product, and a browser."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import Delivery, Emulator, example
from emulator.web.app import create_app
from scripts.screenshots import CHROMIUM_ARGUMENTS

CHROMIUM = Path("/usr/bin/chromium")
TIMEOUT_MS = 20_000
# A regular browser's: the function treats HeadlessChrome as a bot.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@dataclass(frozen=True)
class WebHarness:
    """A running emulator and its pages at `url`; `folder` contains the copy of the product."""

    emulator: Emulator
    url: str
    folder: Path

    @property
    def queue(self) -> FakeCloudTasks:
        assert self.emulator.cloud_tasks is not None
        return self.emulator.cloud_tasks

    @property
    def action(self) -> Path:
        return self.folder / "auth0" / "action.js"

    @property
    def events(self) -> Path:
        """The folder with the developer's own example events."""
        return self.folder / "events"


@dataclass
class BrowserPage:
    """A browser tab on the harness's pages; `console_errors` are the browser console's errors and warnings.

    A page is hidden until its scripts have started: what is visible works. Before pressing a key on a page that the
    test didn't open itself, expect something on it to be visible.
    """

    page: Page
    harness: WebHarness
    console_errors: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.harness.url + path)
        return self.page


@pytest.fixture(scope="session")
def running_web_harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHarness]:
    with run_harness(tmp_path_factory.mktemp("product"), "direct") as harness:
        yield harness


@pytest.fixture(scope="session")
def running_queue_web_harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHarness]:
    with run_harness(tmp_path_factory.mktemp("product"), "queue") as harness:
        yield harness


@contextmanager
def run_harness(folder: Path, delivery: Delivery) -> Iterator[WebHarness]:
    copy_product(folder)
    with (
        Emulator(delivery=delivery, source=folder / "main.py", action=folder / "auth0" / "action.js") as emulator,
        Server("page", create_app(emulator, folders=[folder / "events"]), Journal()) as server,
    ):
        yield WebHarness(emulator, server.url, folder)


def copy_product(folder: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("runtime", "notice", "auth0"):
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=ignore, dirs_exist_ok=True)
    for name in ("main.py", "settings.py"):
        shutil.copy(PROJECT_ROOT / name, folder / name)
    (folder / "events").mkdir(exist_ok=True)


@pytest.fixture
def web_harness(running_web_harness: WebHarness) -> WebHarness:
    """Reset the emulator to one finished run and no faults, as at `make run`."""
    running_web_harness.emulator.reset()
    running_web_harness.emulator.run(example())
    return running_web_harness


@pytest.fixture
def queue_web_harness(running_queue_web_harness: WebHarness) -> WebHarness:
    """Reset the emulator like `web_harness`, with delivery through Cloud Tasks."""
    running_queue_web_harness.emulator.reset()
    running_queue_web_harness.emulator.run(example())
    assert running_queue_web_harness.queue.wait_until_empty(TIMEOUT_MS / 1000)
    return running_queue_web_harness


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium for one module: a process can have only one Playwright, and other modules start their own."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: the pages are tested in Debian's Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def browser_page(browser: Browser, web_harness: WebHarness) -> Iterator[BrowserPage]:
    with open_browser_page(browser, web_harness) as browser_page:
        yield browser_page


@pytest.fixture
def queue_browser_page(browser: Browser, queue_web_harness: WebHarness) -> Iterator[BrowserPage]:
    with open_browser_page(browser, queue_web_harness) as browser_page:
        yield browser_page


@contextmanager
def open_browser_page(browser: Browser, harness: WebHarness) -> Iterator[BrowserPage]:
    """Open a tab, and fail at the end if the browser console has errors or warnings."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, user_agent=USER_AGENT)
    context.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=harness.url)
    browser_page = BrowserPage(context.new_page(), harness)
    context.on("console", lambda message: _record_error(browser_page, message.type, message.text))
    context.on("weberror", lambda error: browser_page.console_errors.append(str(error.error)))
    yield browser_page
    context.close()
    assert browser_page.console_errors == []


def _record_error(browser_page: BrowserPage, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        browser_page.console_errors.append(f"{kind}: {text}")
