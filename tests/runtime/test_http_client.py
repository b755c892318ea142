import gc
import gzip
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time as real_time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import requests
import urllib3.exceptions
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bench import tls
from runtime import http_client as module
from runtime import log
from runtime.http_client import HttpClient, HttpResponse, NoResponse
from tests.conftest import MakeSettings

Script = Callable[[socket.socket, int], None]
MakeClient = Callable[..., HttpClient]

OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nX-Message-Id: m\r\n\r\n"
HEADERS = {"Content-Type": "application/json"}


class Server:
    """A server that runs `script` with each connection and its number until the test ends; it records `requests`."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []
        self.connections = 0
        self.script: Script = lambda connection, number: None
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(60)
                thread = threading.Thread(target=self.serve, args=(connection, self.connections))
                self.connections += 1
                self.threads.append(thread)
                thread.start()

    def serve(self, connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            self.script(connection, number)

    def read(self, connection: socket.socket) -> bytes:
        """Read one request."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65_536) or self.stop()
        text, _, body = head.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in text.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        while len(body) < length:
            body += connection.recv(65_536) or self.stop()
        self.requests.append(text + b"\r\n\r\n" + body)
        return self.requests[-1]

    def stop(self) -> bytes:
        raise ConnectionAbortedError

    def respond(self, connection: socket.socket, *responses: bytes) -> None:
        """Send one of the responses to each request, in order."""
        for response in responses:
            self.read(connection)
            connection.sendall(response)

    def refuse_connections(self) -> None:
        with suppress(OSError):  # already shut down
            self.listener.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.refuse_connections()
        self.listener.close()
        for thread in self.threads:
            thread.join(60)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def make_client(make_settings: MakeSettings, server: Server) -> Iterator[MakeClient]:
    """Return a function that creates clients; their connections are closed before the server's."""
    clients: list[HttpClient] = []

    def make(**overrides: str) -> HttpClient:
        clients.append(HttpClient(make_settings(**{"SENDGRID_URL": server.url, **overrides})))
        return clients[-1]

    yield make
    for client in clients:
        client._executor.shutdown(wait=True)
        client._adapter.close()
    if server.connections:
        gc.collect()  # urllib3 closes connections once nothing refers to their pool, such as an error's traceback


@pytest.fixture
def client(make_client: MakeClient) -> HttpClient:
    return make_client()


def post(client: HttpClient, url: str, deadline: float | None = None) -> HttpResponse:
    return client.post(url, HEADERS, b"{}", deadline=real_time.monotonic() + 30 if deadline is None else deadline)


def no_response(client: HttpClient, url: str, deadline: float | None = None) -> NoResponse:
    with pytest.raises(NoResponse) as caught:
        post(client, url, deadline)
    return caught.value


def reset(connection: socket.socket) -> None:
    """Close the connection with a reset (RST)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# Responses


def test_a_request_is_sent_and_the_response_is_returned(server: Server, client: HttpClient) -> None:
    server.script = lambda connection, number: server.respond(connection, OK)

    response = client.post(f"{server.url}/v3/mail/send", {"A": "b"}, b"body", deadline=real_time.monotonic() + 30)

    assert (response.status, response.body) == (202, b"")
    assert response.headers["x-message-id"] == "m"
    (request,) = server.requests
    assert request.startswith(b"POST /v3/mail/send HTTP/1.1\r\n")
    assert b"\r\nA: b\r\n" in request
    assert request.endswith(b"\r\n\r\nbody")


def test_a_redirect_is_returned_and_not_followed(server: Server, client: HttpClient) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: %s/other\r\nContent-Length: 0\r\n\r\n" % server.url.encode()
    server.script = lambda connection, number: server.respond(connection, redirect)

    assert post(client, server.url).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\ntext",
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nte\r\n2\r\nxt\r\n0\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\nContent-Length: 24\r\n\r\n" + gzip.compress(b"text", mtime=0),
        b"HTTP/1.0 400 Bad\r\n\r\ntext",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\ntext",
    ],
)
def test_a_body_in_any_framing_is_read(server: Server, client: HttpClient, raw: bytes) -> None:
    server.script = lambda connection, number: server.respond(connection, raw)

    response = post(client, server.url)
    assert (response.status, response.body) == (400, b"text")


def test_a_long_body_is_truncated_and_its_connection_is_not_reused(server: Server, client: HttpClient) -> None:
    long = b"HTTP/1.1 500 Bad\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    server.script = lambda connection, number: server.respond(connection, OK if number else long)

    assert post(client, server.url).body == b"x" * 65_536
    assert post(client, server.url).status == 202
    assert server.connections == 2


@pytest.mark.parametrize("headers", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_a_response_whose_body_is_lost_counts_by_its_status(
    server: Server, client: HttpClient, headers: bytes, end: Callable[[socket.socket], None]
) -> None:
    """Otherwise, an email that SendGrid has accepted would be sent again."""

    def script(connection: socket.socket, number: int) -> None:
        server.respond(connection, b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m\r\n" + headers + b"\r\n2\r\n")
        end(connection)

    server.script = script

    response = post(client, server.url)
    assert (response.status, response.body, response.headers["X-Message-Id"]) == (202, b"", "m")
    assert post(client, server.url).status == 202
    assert server.connections == 2


def test_a_response_whose_body_is_garbled_counts_by_its_status(server: Server, client: HttpClient) -> None:
    garbled = b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\ntext"
    server.script = lambda connection, number: server.respond(connection, garbled)

    response = post(client, server.url)
    assert (response.status, response.body) == (202, b"")


def test_waiting_counts_as_network_time(server: Server, client: HttpClient) -> None:
    server.script = lambda connection, number: server.respond(connection, OK)
    with log.context():
        post(client, server.url)
        assert 0 < log.network_seconds() < 30


# Connections


def test_a_connection_is_reused_for_the_next_request(server: Server, client: HttpClient) -> None:
    server.script = lambda connection, number: server.respond(connection, OK, OK, OK)

    for _ in range(3):
        post(client, server.url)

    assert (server.connections, len(server.requests)) == (1, 3)


def test_a_connection_closed_while_idle_is_replaced(server: Server, client: HttpClient) -> None:
    closed = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.respond(connection, OK)
        connection.close()
        closed.set()

    server.script = script
    post(client, server.url)
    assert closed.wait(60)

    assert post(client, server.url).status == 202
    assert server.connections == 2


@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_a_request_on_a_pooled_connection_that_closes_without_a_response_may_have_been_accepted(
    server: Server, client: HttpClient, end: Callable[[socket.socket], None]
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.respond(connection, OK)
        if number == 0:
            server.read(connection)
            end(connection)

    server.script = script
    post(client, server.url)

    assert no_response(client, server.url).maybe_accepted
    assert post(client, server.url).status == 202
    assert (server.connections, len(server.requests)) == (2, 3)


@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_a_request_on_a_new_connection_that_closes_without_a_response_may_have_been_accepted(
    server: Server, client: HttpClient, end: Callable[[socket.socket], None]
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        end(connection)

    server.script = script

    assert no_response(client, server.url).maybe_accepted
    assert server.connections == 1


def test_a_refused_connection_sends_nothing(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    error = no_response(client, f"http://127.0.0.1:{port}")

    assert not error.maybe_accepted
    assert str(error) == "ConnectionRefusedError: Connection refused"


def test_an_unknown_host_name_sends_nothing(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    assert not no_response(client, "http://nobody.invalid").maybe_accepted


# Deadlines


LONG_OK = b"HTTP/1.1 202 Accepted\r\nX-Long: " + b"x" * 100 + b"\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize("start", [0, 30, len(LONG_OK)], ids=["status line", "headers", "body"])
def test_the_deadline_applies_while_bytes_dribble(server: Server, client: HttpClient, start: int) -> None:
    test_over = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(LONG_OK[:start])
        for byte in LONG_OK[start:] + b"y" * 100_000:
            if test_over.wait(0.001):
                break
            connection.sendall(bytes([byte]))

    server.script = script

    assert no_response(client, server.url, deadline=real_time.monotonic() + 0.5).maybe_accepted
    test_over.set()


def test_a_body_that_arrives_too_slowly_does_not_occupy_a_thread(
    server: Server, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller stops waiting at the deadline; so does the thread that reads."""
    test_over = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(LONG_OK)
        while not test_over.wait(0.001):
            connection.sendall(b"y")

    server.script = script

    no_response(client, server.url, deadline=real_time.monotonic() + 0.5)
    client._executor.shutdown(wait=True)  # would never return
    test_over.set()


def test_a_host_name_lookup_that_hangs_is_abandoned_and_sends_nothing_later(
    server: Server, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up, getaddrinfo = threading.Event(), socket.getaddrinfo

    def hang(*arguments: Any, **options: Any) -> Any:
        assert looked_up.wait(60)
        return getaddrinfo(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    server.script = lambda connection, number: server.respond(connection, OK)

    error = no_response(client, server.url, deadline=real_time.monotonic() + 0.05)

    assert not error.maybe_accepted
    looked_up.set()
    client._executor.shutdown(wait=True)
    assert server.requests == []


def test_a_thread_that_cannot_start_sends_nothing(
    server: Server, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    server.script = lambda connection, number: server.respond(connection, OK, OK)
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", fail)
        error = no_response(client, server.url)

    assert (str(error), error.maybe_accepted) == ("can't start new thread", False)
    assert post(client, server.url).status == 202
    assert len(server.requests) == 1


def test_a_silent_server_times_out_at_the_deadline(server: Server, client: HttpClient) -> None:
    test_over = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        test_over.wait(60)

    server.script = script

    assert no_response(client, server.url, deadline=real_time.monotonic() + 1).maybe_accepted
    test_over.set()


def test_a_timeout_on_a_pooled_connection_is_not_retried(server: Server, client: HttpClient) -> None:
    test_over = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.respond(connection, OK)
        server.read(connection)
        test_over.wait(60)

    server.script = script
    post(client, server.url)

    assert no_response(client, server.url, deadline=real_time.monotonic() + 1).maybe_accepted
    assert (server.connections, len(server.requests)) == (1, 2)
    test_over.set()


def test_nothing_is_sent_past_the_deadline(server: Server, client: HttpClient) -> None:
    error = no_response(client, server.url, deadline=real_time.monotonic())

    assert not error.maybe_accepted
    assert server.connections == 0


def test_an_address_that_refuses_the_connection_is_followed_by_the_next(
    server: Server, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in (refused, ("127.0.0.1", server.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    server.script = lambda connection, number: server.respond(connection, OK)

    assert post(client, "http://several.test").status == 202
    assert b"\r\nHost: several.test\r\n" in server.requests[0]


@pytest.mark.parametrize(("remaining", "expected"), [(30, 2), (0.5, 0.5)])
def test_connecting_is_bounded_by_its_timeout_and_by_the_deadline(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch, remaining: float, expected: float
) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    timeouts: list[tuple[float, float]] = []

    def send(*_: object, timeout: tuple[float, float], **__: object) -> None:
        timeouts.append(timeout)
        raise requests.ConnectTimeout

    monkeypatch.setattr(client._adapter, "send", send)

    assert not no_response(client, "http://one.test", deadline=1000 + remaining).maybe_accepted
    assert timeouts == [(expected, remaining)]


# Errors


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


FAMILIES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
ERRORS = sorted({kind for family in FAMILIES for kind in subclasses(family)}, key=lambda kind: f"{kind}")


def instance(kind: type[Exception]) -> Exception:
    for arguments in ((), *([MagicMock()] * count for count in range(1, 6)), ("msg", "doc", 0)):
        with suppress(TypeError, AttributeError):
            return kind(*arguments)
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_every_error_of_requests_and_urllib3_becomes_no_response(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise instance(kind)

    monkeypatch.setattr(client._adapter, "send", fail)

    assert len(str(no_response(client, "http://127.0.0.1:1"))) <= 200


def test_a_malformed_header_becomes_no_response(client: HttpClient) -> None:
    with pytest.raises(NoResponse) as caught:
        client.post("http://127.0.0.1:1", {"A": "a-key\n"}, b"", deadline=real_time.monotonic() + 30)

    assert str(caught.value) == "malformed header"
    assert caught.value.__suppress_context__
    assert not caught.value.maybe_accepted


def test_the_cause_is_the_innermost_error_without_the_url(server: Server, client: HttpClient) -> None:
    server.script = lambda connection, number: server.respond(connection, b"no http\r\n\r\n")

    assert str(no_response(client, f"{server.url}/secret-path")) == "BadStatusLine: no http\r\n"


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", OK[:-2]]))
@example(b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 200 OK\r\n")
@example(b"Content-Length: 1, 2\r\n\r\n", b"HTTP/1.1 200 OK\r\n")
@example(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 200 OK\r\n")
@example(b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\ntext", b"HTTP/1.1 200 OK\r\n")
@example(b"Content-Encoding: br, gzip, x\r\nContent-Length: 4\r\n\r\ntext", b"HTTP/1.1 200 OK\r\n")
@example(b"A: b\r\n" * 101 + b"\r\n", b"HTTP/1.1 200 OK\r\n")
@example(b"x" * 70_000, b"HTTP/1.1 200 ")
@example(b"Location: http://[\r\n\r\n", b"HTTP/1.1 302 OK\r\n")
@example(b"Set-Cookie: \xff=\x00; expires=x\r\n\r\n", b"HTTP/1.1 200 OK\r\n")
def test_anything_a_server_sends_is_a_response_or_no_response(
    server: Server, client: HttpClient, rest: bytes, start: bytes
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(start + rest)
        connection.shutdown(socket.SHUT_WR)

    server.script = script
    with suppress(NoResponse):
        post(client, server.url)


# TLS and proxy


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ssl.SSLContext]:
    """Return a test CA's file, and a server context with its certificate for 127.0.0.1 and sendgrid.test."""
    ca_file, server_file = tls.write_certificates(tmp_path_factory.mktemp("tls"), "sendgrid.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    return str(ca_file), context


def over_tls(context: ssl.SSLContext, script: Script) -> Script:
    def run(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            script(wrapped, number)

    return run


@pytest.fixture
def hashed(ca: tuple[str, ssl.SSLContext], tmp_path: Path) -> Path:
    """Return a directory where OpenSSL finds the test CA by its hash, as in /etc/ssl/certs."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl isn't installed")
    shutil.copy(ca[0], tmp_path / "ca.pem")
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    return tmp_path


def test_the_systems_ca_certificates_are_read_on_demand(
    server: Server,
    make_client: MakeClient,
    ca: tuple[str, ssl.SSLContext],
    hashed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SYSTEM_CA_DIRECTORY", hashed)
    server.script = over_tls(ca[1], lambda connection, number: server.respond(connection, OK))
    client = make_client()

    assert client._adapter._tls.get_ca_certs() == []
    assert post(client, f"https://127.0.0.1:{server.port}").status == 202


def test_a_configured_directory_of_ca_certificates_is_trusted(
    server: Server, make_client: MakeClient, ca: tuple[str, ssl.SSLContext], hashed: Path
) -> None:
    server.script = over_tls(ca[1], lambda connection, number: server.respond(connection, OK))
    client = make_client(REQUESTS_CA_BUNDLE=str(hashed))

    assert post(client, f"https://127.0.0.1:{server.port}").status == 202


def test_certifis_ca_certificates_are_used_if_the_system_has_none(
    make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYSTEM_CA_DIRECTORY", tmp_path)

    assert len(make_client()._adapter._tls.get_ca_certs()) > 50


def test_a_configured_ca_is_trusted(server: Server, make_client: MakeClient, ca: tuple[str, ssl.SSLContext]) -> None:
    server.script = over_tls(ca[1], lambda connection, number: server.respond(connection, OK))
    client = make_client(REQUESTS_CA_BUNDLE=ca[0])

    assert post(client, f"https://127.0.0.1:{server.port}").status == 202


def test_an_unknown_ca_is_not_trusted_and_nothing_is_sent(
    server: Server, client: HttpClient, ca: tuple[str, ssl.SSLContext]
) -> None:
    server.script = over_tls(ca[1], lambda connection, number: server.respond(connection, OK))

    error = no_response(client, f"https://127.0.0.1:{server.port}")

    assert "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate" in str(error)
    assert not error.maybe_accepted
    assert server.requests == []


def test_a_certificate_for_another_host_is_not_trusted(
    server: Server, make_client: MakeClient, ca: tuple[str, ssl.SSLContext]
) -> None:
    server.script = over_tls(ca[1], lambda connection, number: server.respond(connection, OK))
    client = make_client(REQUESTS_CA_BUNDLE=ca[0])

    assert not no_response(client, f"https://localhost:{server.port}").maybe_accepted
    assert server.requests == []


def test_an_aborted_handshake_sends_nothing(server: Server, client: HttpClient) -> None:
    assert not no_response(client, f"https://127.0.0.1:{server.port}").maybe_accepted


def test_a_request_on_a_new_tls_connection_that_closes_without_a_response_may_have_been_accepted(
    server: Server, make_client: MakeClient, ca: tuple[str, ssl.SSLContext]
) -> None:
    server.script = over_tls(ca[1], lambda connection, number: server.respond(connection, b""))
    client = make_client(REQUESTS_CA_BUNDLE=ca[0])

    assert no_response(client, f"https://127.0.0.1:{server.port}").maybe_accepted
    assert (server.connections, len(server.requests)) == (1, 1)


@pytest.fixture
def proxied_client(server: Server, make_client: MakeClient, ca: tuple[str, ssl.SSLContext]) -> HttpClient:
    return make_client(
        SENDGRID_URL="https://sendgrid.test", HTTPS_PROXY=server.url, REQUESTS_CA_BUNDLE=ca[0], THREADS="1"
    )


def test_a_tunnel_through_the_proxy_is_opened_and_reused(
    server: Server, proxied_client: HttpClient, ca: tuple[str, ssl.SSLContext]
) -> None:
    def proxy(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        over_tls(ca[1], lambda inner, _: server.respond(inner, OK, OK))(connection, number)

    server.script = proxy

    assert post(proxied_client, "https://sendgrid.test/v3/mail/send").status == 202
    assert post(proxied_client, "https://sendgrid.test/v3/mail/send").status == 202
    assert [request.split()[:2] for request in server.requests] == [
        [b"CONNECT", b"sendgrid.test:443"],
        [b"POST", b"/v3/mail/send"],
        [b"POST", b"/v3/mail/send"],
    ]


def test_a_tunnel_that_the_proxy_rejects_sends_nothing(server: Server, proxied_client: HttpClient) -> None:
    rejection = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    server.script = lambda connection, number: server.respond(connection, rejection)

    error = no_response(proxied_client, "https://sendgrid.test")

    assert not error.maybe_accepted
    assert "407" in str(error)


def test_the_deadline_applies_while_the_proxy_dribbles(server: Server, proxied_client: HttpClient) -> None:
    test_over = threading.Event()

    def proxy(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 Connection ")
        while not test_over.wait(0.001):
            connection.sendall(b"x")

    server.script = proxy

    error = no_response(proxied_client, "https://sendgrid.test", deadline=real_time.monotonic() + 0.5)

    assert not error.maybe_accepted
    test_over.set()
