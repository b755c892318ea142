"""Fixtures shared by the emulator's tests."""

from tests.emulator.browser_page import (
    browser,
    browser_page,
    queue_browser_page,
    queue_web_harness,
    running_queue_web_harness,
    running_web_harness,
    web_harness,
)

__all__ = [
    "browser",
    "browser_page",
    "queue_browser_page",
    "queue_web_harness",
    "running_queue_web_harness",
    "running_web_harness",
    "web_harness",
]
