"""The verdict: what the callouts of a run came to, one by one, and whether that is what the contract says."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.environment import Environment
from chaos.request import Attempt, ChaosCallout

# What may be answered to a callout whose signature holds.
RIGHT = {
    "direct": {
        (200, "sent"),
        (200, "duplicate"),
        (503, "mail_unavailable"),
        (503, "secret_unavailable"),
        (503, "in_progress"),
    },
    "queue": {
        (202, "queued"),
        (200, "duplicate"),
        (503, "queue_unavailable"),
        (503, "secret_unavailable"),
        (503, "in_progress"),
    },
}
TO_STRANGERS = {(401, "invalid_signature"), (503, "secret_unavailable")}


@dataclass
class CheckResult:
    """`twice` counts surplus mails by their reason."""

    lost: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    twice: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.lost or self.unsent or self.unexplained or self.wrong)


def judge(world: Environment, callouts: Sequence[ChaosCallout]) -> CheckResult:
    verdict = CheckResult()
    for callout in callouts:
        mails = world.ledger.mails[callout.address]
        if callout.is_for_mail and not mails:
            verdict.lost.append(_tell(callout))
            if any(attempt.accepted for attempt in callout.attempts):
                verdict.unsent.append(_tell(callout))
        if mails > 1:
            _explain(world, callout, mails - 1, verdict)
        if not callout.is_for_mail and mails:
            verdict.wrong.append(f"a mail for {_tell(callout)}")
        verdict.wrong += [f"{wrong}: {_tell(callout)}" for wrong in _wrong_answers(world, callout)]
    return verdict


def _tell(callout: ChaosCallout) -> str:
    answers = ", ".join(f"{each.status} {each.word}".strip() for each in callout.attempts)
    return f"{callout.number} ({callout.kind}): {answers} {callout.gave_up}".rstrip()


def _explain(world: Environment, callout: ChaosCallout, surplus: int, verdict: CheckResult) -> None:
    """Each surplus mail has a reason of its own."""
    reasons = _reasons(world, callout)
    verdict.twice.update(reasons[:surplus])
    if len(reasons) < surplus:
        verdict.unexplained.append(f"{surplus + 1} mails, {len(reasons)} reasons: {_tell(callout)}")


def _reasons(world: Environment, callout: ChaosCallout) -> list[str]:
    ledger = world.ledger
    reasons = [f"{fault}: hid SendGrid's acceptance" for fault in ledger.hidden[callout.address]]
    reasons += ["a time-out: hid SendGrid's acceptance"] * (ledger.timed_out[callout.id] - len(reasons))
    reasons += ["deliver died in flight"] * ledger.unanswered[callout.key]
    if world.mode == "direct":
        died = any(_overlaps(world, attempt) for attempt in callout.attempts)
        reasons += ["the instance died in flight"] * died
        reasons += ["sent again to an instance that had not seen it"] * _instances_between(world, callout)
    elif ledger.delivered[callout.key] > 1:
        reasons += ["Cloud Tasks sent it twice, to two instances"] * (ledger.delivered[callout.key] - 1)
    return reasons


def _overlaps(world: Environment, attempt: Attempt) -> bool:
    """Whether requests of this time may have been broken off."""
    return any(_meets(death, attempt.began, attempt.ended) for death in world.public.deaths)


def _instances_between(world: Environment, callout: ChaosCallout) -> int:
    """How often the instance changed between the callout's first success, or during it, and its last answer."""
    if callout.kind == "action":  # action.js sends nothing again that was accepted
        return 0
    first = min((attempt.began for attempt in callout.attempts if attempt.accepted), default=math.inf)
    last = max((attempt.ended for attempt in callout.attempts), default=0.0)
    return sum(_meets(change, first, last) for change in world.public.changes)


def _meets(times: tuple[float, float], began: float, ended: float) -> bool:
    return times[0] <= ended and began <= times[1]


def _wrong_answers(world: Environment, callout: ChaosCallout) -> list[str]:
    right = RIGHT[world.mode] if callout.is_for_mail else TO_STRANGERS
    wrong = []
    for number, attempt in enumerate(callout.attempts):
        if attempt.status in (0, 429):
            is_right = _overlaps(world, attempt)
        elif not attempt.word:
            is_right = attempt.status in {status for status, _ in right}
        else:
            is_right = (attempt.status, attempt.word) in right and attempt.right
        if not is_right or _surprising(world, callout, number):
            wrong.append(f"answer {number + 1} is wrong")
    return wrong


def _surprising(world: Environment, callout: ChaosCallout, number: int) -> bool:
    """A first answer that knows the callout already, or a later one that has forgotten it."""
    attempt = callout.attempts[number]
    before = [each for each in callout.attempts if each.accepted and each.ended < attempt.began]
    if attempt.word == "duplicate":
        return world.mode == "direct" and callout.kind != "concurrent" and number == 0
    is_new = attempt.word in ("sent", "queued")
    return is_new and bool(before) and not _instances_between(world, callout)
