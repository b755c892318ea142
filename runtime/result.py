"""The result: what an Action returns; and the answer: what the function returns for all of them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Result(NamedTuple):
    """`status` is one word for the answer and the log, such as sent, sandbox or skipped."""

    status: str
    message_id: str | None = None  # SendGrid's
    reason: str | None = None  # why it was skipped
    attempts: int | None = None  # how often SendGrid was asked


def skipped(reason: str) -> Result:
    """Nothing was to be done, and that is right: `reason` is a word for machines, such as no_email."""
    return Result("skipped", reason=reason)


class Answer(NamedTuple):
    """An HTTP answer that is JSON."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = MappingProxyType({})
