"""Queue mode: what waits, when it is tried again, and what a person may do about it."""

import urllib3
from playwright.sync_api import expect

from emulator.emulator import example
from emulator.runs.steps import steps
from tests.emulator.browser_page import PATIENCE_MS, Site, Visitor

EMPTY = "The queue is empty."
ACTION = "on_execute_post_change_password"


def test_without_a_queue_the_view_says_so_and_no_link_leads_there(visitor: Visitor) -> None:
    page = visitor.open("/queue")
    expect(page.get_by_text("There is no queue")).to_be_visible()
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Queue")).to_have_count(0)


def test_the_run_goes_through_the_queue_to_the_mail(queue_visitor: Visitor) -> None:
    run = queue_visitor.site.emulator.runs[-1]
    who = [step.who for step in steps(run) if step.who != "Secret Manager"]
    assert [name for name in who if name.startswith(("Callout", "Deliver", "SendGrid", "Inbox"))] == [
        *("Callout", "Deliver", "SendGrid", "Inbox", "Deliver log")
    ]
    reads = [step.what.split(",")[0] for step in steps(run) if step.who == "Secret Manager"]
    assert reads == ["read callout-signing-key", "read callout-signing-key", "read sendgrid-api-key"]
    page = queue_visitor.open("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Run 1 success")
    expect(page.get_by_text("create a task in password-notice → 200")).to_be_visible()


def test_a_paused_queue_shows_its_task_until_it_goes_on(queue_visitor: Visitor) -> None:
    page = queue_visitor.open("/queue")
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.get_by_text("Nothing is sent.")).to_be_visible()
    queue_visitor.site.emulator.run(example("full"))
    expect(page.get_by_role("row", name=ACTION)).to_contain_text("waiting")
    page.get_by_role("button", name="Go on").press("Enter")
    expect(page.get_by_text(EMPTY)).to_be_visible()
    assert [mail.to[0]["email"] for mail in queue_visitor.site.emulator.sendgrid.inbox()][1:] == ["ada@example.com"]


def test_a_failed_task_shows_its_answer_and_its_next_retry_and_is_run_now(queue_visitor: Visitor) -> None:
    emulator = queue_visitor.site.emulator
    emulator.switches.turn_on("SendGrid", "unverified sender")
    page = queue_visitor.open("/queue")
    emulator.run(example())
    row = page.get_by_role("row", name=ACTION)
    expect(row).to_contain_text("HTTP status code 502")
    expect(row).to_contain_text("UTC")
    page.get_by_role("button", name="Run all now").press("Enter")
    expect(page.get_by_text(EMPTY)).to_be_visible()
    assert len(emulator.sendgrid.inbox()) == 2


def test_a_run_that_waits_says_so_and_its_mail_comes_by_itself_once_repaired(queue_visitor: Visitor) -> None:
    emulator = queue_visitor.site.emulator
    emulator.switches.turn_on("SendGrid", "unverified sender", None)
    emulator.run(example("full"))
    page = queue_visitor.open("/")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Run 2 in the queue")
    expect(page.get_by_text("No mail yet.")).to_be_visible()
    expect(page.get_by_text("again in 10 s")).to_be_visible()
    page.get_by_role("button", name="Repair everything and deliver now").press("Enter")
    expect(page.get_by_text("ada@example.com was told by mail")).to_be_visible()
    expect(heading).to_have_text("Run 2 success, with trouble")


def test_a_notice_that_the_queue_holds_back_is_not_called_lost_and_slides_in_later(queue_visitor: Visitor) -> None:
    queue_visitor.site.queue.paused = True
    page = queue_visitor.open("/admin")
    page.get_by_role("button", name="Set a new password").press("Enter")
    expect(page.get_by_role("status").filter(has_text="Password changed.")).to_be_visible()
    queue_visitor.site.queue.paused = False
    expect(page.get_by_role("heading", name="The notice has arrived")).to_be_visible()


def test_a_task_is_delivered_twice_on_request_and_the_user_is_mailed_once(queue_visitor: Visitor) -> None:
    emulator = queue_visitor.site.emulator
    page = queue_visitor.open("/queue")
    page.get_by_role("button", name="Deliver the next twice").press("Enter")
    expect(page.get_by_role("button", name="Deliver the next twice")).not_to_have_attribute("aria-busy", "true")
    emulator.run(example("full"))
    both = emulator.journal.wait(
        lambda _: len(emulator.journal.entries(kind="deliver.exchange")) == 3, timeout=PATIENCE_MS / 1000
    )
    assert both is not None
    assert len(emulator.sendgrid.inbox()) == 2


def test_a_reset_empties_the_queue_and_lets_it_go_on(queue_visitor: Visitor) -> None:
    emulator, queue = queue_visitor.site.emulator, queue_visitor.site.queue
    queue.paused = True
    emulator.run(example())
    emulator.reset()
    assert (queue.tasks(), queue.paused) == ([], False)
    assert emulator.run(example()).execution.status == "success"
    assert queue.wait_until_empty(PATIENCE_MS / 1000)
    assert len(emulator.sendgrid.inbox()) == 1


def test_the_sheet_is_made_through_the_queue_too(queue_visitor: Visitor) -> None:
    page = queue_visitor.open("/runs/1/sheet?language=sv&theme=light")
    expect(page.frame_locator("iframe").get_by_role("heading", name="Ditt lösenord har ändrats")).to_be_visible()


def test_while_the_queue_is_paused_the_sheet_says_so(queue_site: Site) -> None:
    queue_site.queue.paused = True
    answer = urllib3.request("GET", f"{queue_site.url}/api/runs/1/preview?language=da")
    assert answer.status == 502
    assert "The queue is paused" in answer.json()["error"]
