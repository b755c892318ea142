"""The result: what an Action returns."""

from typing import NamedTuple


class Result(NamedTuple):
    """`status` is one word for the answer and the log, such as sent, sandbox or skipped."""

    status: str
    message_id: str | None = None  # SendGrid's
    reason: str | None = None  # why it was skipped
    attempts: int | None = None  # how often SendGrid was asked


def skipped(reason: str) -> Result:
    """Nothing was to be done, and that is right: `reason` is a word for machines, such as no_email."""
    return Result("skipped", reason=reason)
