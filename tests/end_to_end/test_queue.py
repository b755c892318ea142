"""Tests of queue mode: a queued notice survives failures of every service between the queue and SendGrid."""

import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from auth0.callout import OutgoingCallout
from emulator.cloud_run.process import PROJECT_ROOT
from emulator.cloud_tasks.server import FAULTS
from emulator.core.faults import Fault
from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, new_signing_key
from emulator.sendgrid.faults import fault
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import Response
from tests.end_to_end.leak_checker import LeakChecker
from tests.end_to_end.queue_harness import QueueHarness, wait_until

ACTION_PATH = "/on_execute_post_change_password"
SENDER = "security@example.com"
DAY_SECONDS = 24 * 3600
INVALID_SIGNATURE = {"error": {"code": "invalid_signature", "message": "invalid signature"}}

# A second Action fails if the file `behavior` says so. `deliver` has a deadline of 1 s instead of 45 s.
MAIN = """
from pathlib import Path

from flask import Request, Response

import runtime.flow
from runtime import Flow, start
from notice.compose import password_changed
from notice.sendgrid import SendGrid

runtime.flow.DELIVER_TIMEOUT_SECONDS = 1.0
settings = start()
flow = Flow(settings)
sendgrid = SendGrid(settings)


@flow.action
def on_execute_post_change_password(event, api):
    return sendgrid.send(password_changed(event, settings), key=event.secrets.SENDGRID_API_KEY, callout=event.callout)


@flow.action
def scripted(event, api):
    if Path(__file__).with_name("behavior").read_text() == "raise":
        raise RuntimeError("scripted failure")


def deliver(request: Request) -> Response:
    return flow.deliver(request)
"""


@pytest.fixture(scope="module")
def harness(leak_checker: LeakChecker) -> Iterator[QueueHarness]:
    with QueueHarness(leak_checker) as harness:
        yield harness


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    (folder / "main.py").write_text(MAIN, "utf-8")
    (folder / "behavior").write_text("succeed")
    return folder


@pytest.fixture(scope="module")
def two_actions(leak_checker: LeakChecker, folder: Path) -> Iterator[QueueHarness]:
    environment = {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with QueueHarness(leak_checker, environment, source=folder / "main.py") as two_actions:
        yield two_actions


def summary(response: Response) -> tuple[int, str]:
    """Return the HTTP status and the response's `status` field or error code."""
    return response.status, str(response.body.get("status") or response.code)


# From the callout to the email


def test_a_callout_is_queued_and_then_the_email_is_sent(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    response = harness.send(callout)
    harness.drain()
    assert summary(response) == (202, "queued")
    assert response.body["id"] == callout.id
    assert [action["status"] for action in response.body["actions"]] == ["queued"]
    assert harness.attempts(callout) == [200]
    assert len(harness.emails_to(address)) == 1


def test_the_public_service_reads_only_the_signing_key(leak_checker: LeakChecker) -> None:
    with QueueHarness(leak_checker) as fresh_harness, fresh_harness.paused():
        assert summary(fresh_harness.send(callout_for(new_address()))) == (202, "queued")
        paths = {
            entry.data["path"].partition("?")[0]
            for entry in fresh_harness.journal.entries(kind="secret_manager.exchange")
        }
        assert paths == {f"/v1/{SIGNING_KEY}/versions/latest:access"}
        assert SENDGRID_KEY not in fresh_harness.public_environment.values()


def test_the_task_is_the_callout_with_an_oidc_token_of_the_invoker(harness: QueueHarness) -> None:
    callout = callout_for(new_address())
    with harness.paused():
        harness.send(callout)
        [task] = harness.cloud_tasks.tasks()
    harness.drain()
    request = task["httpRequest"]
    headers = {name.lower(): value for name, value in request["headers"].items()}
    assert request["url"] == harness.deliver.url + ACTION_PATH
    assert {
        name: headers[name.lower()] for name in callout.headers(harness.signing_key, int(headers["webhook-timestamp"]))
    } == (callout.headers(harness.signing_key, int(headers["webhook-timestamp"])))
    assert request["oidcToken"] == {
        "serviceAccountEmail": harness.public_environment["DELIVER_INVOKER"],
        "audience": harness.deliver.url,
    }
    assert task["dispatchDeadline"] == "60s"


def test_a_callout_of_the_maximum_size_fits_into_a_task(harness: QueueHarness) -> None:
    address = new_address()
    padding_length = 65_536 - len(make_callout(make_event(address), padding="").body)
    callout = make_callout(make_event(address), padding="x" * padding_length)
    assert summary(harness.send(callout)) == (202, "queued")
    harness.drain()
    assert len(harness.emails_to(address)) == 1


def test_tasks_without_an_address_or_in_sandbox_mode_complete(harness: QueueHarness) -> None:
    address = new_address()
    no_address, sandbox = make_callout(make_event(None)), callout_for(address, sandbox=True)
    assert [summary(harness.send(callout)) for callout in (no_address, sandbox)] == [(202, "queued")] * 2
    harness.drain()
    assert [harness.attempts(callout) for callout in (no_address, sandbox)] == [[200], [200]]
    assert not harness.emails_to(address)


# Duplicates


def test_a_repeated_callout_is_a_duplicate_before_and_after_the_email(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    with harness.paused():
        assert [summary(harness.send(callout)) for _ in range(2)] == [(202, "queued"), (200, "duplicate")]
    harness.drain()
    assert summary(harness.send(callout)) == (200, "duplicate")
    harness.drain()
    assert len(harness.emails_to(address)) == 1


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_repeated_callout_is_a_duplicate_on_a_restarted_instance(
    harness: QueueHarness, stop_signal: signal.Signals
) -> None:
    address = new_address()
    callout = callout_for(address)
    harness.send(callout)
    harness.drain()
    harness.function.stop(stop_signal)
    harness.function.start()
    assert summary(harness.send(callout)) == (200, "duplicate")
    assert len(harness.emails_to(address)) == 1


def test_twenty_concurrent_callouts_send_one_email(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    responses = harness.send_all([callout] * 20)
    harness.drain()
    assert {summary(response) for response in responses} <= {(202, "queued"), (200, "duplicate")}
    assert len(harness.emails_to(address)) == 1


def test_two_instances_that_get_a_callout_concurrently_create_one_task(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    with harness.second_instance() as other, ThreadPoolExecutor(2) as pool, harness.paused():
        first, second = pool.submit(harness.send, callout), pool.submit(harness.dispatch, callout, "/", to=other)
        responses = [summary(first.result()), summary(second.result())]
        assert len(harness.cloud_tasks.tasks()) == 1
    harness.drain()
    assert sorted(responses) == [(200, "duplicate"), (202, "queued")]
    assert len(harness.emails_to(address)) == 1


def test_a_task_that_is_dispatched_twice_sends_one_email(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    harness.cloud_tasks.duplicate_next()
    harness.send(callout)
    assert harness.wait_for_attempts(callout, 2) == [200, 200]
    harness.drain()
    assert len(harness.emails_to(address)) == 1


# SendGrid


@pytest.mark.parametrize("name", ["too many requests", "wrong key", "out of credits", "too large"])
def test_an_email_blocked_by_a_long_fault_is_sent_when_the_fault_is_cleared(harness: QueueHarness, name: str) -> None:
    address = new_address()
    callout = callout_for(address)
    persistent = fault(name, count=None, seconds=60) if name == "too many requests" else fault(name, count=None)
    with harness.sendgrid_faults(persistent):
        assert summary(harness.send(callout)) == (202, "queued")
        failed = harness.wait_for_attempts(callout, 3)
    harness.drain()
    assert set(failed) <= {502, 503}
    assert harness.attempts(callout)[-1] == 200
    assert len(harness.emails_to(address)) == 1


def test_an_outage_longer_than_any_attempt_is_survived_by_the_queue(two_actions: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    with two_actions.sendgrid_faults(fault("bad gateway", count=None)):
        two_actions.send(callout)
        wait_until(lambda: two_actions.attempts(callout).count(503) >= 2)
        assert not two_actions.emails_to(address)
    two_actions.drain()
    assert len(two_actions.emails_to(address)) == 1


def test_an_unverified_sender_is_retried_until_it_is_verified(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    harness.sendgrid.unverify(SENDER)
    try:
        harness.send(callout)
        failed = harness.wait_for_attempts(callout, 3)
    finally:
        harness.sendgrid.verify(SENDER)
    harness.drain()
    assert set(failed) == {502}
    assert len(harness.emails_to(address)) == 1


def test_a_recipient_that_sendgrid_rejects_ends_the_task_and_logs_an_error(harness: QueueHarness) -> None:
    callout = make_callout(make_event("not an address"))
    assert summary(harness.send(callout)) == (202, "queued")
    harness.drain()
    line = harness.find_log_line(
        lambda fields: fields.get("callout") == callout.id and fields.get("status") == "abandoned"
    )
    assert harness.attempts(callout) == [200]
    assert line is not None
    assert (line.data["fields"]["severity"], line.data["fields"]["reason"]) == ("ERROR", "recipient_refused")


def test_deliver_returns_abandoned_for_a_rejected_recipient(harness: QueueHarness) -> None:
    response = harness.dispatch(make_callout(make_event("not an address")), ACTION_PATH)
    assert summary(response) == (200, "abandoned")
    assert response.body["reason"] == "recipient_refused"


def test_a_task_is_abandoned_after_five_timeouts_that_may_have_been_accepted(two_actions: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    with two_actions.sendgrid_faults(fault("accepted, never answered", count=None)):
        two_actions.send(callout)
        wait_until(lambda: 200 in email_attempts(two_actions, callout))
    two_actions.drain()
    *timeouts, last = email_attempts(two_actions, callout)
    assert (set(timeouts), last) == ({503}, 200)
    # On a busy machine, an attempt can time out while it reads its secrets: SendGrid can't have accepted that one.
    assert len(two_actions.emails_to(address)) == 5
    line = two_actions.find_log_line(
        lambda fields: fields.get("callout") == callout.id and fields.get("status") == "abandoned"
    )
    assert line is not None
    assert (line.data["fields"]["severity"], line.data["fields"]["reason"]) == ("ERROR", "maybe_accepted")


def email_attempts(harness: QueueHarness, callout: OutgoingCallout) -> list[int]:
    """Return the status of each attempt of the task that sends the email."""
    return harness.attempts(callout, ACTION_PATH.removeprefix("/"))


# Two Actions


def test_an_action_that_keeps_failing_does_not_repeat_the_other_actions_email(
    two_actions: QueueHarness, folder: Path
) -> None:
    address = new_address()
    callout = callout_for(address)
    (folder / "behavior").write_text("raise")
    try:
        response = two_actions.send(callout)
        wait_until(lambda: two_actions.attempts(callout).count(500) >= 6)
    finally:
        (folder / "behavior").write_text("succeed")
    two_actions.cloud_tasks.run_now()
    two_actions.drain()
    assert {action["name"]: action["status"] for action in response.body["actions"]} == {
        "on_execute_post_change_password": "queued",
        "scripted": "queued",
    }
    assert two_actions.attempts(callout).count(200) == 2
    assert len(two_actions.emails_to(address)) == 1


def test_a_retry_creates_only_the_task_that_could_not_be_created(two_actions: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    with two_actions.paused():
        with two_actions.cloud_tasks_faults(Fault("delay"), replace(FAULTS["permission denied"], count=None)):
            first = two_actions.send(callout)
        retry = two_actions.send(callout)
    two_actions.drain()
    assert summary(first) == (503, "queue_unavailable")
    assert [action["status"] for action in first.body["actions"]] == ["queued", "failed"]
    assert summary(retry) == (202, "queued")
    assert two_actions.attempts(callout) == [200, 200]
    assert len(two_actions.emails_to(address)) == 1


# Cloud Tasks


TRANSIENT = {
    **{
        name: FAULTS[name]
        for name in ("queue asleep", "rate limited", "unavailable", "internal", "slow", "hang", "reset")
    },
    "slow bytes": Fault("slow", seconds=0.001),
    "created, then reset": Fault("reset", accepted=True),
    "created, no response": Fault("hang", seconds=60, accepted=True),
    "created, truncated response": Fault("cut"),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_transient_fault_of_cloud_tasks_is_retried_within_the_callout(harness: QueueHarness, name: str) -> None:
    address = new_address()
    callout = callout_for(address)
    with harness.cloud_tasks_faults(TRANSIENT[name]):
        response = harness.send(callout)
    harness.drain()
    assert summary(response) == (202, "queued")
    assert harness.attempts(callout) == [200]
    assert len(harness.emails_to(address)) == 1


PERSISTENT = (
    "queue asleep",
    "not found",
    "permission denied",
    "rate limited",
    "unavailable",
    "internal",
    "reset",
    "hang",
)


@pytest.fixture(scope="module")
def outcomes(leak_checker: LeakChecker) -> Mapping[str, tuple[Response, Response, int]]:
    """Run all outages concurrently, each with its own harness: some take the whole deadline."""
    # Created sequentially: werkzeug compiles routes with `ast`, which isn't thread-safe.
    harnesses = [QueueHarness(leak_checker) for _ in PERSISTENT]
    with ThreadPoolExecutor(len(PERSISTENT)) as pool:
        return dict(zip(PERSISTENT, pool.map(run_outage, PERSISTENT, harnesses), strict=True))


def run_outage(name: str, harness: QueueHarness) -> tuple[Response, Response, int]:
    """Return the response during the fault, the response to the retry, and the final number of emails."""
    address = new_address()
    callout = callout_for(address)
    with harness:
        # Many functions start at once: on a busy machine, the first read of a secret can take too long.
        wait_until(lambda: harness.send(callout_for(new_address())).status == 202)
        with harness.cloud_tasks_faults(replace(FAULTS[name], count=None)):
            response = harness.send(callout)
        retry = harness.send(callout)
        harness.drain()
        return response, retry, len(harness.emails_to(address))


@pytest.mark.parametrize("name", PERSISTENT)
def test_a_persistent_fault_of_cloud_tasks_returns_503_and_the_retry_is_queued(
    outcomes: Mapping[str, tuple[Response, Response, int]], name: str
) -> None:
    response, retry, emails = outcomes[name]
    assert summary(response) == (503, "queue_unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert summary(retry) == (202, "queued")
    assert emails == 1


# Unauthenticated callers of deliver


def test_a_task_signed_with_an_unknown_key_is_unauthorized(harness: QueueHarness) -> None:
    address = new_address()
    response = harness.dispatch(callout_for(address), ACTION_PATH, key=new_signing_key())
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)
    assert not harness.emails_to(address)


@pytest.mark.parametrize("days", [0, 1, 30])
def test_deliver_accepts_tasks_as_old_as_cloud_tasks_keeps_them(harness: QueueHarness, days: int) -> None:
    address = new_address()
    response = harness.dispatch(callout_for(address), ACTION_PATH, at=time.time() - days * DAY_SECONDS)
    assert summary(response) == (200, "sent")
    assert len(harness.emails_to(address)) == 1


@pytest.mark.parametrize("seconds", [-32 * DAY_SECONDS, 305, DAY_SECONDS])
def test_deliver_rejects_signatures_older_than_any_task_or_from_the_future(
    harness: QueueHarness, seconds: float
) -> None:
    response = harness.dispatch(callout_for(new_address()), ACTION_PATH, at=time.time() + seconds)
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)


def test_the_public_service_rejects_stale_callouts_in_queue_mode_too(harness: QueueHarness) -> None:
    response = harness.send(callout_for(new_address()), at=time.time() - 400)
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)


@pytest.mark.parametrize("path", ["/", "/another", f"{ACTION_PATH}/x", "/deliver"])
def test_a_task_for_an_action_that_this_revision_lacks_is_retried(harness: QueueHarness, path: str) -> None:
    address = new_address()
    response = harness.dispatch(callout_for(address), path)
    assert summary(response) == (500, "unknown_action")
    assert not harness.emails_to(address)


def test_the_email_states_when_the_password_was_changed_and_not_when_the_task_ran(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    harness.dispatch(callout, ACTION_PATH, at=time.time() - 20 * DAY_SECONDS)
    changed_at = time.gmtime(time.time() - 20 * DAY_SECONDS)
    assert time.strftime("%Y", changed_at) in harness.emails_to(address)[0].text
    assert f"{changed_at.tm_mday}" in harness.emails_to(address)[0].text


# Key rotation


@pytest.fixture
def fresh_harness(leak_checker: LeakChecker) -> Iterator[QueueHarness]:
    """Start a harness for one test, so that the state of its secret caches is known."""
    with QueueHarness(leak_checker) as fresh_harness:
        yield fresh_harness


def test_tasks_signed_with_the_old_key_are_accepted_while_both_keys_are_stored(fresh_harness: QueueHarness) -> None:
    address, old = new_address(), fresh_harness.signing_key
    callout = callout_for(address)
    with fresh_harness.paused():
        fresh_harness.send(callout)
        fresh_harness.set_signing_keys(new_signing_key(), old)
    fresh_harness.drain()
    assert fresh_harness.attempts(callout) == [200]
    assert len(fresh_harness.emails_to(address)) == 1


def test_tasks_whose_key_was_removed_too_early_are_retried_until_it_is_restored(fresh_harness: QueueHarness) -> None:
    address, old = new_address(), fresh_harness.signing_key
    callout = callout_for(address)
    with fresh_harness.paused():
        fresh_harness.send(callout)
        fresh_harness.set_signing_keys(new_signing_key())
    assert set(fresh_harness.wait_for_attempts(callout, 2)) == {401}
    fresh_harness.set_signing_keys(fresh_harness.signing_key, old)
    fresh_harness.deliver.stop()
    fresh_harness.deliver.start()
    fresh_harness.drain()
    assert len(fresh_harness.emails_to(address)) == 1


def test_the_first_task_after_a_sendgrid_key_rotation_succeeds(fresh_harness: QueueHarness) -> None:
    fresh_harness.send(callout_for(new_address()))
    fresh_harness.drain()
    address, old = new_address(), fresh_harness.sendgrid_key
    callout = callout_for(address)
    fresh_harness.set_sendgrid_key(fresh_harness.sendgrid.new_key())
    fresh_harness.sendgrid.revoke(old)
    fresh_harness.send(callout)
    fresh_harness.drain()
    assert fresh_harness.attempts(callout) == [200]
    assert len(fresh_harness.emails_to(address)) == 1


# Stopping an instance


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def in_flight(pool: ThreadPoolExecutor, harness: QueueHarness, callout: OutgoingCallout) -> Future[Response]:
    """Send the callout, and return once it waits for Cloud Tasks."""
    response = pool.submit(harness.send, callout)
    wait_until(lambda: not harness.cloud_tasks.faults.pending())
    return response


def test_an_instance_responds_to_the_callout_in_flight_before_it_stops(
    harness: QueueHarness, pool: ThreadPoolExecutor
) -> None:
    address = new_address()
    callout = callout_for(address)
    with harness.cloud_tasks_faults(replace(FAULTS["slow"], seconds=1)):
        response = in_flight(pool, harness, callout)
        harness.function.stop(signal.SIGTERM)
    harness.function.start()
    harness.drain()
    assert summary(response.result()) == (202, "queued")
    assert len(harness.emails_to(address)) == 1


def test_deliver_sends_the_email_in_flight_before_it_stops(harness: QueueHarness) -> None:
    address = new_address()
    callout = callout_for(address)
    with harness.sendgrid_faults(fault("delay", seconds=1)):
        harness.send(callout)
        wait_until(lambda: not harness.sendgrid.faults.pending())
        harness.deliver.stop(signal.SIGTERM)
    harness.deliver.start()
    harness.drain()
    assert harness.attempts(callout) == [200]
    assert len(harness.emails_to(address)) == 1


def test_killing_deliver_loses_no_email(harness: QueueHarness) -> None:
    addresses = [new_address() for _ in range(5)]
    with harness.sendgrid_faults(fault("timeout", count=5)):
        responses = harness.send_all(map(callout_for, addresses))
        wait_until(lambda: not harness.sendgrid.faults.pending())
        harness.deliver.stop(signal.SIGKILL)
    harness.deliver.start()
    harness.drain()
    assert {summary(response) for response in responses} == {(202, "queued")}
    assert [len(harness.emails_to(address)) for address in addresses] == [1] * 5


def test_killing_the_public_service_loses_no_acknowledged_callout(harness: QueueHarness) -> None:
    addresses = [new_address() for _ in range(5)]
    with harness.paused():
        responses = harness.send_all(map(callout_for, addresses))
        harness.function.stop(signal.SIGKILL)
        harness.function.start()
    harness.drain()
    assert {summary(response) for response in responses} == {(202, "queued")}
    assert [len(harness.emails_to(address)) for address in addresses] == [1] * 5


def test_killing_the_public_service_before_it_responds_makes_the_retry_a_duplicate(
    harness: QueueHarness, pool: ThreadPoolExecutor
) -> None:
    address = new_address()
    callout = callout_for(address)
    with harness.cloud_tasks_faults(Fault("hang", seconds=60, accepted=True)):
        response = in_flight(pool, harness, callout)
        harness.drain()
        harness.function.stop(signal.SIGKILL)
    harness.function.start()
    assert isinstance(response.exception(), OSError)
    assert summary(harness.send(callout)) == (200, "duplicate")
    assert len(harness.emails_to(address)) == 1
