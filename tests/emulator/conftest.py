"""What the tests of the page share."""

from tests.emulator.site import browser, running_site, site, visitor

__all__ = ["browser", "running_site", "site", "visitor"]
