"""The emulator with its page, around a copy of the product that a test may edit; and the system's own Chromium."""

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
from scripts.screenshots import ARGUMENTS

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 20_000
# As a person's own says; HeadlessChrome counts as a program.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@dataclass(frozen=True)
class Site:
    """`folder` holds the product's copy, `events` a person's own examples."""

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
        return self.folder / "events"


@dataclass
class Visitor:
    """A page in the browser; `complaints` is what the browser's console said meanwhile."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.site.url + path)
        return self.page


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("product"), "direct") as site:
        yield site


@pytest.fixture(scope="session")
def running_queue_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("product"), "queue") as site:
        yield site


@contextmanager
def running(folder: Path, delivery: Delivery) -> Iterator[Site]:
    copy_product(folder)
    with (
        Emulator(delivery=delivery, source=folder / "main.py", action=folder / "auth0" / "action.js") as emulator,
        Server("page", create_app(emulator, folders=[folder / "events"]), Journal()) as server,
    ):
        yield Site(emulator, server.url, folder)


def copy_product(folder: Path) -> None:
    for name in ("runtime", "notice", "auth0"):
        shutil.copytree(
            PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
    for name in ("main.py", "settings.py"):
        shutil.copy(PROJECT_ROOT / name, folder / name)
    (folder / "events").mkdir(exist_ok=True)


@pytest.fixture
def site(running_site: Site) -> Site:
    """As a person finds it: one finished run, nothing broken."""
    running_site.emulator.reset()
    running_site.emulator.run(example())
    return running_site


@pytest.fixture
def queue_site(running_queue_site: Site) -> Site:
    """The same, where Cloud Tasks delivers."""
    running_queue_site.emulator.reset()
    running_queue_site.emulator.run(example())
    assert running_queue_site.queue.wait_until_empty(PATIENCE_MS / 1000)
    return running_queue_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with each module: a process can have one Playwright at a time, and other tests have their own."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: the page is tested in Debian's Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    with visiting(browser, site) as visitor:
        yield visitor


@pytest.fixture
def queue_visitor(browser: Browser, queue_site: Site) -> Iterator[Visitor]:
    with visiting(browser, queue_site) as visitor:
        yield visitor


@contextmanager
def visiting(browser: Browser, site: Site) -> Iterator[Visitor]:
    """Fails where the browser's console complains."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, user_agent=USER_AGENT)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    visitor = Visitor(context.new_page(), site)
    context.on("console", lambda message: _note(visitor, message.type, message.text))
    context.on("weberror", lambda error: visitor.complaints.append(str(error.error)))
    yield visitor
    context.close()
    assert visitor.complaints == []


def _note(visitor: Visitor, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        visitor.complaints.append(f"{kind}: {text}")
