"""The inbox: every view of an email, and no active content."""

import email
from email import policy
from typing import Any

import pytest
from playwright.sync_api import expect

from emulator.emulator import example
from tests.emulator.browser_page import BrowserPage, WebHarness
from tests.emulator.client import get, request
from tests.emulator.emails import simple

HOSTILE = """<!doctype html><html lang="en" dir="ltr"><head><title>x</title></head><body><p>Hello</p>
<script>parent.document.title = "hijacked"</script><img src="x" alt="" onerror="parent.document.title = 'hijacked'">
<form action="/api/reset" method="post"><button>Send</button></form>
<a href="javascript:alert(1)">click</a></body></html>"""


def send(harness: WebHarness, html: str) -> int:
    """Send an email without the function, and return its number."""
    sender = harness.emulator.settings["SENDER_EMAIL"]
    content = [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": html}]
    message: dict[str, Any] = {**simple(), "from": {"email": sender}, "content": content}
    key = harness.emulator.sendgrid.new_key()
    headers = {"Authorization": f"Bearer {key}"}
    response = request("POST", f"{harness.emulator.sendgrid.url}/v3/mail/send", json=message, headers=headers)
    assert response.status == 202, response.data
    return harness.emulator.sendgrid.inbox()[-1].id


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("Text", "Details of the change"),
        ("Source", "Content-Type: multipart/alternative"),
        ("Headers", "Auto-Submitted: auto-generated"),
        ("SendGrid JSON", '"personalizations"'),
        ("Checks", "Gmail clips emails larger"),
    ],
)
def test_an_email_is_shown_in_every_view(browser_page: BrowserPage, view: str, expected: str) -> None:
    page = browser_page.open("/inbox")
    page.get_by_role("navigation", name="Email views").get_by_role("link", name=view).press("Enter")
    expect(page.get_by_role("main")).to_contain_text(expected)


def test_the_notice_passes_its_checks(browser_page: BrowserPage) -> None:
    page = browser_page.open("/inbox")
    page.get_by_role("link", name="Checks").click()
    expect(page.locator("tbody tr").first).to_contain_text("both parts")
    expect(page.locator("tbody .dot.fail")).to_have_count(0)


def test_an_email_is_downloaded_as_a_file_for_email_clients(browser_page: BrowserPage) -> None:
    page = browser_page.open("/inbox")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download .eml").click()
    assert download.value.suggested_filename.endswith(".eml")
    message = email.message_from_bytes(download.value.path().read_bytes(), policy=policy.default)
    assert message["Subject"] == "Your password was changed"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_a_new_email_appears_in_the_list(browser_page: BrowserPage) -> None:
    page = browser_page.open("/inbox")
    browser_page.harness.emulator.run(example("full"))
    emails = page.get_by_role("navigation", name="Emails").get_by_role("link")
    expect(emails).to_have_count(2)
    expect(emails.first).to_contain_text("ada@example.com")
    expect(page.locator("#count")).to_contain_text("2")


def test_deleted_emails_stay_visible_in_their_runs(browser_page: BrowserPage) -> None:
    page = browser_page.open("/inbox")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete all").press("Enter")
    expect(page.get_by_text("No emails.").first).to_be_visible()
    browser_page.open("/runs/1")
    expect(page.frame_locator("iframe").get_by_text("Details of the change")).to_be_visible()


def test_an_emails_html_runs_no_script(browser_page: BrowserPage) -> None:
    number = send(browser_page.harness, HOSTILE)
    page = browser_page.open(f"/inbox/{number}")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("Hello")).to_be_visible()
    frame.get_by_role("button", name="Send").click()
    assert page.title() == "Inbox · password-notice emulator"
    assert len(browser_page.harness.emulator.runs) == 1
    expect(page.get_by_role("link", name="javascript:")).to_have_count(0)
    errors = " ".join(browser_page.console_errors)
    assert "script" in errors
    assert "form" in errors
    browser_page.console_errors.clear()  # the browser blocked them


def test_an_email_opened_in_its_own_tab_runs_no_script(browser_page: BrowserPage) -> None:
    number = send(browser_page.harness, HOSTILE.replace("parent.document", "document"))
    page = browser_page.open(f"/api/mails/{number}/html")
    expect(page.get_by_text("Hello")).to_be_visible()
    assert page.title() == "x"
    browser_page.console_errors.clear()


def test_the_checks_report_problems(browser_page: BrowserPage) -> None:
    number = send(browser_page.harness, HOSTILE)
    page = browser_page.open(f"/inbox/{number}?show=checks")
    for name in ("no active content", "links", "no remote content", "heading", "no automatic replies"):
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))
        expect(row.locator(".dot.fail")).to_have_count(1)


def test_the_api_returns_the_json_that_sendgrid_received(web_harness: WebHarness) -> None:
    number = web_harness.emulator.sendgrid.inbox()[-1].id
    message = get(web_harness, f"/api/mails/{number}")
    assert message["request"]["custom_args"] == {"webhook_id": web_harness.emulator.runs[-1].callout_id}
    assert all(check["good"] for check in message["checks"])
