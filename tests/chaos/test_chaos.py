"""A short chaos run, its baseline, and tests of the checks that it relies on."""

import subprocess
from types import SimpleNamespace
from typing import cast

import pytest

import chaos.__main__
from bench.candidate import install_sample_action
from chaos.__main__ import main
from chaos.baseline import run_samples
from chaos.checker import CheckResult, check
from chaos.environment import Environment, Mode
from chaos.recorder import Recorder
from chaos.request import Attempt, ChaosCallout, Kind
from chaos.scenarios import Injection, Scenarios
from emulator.sendgrid.faults import fault

SENT = Attempt(1, 2, 200, "sent")
UNAVAILABLE = Attempt(1, 2, 503, "mail_unavailable")


@pytest.mark.parametrize("mode", ["direct", "queue"])
def test_no_notice_is_lost_or_duplicated_without_a_reason(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mode", mode, "--callouts", "120", "--seed", "7"]) == 0, capsys.readouterr().out
    assert "lost                                                                0" in capsys.readouterr().out


def test_a_run_is_stopped_if_the_function_does_not_start_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill(scenarios: Scenarios, *_: object) -> None:
        monkeypatch.setattr("emulator.cloud_run.process.START_TIMEOUT_SECONDS", 0.0)
        scenario = next(each for each in scenarios.disruptive if each.name == "SIGKILL")
        scenario.run()

    monkeypatch.setattr(chaos.__main__, "run_scenarios", kill)
    monkeypatch.setattr(chaos.__main__, "Client", lambda _: SimpleNamespace(run=lambda *_: None))
    assert main(["--mode", "direct", "--callouts", "100"]) == 2
    captured = capsys.readouterr()
    assert "the run was stopped" in captured.err
    assert "lost" not in captured.out


@pytest.fixture(scope="module")
def _sample_action() -> None:
    try:
        install_sample_action()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"npm can't install axios: {error}")


@pytest.mark.usefixtures("_sample_action")
@pytest.mark.parametrize(
    ("name", "lost", "unreported"),
    [("server error", 3, [3, 3]), ("timeout", 3, [0, 3]), ("accepted, then reset", 0, [0, 0])],
)
def test_the_sample_action_loses_each_notice_that_sendgrid_does_not_accept_at_once(
    name: str, lost: int, unreported: list[int]
) -> None:
    changes = [ChaosCallout(number, "forwarder") for number in range(10)]
    outcomes = run_samples(changes, 20.0, [Injection(0, fault(name, count=3), 60.0)], timeout=5.0)
    assert [(each.changes, each.lost, each.duplicated) for each in outcomes] == 2 * [(10, lost, 0)]
    assert [each.unreported for each in outcomes] == unreported


class FinishedRun:
    """A finished chaos run without real processes."""

    def __init__(self, mode: Mode = "direct") -> None:
        self.recorder, self.mode = Recorder(), mode
        self.public = SimpleNamespace(crashes=list[tuple[float, float]](), replacements=[(0.0, 0.5)])
        self.callouts: list[ChaosCallout] = []

    def callout(self, *attempts: Attempt, emails: int = 1, kind: Kind = "late") -> ChaosCallout:
        callout = ChaosCallout(len(self.callouts), kind, attempts=list(attempts))
        self.recorder.emails[callout.address] = emails
        self.callouts.append(callout)
        return callout

    def check(self) -> CheckResult:
        return check(cast(Environment, self), self.callouts)


@pytest.fixture
def run() -> FinishedRun:
    return FinishedRun()


def test_one_email_for_each_valid_callout_passes(run: FinishedRun) -> None:
    run.callout(SENT)
    run.callout(UNAVAILABLE, Attempt(3, 4, 200, "sent"), Attempt(5, 6, 200, "duplicate"))
    run.callout(Attempt(1, 2, 401, "invalid_signature"), emails=0, kind="forged")
    assert run.check().passed


def test_a_callout_without_an_email_is_lost(run: FinishedRun) -> None:
    run.callout(UNAVAILABLE, emails=0)
    result = run.check()
    assert (len(result.lost), len(result.unsent), result.passed) == (1, 0, False)


def test_a_callout_whose_sender_timed_out_is_not_reported_as_lost(run: FinishedRun) -> None:
    run.callout(Attempt(1, 8, 0), UNAVAILABLE, emails=0)
    result = run.check()
    assert (result.lost, len(result.unknown), result.passed) == ([], 1, False)


def test_a_callout_whose_attempts_a_crash_interrupted_is_lost(run: FinishedRun) -> None:
    run.public.crashes.append((1.5, 2.5))
    run.callout(Attempt(1, 2, 0), UNAVAILABLE, emails=0)
    assert (len(run.check().lost), run.check().unknown) == (1, [])


def test_a_success_without_an_email_is_acknowledged_but_unsent(run: FinishedRun) -> None:
    run.callout(SENT, emails=0)
    result = run.check()
    assert (len(result.lost), len(result.unsent), result.passed) == (1, 1, False)


def test_a_second_email_needs_a_reason(run: FinishedRun) -> None:
    run.callout(SENT, emails=2)
    assert run.check().unexplained
    assert not run.check().passed


def test_each_surplus_email_needs_its_own_reason(run: FinishedRun) -> None:
    callout = run.callout(SENT, emails=3)
    run.recorder.hidden_acceptances[callout.address].append("truncated response")
    assert run.check().unexplained
    run.recorder.hidden_acceptances[callout.address].append("truncated response")
    assert run.check().passed
    assert run.check().duplicates == {"truncated response: hid SendGrid's acceptance": 2}


def test_a_crash_in_flight_explains_a_second_email(run: FinishedRun) -> None:
    run.callout(Attempt(1, 2, 0), Attempt(3, 4, 200, "sent"), emails=2)
    assert not run.check().passed
    run.public.crashes.append((1.5, 2.5))
    assert run.check().passed


def test_a_delivery_without_a_response_explains_a_second_email() -> None:
    run = FinishedRun("queue")
    callout = run.callout(Attempt(1, 2, 202, "queued"), emails=2)
    assert not run.check().passed
    run.recorder.record("cloud_tasks.attempt", task=f"{callout.idempotency_key}-action", status=0)
    assert run.check().passed


@pytest.mark.parametrize(
    "attempt",
    [
        Attempt(1, 2, 0),
        Attempt(1, 2, 429, "invalid JSON"),
        Attempt(1, 2, 500, "internal"),
        Attempt(1, 2, 502, "mail_rejected"),
        Attempt(1, 2, 503, "queue_unavailable"),
        Attempt(1, 2, 202, "queued"),
        Attempt(1, 2, 200, "duplicate"),
        Attempt(1, 2, 200, "sent", is_well_formed=False),
        Attempt(1, 2, 500),
    ],
)
def test_a_response_outside_the_contract_is_a_violation(run: FinishedRun, attempt: Attempt) -> None:
    run.callout(attempt)
    assert run.check().violations


def test_a_second_success_is_a_violation_unless_the_instance_was_replaced(run: FinishedRun) -> None:
    callout = run.callout(SENT, Attempt(5, 6, 200, "sent"), emails=2)
    run.recorder.hidden_acceptances[callout.address].append("truncated response")
    assert run.check().violations
    run.public.replacements.append((4.0, 4.5))
    assert not run.check().violations


def test_an_unauthenticated_callout_that_is_accepted_or_sends_an_email_is_a_violation(run: FinishedRun) -> None:
    run.callout(Attempt(1, 2, 401, "invalid_signature"), emails=1, kind="forged")
    run.callout(SENT, emails=0, kind="stale")
    assert len(run.check().violations) == 2
