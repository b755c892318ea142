"""The test harness: the function as a real process with its own fake Secret Manager and SendGrid, over real HTTP."""

import json
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Self

from auth0.callout import OutgoingCallout
from emulator.cloud_run.process import PROJECT_ROOT, FunctionProcess
from emulator.core.faults import Fault, Faults
from emulator.core.journal import Entry, Journal
from emulator.emulator import SENDGRID_KEY, SETTINGS, SIGNING_KEY, new_signing_key
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.email import Email
from emulator.sendgrid.server import FakeSendGrid
from tests.end_to_end.leak_checker import LeakChecker

RESPONSE_TIMEOUT_SECONDS = 7.0  # the forwarder's timeout for one attempt
LOG_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Response:
    """An HTTP response of the function."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        value = json.loads(self.text)
        assert isinstance(value, dict)
        return value

    @property
    def code(self) -> str:
        """Return the error's code, or an empty string if the response isn't an error."""
        return str(self.body.get("error", {}).get("code", ""))

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class Harness:
    """A context manager that starts the fake services, then the function.

    `environment` adds to or overrides the default settings; `source` replaces main.py.
    With `mounted`, a folder, the function reads its secrets from files there instead of from Secret Manager.
    """

    def __init__(
        self,
        leak_checker: LeakChecker,
        environment: Mapping[str, str] | None = None,
        *,
        mounted: Path | None = None,
        source: Path = PROJECT_ROOT / "main.py",
    ) -> None:
        self.journal, self._leak_checker, self._mounted = Journal(), leak_checker, mounted
        self.secret_manager, self.sendgrid = FakeSecretManager(self.journal), FakeSendGrid(self.journal)
        settings = {
            **SETTINGS,
            "THREADS": "32",
            "SENDGRID_API_KEY_SECRET": self._secret_reference("sendgrid-api-key", SENDGRID_KEY),
            "CALLOUT_SIGNING_KEY_SECRET": self._secret_reference("callout-signing-key", SIGNING_KEY),
            "SENDGRID_URL": self.sendgrid.url,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            **(environment or {}),
        }
        self.function = FunctionProcess(self.journal, settings, source=source)
        self.services: list[AbstractContextManager[object]] = [self.secret_manager, self.sendgrid]
        self.functions = [self.function]
        self.sendgrid_key = self.signing_key = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.set_sendgrid_key(self.sendgrid.new_key())
        self.set_signing_keys(new_signing_key())
        self.sendgrid.verify(SETTINGS["SENDER_EMAIL"])
        with ExitStack() as stack:
            for service in self.services:
                stack.enter_context(service)
            for function in self.functions:
                self._leak_checker.watch_output(function.url, function.output)
                stack.callback(function.stop, signal.SIGKILL)  # SIGTERM takes up to a second, and has its own tests
            with ThreadPoolExecutor() as pool:
                list(pool.map(FunctionProcess.start, self.functions))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def set_sendgrid_key(self, key: str) -> None:
        self._store("sendgrid-api-key", SENDGRID_KEY, key)
        self.sendgrid_key = key

    def rotate_sendgrid_key(self) -> None:
        """Store a new key and revoke the old one immediately."""
        old = self.sendgrid_key
        self.set_sendgrid_key(self.sendgrid.new_key())
        self.sendgrid.revoke(old)

    def set_signing_keys(self, *keys: str) -> None:
        """Store the keys (several during a rotation); callouts are signed with the first."""
        self._store("callout-signing-key", SIGNING_KEY, "\n".join(keys))
        self.signing_key = keys[0]

    def send(self, callout: OutgoingCallout, *, key: str = "", at: float | None = None) -> Response:
        """Send the callout once, signed with the current time unless `at` (Unix seconds) is given."""
        self._forbid_address(callout.body)
        return self.request(callout.body, callout.headers(key or self.signing_key, at))

    def send_all(self, callouts: Iterable[OutgoingCallout], *, key: str = "") -> list[Response]:
        """Send all callouts concurrently and return their responses in order."""
        batch = list(callouts)
        with ThreadPoolExecutor(len(batch)) as pool:
            return list(pool.map(lambda callout: self.send(callout, key=key), batch))

    def request(
        self, body: bytes, headers: Mapping[str, str], *, method: str = "POST", path: str = "/", chunked: bool = False
    ) -> Response:
        """Send an HTTP request; it times out when the forwarder would."""
        connection = HTTPConnection("127.0.0.1", self.function.port, timeout=RESPONSE_TIMEOUT_SECONDS)
        content: bytes | Iterable[bytes] = iter([body[:1000], body[1000:]]) if chunked else body
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the response came before the whole body was read
                connection.request(method, path, content, dict(headers), encode_chunked=chunked)
            return self._to_response(connection.getresponse())
        finally:
            connection.close()

    def send_raw(self, request: bytes) -> bytes:
        """Send these bytes, half-close the connection, and return everything that comes back."""
        with socket.create_connection(("127.0.0.1", self.function.port), RESPONSE_TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            response = b"".join(iter(lambda: connection.recv(65536), b""))
        self._leak_checker.add_response(response.decode("utf-8", "replace"))
        return response

    def emails_to(self, address: str) -> list[Email]:
        return [email for email in self.sendgrid.inbox() if [to["email"] for to in email.to] == [address]]

    def find_log_line(self, matches: Callable[[Mapping[str, Any]], bool]) -> Entry | None:
        """Return the first log line whose fields match, waiting for it if necessary; None if there is none."""
        return self.journal.wait(
            lambda entry: entry.kind == "function.log" and matches(entry.data["fields"]), timeout=LOG_TIMEOUT_SECONDS
        )

    def sendgrid_faults(self, *faults: Fault) -> AbstractContextManager[None]:
        """Inject faults into SendGrid; any left on exit are cleared."""
        return injected(self.sendgrid.faults, faults)

    def secret_manager_faults(self, *faults: Fault) -> AbstractContextManager[None]:
        """Inject faults into Secret Manager; any left on exit are cleared."""
        return injected(self.secret_manager.faults, faults)

    def _secret_reference(self, file: str, resource: str) -> str:
        return str(self._mounted / file) if self._mounted else resource

    def _store(self, file: str, resource: str, value: str) -> None:
        for key in value.split():
            self._leak_checker.forbid_secret(key)
        if self._mounted:
            (self._mounted / file).write_text(f"{value}\n", "utf-8")
        else:
            self.secret_manager.put(resource, value)

    def _forbid_address(self, body: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            address = json.loads(body)["event"]["user"]["email"]
            for line in [address, *str(address).splitlines()]:
                if isinstance(address, str) and "@" in line[1:]:
                    self._leak_checker.forbid_address(line)

    def _to_response(self, raw: HTTPResponse) -> Response:
        headers = {name.lower(): value for name, value in raw.getheaders()}
        response = Response(raw.status, headers, raw.read().decode())
        self._leak_checker.add_response(f"{headers}\n{response.text}")
        return response


@contextmanager
def injected(target: Faults, faults: Iterable[Fault]) -> Iterator[None]:
    """Inject faults into `target`; any left on exit are cleared."""
    target.add(*faults)
    try:
        yield
    finally:
        target.clear()
