"""The connection to the emulator: its end is shown, and the page recovers when the emulator is started again."""

from playwright.sync_api import Browser, expect

from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import example
from emulator.web.app import create_app
from tests.emulator.browser_page import TIMEOUT_MS, WebHarness


def test_a_stopped_emulator_is_reported_and_the_page_recovers_after_a_restart(
    browser: Browser, web_harness: WebHarness
) -> None:
    emulator = web_harness.emulator
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    with Server("page", create_app(emulator, folders=[web_harness.events]), Journal()) as server:
        port = server.port
        page.goto(f"{server.url}/runs/1")
        expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#connection")).to_have_text("Emulator stopped")
    page.get_by_role("button", name="Replay").press("Enter")
    expect(page.get_by_role("status").filter(has_text="Start it with")).to_be_visible()

    original, emulator.instance = emulator.instance, "restarted"
    emulator.run(example("full"))
    try:
        with Server("page", create_app(emulator, folders=[web_harness.events]), Journal(), port=port):
            expect(page.locator("#connection")).to_have_text("Live")
            expect(page.locator(".list-items li")).to_have_count(2)
            page.close()
    finally:
        emulator.instance = original
