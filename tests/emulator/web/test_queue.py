"""Queue mode: waiting tasks, retries, and the queue's controls."""

from playwright.sync_api import expect

from emulator.emulator import example
from emulator.runs.steps import steps
from tests.emulator.browser_page import TIMEOUT_MS, BrowserPage, WebHarness
from tests.emulator.client import request

EMPTY = "The queue is empty."
ACTION = "on_execute_post_change_password"


def test_without_a_queue_the_page_says_so_and_is_not_linked(browser_page: BrowserPage) -> None:
    page = browser_page.open("/queue")
    expect(page.get_by_text("There is no queue")).to_be_visible()
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Queue")).to_have_count(0)


def test_a_run_delivers_the_email_through_the_queue(queue_browser_page: BrowserPage) -> None:
    run = queue_browser_page.harness.emulator.runs[-1]
    who = [step.who for step in steps(run) if step.who != "Secret Manager"]
    assert [name for name in who if name.startswith(("Callout", "Deliver", "SendGrid", "Inbox"))] == [
        *("Callout", "Deliver", "SendGrid", "Inbox", "Deliver log")
    ]
    reads = [step.what.split(",")[0] for step in steps(run) if step.who == "Secret Manager"]
    assert reads == ["read callout-signing-key", "read callout-signing-key", "read sendgrid-api-key"]
    page = queue_browser_page.open("/")
    expect(page.locator("#outcome .badge")).to_have_text("Sent")
    expect(page.locator(".call", has_text="create a task in password-notice 200")).to_be_visible()
    expect(page.locator("ol ol ol .call", has_text="POST /v3/mail/send")).to_be_visible()  # attempt, deliver


def test_a_paused_queue_shows_its_task_until_it_is_resumed(queue_browser_page: BrowserPage) -> None:
    page = queue_browser_page.open("/queue")
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.get_by_text("No tasks are delivered.")).to_be_visible()
    queue_browser_page.harness.emulator.run(example("full"))
    expect(page.get_by_role("row", name=ACTION)).to_contain_text("waiting")
    page.get_by_role("button", name="Resume").press("Enter")
    expect(page.get_by_text(EMPTY)).to_be_visible()
    assert [email.to[0]["email"] for email in queue_browser_page.harness.emulator.sendgrid.inbox()][1:] == [
        "ada@example.com"
    ]


def test_a_failed_task_shows_its_response_and_next_attempt_and_can_be_run_now(queue_browser_page: BrowserPage) -> None:
    emulator = queue_browser_page.harness.emulator
    emulator.fault_toggles.turn_on("SendGrid", "unverified sender")
    page = queue_browser_page.open("/queue")
    emulator.run(example())
    row = page.get_by_role("row", name=ACTION)
    expect(row).to_contain_text("HTTP status code 502")
    expect(row).to_contain_text("UTC")
    page.get_by_role("button", name="Run all now").press("Enter")
    expect(page.get_by_text(EMPTY)).to_be_visible()
    assert len(emulator.sendgrid.inbox()) == 2


def test_a_queued_run_shows_its_email_automatically_once_faults_are_cleared(queue_browser_page: BrowserPage) -> None:
    emulator = queue_browser_page.harness.emulator
    emulator.fault_toggles.turn_on("SendGrid", "unverified sender", None)
    emulator.run(example("full"))
    page = queue_browser_page.open("/")
    outcome = page.locator("#outcome")
    expect(outcome.locator(".badge")).to_have_text("Queued")
    expect(outcome).to_contain_text("No notice sent yet: attempt 1 failed")
    expect(page.get_by_text("No email yet.")).to_be_visible()
    expect(page.get_by_text("retry in 10 s")).to_be_visible()
    page.get_by_role("button", name="Clear faults and deliver now").press("Enter")
    expect(outcome).to_contain_text("Notice sent to ada@example.com")
    expect(outcome.locator(".badge")).to_have_text("Sent after retries")


def test_a_notice_held_by_the_paused_queue_is_not_reported_missing_and_appears_later(
    queue_browser_page: BrowserPage,
) -> None:
    queue_browser_page.harness.queue.paused = True
    page = queue_browser_page.open("/admin")
    page.get_by_role("button", name="Set a new password").press("Enter")
    expect(page.get_by_role("status").filter(has_text="Password changed.")).to_be_visible()
    queue_browser_page.harness.queue.paused = False
    expect(page.get_by_role("heading", name="The notice has arrived")).to_be_visible()


def test_a_task_delivered_twice_sends_one_email(queue_browser_page: BrowserPage) -> None:
    emulator = queue_browser_page.harness.emulator
    page = queue_browser_page.open("/queue")
    page.get_by_role("button", name="Duplicate next delivery").press("Enter")
    expect(page.get_by_role("button", name="Duplicate next delivery")).not_to_have_attribute("aria-busy", "true")
    emulator.run(example("full"))
    second = emulator.journal.wait(
        lambda _: len(emulator.journal.entries(kind="deliver.exchange")) == 3, timeout=TIMEOUT_MS / 1000
    )
    assert second is not None
    assert len(emulator.sendgrid.inbox()) == 2


def test_a_reset_empties_and_resumes_the_queue(queue_browser_page: BrowserPage) -> None:
    emulator, queue = queue_browser_page.harness.emulator, queue_browser_page.harness.queue
    queue.paused = True
    emulator.run(example())
    emulator.reset()
    assert (queue.tasks(), queue.paused) == ([], False)
    assert emulator.run(example()).execution.status == "success"
    assert queue.wait_until_empty(TIMEOUT_MS / 1000)
    assert len(emulator.sendgrid.inbox()) == 1


def test_the_language_gallery_is_rendered_through_the_queue(queue_browser_page: BrowserPage) -> None:
    page = queue_browser_page.open("/runs/1/languages?language=sv&theme=light")
    expect(page.frame_locator("iframe").get_by_role("heading", name="Ditt lösenord har ändrats")).to_be_visible()


def test_the_language_gallery_reports_a_paused_queue(queue_web_harness: WebHarness) -> None:
    queue_web_harness.queue.paused = True
    response = request("GET", f"{queue_web_harness.url}/api/runs/1/preview?language=da")
    assert response.status == 502
    assert "The queue is paused" in response.json()["error"]
