"""Which run emails, callouts, log lines, and secret reads belong to: that of their webhook-id, at any time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from auth0.callout import OutgoingCallout, build_callout
from emulator.core.faults import Fault
from emulator.core.journal import Entry
from emulator.emulator import example
from emulator.runs.runs import Runs
from emulator.runs.steps import steps
from tests.emulator.browser_page import WebHarness
from tests.emulator.client import get, post, request

TIMEOUT_SECONDS = 20


@pytest.fixture
def short_timeout(web_harness: WebHarness) -> Iterator[WebHarness]:
    """Make the forwarder wait 1 second instead of 7 for the first attempt's response, and retry immediately."""
    yield from shorten_timeout(web_harness)


@pytest.fixture
def short_timeout_queue(queue_web_harness: WebHarness) -> Iterator[WebHarness]:
    yield from shorten_timeout(queue_web_harness)


def shorten_timeout(harness: WebHarness) -> Iterator[WebHarness]:
    text = harness.action.read_text("utf-8")
    edited = text.replace("min(limits.attemptMs,", "min(attempt === 1 ? 1000 : limits.attemptMs,")
    assert edited != text
    edited = edited.replace("jitterMs: 500", "jitterMs: 0")
    harness.action.write_text(edited, "utf-8")
    yield harness
    harness.action.write_text(text, "utf-8")
    harness.emulator.refresh()


def event_of(name: str) -> dict[str, Any]:
    event = example()
    event["user"] = {**event["user"], "email": f"{name}@example.com", "user_id": f"auth0|{name}"}
    return event


def send_external_callout(harness: WebHarness, callout: OutgoingCallout) -> None:
    headers = callout.headers(harness.emulator.keys.signing_key)
    request("POST", harness.emulator.function.url, body=callout.body, headers=headers)


def wait_for_exchanges(harness: WebHarness, count: int) -> None:
    journal = harness.emulator.journal
    assert journal.wait(lambda _: len(journal.entries(kind="function.exchange")) >= count, timeout=TIMEOUT_SECONDS)


def test_a_late_email_and_a_late_callout_stay_in_the_run_that_caused_them(short_timeout_queue: WebHarness) -> None:
    emulator = short_timeout_queue.emulator
    emulator.sendgrid.faults.add(Fault("delay", "delay", None, seconds=0.3))
    alice, bob = (slow_run(short_timeout_queue, name) for name in ("alice", "bob"))
    wait_for_exchanges(short_timeout_queue, 5)
    assert short_timeout_queue.queue.wait_until_empty(TIMEOUT_SECONDS)

    for number, own, other in ((alice, "alice", "bob"), (bob, "bob", "alice")):
        run = get(short_timeout_queue, f"/api/runs/{number}")
        to = [entry["data"]["to"] for entry in run["entries"] if entry["kind"] == "sendgrid.mail"]
        assert to == [[{"email": f"{own}@example.com"}]]
        assert f"{other}@example.com" not in str(run)


def test_a_callout_that_ends_after_its_run_stays_in_it_at_its_own_time(short_timeout: WebHarness) -> None:
    numbers = [slow_run(short_timeout, name) for name in ("alice", "bob")]
    wait_for_exchanges(short_timeout, 5)

    for number in numbers:
        found = get(short_timeout, f"/api/runs/{number}")["steps"]
        assert [step["who"] for step in found][:2] == ["Event", "Callout"]
        attempts = [step for step in found if step["who"] == "Callout"]
        assert [step["fault"] for step in attempts] == ["slow", ""]
        assert [step["what"].partition(" → ")[2] for step in attempts] == ["This operation was aborted", "200"]


def slow_run(harness: WebHarness, name: str) -> int:
    """Run an event while the function responds late to the first attempt; that attempt ends during the next run."""
    harness.emulator.function.faults.add(Fault("delay", "slow", 1, seconds=1.5))
    number: int = post(harness, "/api/runs", event_of(name))["number"]
    return number


def test_concurrent_runs_own_their_own_entries(web_harness: WebHarness) -> None:
    web_harness.emulator.function.faults.add(Fault("delay", "slow", 1, seconds=0.3))
    names = [f"user{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names)) as threads:
        runs = list(threads.map(lambda name: post(web_harness, "/api/runs", event_of(name)), names))
    assert sorted(run["number"] for run in runs) == [2, 3, 4, 5]
    for name, run in zip(names, runs, strict=True):
        assert run["title"].startswith(f"Notice sent to {name}@example.com in ")


def test_an_external_callout_is_a_run(web_harness: WebHarness) -> None:
    callout = build_callout(event_of("carol"))
    send_external_callout(web_harness, callout)
    newest = get(web_harness, "/api/runs")["runs"][0]
    assert (newest["number"], newest["outside"], newest["outcome"]) == (2, True, "sent")
    assert (newest["recipient"], newest["webhook_id"]) == ("carol@example.com", callout.id)
    assert [step["who"] for step in get(web_harness, "/api/runs/2")["steps"]][:2] == ["Event", "Callout"]


def test_the_same_external_callout_again_belongs_to_the_same_run(web_harness: WebHarness) -> None:
    callout = build_callout(event_of("carol"))
    send_external_callout(web_harness, callout)
    send_external_callout(web_harness, callout)
    assert [run["number"] for run in get(web_harness, "/api/runs")["runs"]] == [2, 1]
    assert [fetch["status"] for fetch in web_harness.emulator.runs[-1].execution.fetches] == [200, 200]


def test_a_rejected_external_callout_says_why(web_harness: WebHarness) -> None:
    callout = build_callout(event_of("carol"))
    headers = {**callout.headers(web_harness.emulator.keys.signing_key), "webhook-signature": "v1,invalid"}
    request("POST", web_harness.emulator.function.url, body=callout.body, headers=headers)
    newest = get(web_harness, "/api/runs")["runs"][0]
    assert (newest["outcome"], newest["title"]) == ("failed", "No notice sent: invalid signature")


def test_a_log_line_about_an_unverified_callout_belongs_to_its_run(web_harness: WebHarness) -> None:
    web_harness.emulator.fault_toggles.turn_on("Callout", "bad signature")
    run = web_harness.emulator.run(example())
    assert any(map(is_invalid_signature, run.entries))


def test_a_failed_run_waits_for_its_log_too() -> None:
    runs = Runs()
    record_arrival(runs, "alice")
    record_end(runs, "alice", status=500)
    fields = {"callout": "alice", "message": "Traceback (most recent call last)"}
    late = threading.Timer(0.1, lambda: runs.journal.record("function.log", side="function", line="", fields=fields))
    late.start()
    [run] = runs.all()
    run.await_log(TIMEOUT_SECONDS)
    assert run.entries[-1].kind == "function.log"
    late.join()


def is_invalid_signature(entry: Entry) -> bool:
    return entry.kind == "function.log" and entry.data["fields"].get("code") == "invalid_signature"


def test_a_language_preview_is_not_a_run(web_harness: WebHarness) -> None:
    assert request("GET", f"{web_harness.url}/api/runs/1/preview?language=de").status == 200
    assert [run.number for run in web_harness.emulator.runs] == [1]


def test_a_secret_read_belongs_to_a_run_only_if_no_other_callout_was_open() -> None:
    runs = Runs()
    numbers = []
    for name in ("alice", "bob"):
        record_arrival(runs, name)
        numbers.append([entry.number for entry in record_read(runs)])
    record_end(runs, "alice")
    record_end(runs, "bob")
    record_read(runs)
    alice, bob = runs.all()
    assert reads(alice.entries) == numbers[0]
    assert reads(bob.entries) == []


def record_arrival(runs: Runs, name: str) -> None:
    runs.journal.record("function.callout", webhook_id=name, execution="", body="{}")


def record_read(runs: Runs) -> list[Entry]:
    return [runs.journal.record("secret_manager.exchange", duration_ms=0.0)]


def record_end(runs: Runs, name: str, status: int = 200) -> None:
    response = {"headers": [], "body": ""}
    request = {"headers": [["Webhook-Id", name]], "body": "{}"}
    data = {"request": request, "response": response, "status": status, "duration_ms": 0.0, "fault": None}
    runs.journal.record("function.exchange", method="POST", path="/", **data)


def reads(entries: tuple[Entry, ...]) -> list[int]:
    return [entry.number for entry in entries if entry.kind == "secret_manager.exchange"]


def test_a_deleted_run_gets_no_further_entries(web_harness: WebHarness) -> None:
    run = web_harness.emulator.runs[0]
    post(web_harness, "/api/runs/1/delete")
    count = len(run.entries)
    fields = {"callout": run.callout_id, "message": "late"}
    web_harness.emulator.journal.record("function.log", side="deliver", line="", fields=fields)
    assert (web_harness.emulator.runs, len(run.entries)) == ([], count)
    assert len(steps(run)) > 0
