"""The lists of runs and emails: live, searchable, filtered, paged, cleared, and usable by keyboard and on phones."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from emulator.emulator import example
from emulator.runs.summary import Summary, select
from tests.emulator.browser_page import BrowserPage, WebHarness


def event(address: str) -> dict[str, Any]:
    found = example("full")
    found["user"]["email"] = address
    return found


def run_all(harness: WebHarness, *addresses: str) -> None:
    for address in addresses:
        harness.emulator.run(event(address))


def items(page: Page) -> Locator:
    return page.locator(".list-items li strong")


def test_a_run_started_elsewhere_appears_in_the_list(browser_page: BrowserPage) -> None:
    page = browser_page.open("/")
    run_all(browser_page.harness, "ada@example.com")
    expect(items(page)).to_have_text(["ada@example.com", "j+smith@example.com"])
    expect(page).to_have_url(re.compile("/runs/1$"))


def test_a_run_that_starts_while_the_page_is_rendered_appears_in_the_list(
    browser_page: BrowserPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_and_run(*query: Any) -> list[Summary]:
        found = list(select(*query))
        monkeypatch.undo()
        run_all(browser_page.harness, "ada@example.com")
        return found

    monkeypatch.setattr("emulator.web.pages.select", list_and_run)
    page = browser_page.open("/runs/1")
    expect(items(page)).to_have_text(["ada@example.com", "j+smith@example.com"])


def test_runs_are_searched_and_filtered_and_the_search_survives_navigation(browser_page: BrowserPage) -> None:
    harness = browser_page.harness
    run_all(harness, "ada@example.com", "bob@example.com")
    harness.emulator.fault_toggles.turn_on("SendGrid", "unverified sender")
    run_all(harness, "ada@example.com")
    page = browser_page.open("/")
    page.keyboard.press("/")
    page.keyboard.type("ada")
    expect(items(page)).to_have_text(["ada@example.com", "ada@example.com"])
    page.get_by_label("Outcome").select_option("Failed")
    expect(items(page)).to_have_text(["ada@example.com"])
    expect(page.locator(".list-items .second").first).to_contain_text("Failed: SendGrid rejected the sender")
    items(page).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("No notice sent: SendGrid rejected the sender")
    expect(page.get_by_role("searchbox", name="Search runs")).to_have_value("ada")
    expect(items(page)).to_have_count(1)
    page.get_by_role("searchbox", name="Search runs").fill("nobody")
    expect(page.get_by_text("No runs match.")).to_be_visible()


def test_more_runs_are_loaded_on_demand_and_all_are_cleared(browser_page: BrowserPage) -> None:
    run_all(browser_page.harness, "ada@example.com", "bob@example.com", "carol@example.com")
    page = browser_page.open("/?limit=2")
    expect(items(page)).to_have_text(["carol@example.com", "bob@example.com"])
    page.get_by_role("link", name="Load more (2)").press("Enter")
    expect(items(page)).to_have_count(4)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Clear runs").press("Enter")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    assert browser_page.harness.emulator.runs == []
    assert len(browser_page.harness.emulator.sendgrid.inbox()) == 4
    # A live update may look for the deleted run before the next page is there.
    browser_page.console_errors[:] = [error for error in browser_page.console_errors if "404" not in error]


def test_j_and_k_select_the_next_and_the_previous_item(browser_page: BrowserPage) -> None:
    run_all(browser_page.harness, "ada@example.com")
    page = browser_page.open("/")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("/runs/1$"))
    expect(page.locator("#outcome")).to_be_visible()
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile("/runs/2$"))


def test_on_a_phone_the_list_is_a_drawer(browser_page: BrowserPage) -> None:
    run_all(browser_page.harness, "ada@example.com")
    page = browser_page.page
    page.set_viewport_size({"width": 360, "height": 740})
    browser_page.open("/")
    expect(items(page).first).to_be_hidden()
    page.get_by_role("button", name="Runs", exact=True).click()
    items(page).last.click()
    expect(page.locator("#outcome")).to_contain_text("Run 1")
    expect(items(page).first).to_be_hidden()


def test_the_inbox_is_searched_and_single_emails_are_deleted(browser_page: BrowserPage) -> None:
    run_all(browser_page.harness, "ada@example.com", "bob@example.com")
    page = browser_page.open("/inbox")
    page.get_by_role("searchbox", name="Search emails").fill("ada")
    expect(items(page)).to_have_count(1)
    expect(page.locator(".list-items .second")).to_have_text(re.compile("ada@example.com run 2"))
    items(page).click()
    expect(page.locator(".envelope")).to_contain_text("ada@example.com")
    page.get_by_role("button", name="Delete this email").press("Enter")
    expect(page.locator(".list-items .second")).to_have_count(2)
    assert [email.to[0]["email"] for email in browser_page.harness.emulator.sendgrid.inbox()][1:] == ["bob@example.com"]


def test_an_email_links_to_its_own_run(browser_page: BrowserPage) -> None:
    run_all(browser_page.harness, "ada@example.com", "bob@example.com")
    page = browser_page.open("/inbox")
    page.keyboard.press("j")
    page.get_by_role("link", name="Open run 2").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("ada@example.com")


def test_a_link_held_down_while_its_list_is_refreshed_still_gets_its_click(browser_page: BrowserPage) -> None:
    page = browser_page.open("/runs/1")
    items(page).hover()
    page.mouse.down()
    with page.expect_response("**/runs/1") as refresh:
        run_all(browser_page.harness, "ada@example.com")
    refresh.value.finished()
    page.evaluate("async () => { await fetch('/api') }")  # by now, the refresh has done what it could
    with page.expect_navigation():
        page.mouse.up()


@pytest.mark.parametrize("query", ["limit=none", "outcome=unknown"])
def test_an_unknown_filter_shows_the_run(browser_page: BrowserPage, query: str) -> None:
    page = browser_page.open(f"/?{query}")
    expect(page.locator("#outcome")).to_contain_text("Run 1")
