"""Secrets: rotation, versions, and that no value is ever shown unmasked."""

import re

from playwright.sync_api import Locator, Page, expect

from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, example
from tests.emulator.browser_page import BrowserPage, WebHarness
from tests.emulator.client import post

PATHS = (
    "/",
    "/runs/1",
    "/test",
    "/inbox",
    "/faults",
    "/secrets",
    "/login",
    "/api/runs/1",
    "/api/secrets",
    "/api/mails",
)


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def versions(card: Locator) -> Locator:
    return card.locator("tbody tr")


def test_after_the_sendgrid_key_is_rotated_the_next_email_is_sent(browser_page: BrowserPage) -> None:
    page = browser_page.open("/secrets")
    secret = card(page, "sendgrid-api-key")
    before = versions(secret).count()
    secret.get_by_role("button", name="Rotate").press("Enter")
    expect(versions(secret)).to_have_count(before + 1)
    assert browser_page.harness.emulator.run(example()).execution.status == "success"


def test_the_signing_key_is_rotated_on_both_sides_and_the_previous_key_removed(browser_page: BrowserPage) -> None:
    page = browser_page.open("/secrets")
    secret = card(page, "callout-signing-key")
    before = versions(secret).count()
    secret.get_by_role("button", name="Rotate", exact=True).click()
    expect(versions(secret)).to_have_count(before + 1)
    expect(versions(secret).first.locator("code")).to_have_text(re.compile(r"whsec_\S{4}…\nwhsec_\S{4}…"))
    secret.get_by_role("button", name="Remove previous key").click()
    expect(versions(secret).first.locator("code")).to_have_text(re.compile(r"^whsec_\S{4}…$"))
    assert browser_page.harness.emulator.run(example()).execution.status == "success"


def test_a_disabled_version_stops_the_notice_until_it_is_enabled(browser_page: BrowserPage) -> None:
    page = browser_page.open("/secrets")
    secret = card(page, "sendgrid-api-key")
    versions(secret).first.get_by_role("button", name="Disable").click()
    expect(versions(secret).first).to_contain_text("disabled")
    assert "secret_unavailable" in str(browser_page.harness.emulator.run(example()).execution.error)
    versions(secret).first.get_by_role("button", name="Enable").click()
    expect(versions(secret).first).to_contain_text("enabled")
    assert browser_page.harness.emulator.run(example()).execution.status == "success"


def test_an_added_value_is_not_shown(browser_page: BrowserPage) -> None:
    page = browser_page.open("/secrets")
    secret = card(page, "sendgrid-api-key")
    secret.get_by_label("New value").fill("a value unknown to SendGrid")
    secret.get_by_role("button", name="Add version").click()
    expect(versions(secret).first.locator("code")).to_have_text(re.compile("^(…\n?)+$"))
    assert "a value unknown" not in page.content()


def test_another_change_is_shown_and_a_value_being_typed_is_kept(browser_page: BrowserPage) -> None:
    page = browser_page.open("/secrets")
    secret = card(page, "callout-signing-key")
    before = versions(secret).count()
    value = secret.get_by_label("New value")
    value.fill("whsec_typed")
    post(browser_page.harness, "/api/secrets/callout-signing-key/rotate")
    expect(versions(secret)).to_have_count(before + 1)
    expect(value).to_have_value("whsec_typed")
    secret.get_by_role("button", name="Add version").press("Enter")
    expect(versions(secret)).to_have_count(before + 2)
    expect(value).to_have_value("")


def test_no_page_or_api_response_contains_an_unmasked_secret(browser_page: BrowserPage) -> None:
    emulator = browser_page.harness.emulator
    emulator.fault_toggles.turn_on("SendGrid", "wrong key")
    emulator.fault_toggles.turn_on("Callout", "signing key rotates")
    emulator.run(example())
    hidden = [
        word for value in values(browser_page.harness) for word in value.split() if word.startswith(("SG.", "whsec_"))
    ]
    assert len(hidden) > 3
    for path in PATHS:
        content = browser_page.page.request.get(browser_page.harness.url + path).text()
        assert [word for word in hidden if word in content or word.removeprefix("whsec_") in content] == []


def values(harness: WebHarness) -> list[str]:
    """Return every value of both secrets in Secret Manager."""
    secrets = [
        s for s in harness.emulator.secret_manager.secrets() if s.name.rpartition("/")[2] in SENDGRID_KEY + SIGNING_KEY
    ]
    return [(version.data or b"").decode() for secret in secrets for version in secret.versions]
