"""The runtime that mirrors Auth0 Actions. What an Action needs of it stands here."""

import gc

# A start makes objects that stay. To look for garbage among them again and again would take a tenth of it.
gc.set_threshold(10_000)

from runtime.api import Api  # noqa: E402
from runtime.errors import NoticeError  # noqa: E402
from runtime.event import Event  # noqa: E402
from runtime.flow import Flow, start  # noqa: E402
from runtime.results import Result, skipped  # noqa: E402

__all__ = ["Api", "Event", "Flow", "NoticeError", "Result", "skipped", "start"]
