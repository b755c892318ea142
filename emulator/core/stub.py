"""A stand-in for any other service that an Action calls: it answers, records, and fails when told to."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from emulator.core.journal import Journal
from emulator.core.server import Environ, Server


@dataclass(frozen=True)
class ReceivedRequest:
    """A request that arrived, and the status that it got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stub(Server):
    """As a context manager; it answers 200 with `answer`. `faults` say what goes wrong next (see faults.py)."""

    def __init__(self, name: str, *, answer: str = "ok") -> None:
        self._answer = answer
        super().__init__(name, self._serve, Journal())

    @property
    def received(self) -> list[ReceivedRequest]:
        """Oldest first; those that a fault answered too."""
        return [_received(entry.data) for entry in self.journal.entries(kind=f"{self.name}.exchange")]

    def _serve(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        return Response(self._answer)(environ, start_response)


def _received(data: Mapping[str, Any]) -> ReceivedRequest:
    request = data["request"]
    return ReceivedRequest(data["method"], data["path"], dict(request["headers"]), request["body"], data["status"])
