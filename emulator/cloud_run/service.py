"""A service on Cloud Run: one address that stays, and behind it the newest revision that started.

An edited file makes a new revision: it starts beside the old one and takes over once it listens; one that cannot start
is told, and the old one keeps serving. What goes through the front is recorded byte for byte, and may be spoiled on
its way (see callout_faults.py).
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import urllib3
from werkzeug.wrappers import Request, Response

from auth0.callout import OutgoingCallout
from emulator.cloud_run.faults import (
    BAD_SIGNATURE,
    DUPLICATE,
    SENDGRID_KEY_ROTATES,
    SIGNING_KEY_ROTATES,
    STALE_SIGNATURE,
)
from emulator.cloud_run.process import PROJECT_ROOT, FunctionError, FunctionProcess
from emulator.core.faults import Faults
from emulator.core.journal import Journal
from emulator.core.server import Environ, Server
from emulator.core.source import SourceError, error_from_output, file_versions, find_source_error
from emulator.secret_manager.key_rotation import Keys

PUBLIC = "on_execute_post_change_password"
COPY = "X-Emulator-Copy"
_HOP = ("connection", "transfer-encoding", "content-length", "host", "keep-alive", COPY.lower())
STALE_SECONDS = 600
ANSWER_SECONDS = 120.0


@dataclass
class Revision:
    """A process of the function, and the connections to it."""

    number: int
    process: FunctionProcess
    http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=100, retries=False, timeout=ANSWER_SECONDS)
    )

    def forward(self, request: Request, headers: Mapping[str, str]) -> Response:
        target = self.process.url + request.full_path.rstrip("?")
        body = request.get_data() or None
        answer = self.http.request(request.method, target, body=body, headers=headers, redirect=False)
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP]
        return Response(answer.data, answer.status, kept)

    def end(self) -> None:
        """In order: what is under way is answered. Idle connections first, or the process waits for them."""
        self.http.clear()
        self.process.stop()


class FakeCloudRun(Server):
    """The service, as a context manager: the public side, or `deliver`. `fault` says why the newest edit is not used.

    `name` is the first word of its entries. `faults` spoil an exchange, `tricks` a callout; some of these need `keys`.
    """

    def __init__(
        self,
        journal: Journal,
        environment: Mapping[str, str],
        *,
        keys: Keys,
        target: str = PUBLIC,
        source: Path = PROJECT_ROOT / "main.py",
    ) -> None:
        super().__init__("function" if target == PUBLIC else target, self._serve, journal)
        self._environment, self._keys, self._target = environment, keys, target
        self._source = source
        # A main.py elsewhere may bring the rest along, or use this project's.
        self._roots = {source.parent} if (source.parent / "runtime").is_dir() else {source.parent, PROJECT_ROOT}
        self.callout_faults = Faults()
        self.source_error: SourceError | None = None
        self._lock = threading.Lock()
        self._ending: list[threading.Thread] = []
        self._seen = file_versions(*self._roots)
        self.revision = self._revision(1)

    def __enter__(self) -> Self:
        self.revision.process.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            super().__exit__(*error)
            self.revision.end()
        for thread in self._ending:
            thread.join()

    def refresh(self) -> None:
        """Where a file was edited: serve it, or say what is wrong with it."""
        with self._lock:
            now = file_versions(*self._roots)
            if now == self._seen:
                return
            fault = find_source_error(self._seen, now, self._source.parent)
            self._seen = now
            self.source_error = fault or self._replace()
            changed = {"part": self.name, "revision": self.revision.number}
            self.journal.record("code.changed", **changed, fault=self.source_error and self.source_error.as_json())

    def _revision(self, number: int) -> Revision:
        process = FunctionProcess(self.journal, self._environment, target=self._target, source=self._source)
        return Revision(number, process)

    def _replace(self) -> SourceError | None:
        new, old = self._revision(self.revision.number + 1), self.revision
        try:
            new.process.start()
        except FunctionError as error:
            return error_from_output(str(error), self._source.parent)
        self.revision = new
        self._ending.append(threading.Thread(target=old.end, name="revision ends", daemon=True))
        self._ending[-1].start()
        return None

    def _serve(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        # Only a callout takes a trick: it is not spent on a copy, nor on a stranger's request.
        tricked = "Webhook-Id" in headers and COPY not in request.headers
        trick = self.callout_faults.take() if tricked else None
        try:
            response = self._forward(request, headers, trick.name if trick else "")
        except urllib3.exceptions.HTTPError as error:
            response = Response(f"The function does not answer: {type(error).__name__}\n", 503)
        if trick:
            response.headers["X-Emulator-Fault"] = trick.name
        return response(environ, start_response)

    def _forward(self, request: Request, headers: dict[str, str], trick: str) -> Response:
        self._play(trick, request, headers)
        response = self.revision.forward(request, headers)
        if trick == DUPLICATE:
            copy = {**headers, COPY: "1"}
            self.revision.http.request(request.method, self.url, body=request.get_data(), headers=copy)
        return response

    def _play(self, trick: str, request: Request, headers: dict[str, str]) -> None:
        """What is done to a callout before the function sees it."""
        if trick == BAD_SIGNATURE:
            headers["Webhook-Signature"] = f"v1,{headers.get('Webhook-Signature', 'v1,')[:2:-1]}"
        elif trick == STALE_SIGNATURE:
            callout = OutgoingCallout(request.get_data(), headers["Webhook-Id"])
            at = int(headers.get("Webhook-Timestamp", "0")) - STALE_SECONDS
            headers.update({name.title(): value for name, value in callout.headers(self._keys.signing_key, at).items()})
        elif trick == SIGNING_KEY_ROTATES:
            self._keys.rotate_signing_key()
        elif trick == SENDGRID_KEY_ROTATES:
            self._keys.rotate_sendgrid_key_at_next_email()
