"""The Test page: examples, schema findings by line, and the result in Auth0's format."""

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

from emulator.emulator import example
from tests.emulator.browser_page import BrowserPage
from tests.emulator.client import post

BROKEN = """{
  "connection": {"id": "con_1", "nme": "customers", "strategy": "auth0"},
  "request": {"geoip": {}, "ip": 3, "method": "POST"},
  "secrets": {},
  "tenant": {"id": "acme"},
  "user": {"email": "ada@example.com"}
}"""


def editor(page: Page) -> "Editor":
    return Editor(page)


class Editor:
    def __init__(self, page: Page) -> None:
        self.area = page.get_by_label("Event, as JSON")
        self.findings = page.get_by_role("list", name="Schema findings").get_by_role("listitem")
        self.gutter = page.locator("#gutter span")
        self.result = page.locator("#result")


def test_the_examples_are_listed_auth0s_sample_first(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test")
    examples = page.get_by_role("navigation", name="Examples").get_by_role("link")
    names = ["auth0-default-sample", "browser", "full", "minimal", "no-email", "unusual-but-legal"]
    expect(examples).to_have_text(names)
    examples.get_by_text("no-email").click()
    expect(editor(page).area).to_contain_text("con_PhoneUsers01")


def test_the_developers_own_folder_adds_examples(browser_page: BrowserPage) -> None:
    file = browser_page.harness.events / "my-case.json"
    file.write_text('{"mine": true}', "utf-8")
    try:
        page = browser_page.open("/test")
        page.get_by_role("link", name="my-case yours").click()
        expect(editor(page).area).to_have_value('{"mine": true}')
    finally:
        file.unlink()


def test_schema_findings_show_their_lines_and_hints(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test")
    edit = editor(page)
    edit.area.fill(BROKEN)
    expect(edit.findings).to_have_text(
        [
            "line 2event.connection.name missing Did you misspell it as nme?",
            "line 2event.connection.nme not in Auth0's reference Did you mean name?",
            'line 3event.request.ip expected text, got a number Add quotes: "3".',
        ]
    )
    expect(edit.gutter).to_have_class(["", "error", "error", "", "", "", ""])


def test_the_findings_are_those_of_the_latest_text(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test?example=minimal")
    edit = editor(page)
    expect(edit.findings).to_have_count(0)

    def edit_again(first: Route) -> None:
        with page.expect_response("**/api/check"):
            edit.area.fill("{")
        first.continue_()

    page.route("**/api/check", edit_again, times=1)
    with page.expect_response(lambda response: response.request.post_data == BROKEN):
        edit.area.fill(BROKEN)
    expect(edit.findings).to_contain_text(["line 1"])
    expect(edit.findings).to_have_count(1)


def test_findings_are_shown_inline_at_their_line(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test")
    editor(page).area.fill(BROKEN)
    inline = page.locator(".inline-finding")
    expect(inline).to_have_text(["name missing", "nme not in Auth0's reference", "ip expected text, got a number"])
    line, finding = page.locator("#gutter span").nth(2).bounding_box(), inline.last.bounding_box()
    assert line is not None
    assert finding is not None
    assert line["y"] <= finding["y"] + finding["height"] / 2 <= line["y"] + line["height"]


def test_an_edited_event_survives_navigation_until_it_is_discarded(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test?example=minimal")
    original = editor(page).area.input_value()
    editor(page).area.fill(BROKEN)
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Secrets").click()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Test").click()
    expect(editor(page).area).to_have_value(BROKEN)
    expect(page).to_have_url(re.compile("example=minimal"))
    page.get_by_role("button", name="Discard changes").press("Enter")
    expect(editor(page).area).to_have_value(original)


def test_an_edited_event_survives_the_deletion_of_its_run(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test?run=1")
    editor(page).area.fill(BROKEN)
    post(browser_page.harness, "/api/runs/delete")
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Secrets").click()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Test").click()
    expect(editor(page).area).to_have_value(BROKEN)


def test_an_edited_event_is_saved_and_listed(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test")
    editor(page).area.fill('{"mine": true}')
    page.get_by_text("Save event").press("Enter")
    page.get_by_label("Name").fill("full")
    page.get_by_role("button", name="Save", exact=True).press("Enter")
    expect(page.get_by_role("status").filter(has_text="full is an included example")).to_be_visible()
    browser_page.console_errors.clear()  # the browser counts a 400 as an error
    page.get_by_label("Name").fill("my case")
    page.get_by_role("button", name="Save", exact=True).press("Enter")
    expect(page.get_by_role("link", name="my case yours")).to_have_attribute("aria-current", "true")
    expect(editor(page).area).to_have_value('{"mine": true}')
    file = browser_page.harness.events / "my case.json"
    assert file.read_text("utf-8") == '{"mine": true}'
    file.unlink()


@pytest.mark.parametrize("width", [1440, 700, 360])
def test_the_form_to_save_an_event_is_within_the_window(browser_page: BrowserPage, width: int) -> None:
    browser_page.page.set_viewport_size({"width": width, "height": 800})
    page = browser_page.open("/test?example=full")
    page.get_by_text("Save event").click()
    expect(page.locator("#save > div")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 640)])
def test_run_is_visible_without_scrolling(browser_page: BrowserPage, width: int, height: int) -> None:
    browser_page.page.set_viewport_size({"width": width, "height": height})
    page = browser_page.open("/test?example=full")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_in_viewport(ratio=1)


def test_a_finding_selects_its_line_by_keyboard(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test")
    edit = editor(page)
    edit.area.fill(BROKEN)
    edit.findings.filter(has_text="event.request.ip").get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(edit.area).to_be_focused()
    selected = edit.area.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert selected == BROKEN.splitlines()[2]


def test_invalid_json_is_reported_with_its_line(browser_page: BrowserPage) -> None:
    page = browser_page.open("/test")
    edit = editor(page)
    edit.area.fill('{\n  "user": {},\n}')
    expect(edit.findings).to_contain_text(["line 2"])
    page.get_by_role("button", name="Run", exact=True).click()
    expect(edit.result).to_contain_text("the event is not JSON")
    browser_page.console_errors.clear()  # the browser counts a 400 as an error


def test_an_event_can_be_edited_and_run_by_keyboard(browser_page: BrowserPage) -> None:
    event = example("full")
    event["user"]["email"] = "new@example.com"
    page = browser_page.open("/test")
    edit = editor(page)
    edit.area.focus()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(json.dumps(event, indent=2))
    page.keyboard.press("Control+Enter")
    expect(edit.result).to_contain_text("Notice sent to new@example.com")
    expect(edit.result.locator("th")).to_have_text(
        [
            *("total request", "total runtime execution", "runtime processing", "action"),
            *("runtime external call", "boot", "network"),
        ]
    )
    edit.result.get_by_role("link", name="Timeline of run 2").press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Run 2")


def test_a_run_is_not_announced_on_the_page_that_shows_its_result(browser_page: BrowserPage) -> None:
    page = browser_page.page
    held: list[Route] = []

    def hold(live: Route) -> None:
        held.append(live)

    page.route("**/api/live*", hold)
    browser_page.open("/test")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(editor(page).result).to_contain_text("Notice sent")
    held[0].continue_()
    expect(page.locator("#count")).to_contain_text("2")
    expect(page.locator("#toast")).to_be_empty()


def test_a_failure_shows_its_name_message_stack_and_line(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.fault_toggles.turn_on("Callout", "bad signature")
    page = browser_page.open("/test")
    page.get_by_role("button", name="Run", exact=True).click()
    result = editor(page).result
    expect(result).to_contain_text("action_error")
    expect(result).to_contain_text("No notice sent: invalid signature")
    result.get_by_text("API response").click()
    raw = json.loads(result.get_by_role("group", name="POST …/test").inner_text())
    assert set(raw["payload"]) == {"error", "stats"}
    assert set(raw["payload"]["error"]) >= {"name", "message", "stack"}


def test_the_console_marks_what_auth0_truncates_after_256_characters(browser_page: BrowserPage) -> None:
    code = browser_page.harness.action.read_text("utf-8")
    verbose_code = code.replace("const address = event.user.email;", "console.log('x'.repeat(300)); $&", 1)
    browser_page.harness.action.write_text(verbose_code.replace("$&", "const address = event.user.email;"), "utf-8")
    try:
        page = browser_page.open("/test")
        page.get_by_role("button", name="Run", exact=True).click()
        result = editor(page).result
        expect(result.locator("del")).to_have_text("x" * 44)
        expect(result).to_contain_text("Auth0 keeps the first 256 of these 300 characters")
    finally:
        browser_page.harness.action.write_text(code, "utf-8")


def test_a_runs_event_opens_in_the_editor(browser_page: BrowserPage) -> None:
    page = browser_page.open("/runs/1")
    page.get_by_role("link", name="Edit and run").click()
    assert json.loads(editor(page).area.input_value()) == example()
