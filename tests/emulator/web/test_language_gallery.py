"""The sheet: the mail in every language, theme and width."""

import urllib3
from playwright.sync_api import expect

from emulator.emulator import example
from emulator.web.language_gallery import in_theme, languages
from tests.emulator.browser_page import Site, Visitor


def test_every_language_has_its_cells_in_both_themes(site: Site) -> None:
    page = urllib3.request("GET", f"{site.url}/runs/1/sheet").data.decode()
    assert page.count("<figure>") == 2 * len(languages())
    assert len(languages()) >= 40


def test_one_language_is_chosen_in_a_theme_and_in_both_widths(visitor: Visitor) -> None:
    page = visitor.open("/")
    expect(page.get_by_role("link", name="In every language")).to_have_attribute("href", "/runs/1/sheet")
    visitor.open("/runs/1/sheet?language=sv&theme=light")  # all of them take a browser long to draw
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


def test_it_mails_nobody_and_meets_no_fault(visitor: Visitor) -> None:
    emulator = visitor.site.emulator
    emulator.switches.turn_on("SendGrid", "unavailable", 1)
    page = visitor.open("/runs/1/sheet?language=sv&theme=light")
    expect(page.frame_locator("iframe").get_by_role("heading", name="Ditt lösenord har ändrats")).to_be_visible()
    assert len(emulator.sendgrid.inbox()) == 1
    assert [fault["name"] for fault in emulator.switches.waiting()] == ["unavailable"]


def test_an_event_without_an_address_has_no_sheet_and_says_so(visitor: Visitor) -> None:
    visitor.site.emulator.run(example("no-email"))
    answer = visitor.page.request.get(f"{visitor.site.url}/api/runs/2/preview?language=sv")
    assert answer.status == 502
    assert "skipped" in answer.json()["error"]


def test_a_theme_is_shown_whatever_the_browser_prefers() -> None:
    html = "@media (prefers-color-scheme: dark) { a } @media (prefers-color-scheme:light) { b }"
    assert in_theme(html, "dark") == "@media all { a } @media not all { b }"
    assert in_theme(html, "light") == "@media not all { a } @media all { b }"
