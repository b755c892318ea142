"""The runtime that mirrors Auth0 Actions: everything an Action imports."""

import gc

# Startup allocates long-lived objects; repeated GC passes over them cost about 10 % of the cold start.
gc.set_threshold(10_000)

from runtime.api import Api  # noqa: E402
from runtime.errors import NoticeError  # noqa: E402
from runtime.event import Event  # noqa: E402
from runtime.flow import Flow, start  # noqa: E402
from runtime.results import Result, skipped  # noqa: E402

__all__ = ["Api", "Event", "Flow", "NoticeError", "Result", "skipped", "start"]
