"""The runtime that mirrors Auth0 Actions. What an Action needs of it stands here."""

import gc

# A start makes objects that stay. To look for garbage among them again and again would take a tenth of it.
gc.set_threshold(10_000)

from actions.api import Api  # noqa: E402
from actions.errors import NoticeError  # noqa: E402
from actions.event import Event  # noqa: E402
from actions.flow import Flow, start  # noqa: E402
from actions.result import Result, skipped  # noqa: E402

__all__ = ["Api", "Event", "Flow", "NoticeError", "Result", "skipped", "start"]
