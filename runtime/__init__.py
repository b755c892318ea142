"""The runtime that mirrors Auth0 Actions: everything an Action imports."""

from runtime.api import Api
from runtime.errors import NoticeError
from runtime.event import Event
from runtime.flow import Flow, start
from runtime.results import Result, skipped

__all__ = ["Api", "Event", "Flow", "NoticeError", "Result", "skipped", "start"]
