"""The inbox: every form of a mail, and nothing in a mail that can act."""

import email
import json
from email import policy
from typing import Any

import pytest
import urllib3
from playwright.sync_api import expect

from emulator.emulator import example
from tests.emulator.browser_page import Site, Visitor
from tests.emulator.emails import simple

HOSTILE = """<!doctype html><html lang="en" dir="ltr"><head><title>x</title></head><body><p>Hello</p>
<script>parent.document.title = "taken"</script><img src="x" alt="" onerror="parent.document.title = 'taken'">
<form action="/api/reset" method="post"><button>Send</button></form>
<a href="javascript:alert(1)">click</a></body></html>"""


def send(site: Site, html: str) -> int:
    """A mail by other ways than the function; its number."""
    sender = site.emulator.settings["SENDER_EMAIL"]
    content = [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": html}]
    mail: dict[str, Any] = {**simple(), "from": {"email": sender}, "content": content}
    key = site.emulator.sendgrid.new_key()
    headers = {"Authorization": f"Bearer {key}"}
    answer = urllib3.request("POST", f"{site.emulator.sendgrid.url}/v3/mail/send", json=mail, headers=headers)
    assert answer.status == 202, answer.data
    return site.emulator.sendgrid.inbox()[-1].id


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("Text", "Details of the request"),
        ("Source", "Content-Type: multipart/alternative"),
        ("Headers", "Auto-Submitted: auto-generated"),
        ("SendGrid JSON", '"personalizations"'),
        ("Checks", "Gmail cuts off what is larger"),
    ],
)
def test_a_mail_is_shown_in_every_form(visitor: Visitor, form: str, expected: str) -> None:
    page = visitor.open("/inbox")
    page.get_by_role("navigation", name="Forms of the mail").get_by_role("link", name=form).press("Enter")
    expect(page.get_by_role("main")).to_contain_text(expected)


def test_the_notice_passes_its_checks(visitor: Visitor) -> None:
    page = visitor.open("/inbox")
    page.get_by_role("link", name="Checks").click()
    expect(page.locator("tbody tr").first).to_contain_text("both parts")
    expect(page.locator("tbody .dot.fail")).to_have_count(0)


def test_a_mail_is_downloaded_as_a_file_that_mail_programs_open(visitor: Visitor) -> None:
    page = visitor.open("/inbox")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download .eml").click()
    assert download.value.suggested_filename.endswith(".eml")
    message = email.message_from_bytes(download.value.path().read_bytes(), policy=policy.default)
    assert message["Subject"] == "Your password was changed"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_a_mail_slides_into_the_list_when_it_arrives(visitor: Visitor) -> None:
    page = visitor.open("/inbox")
    visitor.site.emulator.run(example("full"))
    mails = page.get_by_role("navigation", name="Mails").get_by_role("link")
    expect(mails).to_have_count(2)
    expect(mails.first).to_contain_text("ada@example.com")
    expect(page.locator("#count")).to_contain_text("2")


def test_all_mails_are_deleted_and_the_runs_keep_theirs(visitor: Visitor) -> None:
    page = visitor.open("/inbox")
    page.get_by_role("button", name="Delete all").press("Enter")
    expect(page.get_by_text("No mail here.")).to_be_visible()
    visitor.open("/runs/1")
    expect(page.frame_locator("iframe").get_by_text("Details of the request")).to_be_visible()


def test_a_mails_html_never_runs_script(visitor: Visitor) -> None:
    number = send(visitor.site, HOSTILE)
    page = visitor.open(f"/inbox/{number}")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("Hello")).to_be_visible()
    frame.get_by_role("button", name="Send").click()
    assert page.title() == "Inbox · password-notice emulator"
    assert len(visitor.site.emulator.runs) == 1
    expect(page.get_by_role("link", name="javascript:")).to_have_count(0)
    said = " ".join(visitor.complaints)
    assert "script" in said
    assert "form" in said
    visitor.complaints.clear()  # that is the browser refusing


def test_a_mail_opened_by_itself_runs_no_script_either(visitor: Visitor) -> None:
    number = send(visitor.site, HOSTILE.replace("parent.document", "document"))
    page = visitor.open(f"/api/mails/{number}/html")
    expect(page.get_by_text("Hello")).to_be_visible()
    assert page.title() == "x"
    visitor.complaints.clear()


def test_the_checks_find_what_is_wrong(visitor: Visitor) -> None:
    number = send(visitor.site, HOSTILE)
    page = visitor.open(f"/inbox/{number}?show=checks")
    for name in ("nothing active", "links", "no remote content", "a heading", "no answer from a machine"):
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))
        expect(row.locator(".dot.fail")).to_have_count(1)


def test_the_api_gives_the_json_that_sendgrid_got(site: Site) -> None:
    number = site.emulator.sendgrid.inbox()[-1].id
    answer = urllib3.request("GET", f"{site.url}/api/mails/{number}")
    mail = json.loads(answer.data)
    assert mail["request"]["custom_args"] == {"webhook_id": site.emulator.runs[-1].callout_id}
    assert all(check["good"] for check in mail["checks"])
