"""A short fault run, and that it would tell what it looks for."""

from types import SimpleNamespace
from typing import cast

import pytest

from chaos.__main__ import main
from chaos.checker import CheckResult, judge
from chaos.environment import Environment, Mode
from chaos.recorder import Recorder
from chaos.request import Attempt, ChaosCallout, Kind

SENT = Attempt(1, 2, 200, "sent")
DOWN = Attempt(1, 2, 503, "mail_unavailable")


@pytest.mark.parametrize("mode", ["direct", "queue"])
def test_nothing_is_lost_or_twice_without_a_reason(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mode", mode, "--callouts", "120", "--seed", "7"]) == 0, capsys.readouterr().out
    assert "lost                                                                0" in capsys.readouterr().out


class Run:
    """A run that is over, without its processes."""

    def __init__(self, mode: Mode = "direct") -> None:
        self.ledger, self.mode = Recorder(), mode
        self.public = SimpleNamespace(deaths=list[tuple[float, float]](), changes=[(0.0, 0.5)])
        self.callouts: list[ChaosCallout] = []

    def callout(self, *attempts: Attempt, mails: int = 1, kind: Kind = "late") -> ChaosCallout:
        callout = ChaosCallout(len(self.callouts), kind, attempts=list(attempts))
        self.ledger.mails[callout.address] = mails
        self.callouts.append(callout)
        return callout

    def verdict(self) -> CheckResult:
        return judge(cast(Environment, self), self.callouts)


@pytest.fixture
def run() -> Run:
    return Run()


def test_one_mail_for_one_callout_is_what_holds(run: Run) -> None:
    run.callout(SENT)
    run.callout(DOWN, Attempt(3, 4, 200, "sent"), Attempt(5, 6, 200, "duplicate"))
    run.callout(Attempt(1, 2, 401, "invalid_signature"), mails=0, kind="forged")
    assert run.verdict().holds


def test_a_callout_without_a_mail_is_lost(run: Run) -> None:
    run.callout(DOWN, mails=0)
    verdict = run.verdict()
    assert (len(verdict.lost), len(verdict.unsent), verdict.holds) == (1, 0, False)


def test_a_success_without_a_mail_is_acknowledged_but_unsent(run: Run) -> None:
    run.callout(SENT, mails=0)
    verdict = run.verdict()
    assert (len(verdict.lost), len(verdict.unsent), verdict.holds) == (1, 1, False)


def test_a_second_mail_needs_a_reason(run: Run) -> None:
    run.callout(SENT, mails=2)
    assert run.verdict().unexplained
    assert not run.verdict().holds


def test_each_surplus_mail_needs_a_reason_of_its_own(run: Run) -> None:
    callout = run.callout(SENT, mails=3)
    run.ledger.hidden[callout.address].append("cut answer")
    assert run.verdict().unexplained
    run.ledger.hidden[callout.address].append("cut answer")
    assert run.verdict().holds
    assert run.verdict().twice == {"cut answer: hid SendGrid's acceptance": 2}


def test_an_instance_that_died_in_flight_is_a_reason(run: Run) -> None:
    run.callout(Attempt(1, 2, 0), Attempt(3, 4, 200, "sent"), mails=2)
    assert not run.verdict().holds
    run.public.deaths.append((1.5, 2.5))
    assert run.verdict().holds


def test_a_delivery_that_was_not_answered_is_a_reason() -> None:
    run = Run("queue")
    callout = run.callout(Attempt(1, 2, 202, "queued"), mails=2)
    assert not run.verdict().holds
    run.ledger.record("cloud_tasks.attempt", task=f"{callout.key}-action", status=0)
    assert run.verdict().holds


@pytest.mark.parametrize(
    "attempt",
    [
        Attempt(1, 2, 0),
        Attempt(1, 2, 429, "no JSON"),
        Attempt(1, 2, 500, "internal"),
        Attempt(1, 2, 502, "mail_rejected"),
        Attempt(1, 2, 503, "queue_unavailable"),
        Attempt(1, 2, 202, "queued"),
        Attempt(1, 2, 200, "duplicate"),
        Attempt(1, 2, 200, "sent", right=False),
        Attempt(1, 2, 500),
    ],
)
def test_what_the_contract_does_not_say_is_a_wrong_answer(run: Run, attempt: Attempt) -> None:
    run.callout(attempt)
    assert run.verdict().wrong


def test_a_success_that_was_forgotten_is_a_wrong_answer_unless_the_instance_is_another(run: Run) -> None:
    callout = run.callout(SENT, Attempt(5, 6, 200, "sent"), mails=2)
    run.ledger.hidden[callout.address].append("cut answer")
    assert run.verdict().wrong
    run.public.changes.append((4.0, 4.5))
    assert not run.verdict().wrong


def test_a_mail_for_a_stranger_is_a_wrong_answer(run: Run) -> None:
    run.callout(Attempt(1, 2, 401, "invalid_signature"), mails=1, kind="forged")
    run.callout(SENT, mails=0, kind="stale")
    assert len(run.verdict().wrong) == 2
