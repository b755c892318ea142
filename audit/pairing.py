"""Match emails and failures with the changes that they belong to. Pure functions."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush, merge
from itertools import islice

from audit.auth0_log import Change, Failure
from audit.sendgrid_log import Email
from runtime.address import ascii_domain

Rank = tuple[bool, timedelta, datetime, str]

MAX_CLOCK_SKEW = timedelta(seconds=10)  # by which an email can seem to be older than its change
MAX_EXECUTION = timedelta(seconds=60)  # from a change to its failure: all Actions of the trigger have 20 s, and skew


def pair(changes: Iterable[Change], emails: Iterable[Email]) -> dict[str, Email]:
    """Return the email of each notified change, by the change's log_id.

    Each email, in chronological order, takes the latest change of its address that has none yet and isn't more than
    MAX_CLOCK_SKEW after the email. So a user's lost notice is the one without an email, even if the user changed the
    password again later.
    """
    unpaired: dict[str, list[Change]] = defaultdict(list)
    for change in sorted(changes, key=_order):
        unpaired[_key(change.address)].append(change)
    unpaired.pop("", None)
    pairs = {}
    for email in sorted(emails, key=lambda email: (email.at, email.message_id)):
        waiting = unpaired.get(_key(email.address), [])
        position = bisect_right(waiting, email.at + MAX_CLOCK_SKEW, key=lambda change: change.at)
        if position:
            pairs[waiting.pop(position - 1).log_id] = email
    return pairs


def attribute(failures: Iterable[Failure], changes: Iterable[Change]) -> dict[str, Failure]:
    """Return the failure of each change that Auth0 reports as failed, by the change's log_id.

    A failure belongs to its user's change that is nearest in time or, if Auth0 names no user, to the nearest change.
    Of each type of record, a change has one at most; actions_execution_failed says more than fcph.
    """
    ordered = sorted(changes, key=_order)
    by_type: dict[str, list[Failure]] = defaultdict(list)
    for failure in sorted(failures, key=lambda failure: (failure.at, failure.cause)):
        by_type[failure.type].append(failure)
    types = sorted(by_type, key=lambda kind: kind == "actions_execution_failed")
    return {log_id: failure for kind in types for log_id, failure in _nearest(by_type[kind], ordered).items()}


def _nearest(failures: list[Failure], changes: list[Change]) -> dict[str, Failure]:
    """Return one failure for each change, and one change for each failure, the nearest first."""
    waiting = []
    for number, failure in enumerate(failures):
        candidates = _candidates(failure, changes)
        waiting += [(rank, number, candidates) for rank in islice(candidates, 1)]
    heapify(waiting)
    nearest: dict[str, Failure] = {}
    while waiting:
        (*_, log_id), number, candidates = heappop(waiting)
        if log_id not in nearest:
            nearest[log_id] = failures[number]
        elif rank := next(candidates, None):
            heappush(waiting, (rank, number, candidates))
    return nearest


def _candidates(failure: Failure, changes: list[Change]) -> Iterator[Rank]:
    """Yield the changes that the failure can belong to, the nearest first: in a mass reset, that can be all of them."""
    is_anonymous = not failure.user_id and not failure.address
    first = bisect_left(changes, failure.at - MAX_EXECUTION, key=lambda change: change.at)
    middle = bisect_left(changes, failure.at, key=lambda change: change.at)
    last = bisect_right(changes, failure.at + MAX_CLOCK_SKEW, key=lambda change: change.at)

    def ranked(positions: range) -> Iterator[Rank]:
        for change in (changes[position] for position in positions):
            if is_anonymous or _is_same_user(failure, change):
                yield is_anonymous, abs(failure.at - change.at), *_order(change)

    return merge(ranked(range(middle - 1, first - 1, -1)), ranked(range(middle, last)))


def _is_same_user(failure: Failure, change: Change) -> bool:
    if failure.user_id and change.user_id:
        return failure.user_id == change.user_id
    return bool(failure.address) and _key(failure.address) == _key(change.address)


def _order(change: Change) -> tuple[datetime, str]:
    return change.at, change.log_id


def _key(address: str) -> str:
    """Return a key that all forms of one address share; SendGrid gets the domain in its ASCII form."""
    return ascii_domain(address.strip()).lower()
