"""Secrets: what a person may do with them, and that none is ever shown whole."""

import re

from playwright.sync_api import Locator, Page, expect

from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, example
from tests.emulator.browser_page import Site, Visitor

VIEWS = ("/", "/runs/1", "/test", "/inbox", "/break", "/secrets", "/login", "/api/runs/1", "/api/secrets", "/api/mails")


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def versions(card: Locator) -> Locator:
    return card.locator("tbody tr")


def test_the_sendgrid_key_is_rotated_and_the_next_mail_goes_out(visitor: Visitor) -> None:
    page = visitor.open("/secrets")
    secret = card(page, "sendgrid-api-key")
    before = versions(secret).count()
    secret.get_by_role("button", name="Rotate").press("Enter")
    expect(versions(secret)).to_have_count(before + 1)
    assert visitor.site.emulator.run(example()).execution.status == "success"


def test_the_signing_key_is_rotated_on_both_sides_and_the_one_before_retired(visitor: Visitor) -> None:
    page = visitor.open("/secrets")
    secret = card(page, "callout-signing-key")
    before = versions(secret).count()
    secret.get_by_role("button", name="Rotate on both sides").click()
    expect(versions(secret)).to_have_count(before + 1)
    expect(versions(secret).first.locator("code")).to_have_text(re.compile(r"whsec_\S{4}…\nwhsec_\S{4}…"))
    secret.get_by_role("button", name="Retire the key before").click()
    expect(versions(secret).first.locator("code")).to_have_text(re.compile(r"^whsec_\S{4}…$"))
    assert visitor.site.emulator.run(example()).execution.status == "success"


def test_a_disabled_version_stops_the_notice_until_it_is_enabled(visitor: Visitor) -> None:
    page = visitor.open("/secrets")
    secret = card(page, "sendgrid-api-key")
    versions(secret).first.get_by_role("button", name="Disable").click()
    expect(versions(secret).first).to_contain_text("disabled")
    assert "secret_unavailable" in str(visitor.site.emulator.run(example()).execution.error)
    versions(secret).first.get_by_role("button", name="Enable").click()
    expect(versions(secret).first).to_contain_text("enabled")
    assert visitor.site.emulator.run(example()).execution.status == "success"


def test_a_version_of_ones_own_is_added_without_being_shown(visitor: Visitor) -> None:
    page = visitor.open("/secrets")
    secret = card(page, "sendgrid-api-key")
    secret.get_by_label("New value").fill("nothing that SendGrid knows")
    secret.get_by_role("button", name="Add version").click()
    expect(versions(secret).first.locator("code")).to_have_text(re.compile("^(…\n?)+$"))
    assert "nothing that" not in page.content()


def test_no_secret_stands_whole_in_any_view_nor_in_the_api(visitor: Visitor) -> None:
    emulator = visitor.site.emulator
    emulator.switches.turn_on("SendGrid", "wrong key")
    emulator.switches.turn_on("Callout", "signing key rotates")
    emulator.run(example())
    hidden = [word for value in values(visitor.site) for word in value.split() if word.startswith(("SG.", "whsec_"))]
    assert len(hidden) > 3
    for view in VIEWS:
        content = visitor.page.request.get(visitor.site.url + view).text()
        assert [word for word in hidden if word in content or word.removeprefix("whsec_") in content] == []


def values(site: Site) -> list[str]:
    """Every value of both secrets, as Secret Manager has them."""
    secrets = [
        s for s in site.emulator.secret_manager.secrets() if s.name.rpartition("/")[2] in SENDGRID_KEY + SIGNING_KEY
    ]
    return [(version.data or b"").decode() for secret in secrets for version in secret.versions]
