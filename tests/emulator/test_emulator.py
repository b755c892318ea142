"""The emulator as a whole: what belongs to a run, and what a reset leaves."""

import json
import urllib.request

import pytest

from auth0.callout import build_callout
from emulator.emulator import Emulator, example
from emulator.runs.steps import steps
from emulator.runs.timeline import format_emails, timeline
from tests.emulator.browser_page import WebHarness


@pytest.fixture
def emulator(web_harness: WebHarness) -> Emulator:
    return web_harness.emulator


def post(emulator: Emulator, body: bytes, headers: dict[str, str]) -> dict[str, object]:
    request = urllib.request.Request(emulator.function.url, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        value: dict[str, object] = json.load(answer)
        return value


def test_a_run_holds_what_happened_from_the_event_to_the_tenants_log(emulator: Emulator) -> None:
    run = emulator.run(example("full"))
    run.await_log(20)
    who = [step.who for step in steps(run)]
    assert who[0] == "Event"
    assert who.count("Callout") == 1
    assert [name for name in who if name != "Function log"][-1] == "Auth0 log"  # a line of the function's may be late
    assert {"Secret Manager", "SendGrid", "Inbox", "Function log", "Auth0"} <= set(who)


def test_what_happens_between_two_runs_is_in_neither(emulator: Emulator) -> None:
    before = emulator.run(example())
    callout = build_callout({**example("full"), "user": {"email": "between@example.com"}})
    post(emulator, callout.body, callout.headers(emulator.keys.signing_key))
    after = emulator.run(example())
    assert len(emulator.sendgrid.inbox()) == 4
    assert [len(run.emails) for run in (before, after)] == [1, 1]
    assert "between@example.com" not in str(before.entries) + str(after.entries)


def test_a_late_log_line_belongs_to_the_run_whose_callout_it_names(emulator: Emulator) -> None:
    first = emulator.run(example())
    emulator.journal.record(
        "function.log", side="on_execute_post_change_password", line="late", fields={"callout": first.callout_id}
    )
    second = emulator.run(example())
    assert [entry.data["line"] for entry in first.entries if entry.kind == "function.log"][-1] == "late"
    assert "late" not in [entry.data["line"] for entry in second.entries if entry.kind == "function.log"]


def test_a_task_that_is_tried_after_the_run_belongs_to_it(emulator: Emulator) -> None:
    run = emulator.run(example())
    body = json.dumps({"task": {"httpRequest": {"headers": {"webhook-id": run.callout_id}}}})
    request = {"headers": [], "body": body}
    emulator.journal.record("cloud_tasks.exchange", request=request, response={"headers": [], "body": ""})
    assert run.entries[-1].kind == "cloud_tasks.exchange"


def test_a_reset_leaves_nothing_but_a_working_emulator(emulator: Emulator) -> None:
    emulator.sendgrid.credits = 0
    emulator.sendgrid.unverify(emulator.settings["SENDER_EMAIL"])
    emulator.fault_toggles.turn_on("Secret Manager", "permission denied", None)
    emulator.reset()
    assert (emulator.runs, emulator.sendgrid.inbox(), emulator.fault_toggles.pending()) == ([], [], [])
    assert emulator.run(example()).execution.status == "success"


def test_the_event_of_the_callout_is_new_under_a_new_id_and_old_under_the_old_one(emulator: Emulator) -> None:
    run = emulator.run(example())
    callout = run.callout()
    assert callout.id != run.callout_id
    assert post(emulator, callout.body, callout.headers(emulator.keys.signing_key))["status"] == "sent"
    assert post(emulator, callout.body, callout.headers(emulator.keys.signing_key))["status"] == "duplicate"


def test_the_timeline_as_text_has_a_line_for_each_step_in_order(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("SendGrid", "server error")
    run = emulator.run(example())
    lines = timeline(run).splitlines()
    assert len(lines) == len(steps(run))
    assert "(on purpose: server error)" in timeline(run)
    times = [float(line.split(" ms")[0]) for line in lines]
    assert times == sorted(times)
    assert "To: j+smith@example.com" in format_emails(run)


def test_of_a_traceback_the_timeline_says_what_it_came_to(emulator: Emulator) -> None:
    run = emulator.run(example())
    fields = {"callout": run.callout_id, "severity": "ERROR", "message": "Traceback:\n  File x\nKeyError: 'nme'\n"}
    emulator.journal.record("function.log", side="on_execute_post_change_password", line="{}", fields=fields)
    assert [step.what for step in steps(run)][-1] == "ERROR KeyError: 'nme'"


def test_a_callout_while_the_function_is_replaced_is_answered(web_harness: WebHarness) -> None:
    main = web_harness.folder / "main.py"
    text = main.read_text("utf-8")
    try:
        for number in range(3):
            main.write_text(f"{text}\n# {number}\n", "utf-8")
            execution = web_harness.emulator.run(example()).execution
            assert execution.status == "success", execution
    finally:
        main.write_text(text, "utf-8")
        web_harness.emulator.refresh()


def test_of_two_signing_keys_the_first_signs_and_the_one_before_still_counts(emulator: Emulator) -> None:
    old = emulator.keys.signing_key
    emulator.keys.rotate_signing_key()
    callout = build_callout(example())
    assert emulator.keys.signing_key != old
    assert post(emulator, callout.body, callout.headers(old))["status"] == "sent"
