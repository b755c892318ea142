"""Every view for everybody: axe-core finds nothing, the console is silent, and 360 pixels are enough."""

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Browser, Page, expect

from emulator.cloud_tasks import CloudTasks
from emulator.emulator import example
from tests.emulator.npm import npm_package
from tests.emulator.site import Site, Visitor

AXE = "4.14.1"
QUEUE = "projects/emulator/locations/europe-west1/queues/notices"
VIEWS = (
    "/",
    "/runs/1",
    "/runs/3",
    "/runs/99",
    "/runs/1/sheet?language=ar",
    "/test",
    "/inbox",
    *(f"/inbox?show={form}" for form in ("text", "source", "headers", "json", "checks")),
    "/break",
    "/secrets",
    "/queue",
    "/login",
    "/forgot",
    "/reset?ticket=none",
    "/admin",
)
# The frames hold mails, which have tests of their own.
RUN_AXE = """async () => (await axe.run(document, {iframes: false, resultTypes: ['violations']})).violations.map(
    rule => rule.id + ': ' + rule.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))"""


@pytest.fixture(scope="module")
def axe() -> str:
    return (npm_package("axe-core", AXE) / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture
def busy_site(site: Site) -> Iterator[Site]:
    """With a bit of everything to show: a failed run, something broken, a queue with a task."""
    site.emulator.run(example("full"))
    site.emulator.switches.turn_on("Callout", "bad signature")
    site.emulator.run(example())
    site.emulator.switches.turn_on("SendGrid", "server error", 3)
    with CloudTasks(site.emulator.journal) as queue:
        queue.paused = True
        queue.create_queue(QUEUE)
        task = {"name": f"{QUEUE}/tasks/{'a' * 64}", "httpRequest": {"url": site.url}}
        urllib3.request("POST", f"{queue.url}/v2/{QUEUE}/tasks", json={"task": task})
        site.emulator.cloud_tasks = queue
        yield site
        site.emulator.cloud_tasks = None


def path_of(site: Site, view: str) -> str:
    return view.replace("/inbox?", f"/inbox/{site.emulator.sendgrid.inbox()[-1].id}?")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_wrong_in_any_view(busy_site: Site, visitor: Visitor, axe: str, theme: Any) -> None:
    visitor.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    found: dict[str, list[str]] = {}
    for view in VIEWS:
        page = visitor.open(path_of(busy_site, view))
        for closed in page.locator("details").all():
            closed.evaluate("details => { details.open = true; }")
        page.evaluate(axe)
        found[view] = page.evaluate(RUN_AXE)
    assert {view: wrong for view, wrong in found.items() if wrong} == {}
    visitor.complaints[:] = [said for said in visitor.complaints if "404" not in said]


def test_the_result_of_the_test_panel_and_the_arrived_notice_are_as_accessible(visitor: Visitor, axe: str) -> None:
    visitor.page.emulate_media(reduced_motion="reduce")
    page = visitor.open("/test")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("heading", name="Durations")).to_be_visible()
    page.evaluate(axe)
    assert page.evaluate(RUN_AXE) == []

    page = visitor.open("/admin")
    page.get_by_role("button", name="Set a new password").click()
    expect(page.get_by_role("heading", name="The notice has arrived")).to_be_visible()
    page.evaluate(axe)
    assert page.evaluate(RUN_AXE) == []


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_view_is_wider_than_the_window(busy_site: Site, visitor: Visitor, width: int) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 800})
    wide = [view for view in VIEWS if is_wide(visitor.open(path_of(busy_site, view)), width)]
    assert wide == []
    visitor.complaints[:] = [said for said in visitor.complaints if "404" not in said]


def is_wide(page: Page, width: int) -> bool:
    for closed in page.locator("details").all():
        closed.evaluate("details => { details.open = true; }")
    return int(page.evaluate("document.documentElement.scrollWidth")) > width


def test_the_keyboard_reaches_the_content_first(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Run 1")).to_be_focused()


def test_escape_closes_the_pop_up_and_gives_the_focus_back(visitor: Visitor) -> None:
    page = visitor.open("/")
    opener = page.get_by_text("Break something")
    opener.press("Enter")
    page.get_by_label("What breaks").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_label("What breaks")).to_be_hidden()
    expect(opener).to_be_focused()


def test_nothing_moves_for_those_who_want_it_still(browser: Browser, site: Site) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto(site.url)
    assert page.evaluate("getComputedStyle(document.querySelector('.toast')).transitionDuration") == "1e-05s"
    page.close()
