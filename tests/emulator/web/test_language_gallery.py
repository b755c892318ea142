"""The language gallery: the email in every language, theme, and width."""

from playwright.sync_api import expect

from emulator.emulator import example
from emulator.web.language_gallery import in_theme, languages
from tests.emulator.browser_page import BrowserPage, WebHarness
from tests.emulator.client import request


def test_every_language_is_shown_in_both_themes(web_harness: WebHarness) -> None:
    page = request("GET", f"{web_harness.url}/runs/1/languages").data.decode()
    assert page.count("<figure>") == 2 * len(languages())
    assert len(languages()) >= 40


def test_language_theme_and_width_can_be_selected(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    expect(page.get_by_role("link", name="Language gallery")).to_have_attribute("href", "/runs/1/languages")
    browser_page.open("/runs/1/languages?language=sv&theme=light")  # rendering all languages takes the browser long
    page.get_by_label("Language").select_option("ar")
    page.get_by_label("Theme").select_option("dark")
    page.get_by_label("Width").select_option("both")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("figcaption")).to_have_text(["Arabic ar · dark · 360 px", "Arabic ar · dark · 600 px"])
    widths = page.evaluate("[...document.querySelectorAll('iframe')].map((frame) => frame.clientWidth)")
    assert widths == [360, 600]
    body = page.frame_locator("iframe >> nth=0").locator("body")
    expect(body).to_have_css("background-color", "rgb(20, 23, 26)")
    expect(page.frame_locator("iframe >> nth=0").locator("html")).to_have_attribute("dir", "rtl")


def test_it_sends_no_email_and_ignores_active_faults(browser_page: BrowserPage) -> None:
    emulator = browser_page.harness.emulator
    emulator.fault_toggles.turn_on("SendGrid", "unavailable", 1)
    page = browser_page.open("/runs/1/languages?language=sv&theme=light")
    expect(page.frame_locator("iframe").get_by_role("heading", name="Ditt lösenord har ändrats")).to_be_visible()
    assert len(emulator.sendgrid.inbox()) == 1
    assert [fault["name"] for fault in emulator.fault_toggles.pending()] == ["unavailable"]


def test_an_event_without_an_email_address_returns_an_error(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.run(example("no-email"))
    response = browser_page.page.request.get(f"{browser_page.harness.url}/api/runs/2/preview?language=sv")
    assert response.status == 502
    assert "skipped" in response.json()["error"]


def test_a_theme_overrides_the_browsers_preference() -> None:
    html = "@media (prefers-color-scheme: dark) { a } @media (prefers-color-scheme:light) { b }"
    assert in_theme(html, "dark") == "@media all { a } @media not all { b }"
    assert in_theme(html, "light") == "@media not all { a } @media all { b }"
