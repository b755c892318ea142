"""Accessibility of every page: no axe-core violations, no console errors, keyboard access, and no overflow."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PageTimeoutError

from emulator.emulator import example
from tests.emulator.browser_page import TIMEOUT_MS, BrowserPage, WebHarness, open_browser_page
from tests.emulator.client import request
from tests.support.npm import npm_package

AXE = "4.14.1"
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
WIDTHS = (1440, 768, 360)
AXE_WIDTHS = (1280, 360)
PATHS = (
    "/",
    "/runs/1",
    "/runs/99",
    "/runs/1/languages?language=ar",
    "/test",
    "/inbox",
    *(f"/inbox?show={view}" for view in ("text", "source", "headers", "json", "checks")),
    "/faults",
    "/audit",
    "/secrets",
    "/queue",
    "/login",
    "/forgot",
    "/reset?ticket=none",
    "/admin",
)
# The frames contain emails, which have their own tests.
RUN_AXE = """async () => (await axe.run(document, {iframes: false, resultTypes: ['violations']})).violations.map(
    rule => rule.id + ': ' + rule.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))"""


@pytest.fixture(scope="module")
def axe() -> str:
    return (npm_package("axe-core", AXE) / "axe-core" / "axe.min.js").read_text("utf-8")


@dataclass
class Findings:
    """axe's violations and the window widths at which each page overflows, by path."""

    violations: dict[str, list[str]] = field(default_factory=dict)
    overflowing_widths: dict[str, list[int]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def findings(browser: Browser, running_queue_web_harness: WebHarness, axe: str) -> Findings:
    """Check every page once, with a failed run, an active fault, and a task in the queue."""
    harness, emulator = running_queue_web_harness, running_queue_web_harness.emulator
    emulator.reset()
    emulator.run(example())
    assert harness.queue.wait_until_empty(TIMEOUT_MS / 1000)
    request("GET", f"{harness.url}/api/runs/1/preview?language=ar")  # fill the cache before the queue is paused
    harness.queue.paused = True
    emulator.run(example("full"))
    emulator.fault_toggles.turn_on("Callout", "bad signature")
    emulator.run(example())
    emulator.fault_toggles.turn_on("SendGrid", "server error", 3)
    findings = Findings()
    with open_browser_page(browser, harness) as browser_page:
        latest = emulator.sendgrid.inbox()[-1].id
        for path in PATHS:
            url_path = path.replace("/inbox?", f"/inbox/{latest}?")
            findings.violations[path] = [
                found
                for theme in THEMES
                for width in AXE_WIDTHS
                for found in violations(browser_page, url_path, axe, theme, width)
            ]
            findings.overflowing_widths[path] = [width for width in WIDTHS if overflows(browser_page.page, width)]
        browser_page.console_errors[:] = [error for error in browser_page.console_errors if "404" not in error]
    return findings


def violations(browser_page: BrowserPage, path: str, axe: str, theme: Theme, width: int) -> list[str]:
    browser_page.page.set_viewport_size({"width": width, "height": 800})
    browser_page.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page = browser_page.open(path)  # reload for each theme: otherwise axe reads some colors of the previous one
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.evaluate(axe)
    return [f"{theme}, {width} px: {violation}" for violation in page.evaluate(RUN_AXE)]


def overflows(page: Page, width: int) -> bool:
    """Return whether the page is still wider than the window after TIMEOUT_MS."""
    page.set_viewport_size({"width": width, "height": 800})
    fits = "width => innerWidth === width && document.documentElement.scrollWidth <= width"
    try:
        page.wait_for_function(fits, arg=width, timeout=TIMEOUT_MS)
    except PageTimeoutError:
        return True
    return False


def test_no_page_has_axe_violations_in_either_theme(findings: Findings) -> None:
    assert {path: found for path, found in findings.violations.items() if found} == {}


def test_no_page_overflows_the_window(findings: Findings) -> None:
    assert {path: widths for path, widths in findings.overflowing_widths.items() if widths} == {}


def test_the_test_result_and_the_received_notice_have_no_axe_violations(browser_page: BrowserPage, axe: str) -> None:
    browser_page.page.emulate_media(reduced_motion="reduce")
    page = browser_page.open("/test")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("heading", name="Timings")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    page.evaluate(axe)
    assert page.evaluate(RUN_AXE) == []

    page = browser_page.open("/admin")
    page.get_by_role("button", name="Set a new password").click()
    expect(page.get_by_role("heading", name="The notice has arrived")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)  # a busy form is faded until the request ends
    page.evaluate(axe)
    assert page.evaluate(RUN_AXE) == []


@pytest.mark.parametrize("theme", THEMES)
def test_the_drawer_the_help_and_an_expanded_request_have_no_axe_violations(
    browser_page: BrowserPage, axe: str, theme: Theme
) -> None:
    page = browser_page.page
    page.set_viewport_size({"width": 360, "height": 800})
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    browser_page.open("/")
    page.get_by_role("button", name="Runs", exact=True).press("Enter")
    expect(page.get_by_role("searchbox", name="Search runs")).to_be_visible()
    page.evaluate(axe)
    assert page.evaluate(RUN_AXE) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox", name="Search runs")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert page.evaluate(RUN_AXE) == []


def test_the_first_tab_stop_skips_to_the_content(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Replay")).to_be_focused()


def test_escape_closes_the_popover_and_restores_focus(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    opener = page.get_by_text("Inject a fault")
    opener.press("Enter")
    page.get_by_label("Fault to inject").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Fault to inject")).to_be_hidden()
    expect(opener).to_be_focused()


def test_reduced_motion_disables_transitions(browser: Browser, web_harness: WebHarness) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto(web_harness.url)
    assert page.evaluate("getComputedStyle(document.querySelector('.toast')).transitionDuration") == "0s"
    page.close()
