"""Queue mode: a notice that was queued survives whatever breaks between the queue and SendGrid."""

import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from auth0.callout import OutgoingCallout
from emulator.cloud_run.process import SOURCE
from emulator.cloud_tasks.server import FAULTS
from emulator.core.faults import Fault
from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, new_signing_key
from emulator.sendgrid.faults import fault
from tests.end_to_end.callouts import callout, event, new_address, notice_to
from tests.end_to_end.harness import Answer
from tests.end_to_end.leak_checker import LeakChecker
from tests.end_to_end.queue_harness import QueueStage, until

ACTION = "/on_execute_post_change_password"
SENDER = "security@example.com"
DAY = 24 * 3600
UNAUTHORIZED = {"error": {"code": "invalid_signature", "message": "the signature does not hold"}}

# One Action beside the mail, which does as the file `mood` says. `deliver` waits a second for SendGrid instead of 45.
MAIN = """
from pathlib import Path

from flask import Request, Response

import runtime.flow
from runtime import Flow, start
from notice.compose import password_changed
from notice.sendgrid import SendGrid

runtime.flow.DELIVER_SECONDS = 1.0
settings = start()
flow = Flow(settings)
sendgrid = SendGrid(settings)


@flow.action
def on_execute_post_change_password(event, api):
    return sendgrid.send(password_changed(event, settings), key=event.secrets.SENDGRID_API_KEY, callout=event.callout)


@flow.action
def moody(event, api):
    if Path(__file__).with_name("mood").read_text() == "raises":
        raise RuntimeError("in a bad mood")


def deliver(request: Request) -> Response:
    return flow.deliver(request)
"""


@pytest.fixture(scope="module")
def queue(witness: LeakChecker) -> Iterator[QueueStage]:
    with QueueStage(witness) as queue:
        yield queue


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    (folder / "main.py").write_text(MAIN, "utf-8")
    (folder / "mood").write_text("fine")
    return folder


@pytest.fixture(scope="module")
def flow(witness: LeakChecker, folder: Path) -> Iterator[QueueStage]:
    environment = {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    with QueueStage(witness, environment, source=folder / "main.py") as flow:
        yield flow


def told(answer: Answer) -> tuple[int, str]:
    """The status, and the word or the code that goes with it."""
    return answer.status, str(answer.body.get("status") or answer.code)


# From the callout to the mail


def test_a_callout_is_queued_and_then_mailed(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    answer = queue.send(sent)
    queue.finish()
    assert told(answer) == (202, "queued")
    assert answer.body["id"] == sent.id
    assert [action["status"] for action in answer.body["actions"]] == ["queued"]
    assert queue.attempts(sent) == [200]
    assert len(queue.mails(address)) == 1


def test_the_public_side_reads_the_signing_key_and_no_other_secret(witness: LeakChecker) -> None:
    with QueueStage(witness) as fresh, fresh.paused():
        assert told(fresh.send(notice_to(new_address()))) == (202, "queued")
        asked = {
            entry.data["path"].partition("?")[0] for entry in fresh.journal.entries(kind="secret_manager.exchange")
        }
        assert asked == {f"/v1/{SIGNING_KEY}/versions/latest:access"}
        assert SENDGRID_KEY not in fresh.public_environment.values()


def test_the_task_is_the_callout_itself_with_a_token_of_the_invoker(queue: QueueStage) -> None:
    sent = notice_to(new_address())
    with queue.paused():
        queue.send(sent)
        [task] = queue.cloud_tasks.tasks()
    queue.finish()
    request = task["httpRequest"]
    given = {name.lower(): value for name, value in request["headers"].items()}
    assert request["url"] == queue.deliver.url + ACTION
    assert {name: given[name.lower()] for name in sent.headers(queue.signing_key, int(given["webhook-timestamp"]))} == (
        sent.headers(queue.signing_key, int(given["webhook-timestamp"]))
    )
    assert request["oidcToken"] == {
        "serviceAccountEmail": queue.public_environment["DELIVER_INVOKER"],
        "audience": queue.deliver.url,
    }
    assert task["dispatchDeadline"] == "60s"


def test_a_largest_callout_fits_into_a_task(queue: QueueStage) -> None:
    address = new_address()
    filling = 65_536 - len(callout(event(address), filling="").body)
    sent = callout(event(address), filling="x" * filling)
    assert told(queue.send(sent)) == (202, "queued")
    queue.finish()
    assert len(queue.mails(address)) == 1


def test_a_user_without_an_address_and_a_sandbox_end_their_tasks_too(queue: QueueStage) -> None:
    address = new_address()
    without, sandbox = callout(event(None)), notice_to(address, sandbox=True)
    assert [told(queue.send(each)) for each in (without, sandbox)] == [(202, "queued")] * 2
    queue.finish()
    assert [queue.attempts(each) for each in (without, sandbox)] == [[200], [200]]
    assert not queue.mails(address)


# The same again


def test_the_same_again_is_a_duplicate_before_and_after_the_mail(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    with queue.paused():
        assert [told(queue.send(sent)) for _ in range(2)] == [(202, "queued"), (200, "duplicate")]
    queue.finish()
    assert told(queue.send(sent)) == (200, "duplicate")
    queue.finish()
    assert len(queue.mails(address)) == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_same_again_is_a_duplicate_for_an_instance_that_never_saw_it(
    queue: QueueStage, how: signal.Signals
) -> None:
    address = new_address()
    sent = notice_to(address)
    queue.send(sent)
    queue.finish()
    queue.function.stop(how)
    queue.function.start()
    assert told(queue.send(sent)) == (200, "duplicate")
    assert len(queue.mails(address)) == 1


def test_twenty_at_the_same_moment_are_one_mail(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    answers = queue.send_all([sent] * 20)
    queue.finish()
    assert {told(answer) for answer in answers} <= {(202, "queued"), (200, "duplicate")}
    assert len(queue.mails(address)) == 1


def test_instances_that_get_it_at_the_same_moment_make_one_task(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    with queue.another() as other, ThreadPoolExecutor(2) as pool, queue.paused():
        first, second = pool.submit(queue.send, sent), pool.submit(queue.dispatch, sent, "/", to=other)
        answers = [told(first.result()), told(second.result())]
        assert len(queue.cloud_tasks.tasks()) == 1
    queue.finish()
    assert sorted(answers) == [(200, "duplicate"), (202, "queued")]
    assert len(queue.mails(address)) == 1


def test_a_task_that_is_sent_twice_is_one_mail(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    queue.cloud_tasks.duplicate_next()
    queue.send(sent)
    assert queue.wait_for_attempts(sent, 2) == [200, 200]
    queue.finish()
    assert len(queue.mails(address)) == 1


# SendGrid


@pytest.mark.parametrize("name", ["too many requests", "wrong key", "out of credits", "too large"])
def test_what_lasts_longer_than_any_callout_is_mailed_when_it_is_over(queue: QueueStage, name: str) -> None:
    address = new_address()
    sent = notice_to(address)
    lasting = fault(name, count=None, seconds=60) if name == "too many requests" else fault(name, count=None)
    with queue.fault(lasting):
        assert told(queue.send(sent)) == (202, "queued")
        failed = queue.wait_for_attempts(sent, 3)
    queue.finish()
    assert set(failed) <= {502, 503}
    assert queue.attempts(sent)[-1] == 200
    assert len(queue.mails(address)) == 1


def test_an_outage_that_no_attempt_outlasts_is_outlasted_by_the_queue(flow: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    with flow.fault(fault("bad gateway", count=None)):
        flow.send(sent)
        until(lambda: flow.attempts(sent).count(503) >= 2)
        assert not flow.mails(address)
    flow.finish()
    assert len(flow.mails(address)) == 1


def test_an_unverified_sender_is_tried_until_it_is_verified(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    queue.sendgrid.unverify(SENDER)
    try:
        queue.send(sent)
        failed = queue.wait_for_attempts(sent, 3)
    finally:
        queue.sendgrid.verify(SENDER)
    queue.finish()
    assert set(failed) == {502}
    assert len(queue.mails(address)) == 1


def test_a_recipient_that_sendgrid_refuses_ends_the_task_loudly(queue: QueueStage) -> None:
    sent = callout(event("nobody at all"))
    assert told(queue.send(sent)) == (202, "queued")
    queue.finish()
    line = queue.line(lambda fields: fields.get("callout") == sent.id and fields.get("status") == "abandoned")
    assert queue.attempts(sent) == [200]
    assert line is not None
    assert (line.data["fields"]["severity"], line.data["fields"]["reason"]) == ("ERROR", "recipient_refused")


def test_deliver_says_that_it_abandoned_a_refused_recipient(queue: QueueStage) -> None:
    answer = queue.dispatch(callout(event("nobody at all")), ACTION)
    assert told(answer) == (200, "abandoned")
    assert answer.body["reason"] == "recipient_refused"


def test_time_outs_that_sendgrid_may_have_accepted_end_after_five(flow: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    with flow.fault(fault("accepted, never answered", count=None)):
        flow.send(sent)
        until(lambda: 200 in notices(flow, sent))
    flow.finish()
    assert notices(flow, sent) == [503, 503, 503, 503, 200]
    assert len(flow.mails(address)) == 5
    line = flow.line(lambda fields: fields.get("callout") == sent.id and fields.get("status") == "abandoned")
    assert line is not None
    assert (line.data["fields"]["severity"], line.data["fields"]["reason"]) == ("ERROR", "maybe_accepted")


def notices(flow: QueueStage, sent: OutgoingCallout) -> list[int]:
    """The answers to the task of the Action that mails."""
    return flow.attempts(sent, ACTION.removeprefix("/"))


# Two Actions


def test_an_action_that_fails_for_hours_does_not_repeat_the_mail_of_the_other(flow: QueueStage, folder: Path) -> None:
    address = new_address()
    sent = notice_to(address)
    (folder / "mood").write_text("raises")
    try:
        answer = flow.send(sent)
        until(lambda: flow.attempts(sent).count(500) >= 6)
    finally:
        (folder / "mood").write_text("fine")
    flow.cloud_tasks.run_now()
    flow.finish()
    assert {action["name"]: action["status"] for action in answer.body["actions"]} == {
        "on_execute_post_change_password": "queued",
        "moody": "queued",
    }
    assert flow.attempts(sent).count(200) == 2
    assert len(flow.mails(address)) == 1


def test_a_task_that_could_not_be_made_is_made_by_the_retry_and_the_other_is_not_made_again(flow: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    with flow.paused():
        with flow.tasks_fault(Fault("delay"), replace(FAULTS["permission denied"], count=None)):
            first = flow.send(sent)
        again = flow.send(sent)
    flow.finish()
    assert told(first) == (503, "queue_unavailable")
    assert [action["status"] for action in first.body["actions"]] == ["queued", "failed"]
    assert told(again) == (202, "queued")
    assert flow.attempts(sent) == [200, 200]
    assert len(flow.mails(address)) == 1


# Cloud Tasks


BRIEF = {
    **{
        name: FAULTS[name]
        for name in ("queue asleep", "rate limited", "unavailable", "internal", "slow", "hang", "reset")
    },
    "slow bytes": Fault("slow", seconds=0.001),
    "made, then reset": Fault("reset", accepted=True),
    "made, never answered": Fault("hang", seconds=60, accepted=True),
    "made, answer cut": Fault("cut"),
}


@pytest.mark.parametrize("name", BRIEF)
def test_a_brief_fault_of_cloud_tasks_is_overcome_within_the_callout(queue: QueueStage, name: str) -> None:
    address = new_address()
    sent = notice_to(address)
    with queue.tasks_fault(BRIEF[name]):
        answer = queue.send(sent)
    queue.finish()
    # Over a kept connection a reset asks for the very same request again: then the first one's task is a duplicate.
    assert told(answer) in [(202, "queued"), (200, "duplicate")][: 2 if name == "made, then reset" else 1]
    assert queue.attempts(sent) == [200]
    assert len(queue.mails(address)) == 1


LASTING = ("queue asleep", "not found", "permission denied", "rate limited", "unavailable", "internal", "reset", "hang")


@pytest.fixture(scope="module")
def refusals(witness: LeakChecker) -> Mapping[str, tuple[Answer, Answer, int]]:
    """All at the same time, each at a stage of its own: some of them take the whole deadline."""
    stages = [QueueStage(witness) for _ in LASTING]  # one by one: Flask's routes need `ast`, no friend of threads
    with ThreadPoolExecutor(len(LASTING)) as pool:
        return dict(zip(LASTING, pool.map(refusal, LASTING, stages), strict=True))


def refusal(name: str, stage: QueueStage) -> tuple[Answer, Answer, int]:
    """The answer while the fault lasts, the one after it, and the mails at last."""
    address = new_address()
    sent = notice_to(address)
    with stage:
        with stage.tasks_fault(replace(FAULTS[name], count=None)):
            answer = stage.send(sent)
        again = stage.send(sent)
        stage.finish()
        return answer, again, len(stage.mails(address))


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_fault_of_cloud_tasks_is_told_and_the_retry_is_queued(
    refusals: Mapping[str, tuple[Answer, Answer, int]], name: str
) -> None:
    answer, again, mails = refusals[name]
    assert told(answer) == (503, "queue_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert told(again) == (202, "queued")
    assert mails == 1


# Strangers at deliver


def test_a_strangers_task_is_unauthorized(queue: QueueStage) -> None:
    address = new_address()
    answer = queue.dispatch(notice_to(address), ACTION, key=new_signing_key())
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)
    assert not queue.mails(address)


@pytest.mark.parametrize("days", [0, 1, 30])
def test_deliver_takes_a_task_as_old_as_cloud_tasks_keeps_it(queue: QueueStage, days: int) -> None:
    address = new_address()
    answer = queue.dispatch(notice_to(address), ACTION, at=time.time() - days * DAY)
    assert told(answer) == (200, "sent")
    assert len(queue.mails(address)) == 1


@pytest.mark.parametrize("seconds", [-32 * DAY, 305, DAY])
def test_deliver_refuses_what_is_older_than_any_task_and_what_comes_from_the_future(
    queue: QueueStage, seconds: float
) -> None:
    answer = queue.dispatch(notice_to(new_address()), ACTION, at=time.time() + seconds)
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)


def test_the_public_side_takes_no_old_callout_in_queue_mode_either(queue: QueueStage) -> None:
    answer = queue.send(notice_to(new_address()), at=time.time() - 400)
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("path", ["/", "/another", f"{ACTION}/x", "/deliver"])
def test_an_action_that_this_revision_does_not_have_is_tried_again(queue: QueueStage, path: str) -> None:
    address = new_address()
    answer = queue.dispatch(notice_to(address), path)
    assert told(answer) == (500, "unknown_action")
    assert not queue.mails(address)


def test_the_mail_of_a_task_tells_when_the_password_was_changed_and_not_when_it_was_sent(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    queue.dispatch(sent, ACTION, at=time.time() - 20 * DAY)
    moment = time.gmtime(time.time() - 20 * DAY)
    assert time.strftime("%Y", moment) in queue.mails(address)[0].text
    assert f"{moment.tm_mday}" in queue.mails(address)[0].text


# Keys that change


@pytest.fixture
def fresh(witness: LeakChecker) -> Iterator[QueueStage]:
    """Processes that no other test has used: what they have read, and when, is known."""
    with QueueStage(witness) as fresh:
        yield fresh


def test_tasks_that_the_old_key_signed_pass_while_both_are_in_the_secret(fresh: QueueStage) -> None:
    address, old = new_address(), fresh.signing_key
    sent = notice_to(address)
    with fresh.paused():
        fresh.send(sent)
        fresh.put_signing_key(new_signing_key(), old)
    fresh.finish()
    assert fresh.attempts(sent) == [200]
    assert len(fresh.mails(address)) == 1


def test_tasks_whose_key_was_taken_away_too_early_wait_for_it(fresh: QueueStage) -> None:
    address, old = new_address(), fresh.signing_key
    sent = notice_to(address)
    with fresh.paused():
        fresh.send(sent)
        fresh.put_signing_key(new_signing_key())
    assert set(fresh.wait_for_attempts(sent, 2)) == {401}
    fresh.put_signing_key(fresh.signing_key, old)
    fresh.deliver.stop()
    fresh.deliver.start()
    fresh.finish()
    assert len(fresh.mails(address)) == 1


def test_a_sendgrid_key_that_was_rotated_serves_the_very_task_that_meets_it(fresh: QueueStage) -> None:
    fresh.send(notice_to(new_address()))
    fresh.finish()
    address, old = new_address(), fresh.sendgrid_key
    sent = notice_to(address)
    fresh.put_sendgrid_key(fresh.sendgrid.new_key())
    fresh.sendgrid.revoke(old)
    fresh.send(sent)
    fresh.finish()
    assert fresh.attempts(sent) == [200]
    assert len(fresh.mails(address)) == 1


# The end of an instance


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def in_flight(pool: ThreadPoolExecutor, queue: QueueStage, sent: OutgoingCallout) -> Future[Answer]:
    """The callout, which waits for Cloud Tasks."""
    answer = pool.submit(queue.send, sent)
    until(lambda: not queue.cloud_tasks.faults.waiting())
    return answer


def test_an_instance_that_has_to_end_first_answers_the_callout_in_flight(
    queue: QueueStage, pool: ThreadPoolExecutor
) -> None:
    address = new_address()
    sent = notice_to(address)
    with queue.tasks_fault(replace(FAULTS["slow"], seconds=1)):
        answer = in_flight(pool, queue, sent)
        queue.function.stop(signal.SIGTERM)
    queue.function.start()
    queue.finish()
    assert told(answer.result()) == (202, "queued")
    assert len(queue.mails(address)) == 1


def test_a_deliver_that_has_to_end_first_sends_the_mail_in_flight(queue: QueueStage) -> None:
    address = new_address()
    sent = notice_to(address)
    with queue.fault(fault("delay", seconds=1)):
        queue.send(sent)
        until(lambda: not queue.sendgrid.faults.waiting())
        queue.deliver.stop(signal.SIGTERM)
    queue.deliver.start()
    queue.finish()
    assert queue.attempts(sent) == [200]
    assert len(queue.mails(address)) == 1


def test_a_deliver_that_dies_in_the_middle_loses_nothing(queue: QueueStage) -> None:
    addresses = [new_address() for _ in range(5)]
    with queue.fault(fault("time-out", count=5)):
        answers = queue.send_all(map(notice_to, addresses))
        until(lambda: not queue.sendgrid.faults.waiting())
        queue.deliver.stop(signal.SIGKILL)
    queue.deliver.start()
    queue.finish()
    assert {told(answer) for answer in answers} == {(202, "queued")}
    assert [len(queue.mails(address)) for address in addresses] == [1] * 5


def test_a_public_side_that_dies_has_lost_nothing_that_it_acknowledged(queue: QueueStage) -> None:
    addresses = [new_address() for _ in range(5)]
    with queue.paused():
        answers = queue.send_all(map(notice_to, addresses))
        queue.function.stop(signal.SIGKILL)
        queue.function.start()
    queue.finish()
    assert {told(answer) for answer in answers} == {(202, "queued")}
    assert [len(queue.mails(address)) for address in addresses] == [1] * 5


def test_a_public_side_that_dies_unanswered_leaves_the_retry_a_duplicate(
    queue: QueueStage, pool: ThreadPoolExecutor
) -> None:
    address = new_address()
    sent = notice_to(address)
    with queue.tasks_fault(Fault("hang", seconds=60, accepted=True)):
        answer = in_flight(pool, queue, sent)
        queue.finish()
        queue.function.stop(signal.SIGKILL)
    queue.function.start()
    assert isinstance(answer.exception(), OSError)
    assert told(queue.send(sent)) == (200, "duplicate")
    assert len(queue.mails(address)) == 1
