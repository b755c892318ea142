"""A live change of a password: as a user does it, and as an administrator does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from emulator.auth0 import users
from tests.emulator.browser_page import Site, Visitor

PASSWORD = "correct horse battery"


def open_link(visitor: Visitor) -> Page:
    """As far as the page of the mailed link."""
    page = visitor.open("/login")
    page.get_by_role("link", name="Forgot password?").press("Enter")
    page.wait_for_url("**/forgot")  # until its scripts are there
    page.get_by_label("E-mail address").fill("grace@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Check your e-mail")).to_be_visible()
    page.get_by_role("link", name="Open the inbox").press("Enter")
    expect(page.get_by_role("heading", name="Reset your password", level=2)).to_be_visible()
    with page.context.expect_page() as opened:
        page.frame_locator("iframe").get_by_role("link", name="Set a new password").press("Enter")
    opened.value.wait_for_load_state()
    return opened.value


def change_password(visitor: Visitor) -> Page:
    page = open_link(visitor)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Password Changed!")).to_be_visible()
    return page


def test_a_user_changes_the_password_with_the_keyboard_and_the_notice_slides_in(visitor: Visitor) -> None:
    page = change_password(visitor)
    notice = page.get_by_role("region", name="The notice that arrived")
    expect(notice).to_contain_text("grace@example.com")
    mail = notice.frame_locator("iframe")
    expect(mail.get_by_text("Where: Stockholm, Sweden (approximate)")).to_be_visible()
    expect(mail.get_by_text("Device: Chrome on Linux")).to_be_visible()


def test_two_passwords_that_differ_are_told_and_may_be_mended(visitor: Visitor) -> None:
    page = open_link(visitor)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD + "!")
    page.get_by_role("button", name="Reset password").click()
    expect(page.get_by_role("alert")).to_have_text("The two passwords are not the same.")
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Reset password").click()
    expect(page.get_by_role("heading", name="Password Changed!")).to_be_visible()
    visitor.complaints.clear()  # the browser counts a 400 as an error


def test_a_link_works_once(visitor: Visitor) -> None:
    page = change_password(visitor)
    page.reload()
    expect(page.get_by_role("heading", name="This link does not work")).to_be_visible()


def test_where_no_notice_arrives_the_page_says_so_and_leads_to_the_run(visitor: Visitor) -> None:
    visitor.site.emulator.switches.turn_on("SendGrid", "unverified sender", None)
    page = change_password(visitor)
    page.get_by_role("link", name="See the run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("failed")


def test_an_administrators_change_tells_the_user_without_the_programs_place_and_device(visitor: Visitor) -> None:
    page = visitor.open("/admin")
    page.get_by_label("e-mail address").fill("grace@example.com")
    page.keyboard.press("Enter")
    notice = page.get_by_role("region", name="The notice that arrived")
    expect(notice).to_contain_text("grace@example.com")
    facts = notice.frame_locator("iframe").get_by_role("list").first
    expect(facts).to_contain_text("When:")
    expect(facts).not_to_contain_text("Where:")
    expect(facts).not_to_contain_text("Device:")
    event = visitor.site.emulator.runs[-1].event
    assert event["request"]["user_agent"] == "python-requests/2.34.2"
    assert event["request"]["ip"] == "203.0.113.9"


def test_the_stage_set_says_that_it_is_one(visitor: Visitor) -> None:
    page = visitor.open("/login")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("status").filter(has_text="nothing to log in to")).to_be_visible()


def test_the_reset_mail_arrives_whatever_is_broken_and_uses_no_count_up(visitor: Visitor) -> None:
    site: Site = visitor.site
    site.emulator.switches.turn_on("SendGrid", "unavailable", 2)
    page = open_link(visitor)
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()
    assert site.emulator.switches.waiting() == [{"part": "SendGrid", "name": "unavailable", "count": 2}]


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "@", "a@"])
def test_what_is_no_address_is_refused(site: Site, email: str) -> None:
    with pytest.raises(users.PasswordRejected, match="Enter an e-mail address"):
        users.Users(site.emulator).ask_for_reset(email, site.url)


def test_a_link_ends_after_five_days(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = users.Users(site.emulator)
    tenant.ask_for_reset("grace@example.com", "http://127.0.0.1/reset")
    link = site.emulator.sendgrid.inbox()[-1].text.partition("ticket=")[2].split()[0]
    assert tenant.ticket(link) is not None
    later = datetime.now(UTC) + timedelta(days=5, seconds=1)
    clock: Callable[[], float] = later.timestamp
    monkeypatch.setattr("emulator.auth0.users.time.time", clock)
    assert tenant.ticket(link) is None
