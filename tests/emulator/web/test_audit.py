"""The Audit page: the real audit's result, its command line, and sending what was lost."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import expect

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.emulator import Emulator, example
from tests.emulator.browser_page import BrowserPage, WebHarness


def change_password(emulator: Emulator, address: str, *, is_lost: bool = False) -> None:
    if is_lost:
        emulator.fault_toggles.turn_on("Function", "login page")
    event = example()
    event["user"] = {**event["user"], "email": address, "user_id": f"auth0|{address[:3]}"}
    emulator.run(event)


def call(harness: WebHarness, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(harness.url + path, content, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_page_shows_what_is_missing_with_its_cause_and_sends_it(browser_page: BrowserPage) -> None:
    emulator = browser_page.harness.emulator
    change_password(emulator, "bob@example.com", is_lost=True)
    browser_page.open("/").get_by_role("navigation").get_by_role("link", name="Audit").click()
    page = browser_page.page
    expect(page.get_by_role("heading", name="1 of 2 notices needs attention")).to_be_visible()
    row = page.get_by_role("row", name="bob@example.com")
    expect(row).to_contain_text("missing")
    expect(row).to_contain_text("HTTP 200, but not from the function: check FUNCTION_URL")
    page.get_by_role("button", name="Send the notice to bob@example.com about the change at").click()
    expect(row).to_contain_text("delivered")
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    row.get_by_role("link", name="sent").click()
    expect(page).to_have_url(f"{browser_page.harness.url}/inbox/{emulator.sendgrid.inbox()[-1].id}")


@pytest.mark.parametrize("device", ["mouse", "keyboard"])
def test_a_rows_button_sends_only_its_own_notice(browser_page: BrowserPage, device: str) -> None:
    emulator = browser_page.harness.emulator
    for address in ("ann@example.com", "bob@example.com", "cat@example.com"):
        change_password(emulator, address, is_lost=True)
    page = browser_page.open("/audit")
    button = page.get_by_role("row", name="bob@example.com").get_by_role("button")
    if device == "mouse":
        button.click()
    else:
        page.get_by_role("link", name="Audit again").focus()
        while not button.evaluate("element => element === document.activeElement"):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="2 of 4 notices need attention")).to_be_visible()
    assert [email.to[0]["email"] for email in emulator.sendgrid.inbox()][1:] == ["bob@example.com"]
    if device == "keyboard":
        expect(page.get_by_role("main")).to_be_focused()
    page.get_by_role("button", name="Send all 2").press("Enter")
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    assert len(emulator.sendgrid.inbox()) == 4


def test_a_users_later_notice_is_sent_first_because_its_email_counts_for_the_later_change(
    browser_page: BrowserPage,
) -> None:
    emulator = browser_page.harness.emulator
    for _ in range(2):
        change_password(emulator, "bob@example.com", is_lost=True)
    page = browser_page.open("/audit")
    later, earlier = page.get_by_role("row", name="bob@example.com").all()
    expect(earlier).to_contain_text("send the later one first")
    later.get_by_role("button", name="Send the notice").click()
    expect(page.get_by_role("heading", name="1 of 3 notices needs attention")).to_be_visible()
    page.get_by_role("button", name="Send the notice").click()
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    assert len(emulator.sendgrid.inbox()) == 3


def test_a_notice_that_is_not_sent_either_says_why(browser_page: BrowserPage) -> None:
    emulator = browser_page.harness.emulator
    change_password(emulator, "bob@example.com", is_lost=True)
    page = browser_page.open("/audit")
    emulator.fault_toggles.turn_on("Function", "login page")
    page.get_by_role("button", name="Send the notice").click()
    expect(page.get_by_text("1 notice not sent: 200 from")).to_be_visible()
    page.get_by_role("button", name="Send the notice").click()
    expect(page.get_by_role("row", name="bob@example.com")).to_contain_text("delivered")
    browser_page.console_errors[:] = [error for error in browser_page.console_errors if "502" not in error]


@pytest.mark.parametrize("options", ["", " --send"])
def test_the_copied_command_runs_the_audit_and_sends(browser_page: BrowserPage, options: str) -> None:
    change_password(browser_page.harness.emulator, "bob@example.com", is_lost=True)
    page = browser_page.open("/audit")
    page.get_by_role("button", name="Copy Command line").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        ["bash", "-c", command + options],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "2 changes from" in done.stdout
    assert ": 1 delivered, 1 missing\n" in done.stdout
    assert ("; the function responded sent\n" in done.stdout) == bool(options)
    page.get_by_role("link", name="Audit again").click()
    expect(page.get_by_role("button", name="Send the notice")).to_have_count(0 if options else 1)


def test_the_page_shows_every_outcome_after_acceptance(browser_page: BrowserPage) -> None:
    emulator = browser_page.harness.emulator
    outcomes = (
        ("delivered late", "accepted"),
        ("deferred", "deferred"),
        ("bounced", "bounced"),
        ("dropped", "dropped"),
    )
    for number, (name, _) in enumerate(outcomes):
        emulator.fault_toggles.turn_on("Delivery", name)
        change_password(emulator, f"user{number}@example.com")
    page = browser_page.open("/audit")
    for number, (_, status) in enumerate(outcomes):
        expect(page.get_by_role("row", name=f"user{number}@example.com")).to_contain_text(status)
    expect(page.get_by_role("button", name="Send")).to_have_count(0)


def test_a_log_that_cannot_be_read_is_shown_instead_of_a_result(web_harness: WebHarness) -> None:
    web_harness.emulator.fault_toggles.turn_on("Auth0's log", "expired token", 2)
    with urllib.request.urlopen(f"{web_harness.url}/audit", timeout=60) as response:
        html = response.read().decode()
    assert "AUTH0_TOKEN: Auth0 responded 401 Expired token" in html
    assert "No password was changed" not in html
    status, error = call(web_harness, "GET", "/api/audit")
    assert (status, error["error"].partition(":")[0]) == (502, "audit")


def test_without_changes_the_page_says_so(web_harness: WebHarness) -> None:
    web_harness.emulator.reset()
    with urllib.request.urlopen(f"{web_harness.url}/audit", timeout=60) as response:
        assert "No password has been changed yet." in response.read().decode()


def test_the_api_returns_the_audits_json_and_sends(web_harness: WebHarness) -> None:
    change_password(web_harness.emulator, "bob@example.com", is_lost=True)
    status, found = call(web_harness, "GET", "/api/audit")
    assert (status, found["exit_status"], found["missing"], found["delivered"]) == (200, 1, 1, 1)
    _, sent = call(web_harness, "POST", "/api/audit/send")
    assert sent["rows"][-1]["reason"].endswith("the function responded sent")
    assert call(web_harness, "GET", "/api/audit")[1]["exit_status"] == 0


def test_the_api_sends_one_notice_by_its_log_id(web_harness: WebHarness) -> None:
    for address in ("bob@example.com", "cat@example.com"):
        change_password(web_harness.emulator, address, is_lost=True)
    _, found = call(web_harness, "GET", "/api/audit")
    [bob, _cat] = [row["log_id"] for row in found["rows"] if row["status"] == "missing"]
    _, sent = call(web_harness, "POST", "/api/audit/send", {"log_id": bob})
    assert [row["log_id"] for row in sent["rows"]] == [bob]
    assert call(web_harness, "GET", "/api/audit")[1]["missing"] == 1
    assert call(web_harness, "POST", "/api/audit/send", {"log_id": "none"})[0] == 502
