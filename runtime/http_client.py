"""The one door to the network: POST with a pooled `requests` adapter, bounded as a whole and not by each read alone."""

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

from runtime.process import without

# It takes 6 ms of a start, and no answer is read as text here.
with without("charset_normalizer", warning="Unable to find acceptable character detection"):
    import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from runtime import log
from settings import Settings

CONNECT_SECONDS = 2.0
LARGEST_ANSWER = 65_536
# Of this thread's request: .deadline, the monotonic second by which it must be over; .connection, whether it went out over
# one that was kept, or one is begun or made for it; .answered, whether a byte of the answer has come;
# .may_have_arrived, whether it went out before, over a kept one that ended.
_current = threading.local()


class HttpResponse(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes  # at most LARGEST_ANSWER of it


class NoResponse(Exception):
    """No whole answer came. `maybe_accepted`: the request may have arrived."""

    def __init__(self, cause: str, *, maybe_accepted: bool) -> None:
        super().__init__(cause)
        self.maybe_accepted = maybe_accepted


class HttpClient:
    """Connections to one service, kept and shared by all threads."""

    def __init__(self, settings: Settings) -> None:
        self._adapter = _Adapter(settings.threads, settings.ca_bundle or certifi.where())
        self._proxies = {"https": settings.proxy} if settings.proxy else None

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, deadline: float) -> HttpResponse:
        """The answer, with redirects not followed. `deadline`: a monotonic second; the whole is over by then.

        Raises NoResponse.
        """
        began = time.monotonic()
        _current.deadline, _current.connection, _current.answered, _current.may_have_arrived = (
            deadline,
            "",
            False,
            False,
        )
        try:
            return self._exchange_again_if_stale(_prepared(url, headers, body))
        except requests.ConnectTimeout as error:
            raise NoResponse("no connection in time", maybe_accepted=_current.may_have_arrived) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            maybe = _current.may_have_arrived or _current.connection != "begun"
            raise NoResponse(_cause(error), maybe_accepted=maybe) from error
        except ValueError:  # its text holds the header, which may be a key
            raise NoResponse("a header is malformed", maybe_accepted=False) from None
        finally:
            log.add_network_seconds(time.monotonic() - began)

    def _exchange_again_if_stale(self, request: requests.PreparedRequest) -> HttpResponse:
        """A kept connection may have been closed while idle: then the request goes out once more, on a new one."""
        try:
            return self._exchange(request)
        except requests.ConnectionError as error:
            if isinstance(error, requests.Timeout) or _current.connection != "kept" or _current.answered:
                raise
        _current.may_have_arrived = True  # it need not have been closed before it was read
        self._adapter.close()  # its idle connections; those in use are not touched
        return self._exchange(request)

    def _exchange(self, request: requests.PreparedRequest) -> HttpResponse:
        left = _current.deadline - time.monotonic()
        if left <= 0:
            raise requests.ConnectTimeout
        response = self._adapter.send(
            request,
            stream=True,
            timeout=(min(CONNECT_SECONDS, left), left),
            proxies=self._proxies,
        )
        body = response.raw.read(LARGEST_ANSWER, decode_content=True)
        if response.raw.read(1):  # more than anybody reads: the connection is not worth keeping
            response.close()
        response.raw.release_conn()
        return HttpResponse(response.status_code, response.headers, body)


def _prepared(url: str, headers: Mapping[str, str], body: bytes) -> requests.PreparedRequest:
    """Put together from what is known to be well-formed: requests would parse and quote it all again for each mail."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body = "POST", url, body
    request.headers = CaseInsensitiveDict({**headers, "Content-Length": str(len(body))})
    return request


def _cause(error: Exception) -> str:
    """The innermost reason, in a few words without addresses or data."""
    inner: BaseException = error
    while inner.__context__ is not None:
        inner = inner.__context__
    reason = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    return f"{type(inner).__name__}: {reason}"[:200]


class _DeadlineReader(io.RawIOBase):
    """Reads a socket so that all reads together, and not each of them, keep within the thread's deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._connection, self._ends = raw, connection, _current.deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer trickled past the deadline")
        self._connection.settimeout(left)
        size = self._raw.readinto(buffer)
        _current.answered = _current.answered or bool(size)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _BoundedConnect:
    """A host may have several addresses: the connect time-out bounds the tries of all of them together."""

    _dns_host: str
    port: int
    timeout: float
    sock: socket.socket | None
    _pieces: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """In one piece: head and body apart would be two records of TLS, and two packets."""
        if self.sock is not None and not _current.connection:
            _current.connection = "kept"
        self._pieces = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
            whole = b"".join(self._pieces)
        finally:
            self._pieces = None
        self.send(whole)

    def send(self, data: bytes) -> None:
        if self._pieces is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._pieces.append(data)

    def connect(self) -> None:
        _current.connection = "begun"
        super().connect()  # type: ignore[misc]
        _current.connection = "made"

    def _new_conn(self) -> socket.socket:
        host, whole, deadline = self._dns_host, self.timeout, time.monotonic() + self.timeout
        *others, last = dict.fromkeys(_resolve(host, self.port)) or (host,)
        try:
            for address in others:
                with suppress(HTTPError):
                    return self._connect_to(address, (deadline - time.monotonic()) / 2)
            return self._connect_to(last, deadline - time.monotonic())
        finally:
            self._dns_host, self.timeout = host, whole

    def _connect_to(self, address: str, seconds: float) -> socket.socket:
        self._dns_host, self.timeout = address, max(seconds, 0.001)
        return super()._new_conn()  # type: ignore[misc,no-any-return]


def _resolve(host: str, port: int) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError:
        return []  # urllib3 will find and name the same error


class _Http(_BoundedConnect, HTTPConnection):  # type: ignore[misc]
    response_class = _Response


class _Https(_BoundedConnect, HTTPSConnection):  # type: ignore[misc]
    response_class = _Response


class _Adapter(HTTPAdapter):
    """requests' adapter for one service. Its connections know the deadline and share one TLS context: requests would
    have each of them read the authorities anew, which takes 20 ms and a megabyte."""

    _pool: Any = None  # found once: requests would look for it by every part of the address each time

    def __init__(self, connections: int, authorities: str) -> None:
        self._tls, self._trusts = create_urllib3_context(), threading.Event()
        # Beside the rest of the start, and done before gunicorn forks: a thread does not outlive that.
        threading.Thread(target=_trust, args=(self._tls, authorities, self._trusts), name="trust", daemon=True).start()
        os.register_at_fork(before=self._trusts.wait)
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        _set_connections(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, ssl_context=self._tls, proxy_ssl_context=self._tls, **kwargs)
        _set_connections(manager)
        return manager

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = self._pool or super().get_connection_with_tls_context(*args, **kwargs)
        self._pool = pool
        return pool

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002  (requests' signature)
        return str(request.path_url)  # a proxy for plain http, which there is none of, would want all of it

    def close(self) -> None:
        super().close()
        self._pool = None

    def cert_verify(self, conn: Any, *_: Any) -> None:
        self._trusts.wait(CONNECT_SECONDS)
        conn.cert_reqs = "CERT_REQUIRED"


def _trust(tls: ssl.SSLContext, authorities: str, done: threading.Event) -> None:
    """Never returns: a thread that ends takes locks of OpenSSL's, and a fork at that moment would leave them taken. The
    worker would then be silent for good."""
    try:
        tls.load_verify_locations(authorities)
    finally:
        done.set()
        threading.Event().wait()


def _set_connections(manager: Any) -> None:
    http, https = manager.pool_classes_by_scheme["http"], manager.pool_classes_by_scheme["https"]
    manager.pool_classes_by_scheme = {
        "http": type("HttpPool", (http,), {"ConnectionCls": _Http}),
        "https": type("HttpsPool", (https,), {"ConnectionCls": _Https}),
    }
