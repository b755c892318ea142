"""Outbound HTTP: POST requests over pooled connections, each abandoned at its deadline.

The timeouts of requests limit each connection attempt and each read, but not the DNS lookup, the attempts for all
addresses of a host, or a response that arrives byte by byte. Therefore, each exchange runs in a separate thread, for
which the caller waits until its deadline at most.
"""

import io
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import certifi
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import DecodeError, HTTPError, ProtocolError
from urllib3.util import create_urllib3_context

from runtime import log
from settings import Settings

CONNECT_TIMEOUT_SECONDS = 2.0  # per address of the host
MAX_RESPONSE_BYTES = 65_536
CHUNK_BYTES = 256  # read between two checks of the deadline
SYSTEM_CA_DIRECTORY = Path("/etc/ssl/certs")  # hashed: OpenSSL reads only the certificates it needs


class HttpResponse(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes  # truncated to MAX_RESPONSE_BYTES; empty if the connection broke before its end


class NoResponse(Exception):
    """No response was received. `maybe_accepted`: the request may have arrived."""

    def __init__(self, cause: str, *, maybe_accepted: bool) -> None:
        super().__init__(cause)
        self.maybe_accepted = maybe_accepted


class HttpClient:
    """A pool of keep-alive connections to one service, shared by all threads."""

    def __init__(self, settings: Settings) -> None:
        self._adapter = _Adapter(settings.threads, settings.ca_bundle)
        self._proxies = {"https": settings.proxy} if settings.proxy else None
        self._executor = ThreadPoolExecutor(settings.threads, "http")

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, deadline: float) -> HttpResponse:
        """Send a POST request and return the response; redirects aren't followed.

        `deadline` (monotonic seconds) applies to the whole exchange. Raise NoResponse.
        """
        started, content = time.monotonic(), io.BytesIO(body)
        try:
            request = _build_request(url, headers, content)
            # Not bound to a name: an error would keep its connection open in a reference cycle.
            return self._executor.submit(self._exchange, request, deadline).result(deadline - started)
        except TimeoutError:
            raise NoResponse("no response in time", maybe_accepted=content.tell() > 0) from None
        except RuntimeError as error:  # no thread could be started
            raise NoResponse(str(error), maybe_accepted=False) from error
        except ValueError:  # its text contains the header, which may be a key
            raise NoResponse("malformed header", maybe_accepted=False) from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise NoResponse(root_cause(error), maybe_accepted=content.tell() > 0) from error
        finally:
            content.close()  # an exchange that was abandoned before it sent the body can't send it later
            log.add_network_seconds(time.monotonic() - started)

    def _exchange(self, request: requests.PreparedRequest, deadline: float) -> HttpResponse:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise requests.ConnectTimeout("no time left to connect")
        timeout = (min(CONNECT_TIMEOUT_SECONDS, remaining), remaining)
        response = self._adapter.send(request, stream=True, timeout=timeout, proxies=self._proxies)
        body = b""
        try:
            body = _read_body(response.raw, deadline)
        except (ProtocolError, DecodeError):  # reset, truncated, or garbled; the status is known nevertheless
            response.close()
        except BaseException:
            response.close()
            raise
        return HttpResponse(response.status_code, response.headers, body)


def _build_request(url: str, headers: Mapping[str, str], content: io.BytesIO) -> requests.PreparedRequest:
    """Build the request directly from known-valid parts; requests would parse and quote the URL for each email."""
    request = requests.PreparedRequest()
    request.method, request.url = "POST", url
    request.body = content  # type: ignore[assignment]  # its type omits files, which requests also sends
    request.headers = CaseInsensitiveDict({**headers, "Content-Length": str(content.getbuffer().nbytes)})
    return request


def _read_body(raw: Any, deadline: float) -> bytes:
    """Return at most MAX_RESPONSE_BYTES; the connection is reused only if that is the whole body."""
    body = b""
    while len(body) <= MAX_RESPONSE_BYTES and (chunk := raw.read(CHUNK_BYTES, decode_content=True)):
        body += chunk
        if time.monotonic() > deadline:
            raise requests.ReadTimeout("the response arrived too slowly")
    if len(body) > MAX_RESPONSE_BYTES:
        raw.close()
    raw.release_conn()
    return body[:MAX_RESPONSE_BYTES]


def root_cause(error: Exception) -> str:
    """Describe the innermost exception briefly, without addresses or data."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"{type(cause).__name__}: {reason}"[:200]


class _Adapter(HTTPAdapter):
    """The adapter of requests, with one TLS context: by default, each connection loads the CA certificates again."""

    def __init__(self, connections: int, ca_bundle: str) -> None:
        self._tls = create_urllib3_context()
        has_system_cas = any(SYSTEM_CA_DIRECTORY.glob("*.0"))
        trusted = Path(ca_bundle or (SYSTEM_CA_DIRECTORY if has_system_cas else certifi.where()))
        self._tls.load_verify_locations(*((None, trusted) if trusted.is_dir() else (trusted,)))
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._tls, proxy_ssl_context=self._tls, **kwargs)

    def cert_verify(self, conn: Any, *_: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # against the TLS context's own certificates
