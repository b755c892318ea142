"""The HTTP server of every emulated service: serves WSGI on loopback, injects faults, and records exchanges."""

import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import Any, Self

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from emulator.core.faults import Fault, Faults
from emulator.core.guard import is_foreign
from emulator.core.journal import Journal

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

FOREIGN = "requests for other hosts or from other sites are rejected; use http://127.0.0.1 or http://localhost"

logging.getLogger("werkzeug").setLevel(logging.ERROR)


class Server:
    """A context manager that serves `app` on 127.0.0.1; `name` prefixes the kinds of its journal entries.

    Each exchange becomes a `NAME.exchange` entry: method, path, status (0: no response was sent), duration_ms, fault
    (the injected fault's name, or None), request, and response (headers as pairs, body as text). Authorization headers
    are truncated, so the journal contains no key; `redact` maps a request or response body to what can be shown.
    Add faults to `faults` to inject them into the next requests. Requests from pages of other sites get 403 and aren't
    recorded. Raise OSError if the port is taken.
    """

    def __init__(
        self, name: str, app: Wsgi, journal: Journal, *, port: int = 0, redact: Callable[[str], str] = str
    ) -> None:
        self.name, self.app, self.journal, self.faults = name, app, journal, Faults()
        self.redact = redact
        self.stopping = threading.Event()
        self._http = _HttpServer(self, port)
        self.port: int = self._http.port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self.drop_connections()

    def receive(self, environ: Environ, body: bytes) -> None:
        """Handle a request before a fault can delay or drop it; by default, do nothing."""

    def take_fault(self, environ: Environ) -> Fault | None:  # noqa: ARG002  (for subclasses)
        """Return the fault for a request, if any."""
        return self.faults.take()

    def drop_connections(self) -> None:
        """Close all keep-alive connections, as a service does with idle ones."""
        for connection in list(self._http.connections):
            with suppress(OSError, ValueError):  # the client has already disconnected
                connection.shutdown(socket.SHUT_RDWR)


class _HttpServer(ThreadedWSGIServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, server: Server, port: int) -> None:
        self.owner = server
        self.connections: set[socket.socket] = set()
        # If the port is taken, werkzeug would print its own message and exit.
        with socket.create_server(("127.0.0.1", port), backlog=self.request_queue_size) as listener:
            super().__init__("127.0.0.1", port, server.app, handler=_Handler, fd=listener.fileno())

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


class _Handler(WSGIRequestHandler):
    """One keep-alive connection: each request is read, processed, and recorded before the next one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with suppress(OSError, ValueError):  # the client has already disconnected
            super().finish()

    def run_wsgi(self) -> None:
        owner, started = self.server.owner, time.monotonic()
        environ = self.make_environ()
        body = _read(environ)
        environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        if is_foreign(environ):
            self._send(Response(json.dumps({"error": FOREIGN}), 403, content_type="application/json"))
            return
        owner.receive(environ, body)
        fault = owner.take_fault(environ)
        if fault is not None and fault.kind == "delay":
            owner.stopping.wait(fault.seconds)
        response = _respond(owner.app, environ, fault)
        if response is None or not response.is_streamed:
            milliseconds = round((time.monotonic() - started) * 1000, 1)
            exchange = _exchange(environ, body, response, fault, milliseconds)
            for message in (exchange["request"], exchange["response"]):
                message["body"] = owner.redact(message["body"])
            owner.journal.record(f"{owner.name}.exchange", **exchange)
        if fault is None or fault.kind in ("status", "delay"):
            self._send(response or Response(status=500))
        else:
            self._send_with_fault(response, fault)

    def _send(self, response: Response) -> None:
        self.send_response(response.status_code, response.status.partition(" ")[2])
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.is_streamed:  # the end of the connection marks the end of the response
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        for chunk in response.iter_encoded() if self.command != "HEAD" else ():
            self.wfile.write(chunk)
            self.wfile.flush()
        self.wfile.flush()
        response.close()

    def _send_with_fault(self, response: Response | None, fault: Fault) -> None:
        stopping = self.server.owner.stopping
        raw = b"" if response is None else _serialize(response)
        if fault.kind == "hang":
            stopping.wait(fault.seconds or 60)
        if fault.kind == "cut":
            self.connection.sendall(raw[: len(raw) * 2 // 3])
        if fault.kind == "slow":
            for byte in raw:
                self.connection.sendall(bytes([byte]))
                if stopping.wait(fault.seconds):
                    break
            else:  # the response is complete, so keep the connection
                return
        self.close_connection = True
        # Close with RST instead of FIN, so that the client sees a connection reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do nothing: the journal records each exchange."""


def _respond(app: Wsgi, environ: Environ, fault: Fault | None) -> Response | None:
    """Return the application's response, or the fault's (None: no response)."""
    if fault is not None and fault.kind == "status":
        return Response(fault.body, fault.status, dict(fault.headers), content_type=fault.headers.get("Content-Type"))
    if fault is not None and fault.kind in ("hang", "reset") and not fault.accepted:
        return None
    response = Response.from_app(app, environ)
    if "Content-Length" in response.headers or response.status_code in (204, 304):
        response.make_sequence()  # stream only responses of unknown length
    return response


def _read(environ: Environ) -> bytes:
    """Return the complete request body, sent with a length or in chunks."""
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    return bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _exchange(
    environ: Environ, body: bytes, response: Response | None, fault: Fault | None, milliseconds: float
) -> dict[str, Any]:
    query = environ.get("QUERY_STRING", "")
    return {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"] + (f"?{query}" if query else ""),
        "status": 0 if response is None else response.status_code,
        "duration_ms": milliseconds,
        "fault": None if fault is None else (fault.name or fault.kind),
        "request": {"headers": list(_request_headers(environ)), "body": body.decode("utf-8", "replace")},
        "response": {
            "headers": [] if response is None else list(response.headers.items()),
            "body": "" if response is None else response.get_data().decode("utf-8", "replace"),
        },
    }


def _request_headers(environ: Environ) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = key.removeprefix("HTTP_").replace("_", "-").title()
            yield name, f"{value[:14]}…" if name == "Authorization" else value


def _serialize(response: Response) -> bytes:
    """Return the response as sent on the wire."""
    body = response.get_data()
    phrase = HTTPStatus(response.status_code).phrase
    headers = {**dict(response.headers), "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {response.status_code} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
