"""What the tests of the page share."""

from tests.emulator.browser_page import (
    browser,
    queue_site,
    queue_visitor,
    running_queue_site,
    running_site,
    site,
    visitor,
)

__all__ = ["browser", "queue_site", "queue_visitor", "running_queue_site", "running_site", "site", "visitor"]
