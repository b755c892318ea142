"""The HTTP server of the emulated services: connections, bodies, faults, and journal entries."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests
from werkzeug.wrappers import Request, Response

from emulator.core.faults import Fault, Faults
from emulator.core.journal import Entry, Journal
from emulator.core.server import Server


@Request.application
def echo(request: Request) -> Response:
    """Return the request body; /stream returns a stream."""
    if request.path == "/stream":
        return Response((chunk for chunk in (b"one ", b"two ", b"three")), direct_passthrough=True)
    return Response(request.get_data(), headers={"X-Peer": str(request.environ["REMOTE_PORT"])})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("echo", echo, Journal()) as server:
        yield server


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def post(server: Server, data: bytes = b"hello", timeout: float = 20) -> requests.Response:
    return requests.post(server.url, data=data, timeout=timeout)


def exchange(server: Server) -> Entry:
    """Return the first exchange, which can still be in progress if the client timed out."""
    entry = server.journal.wait(lambda entry: entry.kind == "echo.exchange", timeout=20)
    assert entry is not None
    return entry


def test_a_connection_is_reused_for_many_requests(server: Server, session: requests.Session) -> None:
    responses = [session.post(server.url, data=data, timeout=20) for data in (b"a", b"", b"c" * 100_000)]
    assert [response.content for response in responses] == [b"a", b"", b"c" * 100_000]
    assert len({response.headers["X-Peer"] for response in responses}) == 1


def test_chunked_bodies_are_read_completely(server: Server, session: requests.Session) -> None:
    chunks = [b"one ", b"two ", b"three"]
    responses = [session.post(server.url, data=iter(chunks), timeout=20) for _ in range(2)]
    assert [response.content for response in responses] == [b"one two three"] * 2
    assert len({response.headers["X-Peer"] for response in responses}) == 1
    assert exchange(server).data["request"]["body"] == "one two three"


def test_requests_are_served_concurrently(server: Server) -> None:
    server.faults.add(Fault("hang", seconds=60))
    with pytest.raises(requests.ReadTimeout):
        post(server, timeout=0.1)
    assert exchange(server).data["fault"] == "hang"
    assert post(server).content == b"hello"


def test_head_has_no_body_and_keeps_the_connection(server: Server, session: requests.Session) -> None:
    assert session.head(server.url, timeout=20).content == b""
    assert session.post(server.url, data=b"x", timeout=20).content == b"x"


def test_a_stream_ends_with_its_connection(server: Server) -> None:
    response = requests.get(f"{server.url}/stream", timeout=20)
    assert response.content == b"one two three"
    assert response.headers["Connection"] == "close"


def test_keep_alive_connections_can_be_dropped(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("POST", "/", b"x")
        assert connection.getresponse().read() == b"x"
        server.drop_connections()
        assert connection.sock.recv(1) == b""
    assert post(server).content == b"hello"


def test_stopping_is_immediate_despite_hanging_requests_and_idle_connections() -> None:
    disconnected = threading.Event()

    def hang(server: Server) -> None:
        with pytest.raises(requests.ConnectionError):
            post(server, timeout=60)
        disconnected.set()

    with closing(socket.socket()) as idle, Server("echo", echo, Journal()) as server:
        idle.connect(("127.0.0.1", server.port))
        server.faults.add(Fault("hang", seconds=60))
        client = threading.Thread(target=hang, args=(server,))
        client.start()
        assert exchange(server).data["fault"] == "hang"
    client.join(20)
    assert disconnected.is_set()
    with pytest.raises(requests.ConnectionError):
        post(server)


def test_an_exchange_is_recorded_with_a_truncated_authorization_header(
    server: Server, session: requests.Session
) -> None:
    key = "SG." + "k" * 66
    session.put(f"{server.url}/a/b?c=d", data="é", headers={"Authorization": f"Bearer {key}", "X-A": "1"}, timeout=20)
    entry = exchange(server)
    assert (entry.data["method"], entry.data["path"], entry.data["status"]) == ("PUT", "/a/b?c=d", 200)
    assert entry.data["fault"] is None
    assert entry.data["duration_ms"] >= 0
    assert entry.data["request"]["body"] == entry.data["response"]["body"] == "é"
    headers = dict(entry.data["request"]["headers"])
    assert headers["X-A"] == "1"
    assert headers["Authorization"] == "Bearer SG.kkkk…"
    assert key not in repr(entry)


def test_request_and_response_bodies_are_redacted() -> None:
    with Server("echo", echo, Journal(), redact=lambda text: text.replace("secret", "…")) as server:
        assert post(server, b"a secret").content == b"a secret"
        entry = exchange(server)
        assert (entry.data["request"]["body"], entry.data["response"]["body"]) == ("a …", "a …")


def test_a_status_fault_replaces_the_response_of_the_application(server: Server) -> None:
    headers = {"Content-Type": "text/html", "Retry-After": "3"}
    server.faults.add(Fault("status", "no", status=503, headers=headers, body="<p>no"))
    response = post(server)
    assert (response.status_code, response.text) == (503, "<p>no")
    assert (response.headers["Content-Type"], response.headers["Retry-After"]) == ("text/html", "3")
    assert exchange(server).data["fault"] == "no"


@pytest.mark.parametrize("kind", ["delay", "slow"])
def test_a_late_response_is_complete_and_keeps_its_connection(
    server: Server, session: requests.Session, kind: str
) -> None:
    server.faults.add(Fault("slow" if kind == "slow" else "delay", seconds=0.0001))
    responses = [session.post(server.url, data=b"hello", timeout=20) for _ in range(2)]
    assert [response.content for response in responses] == [b"hello"] * 2
    assert len({response.headers["X-Peer"] for response in responses}) == 1


@pytest.mark.parametrize("accepted", [False, True])
def test_a_hang_fault_sends_no_response(server: Server, accepted: bool) -> None:
    server.faults.add(Fault("hang", seconds=60, accepted=accepted))
    with pytest.raises(requests.ReadTimeout):
        post(server, timeout=0.2)
    assert exchange(server).data["status"] == (200 if accepted else 0)


def test_a_hang_fault_ends_by_resetting_the_connection(server: Server) -> None:
    server.faults.add(Fault("hang", seconds=0.01))
    with pytest.raises(requests.ConnectionError):
        post(server)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_reset_fault_resets_the_connection(server: Server, accepted: bool) -> None:
    server.faults.add(Fault("reset", accepted=accepted))
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("POST", "/", b"x")
        with pytest.raises(ConnectionResetError):
            connection.getresponse()
    assert exchange(server).data["response"]["body"] == ("x" if accepted else "")


def test_a_cut_fault_resets_the_connection_within_the_response(server: Server) -> None:
    server.faults.add(Fault("cut"))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        post(server, b"x" * 10_000)


def test_faults_apply_in_order_and_as_many_times_as_their_count() -> None:
    faults = Faults()
    twice, always = Fault("status", status=500, count=2), Fault("status", status=503, count=None)
    faults.add(twice, always)
    assert [fault.status for fault in faults.pending()] == [500, 503]
    taken = [faults.take() for _ in range(5)]
    assert [fault.status for fault in taken if fault] == [500, 500, 503, 503, 503]
    faults.clear()
    assert faults.take() is None
    assert faults.pending() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example:8765"},
        {"Host": "attackerlocalhost"},
        {"Host": "[malformed"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_requests_from_pages_of_other_sites_are_rejected_and_neither_get_a_fault_nor_are_recorded(
    server: Server, headers: dict[str, str]
) -> None:
    server.faults.add(Fault("status", status=503))
    response = requests.post(server.url, data=b"hello", headers=headers, timeout=20)
    assert (response.status_code, set(response.json())) == (403, {"error"})
    assert (server.journal.entries(), len(server.faults.pending())) == ([], 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8765", "[::1]", "[::1]:8765", "app.localhost"])
def test_requests_to_loopback_and_from_its_own_pages_are_served(server: Server, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert requests.post(server.url, data=b"hello", headers=headers, timeout=20).content == b"hello"


def test_a_link_from_another_site_can_be_followed(server: Server) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert requests.get(server.url, headers=headers, timeout=20).status_code == 200


def test_a_request_without_a_host_is_served(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_taken_port_raises_an_error_and_prints_nothing(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        Server("second", echo, Journal(), port=server.port)
    assert capfd.readouterr() == ("", "")
