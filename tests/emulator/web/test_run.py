"""The page of a run, which is the first page."""

import json
import re
import subprocess
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from emulator.emulator import example
from tests.emulator.browser_page import BrowserPage

SENTENCE = "The password for your Username-Password-Authentication account j+smith@example.com was recently changed."
# By their level in the timeline.
ROWS = [["Event", "Callout", "Auth0", "Auth0 log"], ["Secret Manager", "Secret Manager", "SendGrid", "Function log"]]


def test_the_first_page_is_a_finished_run_with_its_email(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    expect(page).to_have_url(re.compile("/runs/1$"))
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^Notice sent to \S+ in [\d.]+ m?s$"))
    expect(page.locator("#outcome .badge.ok")).to_have_text("Sent")
    timeline = page.locator(".timeline")
    expect(timeline.locator("> ol > li > * > summary strong")).to_have_text(ROWS[0])
    expect(timeline.locator("ol ol > li > * > summary strong")).to_have_text(ROWS[1])
    expect(timeline.get_by_text("0 ms", exact=True)).to_have_count(0)
    expect(page.frame_locator("iframe").get_by_text(SENTENCE)).to_be_visible()


def test_the_first_page_works_without_scripts(browser_page: BrowserPage) -> None:
    context = browser_page.page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    page = context.new_page()
    page.goto(browser_page.harness.url)
    expect(page.get_by_role("region", name="Timeline").locator("strong").first).to_have_text("Event")
    expect(page.frame_locator("iframe").get_by_text(SENTENCE)).to_be_visible()
    context.close()


def test_a_page_is_hidden_until_its_scripts_have_started_so_no_click_is_lost(browser_page: BrowserPage) -> None:
    page = browser_page.page
    controls = page.locator("a, button, summary").filter(visible=True)
    seen_before: list[int] = []

    def count(script: Route) -> None:
        expect(page.locator("footer")).to_be_attached()
        seen_before.append(controls.count())
        script.continue_()

    page.route("**/static/post.js", count)
    browser_page.open("/runs/1")
    assert seen_before == [0]
    assert controls.count() > 10


def test_a_row_expands_by_keyboard_to_request_and_response(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    row = page.locator("summary", has_text="POST /v3/mail/send")
    row.focus()
    page.keyboard.press("Enter")
    request = page.get_by_role("group", name="request").filter(has_text="/v3/mail/send")
    expect(request).to_contain_text("Content-Type: application/json")
    expect(request).to_contain_text('"subject": "Your password was changed"')
    expect(page.get_by_role("group", name="response").filter(has_text="HTTP/1.1 202")).to_be_visible()
    expect(request.locator(".key", has_text="subject")).to_be_visible()
    page.locator("figure", has=request).get_by_role("button", name="Copy request").press("Enter")
    expect(page.locator("#toast")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == request.text_content()


def test_requests_and_responses_contain_no_unmasked_key(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    keys = browser_page.harness.emulator.auth0.secrets["CALLOUT_SIGNING_KEY"], "whsec_", "Bearer SG."
    content = page.content()
    assert keys[0] not in content
    assert not [part for part in content.split("Bearer SG.")[1:] if len(part.split("…")[0]) > 5]


def test_each_run_has_a_permanent_url(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.run(example("full"))
    page = browser_page.open("/runs/1")
    expect(page.locator("#outcome")).to_contain_text("Run 1")
    page.get_by_role("navigation", name="Runs").get_by_role("link", name="ada@example.com").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Notice sent to ada@example.com")


def test_a_run_can_be_replayed_by_keyboard(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    page.get_by_role("button", name="Replay").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/runs/2$"))  # the previous page shows run 2 too, once it has ended
    expect(page.locator("#outcome", has_text="Run 2")).to_be_visible()
    page.keyboard.press("r")
    expect(page.locator("#outcome")).to_contain_text("Run 3")
    assert len(browser_page.harness.emulator.sendgrid.inbox()) == 3


def test_an_email_sent_more_than_once_is_shown_once_with_its_count(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.fault_toggles.turn_on("SendGrid", "accepted, then reset", 2)
    browser_page.harness.emulator.run(example("full"))
    page = browser_page.open("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Notice sent 3 times to ada@example.com in")
    expect(page.get_by_role("heading", name="3 emails")).to_be_visible()
    expect(page.locator("iframe")).to_have_count(1)
    expect(page.locator(".call", has_text="POST /v3/mail/send")).to_contain_text(re.compile(r"202 . 3"))


def test_an_exception_is_shown_once_with_file_and_line(browser_page: BrowserPage) -> None:
    file = browser_page.harness.folder / "main.py"
    code = file.read_text("utf-8")
    line = code[: code.index("message = password_changed(")].count("\n") + 1
    file.write_text(code.replace("message = password_changed(", "{}['boom'], password_changed(", 1), "utf-8")
    try:
        browser_page.harness.emulator.run(example())
        page = browser_page.open("/")
        expect(page.get_by_role("heading", level=1)).to_have_text("No notice sent: KeyError: 'boom'")
        error = page.get_by_role("region", name="Error")
        expect(error.locator(".place")).to_have_text(f"main.py, line {line}")
        error.get_by_text("Stack").press("Enter")
        expect(error.get_by_role("group", name="Stack")).to_contain_text("Traceback (most recent call last)")
    finally:
        file.write_text(code, "utf-8")
        browser_page.harness.emulator.refresh()


@pytest.mark.parametrize("name", ['O\'Neil "$HOME" `id` \\n\n!', "søren+山田 👩‍💻"])
def test_the_copied_command_works_in_a_shell_with_any_event(browser_page: BrowserPage, name: str) -> None:
    event = example("full")
    event["connection"]["name"] = name
    browser_page.harness.emulator.run(event)
    page = browser_page.open("/")

    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("status")).to_contain_text("Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)

    assert json.loads(result.stdout)["status"] == "sent", result.stdout
    assert len(browser_page.harness.emulator.sendgrid.inbox()) == 3


def test_the_event_can_be_copied_as_json(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("status")).to_contain_text("Copied")
    copied: Any = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied == example()


def test_without_clipboard_access_the_text_is_shown(browser_page: BrowserPage) -> None:
    browser_page.page.add_init_script("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    page = browser_page.open("/")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_label("Text to copy")).to_have_value(re.compile("^curl -sS "))


def test_a_run_started_elsewhere_is_announced_with_a_link(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    browser_page.harness.emulator.run(example("full"))
    toast = page.get_by_role("status", include_hidden=True).filter(has_text="Run 2: Notice sent to ada@example.com")
    expect(toast).to_be_visible()
    toast.get_by_role("link", include_hidden=True).dispatch_event("click")  # the toast disappears after a while
    expect(page.locator("#outcome")).to_contain_text("Run 2")


def test_a_run_without_an_email_says_why(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.run(example("no-email"))
    page = browser_page.open("/")
    expect(page.get_by_role("heading", name="No notice sent: the user has no email address")).to_be_visible()
    expect(page.locator("#outcome .ok")).to_have_count(0)
    expect(page.get_by_text("This run sent no email.")).to_be_visible()


def test_before_the_first_run_the_page_links_to_the_test_panel(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.reset()
    page = browser_page.open("/")
    expect(page.get_by_role("link", name="Open the test panel")).to_be_visible()


def test_a_missing_run_shows_an_error_with_a_link_back(browser_page: BrowserPage) -> None:
    page = browser_page.open("/runs/99")
    expect(page.get_by_text("run 99 not found")).to_be_visible()
    page.get_by_role("link", name="Go to the latest run").click()
    expect(page.locator("#outcome")).to_contain_text("Run 1")
    browser_page.console_errors.clear()  # the browser counts a 404 as an error
