"""A stage: the function as a real process between a Secret Manager and a SendGrid of its own, over real HTTP."""

import json
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Self

from auth0.callout import OutgoingCallout
from emulator.cloud_run.process import SOURCE, FunctionProcess
from emulator.core.faults import Fault, Faults
from emulator.core.journal import Entry, Journal
from emulator.emulator import SENDGRID_KEY, SETTINGS, SIGNING_KEY, new_signing_key
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.email import Email
from emulator.sendgrid.server import FakeSendGrid
from tests.end_to_end.leak_checker import LeakChecker

ANSWER_SECONDS = 7.0  # what the Action waits for an attempt
LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
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
        """The error's code; empty where the answer is none."""
        return str(self.body.get("error", {}).get("code", ""))

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class Harness:
    """A context manager. `environment` are settings beside the usual ones, `source` is another main.py.

    With `mounted`, a folder, the function reads its secrets from files there, and not from Secret Manager.
    """

    def __init__(
        self,
        witness: LeakChecker,
        environment: Mapping[str, str] | None = None,
        *,
        mounted: Path | None = None,
        source: Path = SOURCE / "main.py",
    ) -> None:
        self.journal, self._witness, self._mounted = Journal(), witness, mounted
        self.secret_manager, self.sendgrid = FakeSecretManager(self.journal), FakeSendGrid(self.journal)
        settings = {
            **SETTINGS,
            "THREADS": "32",
            "SENDGRID_API_KEY_SECRET": self._place("sendgrid-api-key", SENDGRID_KEY),
            "CALLOUT_SIGNING_KEY_SECRET": self._place("callout-signing-key", SIGNING_KEY),
            "SENDGRID_URL": self.sendgrid.url,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            **(environment or {}),
        }
        self.function = FunctionProcess(self.journal, settings, source=source)
        self.outside: list[AbstractContextManager[object]] = [self.secret_manager, self.sendgrid]
        self.functions = [self.function]
        self.sendgrid_key = self.signing_key = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.put_sendgrid_key(self.sendgrid.new_key())
        self.put_signing_key(new_signing_key())
        self.sendgrid.verify(SETTINGS["SENDER_EMAIL"])
        with ExitStack() as stack:
            for part in self.outside:
                stack.enter_context(part)
            for function in self.functions:
                self._witness.listen(function.url, function.said)
                stack.enter_context(function)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def put_sendgrid_key(self, key: str) -> None:
        self._put("sendgrid-api-key", SENDGRID_KEY, key)
        self.sendgrid_key = key

    def rotate_sendgrid_key(self) -> None:
        """The old key is revoked at once."""
        old = self.sendgrid_key
        self.put_sendgrid_key(self.sendgrid.new_key())
        self.sendgrid.revoke(old)

    def put_signing_key(self, *keys: str) -> None:
        """Several while they are being rotated; callouts are signed with the first."""
        self._put("callout-signing-key", SIGNING_KEY, "\n".join(keys))
        self.signing_key = keys[0]

    def send(self, callout: OutgoingCallout, *, key: str = "", at: float | None = None) -> Answer:
        """One attempt of the callout, signed now."""
        self._forbid_address(callout.body)
        return self.request(callout.body, callout.headers(key or self.signing_key, at))

    def send_all(self, callouts: Iterable[OutgoingCallout], *, key: str = "") -> list[Answer]:
        """All of them at the same moment."""
        each = list(callouts)
        with ThreadPoolExecutor(len(each)) as pool:
            return list(pool.map(lambda callout: self.send(callout, key=key), each))

    def request(
        self, body: bytes, headers: Mapping[str, str], *, method: str = "POST", path: str = "/", chunked: bool = False
    ) -> Answer:
        """Any HTTP request at all, answered within the time that the Action waits."""
        connection = HTTPConnection("127.0.0.1", self.function.port, timeout=ANSWER_SECONDS)
        sent: bytes | Iterable[bytes] = iter([body[:1000], body[1000:]]) if chunked else body
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # answered before all of the body was read
                connection.request(method, path, sent, dict(headers), encode_chunked=chunked)
            return self._answer(connection.getresponse())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """What comes back on a connection that brings these bytes and no more."""
        with socket.create_connection(("127.0.0.1", self.function.port), ANSWER_SECONDS) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        self._witness.hear(answer.decode("utf-8", "replace"))
        return answer

    def mails(self, address: str) -> list[Email]:
        return [mail for mail in self.sendgrid.inbox() if [to["email"] for to in mail.to] == [address]]

    def line(self, fits: Callable[[Mapping[str, Any]], bool]) -> Entry | None:
        """The line of the function's log that fits, which may be still to come; None: there is none."""
        return self.journal.wait(
            lambda entry: entry.kind == "function.log" and fits(entry.data["fields"]), timeout=LINE_SECONDS
        )

    def fault(self, *faults: Fault) -> AbstractContextManager[None]:
        """SendGrid has them next; those that are left at the end are cleared."""
        return having(self.sendgrid.faults, faults)

    def secret_fault(self, *faults: Fault) -> AbstractContextManager[None]:
        return having(self.secret_manager.faults, faults)

    def _place(self, file: str, resource: str) -> str:
        return str(self._mounted / file) if self._mounted else resource

    def _put(self, file: str, resource: str, value: str) -> None:
        for word in value.split():
            self._witness.forbid_secret(word)
        if self._mounted:
            (self._mounted / file).write_text(f"{value}\n", "utf-8")
        else:
            self.secret_manager.put(resource, value)

    def _forbid_address(self, body: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            address = json.loads(body)["event"]["user"]["email"]
            for line in [address, *str(address).splitlines()]:
                if isinstance(address, str) and "@" in line[1:]:
                    self._witness.forbid_address(line)

    def _answer(self, response: HTTPResponse) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, headers, response.read().decode())
        self._witness.hear(f"{headers}\n{answer.text}")
        return answer


@contextmanager
def having(waiting: Faults, faults: Iterable[Fault]) -> Iterator[None]:
    waiting.add(*faults)
    try:
        yield
    finally:
        waiting.clear()
