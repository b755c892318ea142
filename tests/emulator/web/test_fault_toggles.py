"""Fault injection in the browser, and the effect of each fault on a run."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from emulator.emulator import example
from emulator.fault_toggles import FAULTS
from emulator.runs.run import Run
from tests.emulator.browser_page import BrowserPage, WebHarness


def test_a_user_injects_a_fault_sees_the_retries_clears_it_and_gets_the_email(browser_page: BrowserPage) -> None:
    """Use only the keyboard, starting on the first page."""
    page = browser_page.open("/")

    def respond_after_the_steps_are_shown(replay: Route) -> None:
        response = replay.fetch()
        expect(page.get_by_role("log", name="Steps")).to_contain_text("injected: unavailable")
        replay.fulfill(response=response)

    page.route("**/replay", respond_after_the_steps_are_shown, times=1)
    page.get_by_text("Inject a fault").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Fault to inject").select_option("SendGrid: unavailable")
    page.get_by_role("button", name="Inject", exact=True).press("Enter")
    expect(page.get_by_role("region", name="Active faults")).to_contain_text("SendGrid: unavailable every request")

    page.get_by_role("button", name="Replay").press("Enter")
    expect(page).to_have_url(re.compile("/runs/2$"))  # the previous page shows run 2 too, once it has ended
    expect(page.get_by_role("heading", level=1)).to_contain_text("No notice sent: SendGrid responded with status 503")
    expect(page.locator(".call", has_text="signed POST to the function, attempt 2 503")).to_be_visible()
    expect(page.locator(".call", has_text=re.compile(r"POST /v3/mail/send\s+503 . \d"))).to_have_count(2)

    page.get_by_role("button", name="Clear faults and replay").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Notice sent to j+smith@example.com")
    expect(page.locator("#outcome")).to_contain_text("Run 3")
    expect(page.get_by_role("region", name="Active faults")).to_have_count(0)


def toggle(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=name, exact=True)


def choose(page: Page, name: str, count: str) -> None:
    page.get_by_label(f"Apply {name} to").select_option(count)


def test_a_fault_ends_after_its_count_of_requests(browser_page: BrowserPage) -> None:
    page = browser_page.open("/faults")
    choose(page, "SendGrid: server error", "next 3 requests")
    choose(page, "SendGrid: reset", "every request")
    toggle(page, "SendGrid: server error").press("Enter")
    banner = page.get_by_role("region", name="Active faults")
    expect(banner).to_contain_text("SendGrid: server error next 3 requests")
    expect(toggle(page, "SendGrid: server error")).to_be_checked()

    browser_page.harness.emulator.run(example())

    expect(banner).to_have_count(0)
    expect(toggle(page, "SendGrid: server error")).not_to_be_checked()
    expect(page.get_by_label("Apply SendGrid: reset to")).to_have_value("")  # a choice that isn't used yet is kept
    assert len(browser_page.harness.emulator.sendgrid.inbox()) == 2


def test_a_fault_has_one_count_that_can_be_changed_and_is_cleared_alone(browser_page: BrowserPage) -> None:
    toggles = browser_page.harness.emulator.fault_toggles
    page = browser_page.open("/faults")
    toggle(page, "SendGrid: reset").press("Enter")
    toggle(page, "SendGrid: server error").press("Enter")
    banner = page.get_by_role("region", name="Active faults")
    expect(banner.get_by_role("listitem")).to_have_count(2)
    choose(page, "SendGrid: server error", "next 10 requests")
    expect(banner).to_contain_text("server error next 10 requests")
    banner.get_by_role("button", name="Clear SendGrid: reset").press("Enter")
    expect(banner.get_by_role("listitem")).to_have_count(1)
    assert toggles.pending() == [{"part": "SendGrid", "name": "server error", "count": 10}]
    toggle(page, "SendGrid: server error").press("Enter")
    expect(banner).to_have_count(0)


def test_concurrent_clicks_on_faults_are_applied_in_order(browser_page: BrowserPage) -> None:
    page = browser_page.open("/faults")

    def click_another(first: Route) -> None:
        toggle(page, "SendGrid: server error").press("Enter")
        first.continue_()

    page.route("**/api/switches", click_another, times=1)
    toggle(page, "SendGrid: reset").press("Enter")

    expect(page.locator("[role=switch][aria-checked=true]")).to_have_count(2)
    pending = browser_page.harness.emulator.fault_toggles.pending()
    assert [(fault["name"], fault["count"]) for fault in pending] == [("reset", 1), ("server error", 1)]


def test_faults_are_grouped_and_filtered(browser_page: BrowserPage) -> None:
    page = browser_page.open("/faults")
    groups = page.locator(".fault-group h2:visible")
    expect(groups.first).to_have_text("Rejected")
    page.keyboard.press("/")
    page.keyboard.type("signature")
    expect(page.get_by_role("switch")).to_have_count(2)
    expect(groups).to_have_text(["Rejected"])
    page.get_by_role("button", name="SendGrid", exact=True).press("Enter")
    expect(page.get_by_text("No faults match.")).to_be_visible()


def test_the_search_stays_when_a_fault_is_injected(browser_page: BrowserPage) -> None:
    page = browser_page.open("/faults")
    search = page.get_by_role("searchbox", name="Search faults")
    search.fill("signature")
    toggle(page, "Callout: bad signature").press("Enter")
    expect(toggle(page, "Callout: bad signature")).to_be_checked()
    expect(search).to_have_value("signature")
    expect(page.get_by_role("switch")).to_have_count(2)
    search.fill("stale")
    expect(page.get_by_role("switch")).to_have_count(1)


def test_a_replay_clicked_while_a_fault_is_being_injected_starts_after_it(browser_page: BrowserPage) -> None:
    page = browser_page.open("/faults")
    toggles = browser_page.harness.emulator.fault_toggles
    active_at_replay: list[list[object]] = []

    def click_replay(injection: Route) -> None:
        replay = page.get_by_role("button", name="Replay the last run")
        replay.press("Enter")
        expect(replay).to_have_attribute("aria-busy", "true")
        injection.continue_()

    def start(replay: Route) -> None:
        active_at_replay.append([fault["name"] for fault in toggles.pending()])
        replay.continue_()

    page.route("**/api/switches", click_replay, times=1)
    page.route("**/replay", start)
    toggle(page, "SendGrid: unverified sender").press("Enter")

    expect(page.locator("#outcome")).to_contain_text("Run 2 Failed")
    assert active_at_replay == [["unverified sender"]]


def test_a_button_held_down_during_a_page_refresh_still_gets_its_click(browser_page: BrowserPage) -> None:
    page = browser_page.open("/faults")
    toggle(page, "SendGrid: server error").hover()
    page.mouse.down()
    with page.expect_response("**/faults") as refresh:
        toggle(page, "SendGrid: reset").dispatch_event("click")
    refresh.value.finished()
    page.evaluate("async () => { await fetch('/api') }")  # by now, the refresh has done what it could
    page.mouse.up()

    expect(page.locator("[role=switch][aria-checked=true]")).to_have_count(2)


def test_focus_stays_on_the_clicked_toggle(browser_page: BrowserPage) -> None:
    page = browser_page.open("/faults")
    button = toggle(page, "SendGrid: out of credits")
    button.press("Enter")
    expect(button).to_be_checked()
    expect(button).to_be_focused()


def test_one_button_clears_all_faults(browser_page: BrowserPage) -> None:
    toggles = browser_page.harness.emulator.fault_toggles
    for part, name in (("SendGrid", "wrong key"), ("Secret Manager", "slow"), ("Callout", "bad signature")):
        toggles.turn_on(part, name, None)
    page = browser_page.open("/secrets")
    page.get_by_role("button", name="Clear all").press("Enter")
    expect(page.get_by_role("region", name="Active faults")).to_have_count(0)
    assert toggles.pending() == []


def test_every_fault_has_a_description() -> None:
    for part, faults in FAULTS.items():
        for name, fault in faults.items():
            assert (fault.name, bool(fault.summary)) == (name, True), part


Outcome = Callable[[Run], bool]


def failed(*statuses: int) -> Outcome:
    return lambda run: run.execution.error is not None and [f["status"] for f in run.execution.fetches] == [*statuses]


def emailed(*statuses: int) -> Outcome:
    def check(run: Run) -> bool:
        sent = [fetch["status"] for fetch in run.execution.fetches]
        return run.execution.error is None and len(run.emails) == 1 and sent == [*statuses]

    return check


@pytest.mark.parametrize(
    ("part", "name", "outcome"),
    [
        ("SendGrid", "wrong key", failed(502)),  # re-reading returns the same key
        ("SendGrid", "unverified sender", failed(502)),
        ("SendGrid", "too large", failed(502)),
        ("SendGrid", "out of credits", failed(502)),
        ("SendGrid", "server error", emailed(200)),
        ("SendGrid", "reset", emailed(200)),
        ("Secret Manager", "permission denied", emailed(503, 200)),
        ("Secret Manager", "not found", emailed(503, 200)),
        ("Secret Manager", "unavailable", emailed(200)),  # the cached value is still used
        ("Callout", "bad signature", failed(401)),
        ("Callout", "stale signature", failed(401)),
        ("Callout", "same callout twice", emailed(200)),
        ("Callout", "signing key rotates", emailed(200)),
        ("Callout", "SendGrid key rotates", emailed(200)),
        ("Function", "answer lost", emailed(0, 200)),
        ("Function", "connection reset", emailed(0, 200)),
        ("Function", "bad gateway", emailed(502, 200)),
        ("Function", "login page", failed(200)),
    ],
)
def test_a_fault_affects_one_request_with_this_outcome(
    web_harness: WebHarness, part: str, name: str, outcome: Outcome
) -> None:
    web_harness.emulator.fault_toggles.turn_on(part, name)
    run = web_harness.emulator.run(example())
    assert outcome(run), (run.execution, run.emails)
    assert web_harness.emulator.fault_toggles.pending() == []


def test_a_duplicate_callout_is_marked_in_the_timeline(browser_page: BrowserPage) -> None:
    browser_page.harness.emulator.fault_toggles.turn_on("Callout", "same callout twice")
    browser_page.harness.emulator.run(example())
    page = browser_page.open("/")
    expect(page.locator(".call", has_text="duplicate: POST / 200")).to_be_visible()
    expect(page.locator(".injected", has_text=re.compile("same callout twice"))).to_be_visible()
