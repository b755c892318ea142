"""A Cloud Run service: a stable URL that routes to the newest revision that started.

Editing a file starts a new revision next to the running one and switches over when it listens. An edit with an error
is reported, as is a revision that fails to start; the old one keeps running, from its own copy of the files. Requests
and responses are recorded byte for byte, and faults can be injected into them (see faults.py).
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
from emulator.cloud_run.snapshot import take_snapshot
from emulator.cloud_run.trace import traceparent
from emulator.core.faults import Faults
from emulator.core.folder import TemporaryFolder
from emulator.core.journal import Journal
from emulator.core.server import Environ, Server
from emulator.core.source import SourceError, error_from_output, file_versions, find_source_error
from emulator.secret_manager.key_rotation import Keys

PUBLIC = "on_execute_post_change_password"
COPY_HEADER = "X-Emulator-Copy"
EXECUTION_HEADER = "X-Emulator-Execution"  # the ID of the execution of the forwarder Action that sent the callout
_OWN_HEADERS = (COPY_HEADER.lower(), EXECUTION_HEADER.lower())
_HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "host", "keep-alive", *_OWN_HEADERS)
STALE_SECONDS = 600
MAX_OUTPUT_LINES = 200  # kept to explain a failed start
RESPONSE_TIMEOUT_SECONDS = 120.0


@dataclass
class Revision:
    """A process of the function, the folder with the files that it runs, and its pooled connections."""

    number: int
    process: FunctionProcess
    folder: TemporaryFolder
    http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=100, retries=False, timeout=RESPONSE_TIMEOUT_SECONDS)
    )

    def forward(self, request: Request, headers: Mapping[str, str]) -> Response:
        target = self.process.url + request.full_path.rstrip("?")
        body = request.get_data() or None
        response = self.http.request(request.method, target, body=body, headers=headers, redirect=False)
        end_to_end = [(name, value) for name, value in response.headers.items() if name.lower() not in _HOP_BY_HOP]
        return Response(response.data, response.status, end_to_end)

    def stop(self) -> None:
        """Stop gracefully, after requests in flight. Close idle connections first, or the process waits for them."""
        self.http.clear()
        self.process.stop()
        self.folder.remove()


class FakeCloudRun(Server):
    """The fake Cloud Run service, a context manager: the public service or `deliver`.

    `source_error` is the error in the newest edit, if it isn't used. Add faults of the response to `faults`, and faults
    of the callout to `callout_faults`, some of which change `keys`.
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
        # A main.py in another folder has its own copy of the runtime or uses this project's.
        self._roots = {source.parent} if (source.parent / "runtime").is_dir() else {source.parent, PROJECT_ROOT}
        self.callout_faults = Faults()
        self.source_error: SourceError | None = None
        self._lock = threading.Lock()
        self._stopping: list[threading.Thread] = []
        self._seen = file_versions(*self._roots)
        self.revision = self._revision(1)

    def __enter__(self) -> Self:
        self.revision.process.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            super().__exit__(*error)
            self.revision.stop()
        for thread in self._stopping:
            thread.join()

    def receive(self, environ: Environ, body: bytes) -> None:
        """Record the arrival of a callout; `execution` is empty if the emulated Auth0 didn't send it."""
        webhook_id = environ.get("HTTP_WEBHOOK_ID", "")
        if webhook_id:
            execution = environ.get("HTTP_X_EMULATOR_EXECUTION", "")
            text = body.decode("utf-8", "replace")
            self.journal.record(f"{self.name}.callout", webhook_id=webhook_id, execution=execution, body=text)

    def refresh(self) -> None:
        """If a file was edited, start a new revision, or set `source_error`."""
        with self._lock:
            current = file_versions(*self._roots)
            if current == self._seen:
                return
            error = find_source_error(self._seen, current, self._source.parent)
            self._seen = current
            try:
                self.source_error = error or self._replace()
            except OSError:  # an editor is replacing a file right now, so its versions will differ again
                self._seen = {}
                return
            data = {"part": self.name, "revision": self.revision.number}
            self.journal.record("code.changed", **data, error=self.source_error and self.source_error.as_json())

    def _revision(self, number: int) -> Revision:
        folder = take_snapshot(self._source)
        process = FunctionProcess(
            self.journal,
            self._environment,
            target=self._target,
            source=folder.path / self._source.name,
            max_lines=MAX_OUTPUT_LINES,
        )
        return Revision(number, process, folder)

    def _replace(self) -> SourceError | None:
        new, old = self._revision(self.revision.number + 1), self.revision
        try:
            new.process.start()
        except FunctionError as error:
            return error_from_output(error.output)
        self.revision = new
        self._stopping.append(threading.Thread(target=old.stop, name="stop_revision", daemon=True))
        self._stopping[-1].start()
        return None

    def _serve(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if "Webhook-Id" in headers:
            headers["Traceparent"] = traceparent(headers["Webhook-Id"])
        # Use up callout faults only for callouts, not for copies or unrelated requests.
        is_callout = "Webhook-Id" in headers and COPY_HEADER not in request.headers
        fault = self.callout_faults.take() if is_callout else None
        try:
            response = self._forward(request, headers, fault.name if fault else "")
        except urllib3.exceptions.HTTPError as error:
            response = Response(f"The function doesn't respond: {type(error).__name__}\n", 503)
        if fault:
            response.headers["X-Emulator-Fault"] = fault.name
        return response(environ, start_response)

    def _forward(self, request: Request, headers: dict[str, str], fault: str) -> Response:
        self._apply_fault(fault, request, headers)
        response = self.revision.forward(request, headers)
        if fault == DUPLICATE:
            copy = {**headers, COPY_HEADER: "1"}
            self.revision.http.request(request.method, self.url, body=request.get_data(), headers=copy)
        return response

    def _apply_fault(self, fault: str, request: Request, headers: dict[str, str]) -> None:
        """Apply a callout fault before the request is forwarded."""
        if fault == BAD_SIGNATURE:
            headers["Webhook-Signature"] = f"v1,{headers.get('Webhook-Signature', 'v1,')[:2:-1]}"
        elif fault == STALE_SIGNATURE:
            callout = OutgoingCallout(request.get_data(), headers["Webhook-Id"])
            at = int(headers.get("Webhook-Timestamp", "0")) - STALE_SECONDS
            headers.update({name.title(): value for name, value in callout.headers(self._keys.signing_key, at).items()})
        elif fault == SIGNING_KEY_ROTATES:
            self._keys.rotate_signing_key()
        elif fault == SENDGRID_KEY_ROTATES:
            self._keys.rotate_sendgrid_key_at_next_email()
