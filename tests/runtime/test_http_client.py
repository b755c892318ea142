import datetime
import gc
import gzip
import http.client
import io
import ipaddress
import socket
import ssl
import struct
import threading
import time as real_time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import requests
import urllib3.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from runtime import http_client as module
from runtime import log
from runtime.http_client import HttpClient, HttpResponse, NoResponse
from tests.conftest import MakeSettings

Script = Callable[[socket.socket, int], None]
MakeNetwork = Callable[..., HttpClient]

OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nX-Message-Id: m\r\n\r\n"
HEADERS = {"Content-Type": "application/json"}


class Server:
    """Runs its script with each connection and its number, until the test ends. `requests` are what it has read."""

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
        """One request."""
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

    def answer(self, connection: socket.socket, *answers: bytes) -> None:
        """One of the answers to each request."""
        for answer in answers:
            self.read(connection)
            connection.sendall(answer)

    def refuse(self) -> None:
        """Take no further connection."""
        with suppress(OSError):  # it was so before
            self.listener.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.refuse()
        self.listener.close()
        for thread in self.threads:
            thread.join(60)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def make_network(make_settings: MakeSettings, server: Server) -> Iterator[MakeNetwork]:
    """Networks whose connections end with the test, before the server's."""
    made: list[HttpClient] = []

    def make(**more: str) -> HttpClient:
        made.append(HttpClient(make_settings(**{"SENDGRID_URL": server.url, **more})))
        return made[-1]

    yield make
    for network in made:
        network._adapter.close()


@pytest.fixture
def network(make_network: MakeNetwork) -> HttpClient:
    return make_network()


def post(network: HttpClient, url: str, deadline: float | None = None) -> HttpResponse:
    return network.post(url, HEADERS, b"{}", deadline=real_time.monotonic() + 30 if deadline is None else deadline)


def no_reply(network: HttpClient, url: str, deadline: float | None = None) -> NoResponse:
    with pytest.raises(NoResponse) as caught:
        post(network, url, deadline)
    return caught.value


def reset(connection: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# The answer


def test_request_goes_out_and_the_answer_comes_back(server: Server, network: HttpClient) -> None:
    server.script = lambda connection, number: server.answer(connection, OK)

    reply = network.post(f"{server.url}/v3/mail/send", {"A": "b"}, b"body", deadline=real_time.monotonic() + 30)

    assert (reply.status, reply.body) == (202, b"")
    assert reply.headers["x-message-id"] == "m"
    (request,) = server.requests
    assert request.startswith(b"POST /v3/mail/send HTTP/1.1\r\n")
    assert b"\r\nA: b\r\n" in request
    assert request.endswith(b"\r\n\r\nbody")


def test_redirect_is_an_answer_and_not_followed(server: Server, network: HttpClient) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: %s/other\r\nContent-Length: 0\r\n\r\n" % server.url.encode()
    server.script = lambda connection, number: server.answer(connection, redirect)

    assert post(network, server.url).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\ntext",
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nte\r\n2\r\nxt\r\n0\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\nContent-Length: 24\r\n\r\n" + gzip.compress(b"text", mtime=0),
        b"HTTP/1.0 400 Bad\r\n\r\ntext",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\ntext",
    ],
)
def test_body_is_read_however_it_is_sent(server: Server, network: HttpClient, answer: bytes) -> None:
    server.script = lambda connection, number: server.answer(connection, answer)

    reply = post(network, server.url)
    assert (reply.status, reply.body) == (400, b"text")


def test_no_more_of_a_long_body_is_read_than_anybody_needs(server: Server, network: HttpClient) -> None:
    long = b"HTTP/1.1 500 Bad\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    server.script = lambda connection, number: server.answer(connection, OK if number else long)

    assert post(network, server.url).body == b"x" * 65_536
    assert post(network, server.url).status == 202
    assert server.connections == 2


def test_waiting_counts_as_network_time(server: Server, network: HttpClient) -> None:
    server.script = lambda connection, number: server.answer(connection, OK)
    with log.context():
        post(network, server.url)
        assert 0 < log.network_seconds() < 30


# Connections


def test_connection_is_kept_for_the_next_request(server: Server, network: HttpClient) -> None:
    server.script = lambda connection, number: server.answer(connection, OK, OK, OK)

    for _ in range(3):
        post(network, server.url)

    assert (server.connections, len(server.requests)) == (1, 3)


@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_kept_connection_that_ends_without_an_answer_is_replaced_at_once(
    server: Server, network: HttpClient, end: Callable[[socket.socket], None]
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.answer(connection, OK)
        if number == 0:
            server.read(connection)
            end(connection)

    server.script = script
    post(network, server.url)

    assert post(network, server.url).status == 202
    assert (server.connections, len(server.requests)) == (2, 3)


def test_all_kept_connections_give_way_where_one_has_ended(server: Server, network: HttpClient) -> None:
    """What closes one idle connection has closed the others too."""
    both, given_up = threading.Barrier(2), threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        if number < 2:
            both.wait(60)
        connection.sendall(OK)
        try:
            server.read(connection)  # and ends without an answer
        except ConnectionAbortedError:
            given_up.set()

    server.script = script
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: post(network, server.url), range(2)))

    assert post(network, server.url).status == 202
    gc.collect()
    assert given_up.wait(60)
    assert server.connections == 3


def test_connection_that_was_closed_while_idle_is_replaced(server: Server, network: HttpClient) -> None:
    closed = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.answer(connection, OK)
        connection.close()
        closed.set()

    server.script = script
    post(network, server.url)
    assert closed.wait(60)

    assert post(network, server.url).status == 202
    assert server.connections == 2


def test_head_and_body_go_out_in_one_piece(
    server: Server, network: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []
    send = http.client.HTTPConnection.send

    def record(self: http.client.HTTPConnection, data: bytes) -> None:
        pieces.append(data)
        send(self, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", record)
    server.script = lambda connection, number: server.answer(connection, OK)

    post(network, server.url)

    assert pieces == server.requests


def test_request_that_ended_a_kept_connection_may_have_arrived_whatever_comes_of_the_next(
    server: Server, network: HttpClient
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.answer(connection, OK)
        server.read(connection)
        server.refuse()

    server.script = script
    post(network, server.url)

    assert no_reply(network, server.url).maybe_accepted
    assert len(server.requests) == 2


def test_request_that_ended_a_kept_connection_may_have_arrived_though_no_time_is_left_for_another(
    server: Server, network: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.answer(connection, OK)
        server.read(connection)

    server.script = script
    post(network, server.url)
    close = network._adapter.close

    def take_time() -> None:
        module._current.deadline = 0.0
        close()

    monkeypatch.setattr(network._adapter, "close", take_time)
    assert no_reply(network, server.url).maybe_accepted


def test_kept_connection_is_replaced_only_once(server: Server, network: HttpClient) -> None:
    def script(connection: socket.socket, number: int) -> None:
        if number == 0:
            server.answer(connection, OK)
        server.read(connection)

    server.script = script
    post(network, server.url)

    error = no_reply(network, server.url)
    assert error.maybe_accepted
    assert server.connections == 2


def test_kept_connection_that_ends_within_the_answer_is_not_replaced(server: Server, network: HttpClient) -> None:
    server.script = lambda connection, number: server.answer(connection, OK, b"HTTP/1.1 20")
    post(network, server.url)

    assert no_reply(network, server.url).maybe_accepted
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_new_connection_that_ends_without_an_answer_may_have_been_accepted(
    server: Server, network: HttpClient, end: Callable[[socket.socket], None]
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        end(connection)

    server.script = script

    assert no_reply(network, server.url).maybe_accepted
    assert server.connections == 1


def test_refused_connection_sent_nothing(network: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    error = no_reply(network, f"http://127.0.0.1:{port}")

    assert not error.maybe_accepted
    assert str(error) == "ConnectionRefusedError: Connection refused"


def test_name_that_nobody_knows_sent_nothing(network: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    assert not no_reply(network, "http://nobody.invalid").maybe_accepted


# Deadlines


class Steps:
    """A clock that goes on by a second each time it is read, and lets `server` send a byte."""

    def __init__(self) -> None:
        self.now, self.read = 0, threading.Semaphore(0)

    def monotonic(self) -> float:
        self.now += 1
        self.read.release()
        return self.now

    def trickle(self, connection: socket.socket, data: bytes) -> None:
        """One byte for each look at the clock: no read ever gets two."""
        for byte in data:
            assert self.read.acquire(timeout=60)
            connection.sendall(bytes([byte]))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=steps.monotonic))
    return steps


LONG_OK = b"HTTP/1.1 202 Accepted\r\nX-Long: " + b"x" * 100 + b"\r\nContent-Length: 100\r\n\r\n" + b"y" * 100


@pytest.mark.parametrize("at_once", [0, 30, LONG_OK.index(b"yyy")], ids=["status line", "headers", "body"])
def test_deadline_holds_while_bytes_trickle(server: Server, network: HttpClient, steps: Steps, at_once: int) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(LONG_OK[:at_once])
        steps.trickle(connection, LONG_OK[at_once:])

    server.script = script

    error = no_reply(network, server.url, deadline=40)

    assert error.maybe_accepted
    assert steps.now <= 45
    steps.read.release(300)


def test_each_read_waits_no_longer_than_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    times, waits = [4.0, 9.0, 10.0], list[float]()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: times.pop(0)))
    monkeypatch.setattr(module, "_current", SimpleNamespace(deadline=10.0, answered=False))
    raw: Any = io.BytesIO(b"ab")
    connection: Any = SimpleNamespace(settimeout=waits.append)
    reader = module._DeadlineReader(raw, connection)

    assert [reader.read(1), reader.read(1)] == [b"a", b"b"]
    with pytest.raises(TimeoutError):
        reader.read(1)
    assert waits == [6.0, 1.0]


def test_same_trickle_within_the_deadline_is_an_answer(server: Server, network: HttpClient, steps: Steps) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        steps.trickle(connection, LONG_OK)

    server.script = script

    assert post(network, server.url, deadline=10_000).body == b"y" * 100


def test_silence_ends_with_the_deadline(server: Server, network: HttpClient) -> None:
    over = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        over.wait(60)

    server.script = script

    assert no_reply(network, server.url, deadline=real_time.monotonic() + 0.05).maybe_accepted
    over.set()


def test_silence_on_a_kept_connection_is_not_repeated(server: Server, network: HttpClient) -> None:
    over = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        server.answer(connection, OK)
        server.read(connection)
        over.wait(60)

    server.script = script
    post(network, server.url)

    assert no_reply(network, server.url, deadline=real_time.monotonic() + 0.05).maybe_accepted
    assert (server.connections, len(server.requests)) == (1, 2)
    over.set()


def test_nothing_is_sent_past_the_deadline(server: Server, network: HttpClient) -> None:
    error = no_reply(network, server.url, deadline=real_time.monotonic())

    assert not error.maybe_accepted
    assert server.connections == 0


class Connects:
    """In place of connecting: each address takes all of its time, or refuses, or is the server's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **addresses: Any) -> None:
        self.now, self.tried = 1000.0, list[tuple[str, float]]()
        self.addresses = addresses
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr("urllib3.connection.connection.create_connection", self.connect)
        infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]
        self.connect_really = socket.create_connection
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)

    def connect(self, where: tuple[str, int], timeout: float, **_: Any) -> socket.socket:
        self.tried.append((where[0], timeout))
        outcome = self.addresses[where[0]]
        if isinstance(outcome, Server):
            made = socket.socket()
            made.connect(("127.0.0.1", outcome.port))
            return made
        if outcome is TimeoutError:
            self.now += timeout
        raise outcome


def test_connect_time_out_bounds_the_tries_of_all_addresses_together(
    network: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects = Connects(monkeypatch, a=TimeoutError, b=TimeoutError, c=TimeoutError)

    error = no_reply(network, "http://several.test", deadline=1005.5)

    assert str(error) == "no connection in time"
    assert not error.maybe_accepted
    assert connects.tried == [("a", 1.0), ("b", 0.5), ("c", 0.5)]
    assert connects.now == 1002


def test_deadline_bounds_the_connect_time_out(network: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    connects = Connects(monkeypatch, a=TimeoutError)

    no_reply(network, "http://one.test", deadline=1000.5)

    assert connects.tried == [("a", 0.5)]


@pytest.mark.parametrize("first", [TimeoutError, ConnectionRefusedError])
def test_address_that_does_not_answer_leaves_time_for_the_next(
    server: Server, network: HttpClient, monkeypatch: pytest.MonkeyPatch, first: type[Exception]
) -> None:
    server.script = lambda connection, number: server.answer(connection, OK)
    connects = Connects(monkeypatch, a=first, b=server)

    assert post(network, "http://several.test", deadline=1030).status == 202
    assert [address for address, _ in connects.tried] == ["a", "b"]
    assert b"\r\nHost: several.test\r\n" in server.requests[0]


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
def test_every_error_of_requests_and_urllib3_ends_as_no_reply(
    network: HttpClient, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise instance(kind)

    monkeypatch.setattr(network._adapter, "send", fail)

    assert len(str(no_reply(network, "http://127.0.0.1:1"))) <= 200


def test_malformed_header_ends_as_no_reply(network: HttpClient) -> None:
    with pytest.raises(NoResponse) as caught:
        network.post("http://127.0.0.1:1", {"A": "a-key\n"}, b"", deadline=real_time.monotonic() + 30)

    assert str(caught.value) == "a header is malformed"
    assert caught.value.__suppress_context__
    assert not caught.value.maybe_accepted


def test_cause_is_the_innermost_reason_without_the_address_asked(server: Server, network: HttpClient) -> None:
    server.script = lambda connection, number: server.answer(connection, b"no http\r\n\r\n")

    assert str(no_reply(network, f"{server.url}/secret-path")) == "BadStatusLine: no http\r\n"


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
def test_whatever_a_server_sends_is_a_reply_or_no_reply(
    server: Server, network: HttpClient, end: bytes, start: bytes
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(start + end)
        connection.shutdown(socket.SHUT_WR)

    server.script = script
    with suppress(NoResponse):
        post(network, server.url)


# TLS and proxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ssl.SSLContext]:
    """A throw-away CA's file, and a server's context with a certificate of it for 127.0.0.1 and sendgrid.test."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("throw-away CA", "server")]
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in names]
    alternatives = [x509.DNSName("sendgrid.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.SubjectAlternativeName(alternatives), False),
    ]
    certificates = [
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(names[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(*extension)
        .sign(keys[0], hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        for name, key, extension in zip(names, keys, extensions, strict=True)
    ]
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(certificates[0])
    (folder / "server.pem").write_bytes(certificates[1] + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return str(folder / "ca.pem"), context


def over_tls(context: ssl.SSLContext, script: Script) -> Script:
    def run(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            script(wrapped, number)

    return run


def test_thread_that_read_the_authorities_never_ends_for_its_end_must_not_meet_a_fork(
    make_network: MakeNetwork,
) -> None:
    before = set(threading.enumerate())
    network = make_network()
    assert network._adapter._trusts.wait(60)
    (thread,) = set(threading.enumerate()) - before
    thread.join(0.05)
    assert thread.is_alive()


def test_own_ca_is_trusted(server: Server, make_network: MakeNetwork, authority: tuple[str, ssl.SSLContext]) -> None:
    server.script = over_tls(authority[1], lambda connection, number: server.answer(connection, OK))
    network = make_network(REQUESTS_CA_BUNDLE=authority[0])

    assert post(network, f"https://127.0.0.1:{server.port}").status == 202


def test_unknown_ca_is_not_trusted_and_gets_no_request(
    server: Server, network: HttpClient, authority: tuple[str, ssl.SSLContext]
) -> None:
    server.script = over_tls(authority[1], lambda connection, number: server.answer(connection, OK))

    error = no_reply(network, f"https://127.0.0.1:{server.port}")

    assert "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate" in str(error)
    assert not error.maybe_accepted
    assert server.requests == []


def test_certificate_of_another_host_is_not_trusted(
    server: Server, make_network: MakeNetwork, authority: tuple[str, ssl.SSLContext]
) -> None:
    server.script = over_tls(authority[1], lambda connection, number: server.answer(connection, OK))
    network = make_network(REQUESTS_CA_BUNDLE=authority[0])

    assert not no_reply(network, f"https://localhost:{server.port}").maybe_accepted
    assert server.requests == []


def test_handshake_that_breaks_off_sent_nothing(server: Server, network: HttpClient) -> None:
    assert not no_reply(network, f"https://127.0.0.1:{server.port}").maybe_accepted


def test_kept_tls_connection_that_ends_without_an_answer_is_replaced_at_once(
    server: Server, make_network: MakeNetwork, authority: tuple[str, ssl.SSLContext]
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        server.answer(connection, OK)
        if number == 0:
            server.read(connection)  # and ends without TLS's farewell

    server.script = over_tls(authority[1], script)
    network = make_network(REQUESTS_CA_BUNDLE=authority[0])
    url = f"https://127.0.0.1:{server.port}"
    post(network, url)

    assert post(network, url).status == 202
    assert (server.connections, len(server.requests)) == (2, 3)


def test_new_tls_connection_that_ends_without_an_answer_may_have_been_accepted(
    server: Server, make_network: MakeNetwork, authority: tuple[str, ssl.SSLContext]
) -> None:
    server.script = over_tls(authority[1], lambda connection, number: server.answer(connection, b""))
    network = make_network(REQUESTS_CA_BUNDLE=authority[0])

    assert no_reply(network, f"https://127.0.0.1:{server.port}").maybe_accepted
    assert (server.connections, len(server.requests)) == (1, 1)


@pytest.fixture
def through_proxy(server: Server, make_network: MakeNetwork, authority: tuple[str, ssl.SSLContext]) -> HttpClient:
    return make_network(
        SENDGRID_URL="https://sendgrid.test", HTTPS_PROXY=server.url, REQUESTS_CA_BUNDLE=authority[0], THREADS="1"
    )


def test_proxy_is_asked_for_a_tunnel_which_is_kept(
    server: Server, through_proxy: HttpClient, authority: tuple[str, ssl.SSLContext]
) -> None:
    def proxy(connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        over_tls(authority[1], lambda inner, _: server.answer(inner, OK, OK))(connection, number)

    server.script = proxy

    assert post(through_proxy, "https://sendgrid.test/v3/mail/send").status == 202
    assert post(through_proxy, "https://sendgrid.test/v3/mail/send").status == 202
    assert [request.split()[:2] for request in server.requests] == [
        [b"CONNECT", b"sendgrid.test:443"],
        [b"POST", b"/v3/mail/send"],
        [b"POST", b"/v3/mail/send"],
    ]


def test_tunnel_that_the_proxy_refuses_sent_nothing(server: Server, through_proxy: HttpClient) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    server.script = lambda connection, number: server.answer(connection, refusal)

    error = no_reply(through_proxy, "https://sendgrid.test")

    assert not error.maybe_accepted
    assert "407" in str(error)


def test_deadline_holds_while_the_proxy_trickles(server: Server, through_proxy: HttpClient, steps: Steps) -> None:
    def proxy(connection: socket.socket, number: int) -> None:
        server.read(connection)
        steps.trickle(connection, b"HTTP/1.1 200 Connection " + b"x" * 100)

    server.script = proxy

    assert not no_reply(through_proxy, "https://sendgrid.test", deadline=40).maybe_accepted
    assert steps.now <= 45
    steps.read.release(300)
