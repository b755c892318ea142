"""Check the outcome of each callout of a run against the HTTP contract."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.environment import Environment
from chaos.request import Attempt, ChaosCallout

# Allowed responses to a callout with a valid signature.
VALID_RESPONSES = {
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
UNAUTHENTICATED_RESPONSES = {(401, "invalid_signature"), (503, "secret_unavailable")}


@dataclass
class CheckResult:
    """Callouts that violate the contract. `duplicates` counts surplus emails by reason.

    `unknown` callouts sent no email, but their sender timed out before a response: perhaps the machine was too slow.
    """

    lost: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    duplicates: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not (self.lost or self.unknown or self.unsent or self.unexplained or self.violations)


def check(environment: Environment, callouts: Sequence[ChaosCallout]) -> CheckResult:
    result = CheckResult()
    for callout in callouts:
        emails = environment.recorder.emails[callout.address]
        if callout.expects_email and not emails:
            has_timed_out = any(_has_timed_out(environment, attempt) for attempt in callout.attempts)
            (result.unknown if has_timed_out else result.lost).append(_describe(callout))
            if any(attempt.is_accepted for attempt in callout.attempts):
                result.unsent.append(_describe(callout))
        if emails > 1:
            _explain(environment, callout, emails - 1, result)
        if not callout.expects_email and emails:
            result.violations.append(f"unexpected email: {_describe(callout)}")
        result.violations += [
            f"{violation}: {_describe(callout)}" for violation in _invalid_responses(environment, callout)
        ]
    return result


def _describe(callout: ChaosCallout) -> str:
    responses = ", ".join(f"{attempt.status} {attempt.code}".strip() for attempt in callout.attempts)
    return f"{callout.number} ({callout.kind}): {responses} {callout.forwarder_error}".rstrip()


def _explain(environment: Environment, callout: ChaosCallout, surplus: int, result: CheckResult) -> None:
    """Match each surplus email with its own reason."""
    reasons = _reasons(environment, callout)
    result.duplicates.update(reasons[:surplus])
    if len(reasons) < surplus:
        result.unexplained.append(f"{surplus + 1} emails, {len(reasons)} reasons: {_describe(callout)}")


def _reasons(environment: Environment, callout: ChaosCallout) -> list[str]:
    recorder = environment.recorder
    reasons = [f"{fault}: hid SendGrid's acceptance" for fault in recorder.hidden_acceptances[callout.address]]
    reasons += ["timeout: hid SendGrid's acceptance"] * (recorder.timeouts[callout.id] - len(reasons))
    reasons += ["deliver crashed in flight"] * recorder.unanswered_deliveries[callout.idempotency_key]
    if environment.mode == "direct":
        has_crashed = any(_was_interrupted(environment, attempt) for attempt in callout.attempts)
        reasons += ["the instance crashed in flight"] * has_crashed
        reasons += ["retried on an instance that hadn't seen it"] * _replacements_between(environment, callout)
    elif recorder.completed_deliveries[callout.idempotency_key] > 1:
        reasons += ["delivered twice by Cloud Tasks, to two instances"] * (
            recorder.completed_deliveries[callout.idempotency_key] - 1
        )
    return reasons


def _has_timed_out(environment: Environment, attempt: Attempt) -> bool:
    """Return whether the sender timed out before a response."""
    return not attempt.status and not _was_interrupted(environment, attempt)


def _was_interrupted(environment: Environment, attempt: Attempt) -> bool:
    """Return whether a crash may have cut off the attempt."""
    return any(_overlap(crash, attempt.started, attempt.ended) for crash in environment.public.crashes)


def _replacements_between(environment: Environment, callout: ChaosCallout) -> int:
    """Return how often the instance was replaced between the start of the first success and the last response."""
    if callout.kind == "forwarder":  # the forwarder doesn't retry what was accepted
        return 0
    first = min((attempt.started for attempt in callout.attempts if attempt.is_accepted), default=math.inf)
    last = max((attempt.ended for attempt in callout.attempts), default=0.0)
    return sum(_overlap(replacement, first, last) for replacement in environment.public.replacements)


def _overlap(interval: tuple[float, float], started: float, ended: float) -> bool:
    return interval[0] <= ended and started <= interval[1]


def _invalid_responses(environment: Environment, callout: ChaosCallout) -> list[str]:
    valid = VALID_RESPONSES[environment.mode] if callout.expects_email else UNAUTHENTICATED_RESPONSES
    invalid = []
    for number, attempt in enumerate(callout.attempts):
        if attempt.status in (0, 429):
            is_valid = _was_interrupted(environment, attempt)
        elif not attempt.code:
            is_valid = attempt.status in {status for status, _ in valid}
        else:
            is_valid = (attempt.status, attempt.code) in valid and attempt.is_well_formed
        if not is_valid or _is_inconsistent(environment, callout, number):
            problem = "no response" if _has_timed_out(environment, attempt) else "invalid response"
            invalid.append(f"{problem} to attempt {number + 1}")
    return invalid


def _is_inconsistent(environment: Environment, callout: ChaosCallout, number: int) -> bool:
    """Return whether a first response is a duplicate, or a later one isn't, although an earlier attempt succeeded."""
    attempt = callout.attempts[number]
    previous = [earlier for earlier in callout.attempts if earlier.is_accepted and earlier.ended < attempt.started]
    if attempt.code == "duplicate":
        return environment.mode == "direct" and callout.kind != "concurrent" and number == 0
    is_new = attempt.code in ("sent", "queued")
    return is_new and bool(previous) and not _replacements_between(environment, callout)
