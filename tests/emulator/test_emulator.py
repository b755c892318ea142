"""The whole emulator: the contents of a run, and resets."""

import json
import re
import urllib.request

import pytest

from auth0.callout import build_callout
from emulator.core.server import Server
from emulator.emulator import Emulator, example
from emulator.runs.steps import steps
from emulator.runs.summary import summarize
from emulator.runs.timeline import format_emails, timeline
from tests.emulator.browser_page import WebHarness
from tests.emulator.client import request


@pytest.fixture
def emulator(web_harness: WebHarness) -> Emulator:
    return web_harness.emulator


def post(emulator: Emulator, body: bytes, headers: dict[str, str]) -> dict[str, object]:
    request = urllib.request.Request(emulator.function.url, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=20) as response:
        value: dict[str, object] = json.load(response)
        return value


def test_a_run_contains_every_step_from_the_event_to_the_tenant_log(emulator: Emulator) -> None:
    run = emulator.run(example("full"))
    run.await_log(20)
    names = [step.who for step in steps(run)]
    assert names[0] == "Event"
    assert names.count("Callout") == 1
    assert [name for name in names if name != "Function log"][-1] == "Auth0 log"  # the function's log can be late
    assert {"Secret Manager", "SendGrid", "Inbox", "Function log", "Auth0"} <= set(names)


def test_a_callout_between_two_runs_belongs_to_neither(emulator: Emulator) -> None:
    previous = emulator.run(example())
    callout = build_callout({**example("full"), "user": {"email": "between@example.com"}})
    post(emulator, callout.body, callout.headers(emulator.keys.signing_key))
    following = emulator.run(example())
    assert len(emulator.sendgrid.inbox()) == 4
    assert [len(run.emails) for run in (previous, following)] == [1, 1]
    assert "between@example.com" not in str(previous.entries) + str(following.entries)


def test_a_late_log_line_belongs_to_the_run_of_its_callout(emulator: Emulator) -> None:
    first = emulator.run(example())
    emulator.journal.record(
        "function.log", side="on_execute_post_change_password", line="late", fields={"callout": first.callout_id}
    )
    second = emulator.run(example())
    assert [entry.data["line"] for entry in first.entries if entry.kind == "function.log"][-1] == "late"
    assert "late" not in [entry.data["line"] for entry in second.entries if entry.kind == "function.log"]


def test_a_task_that_is_sent_after_the_run_belongs_to_it(emulator: Emulator) -> None:
    run = emulator.run(example())
    body = json.dumps({"task": {"httpRequest": {"headers": {"webhook-id": run.callout_id}}}})
    request = {"headers": [], "body": body}
    emulator.journal.record("cloud_tasks.exchange", request=request, response={"headers": [], "body": ""})
    assert run.entries[-1].kind == "cloud_tasks.exchange"


def test_every_server_rejects_requests_for_other_hosts(queue_web_harness: WebHarness) -> None:
    servers = [part for part in queue_web_harness.emulator.parts if isinstance(part, Server)]
    assert len(servers) == 6
    for url in (queue_web_harness.url, *(server.url for server in servers)):
        assert request("GET", url, headers={"Host": "attacker.example"}).status == 403


def test_a_reset_restores_a_working_emulator(emulator: Emulator) -> None:
    emulator.sendgrid.credits = 0
    emulator.sendgrid.unverify(emulator.settings["SENDER_EMAIL"])
    emulator.fault_toggles.turn_on("Secret Manager", "permission denied", None)
    emulator.reset()
    assert (emulator.runs, emulator.sendgrid.inbox(), emulator.fault_toggles.pending()) == ([], [], [])
    assert emulator.run(example()).execution.status == "success"


def test_a_reset_numbers_emails_and_secret_versions_from_1_again(emulator: Emulator) -> None:
    emulator.run(example())
    emulator.keys.rotate_sendgrid_key()
    emulator.reset()
    run = emulator.run(example())
    assert (run.number, [email.data["number"] for email in run.emails]) == (1, [1])
    assert [len(secret.versions) for secret in emulator.secret_manager.secrets()] == [1, 1]


def test_the_previous_version_keeps_running_whatever_is_edited(web_harness: WebHarness) -> None:
    """A revision reads its templates on first use, when they can be broken already."""
    main, template = web_harness.folder / "main.py", web_harness.folder / "notice" / "templates" / "notice.html"
    originals = {file: file.read_text("utf-8") for file in (main, template)}
    try:
        main.write_text(f"{originals[main]}\n# edited\n", "utf-8")
        web_harness.emulator.refresh()
        template.write_text("{% endif %}", "utf-8")
        run = web_harness.emulator.run(example())
        assert [error.file for error in web_harness.emulator.source_errors()] == ["notice/templates/notice.html"]
        assert (run.execution.status, len(run.emails)) == ("success", 1)
    finally:
        for file, text in originals.items():
            file.write_text(text, "utf-8")
        web_harness.emulator.refresh()


def test_a_crash_is_reported_with_exception_file_and_line(web_harness: WebHarness) -> None:
    main = web_harness.folder / "main.py"
    original = main.read_text("utf-8")
    line = 1 + original[: original.index("    try:\n")].count("\n")
    try:
        main.write_text(original.replace("    try:\n", "    {}['boom']\n    try:\n", 1), "utf-8")
        summary = summarize(web_harness.emulator.run(example()))
    finally:
        main.write_text(original, "utf-8")
        web_harness.emulator.refresh()
    assert summary.title == f"No notice sent: KeyError: 'boom' (main.py, line {line})"
    assert summary.error is not None
    assert (summary.error.file, summary.error.line) == ("main.py", line)


def test_repeated_emails_are_counted_and_their_address_named_once(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("SendGrid", "accepted, then reset", 2)
    summary = summarize(emulator.run(example()))
    assert re.fullmatch(r"Notice sent 3 times to j\+smith@example.com in [\d.]+ m?s", summary.title)
    assert summary.outcome == "retried"


@pytest.mark.parametrize(
    ("part", "name", "title"),
    [
        ("SendGrid", "unverified sender", "No notice sent: SendGrid rejected the sender"),
        ("SendGrid", "wrong key", "No notice sent: SendGrid rejected the API key"),
        ("SendGrid", "out of credits", "No notice sent: the SendGrid account has no credits left"),
        ("SendGrid", "too large", "No notice sent: SendGrid rejected the email (413)"),
        ("Callout", "stale signature", "No notice sent: invalid signature"),
        ("Function", "login page", "No notice sent: HTTP 200, but not from the function: check FUNCTION_URL"),
    ],
)
def test_a_failed_run_says_what_failed(emulator: Emulator, part: str, name: str, title: str) -> None:
    emulator.fault_toggles.turn_on(part, name, None)
    summary = summarize(emulator.run(example()))
    assert (summary.outcome, summary.title) == ("failed", title)


def test_a_notice_that_was_sent_although_the_callout_failed_says_both(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("Function", "answer lost", None)
    summary = summarize(emulator.run(example()))
    sent, _, failure = summary.title.partition(", but ")
    assert (summary.outcome, sent.startswith("Notice sent to j+smith@example.com in ")) == ("failed", True)
    assert failure.startswith("Auth0 reports a failure: can't reach the function: ")


def test_a_fault_without_a_failed_request_causes_no_retry(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("Callout", "same callout twice")
    assert summarize(emulator.run(example())).outcome == "sent"


def test_a_run_without_an_email_is_not_sent_and_says_why(emulator: Emulator) -> None:
    summary = summarize(emulator.run(example("no-email")))
    assert (summary.outcome, summary.title) == ("not_sent", "No notice sent: the user has no email address")


def test_a_copied_callout_is_sent_once_under_its_new_id(emulator: Emulator) -> None:
    run = emulator.run(example())
    callout = run.callout()
    assert callout.id != run.callout_id
    assert post(emulator, callout.body, callout.headers(emulator.keys.signing_key))["status"] == "sent"
    assert post(emulator, callout.body, callout.headers(emulator.keys.signing_key))["status"] == "duplicate"


def test_the_text_timeline_has_one_line_per_step_in_order(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("SendGrid", "server error")
    run = emulator.run(example())
    lines = timeline(run).splitlines()
    assert len(lines) == len(steps(run))
    assert "(injected: server error)" in timeline(run)
    times = [float(line.split(" ms")[0]) for line in lines]
    assert times == sorted(times)
    assert "To: j+smith@example.com" in format_emails(run)


def test_the_timeline_shows_the_exception_of_a_traceback(emulator: Emulator) -> None:
    run = emulator.run(example())
    fields = {"callout": run.callout_id, "severity": "ERROR", "message": "Traceback:\n  File x\nKeyError: 'nme'\n"}
    emulator.journal.record("function.log", side="on_execute_post_change_password", line="{}", fields=fields)
    assert [step.what for step in steps(run)][-1] == "ERROR KeyError: 'nme'"


def test_a_callout_succeeds_while_the_revision_is_replaced(web_harness: WebHarness) -> None:
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


def test_the_previous_signing_key_stays_valid_after_a_rotation(emulator: Emulator) -> None:
    old = emulator.keys.signing_key
    emulator.keys.rotate_signing_key()
    callout = build_callout(example())
    assert emulator.keys.signing_key != old
    assert post(emulator, callout.body, callout.headers(old))["status"] == "sent"
