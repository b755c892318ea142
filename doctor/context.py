"""The case: what the doctor looks at, and what one check has learnt for the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.clock import CLOCK, Clock
from settings import Settings

SECONDS = 10.0  # what a service has for one answer


@dataclass
class CheckContext:
    """`settings` are those of the side that sends mail; `environment` has the others too, such as TASKS_QUEUE."""

    environment: Mapping[str, str]
    settings: Settings
    url: str = ""  # the function's; empty: it is not called
    token: str = field(default="", repr=False)  # Google's, of who is signed in; empty: none is sent
    resolver: str = "https://dns.google/resolve"  # DNS over HTTPS, in its JSON form
    clock: Clock = CLOCK
    ahead: float | None = None  # how many seconds this machine's clock is ahead of the others; None: not known yet
    sendgrid_key: str = field(default="", repr=False)
    signing_key: str = field(default="", repr=False)  # the first of them: what the Action should sign with

    @property
    def now(self) -> float:
        """Unix seconds as others count them."""
        return self.clock.now() - (self.ahead or 0.0)

    @property
    def google_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
