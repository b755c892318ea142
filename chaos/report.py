"""The report of a chaos run: each mode's outcome and injected faults, and the comparison with the baselines."""

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from chaos.checker import CheckResult
from chaos.environment import Environment
from chaos.request import ChaosCallout

MAX_SHOWN = 10
COLUMNS = ("changes", "delivered", "lost", "lost without an error in Auth0's log", "duplicated")


class Outcome(NamedTuple):
    """What happened to the notices of all password changes. `unreported` are lost, but Auth0's log has no error."""

    name: str
    changes: int
    delivered: int
    duplicated: int
    unreported: int

    @property
    def lost(self) -> int:
        return self.changes - self.delivered


def summarize(
    name: str, callouts: Iterable[ChaosCallout], emails: Mapping[str, int], reported: Container[str]
) -> Outcome:
    """Return the outcome; `emails` were sent to each address, and Auth0's log has errors for those in `reported`."""
    addresses = [callout.address for callout in callouts if callout.expects_email]
    lost = [address for address in addresses if not emails[address]]
    return Outcome(
        name,
        changes=len(addresses),
        delivered=len(addresses) - len(lost),
        duplicated=sum(emails[address] > 1 for address in addresses),
        unreported=sum(address not in reported for address in lost),
    )


def comparison(outcomes: Iterable[Outcome]) -> str:
    """Return a Markdown table with a row for each outcome."""
    rows = [("", *COLUMNS), ("---", *["---:"] * len(COLUMNS))]
    for outcome in outcomes:
        numbers = (outcome.changes, outcome.delivered, outcome.lost, outcome.unreported, outcome.duplicated)
        rows.append((outcome.name, *(f"{number:,}" for number in numbers)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def print_mode(environment: Environment, callouts: Sequence[ChaosCallout], result: CheckResult) -> None:
    """Print the outcome of the callouts, how often each fault was injected, and what violates the contract."""
    recorder = environment.recorder
    attempts = sum(len(callout.attempts) for callout in callouts)
    by_forwarder = sum(callout.kind == "forwarder" for callout in callouts)
    _print_rows(
        [
            (f"callouts, {by_forwarder} of them by the forwarder", len(callouts)),
            ("attempts", attempts),
            ("emails", sum(recorder.emails[callout.address] for callout in callouts)),
            ("lost", len(result.lost)),
            ("unknown, because their sender timed out", len(result.unknown)),
            ("acknowledged but unsent", len(result.unsent)),
            ("duplicates", sum(result.duplicates.values()) + len(result.unexplained)),
            *((f"  {reason}", count) for reason, count in sorted(result.duplicates.items())),
            ("  unexplained", len(result.unexplained)),
            ("contract violations", len(result.violations)),
            ("tasks dropped by Cloud Tasks", recorder.dropped),
            ("notices abandoned by deliver", len(recorder.abandoned)),
            ("output lines that aren't log entries", len(recorder.unexpected_lines)),
            (f"maximum load of this machine, which has {os.cpu_count()} CPUs", round(recorder.max_load)),
            ("reported to Auth0 as failed but sent", _failed_but_sent(environment, callouts)),
        ]
    )
    _print_rows([("fault", "injected"), *sorted(recorder.injected.items())])
    for lines in (result.lost, result.unknown, result.unexplained, result.violations, recorder.unexpected_lines):
        for line in lines[:MAX_SHOWN]:
            print(f"  {line}")


def _failed_but_sent(environment: Environment, callouts: Iterable[ChaosCallout]) -> int:
    emails = environment.recorder.emails
    return sum(bool(callout.forwarder_error) and emails[callout.address] > 0 for callout in callouts)


def _print_rows(rows: Sequence[tuple[str, int | str]]) -> None:
    for name, value in rows:
        print(f"{name:<60}{value:>9}")
    print(flush=True)
