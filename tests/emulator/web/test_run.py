"""The view of a run: what a person sees first."""

import json
import re
import subprocess
from typing import Any

import pytest
from playwright.sync_api import expect

from emulator.emulator import example
from tests.emulator.browser_page import Visitor

SENTENCE = "The password for your Username-Password-Authentication account j+smith@example.com was recently changed."
PARTS = ["Event", "Callout", "Secret Manager", "Secret Manager", "SendGrid", "Inbox", "Function log", "Auth0"]


def test_the_first_view_is_a_finished_run_with_its_mail_beside_it(visitor: Visitor) -> None:
    page = visitor.open("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("success")
    expect(page.locator(".who")).to_have_text([*PARTS, "Auth0 log"])
    expect(page.frame_locator("iframe").get_by_text(SENTENCE)).to_be_visible()


def test_nothing_in_the_first_view_needs_a_script(visitor: Visitor) -> None:
    context = visitor.page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    page = context.new_page()
    page.goto(visitor.site.url)
    expect(page.locator(".who").first).to_have_text("Event")
    expect(page.frame_locator("iframe").get_by_text(SENTENCE)).to_be_visible()
    context.close()


def test_a_row_opens_by_keyboard_to_the_exact_bytes(visitor: Visitor) -> None:
    page = visitor.open("/")
    row = page.locator("summary", has_text="POST /v3/mail/send")
    row.focus()
    page.keyboard.press("Enter")
    request = page.get_by_role("group", name="request").filter(has_text="/v3/mail/send")
    expect(request).to_contain_text("Content-Type: application/json")
    expect(request).to_contain_text('"subject": "Your password was changed"')
    expect(page.get_by_role("group", name="answer").filter(has_text="HTTP/1.1 202")).to_be_visible()


def test_no_key_stands_whole_in_the_bytes(visitor: Visitor) -> None:
    page = visitor.open("/")
    keys = visitor.site.emulator.auth0.secrets["CALLOUT_SIGNING_KEY"], "whsec_", "Bearer SG."
    content = page.content()
    assert keys[0] not in content
    assert not [part for part in content.split("Bearer SG.")[1:] if len(part.split("…")[0]) > 5]


def test_each_run_has_an_address_that_stays(visitor: Visitor) -> None:
    visitor.site.emulator.run(example("full"))
    page = visitor.open("/runs/1")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 1")
    page.get_by_role("link", name="Run 2").click()
    expect(page.get_by_text("ada@example.com was told by mail")).to_be_visible()


def test_a_run_is_replayed_by_keyboard(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.get_by_role("button", name="Replay").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 2")
    assert len(visitor.site.emulator.sendgrid.inbox()) == 2


@pytest.mark.parametrize("name", ['O\'Neil "$HOME" `id` \\n\n!', "søren+山田 👩‍💻"])
def test_the_copied_command_works_in_a_shell_with_any_event(visitor: Visitor, name: str) -> None:
    event = example("full")
    event["connection"]["name"] = name
    visitor.site.emulator.run(event)
    page = visitor.open("/")

    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("status")).to_contain_text("Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)

    assert json.loads(done.stdout)["status"] == "sent", done.stdout
    assert len(visitor.site.emulator.sendgrid.inbox()) == 3


def test_the_event_is_copied_as_json(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("status")).to_contain_text("Copied")
    copied: Any = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied == example()


def test_where_the_browser_gives_no_clipboard_the_text_is_shown(visitor: Visitor) -> None:
    visitor.page.add_init_script("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    page = visitor.open("/")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_label("Text to copy")).to_have_value(re.compile("^curl -sS "))


def test_a_run_that_others_start_is_told_with_a_link(visitor: Visitor) -> None:
    page = visitor.open("/")
    visitor.site.emulator.run(example("full"))
    told = page.get_by_role("status").filter(has_text="Run 2 ended.")
    expect(told).to_be_visible()
    told.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 2")


def test_a_run_without_a_mail_says_why(visitor: Visitor) -> None:
    visitor.site.emulator.run(example("no-email"))
    page = visitor.open("/")
    expect(page.get_by_text("Nobody was mailed: the user has no e-mail address.")).to_be_visible()
    expect(page.get_by_text("No mail came of this run.")).to_be_visible()


def test_before_the_first_run_it_says_how_to_begin(visitor: Visitor) -> None:
    visitor.site.emulator.reset()
    page = visitor.open("/")
    expect(page.get_by_role("link", name="Open the test panel")).to_be_visible()


def test_a_run_that_does_not_exist_is_told_with_a_way_back(visitor: Visitor) -> None:
    page = visitor.open("/runs/99")
    expect(page.get_by_text("no run 99")).to_be_visible()
    page.get_by_role("link", name="To the latest run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 1")
    visitor.complaints.clear()  # the browser counts a 404 as an error
