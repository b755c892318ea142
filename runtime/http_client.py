"""Outbound HTTP: pooled POST requests with a deadline for the whole exchange, through requests' adapter."""

import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any, NamedTuple

import certifi

from runtime.process import import_blocked

# Importing it takes 6 ms, and no response is decoded as text here.
with import_blocked("charset_normalizer", warning="Unable to find acceptable character detection"):
    import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from runtime import log
from settings import Settings

CONNECT_TIMEOUT_SECONDS = 2.0  # for all addresses of the host together
MAX_RESPONSE_BYTES = 65_536
# State of this thread's request: .deadline (monotonic seconds); .connection: "reused" from the pool, "connecting", or
# "connected"; .response_started: whether a byte of the response has arrived; .may_have_arrived: whether the request was
# sent earlier over a pooled connection that then closed.
_current = threading.local()


class HttpResponse(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes  # truncated to MAX_RESPONSE_BYTES


class NoResponse(Exception):
    """No complete response was received. `maybe_accepted`: the request may have arrived."""

    def __init__(self, cause: str, *, maybe_accepted: bool) -> None:
        super().__init__(cause)
        self.maybe_accepted = maybe_accepted


class HttpClient:
    """A pool of keep-alive connections to one service, shared by all threads."""

    def __init__(self, settings: Settings) -> None:
        self._adapter = _Adapter(settings.threads, settings.ca_bundle or certifi.where())
        self._proxies = {"https": settings.proxy} if settings.proxy else None

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, deadline: float) -> HttpResponse:
        """Send a POST request and return the response; redirects aren't followed.

        `deadline` (monotonic seconds) applies to the whole exchange. Raises NoResponse.
        """
        started = time.monotonic()
        _current.deadline, _current.connection = deadline, ""
        _current.response_started, _current.may_have_arrived = False, False
        try:
            return self._send_with_reconnect(_build_request(url, headers, body))
        except requests.ConnectTimeout as error:
            raise NoResponse("connection timed out", maybe_accepted=_current.may_have_arrived) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            maybe_accepted = _current.may_have_arrived or _current.connection != "connecting"
            raise NoResponse(_root_cause(error), maybe_accepted=maybe_accepted) from error
        except ValueError:  # its text contains the header, which may be a key
            raise NoResponse("malformed header", maybe_accepted=False) from None
        finally:
            log.add_network_seconds(time.monotonic() - started)

    def _send_with_reconnect(self, request: requests.PreparedRequest) -> HttpResponse:
        """Send the request; if it fails because a pooled connection was closed while idle, send it on a new one."""
        try:
            return self._send(request)
        except requests.ConnectionError as error:
            if isinstance(error, requests.Timeout) or _current.connection != "reused" or _current.response_started:
                raise
        _current.may_have_arrived = True  # the service may have read the request before it closed the connection
        self._adapter.close()  # closes only idle connections
        return self._send(request)

    def _send(self, request: requests.PreparedRequest) -> HttpResponse:
        remaining = _current.deadline - time.monotonic()
        if remaining <= 0:
            raise requests.ConnectTimeout
        response = self._adapter.send(
            request,
            stream=True,
            timeout=(min(CONNECT_TIMEOUT_SECONDS, remaining), remaining),
            proxies=self._proxies,
        )
        body = response.raw.read(MAX_RESPONSE_BYTES, decode_content=True)
        if response.raw.read(1):  # too long to read to the end, so the connection can't be reused
            response.close()
        response.raw.release_conn()
        return HttpResponse(response.status_code, response.headers, body)


def _build_request(url: str, headers: Mapping[str, str], body: bytes) -> requests.PreparedRequest:
    """Build the request directly from known-valid parts: requests would parse and quote the URL for each email."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body = "POST", url, body
    request.headers = CaseInsensitiveDict({**headers, "Content-Length": str(len(body))})
    return request


def _root_cause(error: Exception) -> str:
    """Describe the innermost exception briefly, without addresses or data."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"{type(cause).__name__}: {reason}"[:200]


class _DeadlineReader(io.RawIOBase):
    """A socket reader whose reads, taken together, respect the thread's deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._connection, self._deadline = raw, connection, _current.deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("deadline exceeded while reading the response")
        self._connection.settimeout(remaining)
        size = self._raw.readinto(buffer)
        _current.response_started = _current.response_started or bool(size)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _ConnectionMixin:
    """Bounds the connection attempts to all addresses of a host together by one timeout."""

    _dns_host: str
    port: int
    timeout: float
    sock: socket.socket | None
    _chunks: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send head and body at once: separately, they would be two TLS records and two packets."""
        if self.sock is not None and not _current.connection:
            _current.connection = "reused"
        self._chunks = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
            data = b"".join(self._chunks)
        finally:
            self._chunks = None
        self.send(data)

    def send(self, data: bytes) -> None:
        if self._chunks is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._chunks.append(data)

    def connect(self) -> None:
        _current.connection = "connecting"
        super().connect()  # type: ignore[misc]
        _current.connection = "connected"

    def _new_conn(self) -> socket.socket:
        host, timeout, deadline = self._dns_host, self.timeout, time.monotonic() + self.timeout
        *others, last = dict.fromkeys(_resolve(host, self.port)) or (host,)
        try:
            for address in others:
                with suppress(HTTPError):
                    return self._connect_to(address, (deadline - time.monotonic()) / 2)
            return self._connect_to(last, deadline - time.monotonic())
        finally:
            self._dns_host, self.timeout = host, timeout

    def _connect_to(self, address: str, timeout: float) -> socket.socket:
        self._dns_host, self.timeout = address, max(timeout, 0.001)
        return super()._new_conn()  # type: ignore[misc,no-any-return]


def _resolve(host: str, port: int) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError:
        return []  # urllib3 then raises the same error


class _HttpConnection(_ConnectionMixin, HTTPConnection):  # type: ignore[misc]
    response_class = _DeadlineResponse


class _HttpsConnection(_ConnectionMixin, HTTPSConnection):  # type: ignore[misc]
    response_class = _DeadlineResponse


class _Adapter(HTTPAdapter):
    """requests' adapter for one service, whose connections respect the deadline and share one TLS context.

    By default, requests loads the CA bundle for every connection (20 ms, 1 MB).
    """

    _pool: Any = None  # cached: by default, requests looks it up by every part of the URL for each request

    def __init__(self, connections: int, ca_bundle: str) -> None:
        self._tls, self._ca_loaded = create_urllib3_context(), threading.Event()
        # In parallel with the rest of startup, but finished before gunicorn forks: threads don't survive a fork.
        load = (self._tls, ca_bundle, self._ca_loaded)
        threading.Thread(target=_load_ca_bundle, args=load, name="ca-bundle", daemon=True).start()
        os.register_at_fork(before=self._ca_loaded.wait)
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        _set_connection_classes(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, ssl_context=self._tls, proxy_ssl_context=self._tls, **kwargs)
        _set_connection_classes(manager)
        return manager

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = self._pool or super().get_connection_with_tls_context(*args, **kwargs)
        self._pool = pool
        return pool

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002  (requests' signature)
        return str(request.path_url)  # only plain http through a proxy, which isn't used, needs the absolute URL

    def close(self) -> None:
        super().close()
        self._pool = None

    def cert_verify(self, conn: Any, *_: Any) -> None:
        self._ca_loaded.wait(CONNECT_TIMEOUT_SECONDS)
        conn.cert_reqs = "CERT_REQUIRED"


def _load_ca_bundle(tls: ssl.SSLContext, ca_bundle: str, loaded: threading.Event) -> None:
    """Load the CA certificates. Never returns: forking while the thread exits could leave OpenSSL locks held in the
    child, which would then hang."""
    try:
        tls.load_verify_locations(ca_bundle)
    finally:
        loaded.set()
        threading.Event().wait()


def _set_connection_classes(manager: Any) -> None:
    http, https = manager.pool_classes_by_scheme["http"], manager.pool_classes_by_scheme["https"]
    manager.pool_classes_by_scheme = {
        "http": type("HttpPool", (http,), {"ConnectionCls": _HttpConnection}),
        "https": type("HttpsPool", (https,), {"ConnectionCls": _HttpsConnection}),
    }
