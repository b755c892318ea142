"""Password changes in the browser: by a user, and by an administrator."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from emulator.auth0 import users
from emulator.runs.run import Run
from tests.emulator.browser_page import BrowserPage, WebHarness

PASSWORD = "correct horse battery"


def open_link(browser_page: BrowserPage) -> Page:
    """Request a reset, and return the page that the emailed link opens."""
    page = browser_page.open("/login")
    page.get_by_role("link", name="Forgot password?").press("Enter")
    expect(page).to_have_url(re.compile("/forgot$"))  # the previous page has this field too
    page.get_by_label("Email address").fill("grace@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Check your email")).to_be_visible()
    page.get_by_role("link", name="Open the inbox").press("Enter")
    expect(page.get_by_role("heading", name="Reset your password", level=1)).to_be_visible()
    with page.context.expect_page() as opened:
        page.frame_locator("iframe").get_by_role("link", name="Set a new password").press("Enter")
    return opened.value


def change_password(browser_page: BrowserPage) -> Page:
    page = open_link(browser_page)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("Confirm new password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Password Changed!")).to_be_visible()
    return page


def test_a_user_changes_the_password_by_keyboard_and_the_notice_appears(browser_page: BrowserPage) -> None:
    page = change_password(browser_page)
    notice = page.get_by_role("region", name="Received notice")
    expect(notice).to_contain_text("grace@example.com")
    email = notice.frame_locator("iframe")
    expect(email.get_by_text("Where: Stockholm, Sweden (approximate)")).to_be_visible()
    expect(email.get_by_text("Device: Chrome on Linux")).to_be_visible()


def test_mismatched_passwords_are_reported_and_can_be_corrected(browser_page: BrowserPage) -> None:
    page = open_link(browser_page)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("Confirm new password").fill(PASSWORD + "!")
    page.get_by_role("button", name="Reset password").click()
    expect(page.get_by_role("alert")).to_have_text("The passwords don't match.")
    page.get_by_label("Confirm new password").fill(PASSWORD)
    page.get_by_role("button", name="Reset password").click()
    expect(page.get_by_role("heading", name="Password Changed!")).to_be_visible()
    browser_page.console_errors.clear()  # the browser counts a 400 as an error


def test_a_link_works_once(browser_page: BrowserPage) -> None:
    page = change_password(browser_page)
    page.reload()
    expect(page.get_by_role("heading", name="This link is invalid")).to_be_visible()


def test_if_no_notice_arrives_the_page_links_to_the_run(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.fault_toggles.turn_on("SendGrid", "unverified sender", None)
    page = change_password(browser_page)
    page.get_by_role("link", name="View the run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("No notice sent")


def test_the_notice_of_an_administrators_change_omits_place_and_device(browser_page: BrowserPage) -> None:
    page = browser_page.open("/admin")
    page.get_by_label("email address").fill("grace@example.com")
    page.keyboard.press("Enter")
    notice = page.get_by_role("region", name="Received notice")
    expect(notice).to_contain_text("grace@example.com")
    facts = notice.frame_locator("iframe").get_by_role("list").first
    expect(facts).to_contain_text("When:")
    expect(facts).not_to_contain_text("Where:")
    expect(facts).not_to_contain_text("Device:")
    event = browser_page.harness.emulator.runs[-1].event
    assert event["request"]["user_agent"] == "python-requests/2.34.2"
    assert event["request"]["ip"] == "203.0.113.9"


def test_the_login_mock_says_that_it_is_one(browser_page: BrowserPage) -> None:
    page = browser_page.open("/login")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("status").filter(has_text="nothing to log in to")).to_be_visible()


def test_the_reset_email_ignores_active_faults_and_their_counts(browser_page: BrowserPage) -> None:
    emulator = browser_page.harness.emulator
    emulator.fault_toggles.turn_on("SendGrid", "unavailable", 2)
    page = open_link(browser_page)
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()
    assert emulator.fault_toggles.pending() == [{"part": "SendGrid", "name": "unavailable", "count": 2}]


def create_users(web_harness: WebHarness) -> users.Users[Run]:
    return users.Users(web_harness.emulator.run, web_harness.emulator.send_auth0_email)


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "@", "a@"])
def test_an_invalid_email_address_is_rejected(web_harness: WebHarness, email: str) -> None:
    with pytest.raises(users.ChangeRejected, match="Enter a valid email address"):
        create_users(web_harness).request_reset(email, web_harness.url)


def test_a_link_expires_after_five_days(web_harness: WebHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = create_users(web_harness)
    accounts.request_reset("grace@example.com", "http://127.0.0.1/reset")
    link = web_harness.emulator.sendgrid.inbox()[-1].text.partition("ticket=")[2].split()[0]
    assert accounts.ticket(link) is not None
    later = datetime.now(UTC) + timedelta(days=5, seconds=1)
    clock: Callable[[], float] = later.timestamp
    monkeypatch.setattr("emulator.auth0.users.time.time", clock)
    assert accounts.ticket(link) is None
