"""The Audit page: the real audit's result, its command line, and sending what was lost."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from typing import Any

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


def call(harness: WebHarness, method: str, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(harness.url + path, method=method), timeout=60) as response:
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
    page.get_by_role("button", name="Send the missing notice").click()
    expect(row).to_contain_text("delivered")
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    row.get_by_role("link", name="sent").click()
    expect(page).to_have_url(f"{browser_page.harness.url}/inbox/{emulator.sendgrid.inbox()[-1].id}")


def test_the_command_on_the_page_runs_the_audit(browser_page: BrowserPage) -> None:
    page = browser_page.open("/audit")
    command = page.get_by_role("group", name="Command line").text_content() or ""
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        ["bash", "-c", command], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 change from" in done.stdout
    assert ": 1 delivered\n" in done.stdout


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
    assert sent["rows"][-1]["reason"].endswith("sent now: sent")
    assert call(web_harness, "GET", "/api/audit")[1]["exit_status"] == 0
