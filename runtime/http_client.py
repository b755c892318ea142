"""Outbound HTTP: POST requests over pooled connections, each abandoned at its deadline.

A timeout of urllib3 bounds one read, not the name lookup, not all addresses of a host, and not a response that arrives
byte by byte. So each exchange runs in a thread of its own, and the caller waits for it no longer than its deadline.
"""

import io
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import certifi
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout, make_headers
from urllib3.exceptions import HTTPError
from urllib3.util import create_urllib3_context, parse_url

from runtime import log
from settings import Settings

CONNECT_TIMEOUT_SECONDS = 2.0  # per address of the host
MAX_RESPONSE_BYTES = 65_536
CHUNK_BYTES = 256  # read between two looks at the deadline
SYSTEM_CA_DIRECTORY = Path("/etc/ssl/certs")  # hashed: OpenSSL reads only the certificates it needs


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
        self._pool = _create_pool(settings)
        self._executor = ThreadPoolExecutor(settings.threads, "http")

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, deadline: float) -> HttpResponse:
        """Send a POST request and return the response; redirects aren't followed.

        `deadline` (monotonic seconds) applies to the whole exchange. Raise NoResponse.
        """
        started, content = time.monotonic(), io.BytesIO(body)
        try:
            headers = {**headers, "Content-Length": str(len(body))}
            # Not bound to a name: an error would keep its connection open in a reference cycle.
            return self._executor.submit(self._exchange, url, headers, content, deadline).result(deadline - started)
        except TimeoutError:
            raise NoResponse("no response in time", maybe_accepted=content.tell() > 0) from None
        except RuntimeError as error:  # no thread could be started
            raise NoResponse(str(error), maybe_accepted=False) from error
        except ValueError:  # its text contains the header, which may be a key
            raise NoResponse("malformed header", maybe_accepted=False) from None
        except (HTTPError, OSError) as error:
            raise NoResponse(_root_cause(error), maybe_accepted=content.tell() > 0) from error
        finally:
            content.close()  # an exchange that was abandoned before it sent the body can't send it later
            log.add_network_seconds(time.monotonic() - started)

    def _exchange(self, url: str, headers: Mapping[str, str], content: io.BytesIO, deadline: float) -> HttpResponse:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        response = self._pool.urlopen(
            "POST",
            url,
            body=content,
            headers=headers,
            timeout=Timeout(connect=min(CONNECT_TIMEOUT_SECONDS, remaining), read=remaining),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            return HttpResponse(response.status, response.headers, _read_body(response, deadline))
        except BaseException:
            response.close()
            raise


def _create_pool(settings: Settings) -> PoolManager:
    """Create the pool, with one TLS context for all connections: by default, each loads the CA certificates again."""
    tls, has_system_cas = create_urllib3_context(), any(SYSTEM_CA_DIRECTORY.glob("*.0"))
    trusted = Path(settings.ca_bundle or (SYSTEM_CA_DIRECTORY if has_system_cas else certifi.where()))
    tls.load_verify_locations(*((None, trusted) if trusted.is_dir() else (trusted,)))
    if not settings.proxy:
        return PoolManager(1, maxsize=settings.threads, ssl_context=tls)
    proxy = parse_url(settings.proxy if "://" in settings.proxy else f"http://{settings.proxy}")
    headers = make_headers(proxy_basic_auth=unquote(proxy.auth)) if proxy.auth else None
    return ProxyManager(
        proxy.url, 1, proxy_headers=headers, proxy_ssl_context=tls, maxsize=settings.threads, ssl_context=tls
    )


def _read_body(response: BaseHTTPResponse, deadline: float) -> bytes:
    """Return at most MAX_RESPONSE_BYTES; the connection is reused only if that is the whole body."""
    body = b""
    while len(body) <= MAX_RESPONSE_BYTES and (chunk := response.read(CHUNK_BYTES, decode_content=True)):
        body += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
    if len(body) > MAX_RESPONSE_BYTES:
        response.close()
    response.release_conn()
    return body[:MAX_RESPONSE_BYTES]


def _root_cause(error: Exception) -> str:
    """Describe the innermost exception briefly, without addresses or data."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"{type(cause).__name__}: {reason}"[:200]
