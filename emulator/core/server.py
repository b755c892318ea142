"""A stand-in's server: a WSGI application on a loopback port, with faults and a record of each exchange."""

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
from emulator.core.journal import Journal

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

logging.getLogger("werkzeug").setLevel(logging.ERROR)


class Server:
    """Serves `app` on 127.0.0.1 as a context manager; `name` is the first word of its journal entries.

    Each exchange becomes a `NAME.exchange` entry: method, path, status (0: none was sent), duration_ms, fault (what
    was wrong on purpose, or None), request and response (headers as pairs, body as text). An Authorization header is
    cut, so that no key stands in the journal; `redact` does the same for bodies, either way: it gets the text and
    returns what may be shown. `faults` holds what goes wrong next; `drop_connections` ends those that clients keep
    open, as a service does with idle ones.
    """

    def __init__(
        self, name: str, app: Wsgi, journal: Journal, *, port: int = 0, redact: Callable[[str], str] = str
    ) -> None:
        self.name, self.app, self.journal, self.faults = name, app, journal, Faults()
        self.redact = redact
        self.stopping = threading.Event()
        self._http = _HttpServer(self, port)
        self.port: int = self._http.server_port
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

    def drop_connections(self) -> None:
        for connection in list(self._http.connections):
            with suppress(OSError, ValueError):  # the other side is gone already
                connection.shutdown(socket.SHUT_RDWR)


class _HttpServer(ThreadedWSGIServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, server: Server, port: int) -> None:
        self.stand_in = server
        self.connections: set[socket.socket] = set()
        super().__init__("127.0.0.1", port, server.app, handler=_Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(WSGIRequestHandler):
    """One connection, kept alive: the whole request is read, answered and recorded before the next."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with suppress(OSError, ValueError):  # the other side is gone already
            super().finish()

    def run_wsgi(self) -> None:
        stand_in, started = self.server.stand_in, time.monotonic()
        environ = self.make_environ()
        body = _read(environ)
        environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        fault = stand_in.faults.take()
        if fault is not None and fault.kind == "delay":
            stand_in.stopping.wait(fault.seconds)
        response = _answer(stand_in.app, environ, fault)
        if response is None or not response.is_streamed:
            milliseconds = round((time.monotonic() - started) * 1000, 1)
            exchange = _exchange(environ, body, response, fault, milliseconds)
            for side in (exchange["request"], exchange["response"]):
                side["body"] = stand_in.redact(side["body"])
            stand_in.journal.record(f"{stand_in.name}.exchange", **exchange)
        if fault is None or fault.kind in ("status", "delay"):
            self._send(response or Response(status=500))
        else:
            self._spoil(response, fault)

    def _send(self, response: Response) -> None:
        self.send_response(response.status_code, response.status.partition(" ")[2])
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.is_streamed:  # as it comes, then the end of the connection is the end of the answer
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        for chunk in response.iter_encoded() if self.command != "HEAD" else ():
            self.wfile.write(chunk)
            self.wfile.flush()
        self.wfile.flush()
        response.close()

    def _spoil(self, response: Response | None, fault: Fault) -> None:
        stopping = self.server.stand_in.stopping
        answer = b"" if response is None else _bytes(response)
        if fault.kind == "hang":
            stopping.wait(fault.seconds or 60)
        if fault.kind == "cut":
            self.connection.sendall(answer[: len(answer) * 2 // 3])
        if fault.kind == "slow":
            for byte in answer:
                self.connection.sendall(bytes([byte]))
                if stopping.wait(fault.seconds):
                    break
            else:  # a whole answer, if late: the connection stays
                return
        self.close_connection = True
        # RST instead of an orderly end: the other side sees a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The journal has it."""


def _answer(app: Wsgi, environ: Environ, fault: Fault | None) -> Response | None:
    """The application's answer, or what the fault puts in its place (None: no answer at all)."""
    if fault is not None and fault.kind == "status":
        return Response(fault.body, fault.status, dict(fault.headers), content_type=fault.headers.get("Content-Type"))
    if fault is not None and fault.kind in ("hang", "reset") and not fault.accepted:
        return None
    response = Response.from_app(app, environ)
    if "Content-Length" in response.headers or response.status_code in (204, 304):
        response.make_sequence()  # only what has no known end is streamed
    return response


def _read(environ: Environ) -> bytes:
    """The whole body, whether it came with a length or in chunks."""
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


def _bytes(response: Response) -> bytes:
    """The answer as it would stand on the wire."""
    body = response.get_data()
    phrase = HTTPStatus(response.status_code).phrase
    headers = {**dict(response.headers), "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {response.status_code} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
