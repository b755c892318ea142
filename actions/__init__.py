"""The runtime that mirrors Auth0 Actions. What an Action needs of it stands here."""

from actions.api import Api
from actions.errors import NoticeError
from actions.event import Event
from actions.flow import Flow, start
from actions.result import Result, skipped

__all__ = ["Api", "Event", "Flow", "NoticeError", "Result", "skipped", "start"]
