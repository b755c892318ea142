"""Every view for everybody: axe-core finds nothing, the console is silent, and 360 pixels are enough."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
import urllib3
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PageTimeoutError

from emulator.emulator import example
from tests.emulator.browser_page import PATIENCE_MS, Site, Visitor, visiting
from tests.support.npm import npm_package

AXE = "4.14.1"
WIDTHS = (1440, 768, 360)
VIEWS = (
    "/",
    "/runs/1",
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


@dataclass
class Found:
    """In each view, by its address: what axe finds wrong, and the widths of the window that it does not fit."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    too_wide: dict[str, list[int]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def found(browser: Browser, running_queue_site: Site, axe: str) -> Found:
    """Every view once, with a bit of everything to show: a failed run, something broken, a queue with a task."""
    site, emulator = running_queue_site, running_queue_site.emulator
    emulator.reset()
    emulator.run(example())
    assert site.queue.wait_until_empty(PATIENCE_MS / 1000)
    urllib3.request("GET", f"{site.url}/api/runs/1/preview?language=ar")  # while the queue goes on
    site.queue.paused = True
    emulator.run(example("full"))
    emulator.switches.turn_on("Callout", "bad signature")
    emulator.run(example())
    emulator.switches.turn_on("SendGrid", "server error", 3)
    found = Found()
    with visiting(browser, site) as visitor:
        latest = emulator.sendgrid.inbox()[-1].id
        for view in VIEWS:
            path = view.replace("/inbox?", f"/inbox/{latest}?")
            found.wrong[view] = [*problems(visitor, path, axe, "light"), *problems(visitor, path, axe, "dark")]
            found.too_wide[view] = [width for width in WIDTHS if is_wide(visitor.page, width)]
        visitor.complaints[:] = [said for said in visitor.complaints if "404" not in said]
    return found


def problems(visitor: Visitor, path: str, axe: str, theme: Literal["light", "dark"]) -> list[str]:
    visitor.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page = visitor.open(path)  # anew for each theme: else axe reads some colours of the one before
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.evaluate(axe)
    return [f"{theme}: {problem}" for problem in page.evaluate(RUN_AXE)]


def is_wide(page: Page, width: int) -> bool:
    """Whether the page stays wider than the window, however long it is given to lay itself out anew."""
    page.set_viewport_size({"width": width, "height": 800})
    fits = "width => innerWidth === width && document.documentElement.scrollWidth <= width"
    try:
        page.wait_for_function(fits, arg=width, timeout=PATIENCE_MS)
    except PageTimeoutError:
        return True
    return False


def test_axe_finds_nothing_wrong_in_any_view_light_or_dark(found: Found) -> None:
    assert {view: wrong for view, wrong in found.wrong.items() if wrong} == {}


def test_no_view_is_wider_than_the_window(found: Found) -> None:
    assert {view: widths for view, widths in found.too_wide.items() if widths} == {}


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
