"""A stub for any other service that an Action calls: it responds, records requests, and injects faults."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from emulator.core.journal import Journal
from emulator.core.server import Environ, Server


@dataclass(frozen=True)
class ReceivedRequest:
    """A request that the stub received, and the status that it responded with."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stub(Server):
    """A context manager that serves 200 with the body `response`. Add faults to `faults` (see faults.py)."""

    def __init__(self, name: str, *, response: str = "ok") -> None:
        self._response = response
        super().__init__(name, self._serve, Journal())

    @property
    def received(self) -> list[ReceivedRequest]:
        """Return the requests, oldest first, including those that got a fault."""
        return [_to_request(entry.data) for entry in self.journal.entries(kind=f"{self.name}.exchange")]

    def _serve(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        return Response(self._response)(environ, start_response)


def _to_request(data: Mapping[str, Any]) -> ReceivedRequest:
    request = data["request"]
    return ReceivedRequest(data["method"], data["path"], dict(request["headers"]), request["body"], data["status"])
