"""The command: what it prints, and its exit status."""

import io
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.__main__ import main
from audit.report import LIMITS
from emulator.auth0.tenant_log_api import FAULTS as AUTH0_FAULTS
from emulator.core.faults import Fault
from tests.audit.conftest import NOW, START, Logs, RunAudit

ROOT = Path(__file__).parents[2]
SECOND = timedelta(seconds=1)
STATUSES = ["delivered", "accepted", "deferred", "bounced", "blocked", "dropped", "missing", "no_email"]


def test_delivered_notices_need_no_attention(logs: Logs, run_audit: RunAudit) -> None:
    logs.change(START, "Ann@example.com")
    logs.email(START + SECOND, "ann@EXAMPLE.com")
    result = run_audit()
    assert (result.status, result.statuses, result.errors) == (0, ["delivered"], "")


def test_the_json_has_the_period_the_counts_and_every_change(logs: Logs, run_audit: RunAudit) -> None:
    record = logs.change(START + timedelta(milliseconds=123), "ann@example.com", user_id="auth0|1")
    logs.email(START + 2 * SECOND, "ann@example.com")
    result = run_audit().json
    assert list(result) == ["since", "until", "changes", *STATUSES, "rows"]
    assert (result["since"], result["until"]) == ("2026-11-22T12:00:00Z", "2026-11-23T11:45:00Z")
    assert (result["changes"], result["delivered"], result["missing"]) == (1, 1, 0)
    assert result["rows"] == [
        {
            "log_id": record["log_id"],
            "changed_at": "2026-11-22T12:00:00.123Z",
            "user_id": "auth0|1",
            "connection": "Users",
            "status": "delivered",
            "reason": None,
            "notified_at": "2026-11-22T12:00:02Z",
        }
    ]


@pytest.mark.parametrize(
    ("outcome", "status", "exit_status"),
    [
        ("delivered late", "accepted", 0),
        ("deferred", "deferred", 0),
        ("bounced", "bounced", 1),
        ("blocked", "blocked", 1),
        ("dropped", "dropped", 1),
    ],
)
def test_the_exit_status_is_1_unless_each_notice_is_delivered_or_on_its_way(
    logs: Logs, run_audit: RunAudit, outcome: str, status: str, exit_status: int
) -> None:
    logs.change(NOW - 40 * SECOND)
    logs.email(NOW - 30 * SECOND, outcome=outcome)
    result = run_audit("--until", "0h")
    assert (result.statuses, result.status, result.json[status]) == ([status], exit_status, 1)


def test_an_address_that_bounced_is_dropped_from_then_on(logs: Logs, run_audit: RunAudit) -> None:
    for minutes, outcome in ((0, "bounced"), (10, "delivered"), (20, "delivered")):
        logs.change(START + timedelta(minutes=minutes))
        logs.email(START + timedelta(minutes=minutes, seconds=1), outcome=outcome)
    result = run_audit()
    assert result.statuses == ["bounced", "dropped", "dropped"]
    assert result.json["rows"][2]["reason"] == "Bounced Address"


def test_a_user_without_an_address_needs_no_notice(logs: Logs, run_audit: RunAudit) -> None:
    logs.change(START, "")
    result = run_audit()
    assert (result.status, result.statuses) == (0, ["no_email"])


def test_the_notice_of_a_change_after_the_period_does_not_hide_a_loss(logs: Logs, run_audit: RunAudit) -> None:
    lost = logs.change(NOW - timedelta(minutes=20))
    logs.change(NOW - timedelta(minutes=10))
    logs.email(NOW - timedelta(minutes=10) + SECOND)
    result = run_audit()
    assert (result.status, result.statuses) == (1, ["missing"])
    assert result.json["rows"][0]["log_id"] == lost["log_id"]


def test_a_notice_that_seems_older_than_the_first_change_of_the_period_is_found(
    logs: Logs, run_audit: RunAudit
) -> None:
    logs.change(START + SECOND)
    logs.email(START - 5 * SECOND)
    assert run_audit().statuses == ["delivered"]


def test_a_missing_notice_states_what_auth0_reports(logs: Logs, run_audit: RunAudit) -> None:
    logs.change(START, "ann@example.com")
    error = {"name": "Error", "message": "The notice for ann@example.com may not have been sent: HTTP 500"}
    details = {"trigger_id": "post-change-password", "error_class": "action_error", "action_error": error}
    logs.change(START + SECOND, "ann@example.com", type="actions_execution_failed", details=details)
    logs.change(START + timedelta(hours=1), "bob@example.com")
    result = run_audit()
    assert (result.status, result.statuses) == (1, ["missing", "missing"])
    reported, silent = (row["reason"] for row in result.json["rows"])
    message = "The notice for [address] may not have been sent: HTTP 500"
    assert reported == f"actions_execution_failed: action_error: {message}"
    assert silent == (
        "no email in SendGrid's log, and no failed execution in Auth0's: "
        "it may be waiting in the queue, or the Action isn't bound"
    )


def test_the_table_has_only_what_needs_attention(logs: Logs, run_audit: RunAudit) -> None:
    logs.change(START, "ann@example.com")
    logs.email(START, "ann@example.com")
    missing = logs.change(START + SECOND, "bob@example.com", connection="Staff\n\x1b[31m")
    result = run_audit(text=True)
    head, row, empty, *summary = result.output.splitlines()
    assert re.split("  +", head) == ["STATUS", "CHANGED AT", "USER ID", "CONNECTION", "LOG ID", "REASON"]
    assert re.split("  +", row)[:2] == ["missing", "2026-11-22T12:00:01Z"]
    assert "Staff [31m" in row
    assert missing["log_id"] in row
    assert (empty, summary) == (
        "",
        ["2 changes from 2026-11-22T12:00:00Z to 2026-11-23T11:45:00Z: 1 delivered, 1 missing", LIMITS],
    )


def test_the_output_has_no_address(logs: Logs, run_audit: RunAudit) -> None:
    for number, outcome in enumerate(("delivered", "bounced", "missing")):
        address = f"someone{number}@example.com"
        logs.change(START, address, user_id=f"auth0|{address}")
        if outcome != "missing":
            logs.email(START, address, outcome=outcome)
    for text in (True, False):
        result = run_audit(text=text)
        assert "@" not in result.output + result.errors
        assert "auth0|[address]" in result.output


def test_without_changes_there_is_no_table(logs: Logs, run_audit: RunAudit) -> None:
    result = run_audit(text=True)
    assert result.status == 0
    assert result.output.startswith("0 changes from 2026-11-22T12:00:00Z to 2026-11-23T11:45:00Z\n")


# ---- what can't be read ----


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("service", ["Auth0", "SendGrid"])
def test_a_failed_read_prints_one_line_and_no_table(logs: Logs, run_audit: RunAudit, service: str, text: bool) -> None:
    logs.change(START)
    faults = logs.auth0.faults if service == "Auth0" else logs.sendgrid.log_faults
    faults.add(Fault("status", status=500))
    result = run_audit(text=text)
    assert (result.status, result.output, result.errors.count("\n")) == (2, "", 1)
    assert re.match(rf"audit: \w+: {service} responded 500 .*: try again later", result.errors)


def test_a_failed_read_of_the_causes_is_a_failed_read(
    logs: Logs, run_audit: RunAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.change(START)
    logs.auth0.faults.add(Fault("delay"), AUTH0_FAULTS["server error"])
    result = run_audit()
    assert (result.status, result.output) == (2, "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"AUTH0_DOMAIN": "", "AUTH0_TOKEN": "", "SENDGRID_LOGS_KEY": ""},
            "AUTH0_DOMAIN, AUTH0_TOKEN (or AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET), SENDGRID_LOGS_KEY: not set: docs/",
        ),
        ({"SENDGRID_LOGS_KEY": " "}, "SENDGRID_LOGS_KEY: not set: docs/audit.md says where to get each"),
        (
            {"AUTH0_TOKEN": "", "AUTH0_CLIENT_ID": "an-id"},
            "AUTH0_CLIENT_SECRET: not set: docs/audit.md says where to get each",
        ),
        (
            {"AUTH0_DOMAIN": "http://tenant.auth0.com"},
            "AUTH0_DOMAIN: isn't a domain or an https URL: check AUTH0_DOMAIN, which is the tenant's own domain",
        ),
        (
            {"AUTH0_TOKEN": "wrong"},
            "AUTH0_TOKEN: Auth0 responded 401 Invalid token: get a new token, or set AUTH0_CLIENT_ID",
        ),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(
    logs: Logs, run_audit: RunAudit, changes: dict[str, str], expected: str
) -> None:
    logs.environment |= changes
    result = run_audit()
    assert (result.status, result.output, result.errors.count("\n")) == (2, "", 1)
    assert result.errors.startswith(f"audit: {expected}")


def test_an_expired_token_and_a_plan_without_logs_are_named(logs: Logs, run_audit: RunAudit) -> None:
    logs.auth0.expire(logs.environment["AUTH0_TOKEN"])
    assert run_audit().errors.startswith("audit: AUTH0_TOKEN: Auth0 responded 401 Expired token received")
    logs.environment["AUTH0_TOKEN"] = logs.auth0.new_token()
    logs.environment["SENDGRID_LOGS_KEY"] = logs.sendgrid.new_key("mail.send")
    result = run_audit()
    assert result.errors.startswith(
        "audit: SENDGRID_LOGS_KEY: SendGrid responded 403 access forbidden: give the key permission"
    )
    assert "check that the account's plan includes them" in result.errors


@pytest.mark.parametrize(
    "arguments", [["--since", "soon"], ["--since", "31d"], ["--unknown"], ["--sin", "24h"], ["extra"]]
)
def test_invalid_arguments_end_with_status_2(
    arguments: list[str], logs: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments, environment=logs.environment, clock=logs.time.clock)
    assert raised.value.code == 2
    assert capsys.readouterr().out == ""


# ---- on a terminal ----


def test_progress_is_shown_on_a_terminal_and_cleared(
    logs: Logs, run_audit: RunAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    logs.change(START)
    logs.email(START)
    shown = run_audit().errors.split("\r\x1b[K")
    assert shown[1:] == ["Auth0's log: 1 password changes", "SendGrid's log: 1 emails", ""]


def test_ctrl_c_ends_with_130(logs: Logs, run_audit: RunAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("audit.sendgrid_log.read_emails", interrupt)
    result = run_audit()
    assert (result.status, result.output, result.errors) == (130, "", "\naudit: interrupted\n")


def test_an_unexpected_error_is_not_status_1(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import audit.period\naudit.period.parse_period = None\n", "utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "audit"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "TypeError" in done.stderr


def test_a_python_without_the_dependencies_is_not_status_1() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "audit"], cwd=ROOT, env={}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "audit: No module named 'requests': run it with .venv/bin/python\n"


def test_a_terminal_that_lacks_a_character_gets_an_escape(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.change(START, connection="Größe ✓")
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "latin-1"))
    assert main([], environment=logs.environment, clock=logs.time.clock) == 1
    assert "Größe \\u2713" in written.getvalue().decode("latin-1")


def test_output_that_nobody_reads_is_not_an_error(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.change(START)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr("sys.stdout", output)
        status = main(["--json"], environment=logs.environment, clock=logs.time.clock)
    assert (status, capfd.readouterr().err) == (1, "")
