"""The switches, as a person who has never seen them uses them."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from emulator.cloud_run import faults as cloud_run_faults
from emulator.cloud_tasks import server as cloud_tasks
from emulator.emulator import example
from emulator.fault_toggles import WHAT
from emulator.runs.run import Run
from emulator.secret_manager import server as secret_manager
from emulator.sendgrid import faults as sendgrid_faults
from tests.emulator.browser_page import Site, Visitor


def test_a_new_user_breaks_sendgrid_sees_the_retries_repairs_it_and_gets_the_mail(visitor: Visitor) -> None:
    """With the keyboard alone, from the first view."""
    page = visitor.open("/")
    page.get_by_text("Break something").focus()
    page.keyboard.press("Enter")
    page.get_by_label("What breaks").select_option("SendGrid: unavailable")
    page.get_by_role("button", name="Break it").press("Enter")
    expect(page.get_by_role("region", name="Broken on purpose")).to_contain_text(
        "SendGrid: unavailable (every request)"
    )

    page.get_by_role("button", name="Replay").press("Enter")
    expect(page.get_by_role("log", name="Steps")).to_contain_text("on purpose: unavailable")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 2 failed")
    expect(page.locator(".what", has_text="signed POST to the function, attempt 2 → 503")).to_be_visible()
    expect(page.get_by_text("Nobody was told.")).to_be_visible()

    page.get_by_role("button", name="Repair everything and replay").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 3")
    expect(page.get_by_text("j+smith@example.com was told by mail")).to_be_visible()
    expect(page.get_by_role("region", name="Broken on purpose")).to_have_count(0)


def test_a_count_goes_down_with_each_request_and_ends(visitor: Visitor) -> None:
    page = visitor.open("/break")
    page.get_by_role("radio", name="the next 3").check()
    page.get_by_role("button", name="Break SendGrid: server error").press("Enter")
    banner = page.get_by_role("region", name="Broken on purpose")
    expect(banner).to_contain_text("server error (the next 3)")
    expect(page.get_by_text("on: 3 left")).to_be_visible()

    visitor.site.emulator.run(example())

    expect(banner).to_have_count(0)
    assert len(visitor.site.emulator.sendgrid.inbox()) == 2


def test_how_often_stays_chosen_from_one_switch_to_the_next(visitor: Visitor) -> None:
    page = visitor.open("/break")
    page.get_by_role("radio", name="every request").check()
    page.get_by_role("button", name="Break SendGrid: reset").press("Enter")
    page.get_by_role("button", name="Break Callout: bad signature").press("Enter")
    expect(page.get_by_text("on: every request")).to_have_count(2)
    waiting = visitor.site.emulator.switches.waiting()
    assert [(fault["name"], fault["count"]) for fault in waiting] == [("reset", None), ("bad signature", None)]


def test_a_switch_pressed_while_another_is_under_way_is_turned_on_after_it(visitor: Visitor) -> None:
    page = visitor.open("/break")

    def press_another(first: Route) -> None:
        page.get_by_role("button", name="Break SendGrid: server error").press("Enter")
        first.continue_()

    page.route("**/api/switches", press_another, times=1)
    page.get_by_role("button", name="Break SendGrid: reset").press("Enter")

    expect(page.get_by_text("on: 1 left")).to_have_count(2)
    waiting = visitor.site.emulator.switches.waiting()
    assert [(fault["name"], fault["count"]) for fault in waiting] == [("reset", 1), ("server error", 1)]


def test_a_replay_pressed_while_a_switch_is_under_way_begins_after_it(visitor: Visitor) -> None:
    page = visitor.open("/break")
    switches = visitor.site.emulator.switches
    on_at_replay: list[list[object]] = []

    def press_replay(switch: Route) -> None:
        replay = page.get_by_role("button", name="Replay the last run")
        replay.press("Enter")
        expect(replay).to_have_attribute("aria-busy", "true")
        switch.continue_()

    def begin(replay: Route) -> None:
        on_at_replay.append([fault["name"] for fault in switches.waiting()])
        replay.continue_()

    page.route("**/api/switches", press_replay, times=1)
    page.route("**/replay", begin)
    page.get_by_role("button", name="Break SendGrid: unverified sender").press("Enter")

    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 2 failed")
    assert on_at_replay == [["unverified sender"]]


def test_a_switch_held_down_while_the_page_is_renewed_is_turned_on_at_its_release(visitor: Visitor) -> None:
    page = visitor.open("/break")
    page.get_by_role("button", name="Break SendGrid: server error").hover()
    page.mouse.down()
    with page.expect_response("**/break") as renewal:
        page.get_by_role("button", name="Break SendGrid: reset").dispatch_event("click")
    renewal.value.finished()
    page.evaluate("async () => { await fetch('/api') }")  # what the renewal could do is done now
    page.mouse.up()

    expect(page.get_by_text("on: 1 left")).to_have_count(2)


def test_focus_stays_on_the_switch_that_was_pressed(visitor: Visitor) -> None:
    page = visitor.open("/break")
    switch = page.get_by_role("button", name="Break SendGrid: out of credits")
    switch.press("Enter")
    expect(page.get_by_text("on: 1 left")).to_be_visible()
    expect(switch).to_be_focused()


def test_enter_on_how_often_presses_no_switch(visitor: Visitor) -> None:
    page = visitor.open("/break")
    often = page.get_by_role("radio", name="the next 3")
    often.check()
    often.press("Enter")
    page.get_by_role("button", name="Break SendGrid: out of credits").press("Enter")

    expect(page.get_by_text("on: 3 left")).to_be_visible()
    assert [fault["name"] for fault in visitor.site.emulator.switches.waiting()] == ["out of credits"]


def test_one_button_repairs_everything(visitor: Visitor) -> None:
    switches = visitor.site.emulator.switches
    for part, name in (("SendGrid", "wrong key"), ("Secret Manager", "slow"), ("Callout", "bad signature")):
        switches.turn_on(part, name, None)
    page = visitor.open("/secrets")
    page.get_by_role("button", name="Repair everything").press("Enter")
    expect(page.get_by_role("region", name="Broken on purpose")).to_have_count(0)
    assert switches.waiting() == []


def test_every_fault_has_a_switch_with_words() -> None:
    assert set(WHAT["SendGrid"]) == set(sendgrid_faults.FAULTS)
    assert set(WHAT["Secret Manager"]) == set(secret_manager.FAULTS)
    assert set(WHAT["Cloud Tasks"]) == set(cloud_tasks.FAULTS)
    assert set(WHAT["Callout"]) == set(cloud_run_faults.TRICKS)
    assert set(WHAT["Function"]) == set(cloud_run_faults.FAULTS)


Outcome = Callable[[Run], bool]


def failed(*statuses: int) -> Outcome:
    return lambda run: run.execution.error is not None and [f["status"] for f in run.execution.fetches] == [*statuses]


def told(*statuses: int) -> Outcome:
    def check(run: Run) -> bool:
        sent = [fetch["status"] for fetch in run.execution.fetches]
        return run.execution.error is None and len(run.mails) == 1 and sent == [*statuses]

    return check


@pytest.mark.parametrize(
    ("part", "name", "outcome"),
    [
        ("SendGrid", "wrong key", failed(502)),  # the key read anew is the same
        ("SendGrid", "unverified sender", failed(502)),
        ("SendGrid", "too large", failed(502)),
        ("SendGrid", "out of credits", failed(502)),
        ("SendGrid", "server error", told(200)),
        ("SendGrid", "reset", told(200)),
        ("Secret Manager", "permission denied", told(503, 200)),
        ("Secret Manager", "not found", told(503, 200)),
        ("Secret Manager", "unavailable", told(200)),  # the value before serves on
        ("Callout", "bad signature", failed(401)),
        ("Callout", "stale signature", failed(401)),
        ("Callout", "same callout twice", told(200)),
        ("Callout", "signing key rotates", told(200)),
        ("Callout", "SendGrid key rotates", told(200)),
        ("Function", "answer lost", told(0, 200)),
        ("Function", "connection reset", told(0, 200)),
        ("Function", "bad gateway", told(502, 200)),
        ("Function", "login page", failed(200)),
    ],
)
def test_a_switch_breaks_one_request_and_the_run_says_so(site: Site, part: str, name: str, outcome: Outcome) -> None:
    site.emulator.switches.turn_on(part, name)
    run = site.emulator.run(example())
    assert outcome(run), (run.execution, run.mails)
    assert site.emulator.switches.waiting() == []


def test_a_repeated_callout_is_told_as_such(visitor: Visitor) -> None:
    visitor.site.emulator.switches.turn_on("Callout", "same callout twice")
    visitor.site.emulator.run(example())
    page = visitor.open("/")
    expect(page.locator(".what", has_text="the same again: POST / → 200")).to_be_visible()
    expect(page.locator(".purpose", has_text=re.compile("same callout twice"))).to_be_visible()
