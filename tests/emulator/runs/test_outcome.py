"""The outcome of a run in queue mode, in which the callout's response says only that the notice is queued."""

import re
from typing import Any

from emulator.emulator import example
from emulator.runs.run import Run
from emulator.runs.summary import Summary, summarize
from tests.emulator.browser_page import WebHarness

TIMEOUT_SECONDS = 20


def run_until_first_attempt(harness: WebHarness, event: dict[str, Any]) -> tuple[Run, Summary]:
    after = harness.emulator.journal.last_number
    run = harness.emulator.run(event)
    journal = harness.emulator.journal
    assert journal.wait(lambda entry: entry.kind == "cloud_tasks.attempt", after=after, timeout=TIMEOUT_SECONDS)
    return run, summarize(run)


def test_a_task_that_is_retried_says_when(queue_web_harness: WebHarness) -> None:
    queue_web_harness.emulator.fault_toggles.turn_on("SendGrid", "unverified sender")
    run, summary = run_until_first_attempt(queue_web_harness, example())
    assert summary.outcome == "queued"
    assert summary.title == "No notice sent yet: attempt 1 failed (502); the next one follows in 10 s"
    assert summary.error is not None
    assert summary.error.cause == "SendGrid rejected the sender"

    queue_web_harness.queue.run_now()
    assert queue_web_harness.queue.wait_until_empty(TIMEOUT_SECONDS)
    assert summarize(run).outcome == "retried"
    assert re.fullmatch(r"Notice sent to j\+smith@example\.com in [\d.]+ m?s", summarize(run).title)


def test_an_action_whose_task_is_still_waiting_has_not_failed(queue_web_harness: WebHarness) -> None:
    """A second Action's task can wait after the first one's has been delivered."""
    queue_web_harness.queue.paused = True
    run = queue_web_harness.emulator.run(example())
    delivered = {"attempt": 1, "status": 200, "problem": "", "next_retry_s": None, "webhook_id": run.callout_id}
    queue_web_harness.emulator.journal.record("cloud_tasks.attempt", **delivered)
    assert summarize(run).title == "No notice sent yet: the task is in the queue"


def test_a_task_that_is_abandoned_failed(queue_web_harness: WebHarness) -> None:
    event = example()
    event["user"]["email"] = "a b@example"
    run, _ = run_until_first_attempt(queue_web_harness, event)
    assert queue_web_harness.queue.wait_until_empty(TIMEOUT_SECONDS)
    summary = summarize(run)
    assert (summary.outcome, summary.title) == ("failed", "No notice sent: SendGrid rejected the recipient")
