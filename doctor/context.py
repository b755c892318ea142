"""The context of the checks: what they inspect, and what one check passes on to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.clock import CLOCK, Clock
from settings import Settings


@dataclass
class CheckContext:
    """`settings` are those of the service that sends email; `environment` has the others too, such as TASKS_QUEUE."""

    environment: Mapping[str, str]
    settings: Settings
    url: str = ""  # of the function; empty: don't call it
    tenant: str = ""  # its name, by AUTH0_DOMAIN; empty: unknown
    token: str = field(default="", repr=False)  # Google access token of the signed-in account; empty: send none
    clock: Clock = CLOCK
    clock_skew: float | None = None  # seconds by which this machine's clock is ahead; None: not measured yet
    sendgrid_key: str = field(default="", repr=False)
    signing_key: str = field(default="", repr=False)  # the first valid key, which the Action should sign with

    @property
    def now(self) -> float:
        """Return Unix seconds, corrected by the clock skew."""
        return self.clock.now() - (self.clock_skew or 0.0)

    @property
    def sample_tenant(self) -> str:
        """Return the tenant of sample events: the real one, if it is known."""
        return self.tenant or min(self.settings.allowed_tenants, default="doctor")

    @property
    def google_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
