"""The outside: SendGrid over HTTPS with a delay of its own, Secret Manager and Cloud Tasks, all in one fast process.

It answers what the peers ask and nothing else, so that it is not what is measured.
"""

import asyncio
import base64
import json
import multiprocessing
import re
import socket
import ssl
import statistics
import time
from ctypes import c_double, c_ulong
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from bench import requests_file, tls

SENDGRID_KEY = f"SG.{'m' * 22}.{'k' * 43}"
SECRETS = {"sendgrid-api-key": SENDGRID_KEY, "callout-signing-key": requests_file.SIGNING_KEY}
PROJECT = "projects/bench/secrets"
QUEUE = "projects/bench/locations/europe-west1/queues/notices"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Upstreams:
    """A context manager: inside, all answer. `delay` (seconds) is SendGrid's and Cloud Tasks'; it may change."""

    def __init__(self, folder: Path) -> None:
        self.certificates = tls.make(folder)
        spawn = multiprocessing.get_context("spawn")
        self._delay, self._accepted = spawn.RawValue(c_double, 0.0), spawn.RawValue(c_ulong, 0)
        self._ports, theirs = spawn.Pipe(duplex=False)
        self._process = spawn.Process(
            target=_serve,
            args=(self.certificates.server, self._delay, self._accepted, theirs),
            name="outside",
            daemon=True,
        )
        self.sendgrid_url = self.secret_manager_url = self.cloud_tasks_url = ""

    def __enter__(self) -> Self:
        self._process.start()
        sendgrid, secret_manager, cloud_tasks = self._ports.recv()
        self.sendgrid_url = f"https://{tls.HOST}:{sendgrid}"
        self.secret_manager_url = f"http://127.0.0.1:{secret_manager}"
        self.cloud_tasks_url = f"https://{tls.HOST}:{cloud_tasks}"
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.join()

    @property
    def delay(self) -> float:
        return float(self._delay.value)

    @delay.setter
    def delay(self, seconds: float) -> None:
        self._delay.value = seconds

    def own_seconds(self) -> float:
        """What SendGrid takes with this delay, seen by who does nothing else: the median of its answers on one
        connection. It is more than the delay, since clocks tick and threads wake."""
        url = urlsplit(self.sendgrid_url)
        trust = ssl.create_default_context(cafile=str(self.certificates.authority))
        request = f"POST /v3/mail/send HTTP/1.1\r\nAuthorization: {SENDGRID_KEY}\r\nContent-Length: 0\r\n\r\n".encode()
        spent = []
        with (
            socket.create_connection((url.hostname, url.port)) as plain,
            trust.wrap_socket(plain, server_hostname=url.hostname) as connection,
        ):
            for _ in range(40):
                began = time.perf_counter()
                connection.sendall(request)
                connection.recv(65_536)
                spent.append(time.perf_counter() - began)
        return statistics.median(spent)

    @property
    def accepted(self) -> int:
        """How many mails and tasks there were in all."""
        return int(self._accepted.value)


def _serve(served: Path, delay: Any, accepted: Any, ports: Connection) -> None:
    asyncio.run(_listen(served, delay, accepted, ports))


async def _listen(served: Path, delay: Any, accepted: Any, ports: Connection) -> None:
    loop = asyncio.get_running_loop()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(served)
    servers = [
        await loop.create_server(lambda: _SendGrid(delay, accepted), "127.0.0.1", 0, ssl=tls, backlog=1024),
        await loop.create_server(_SecretManager, "127.0.0.1", 0, backlog=1024),
        await loop.create_server(lambda: _CloudTasks(delay, accepted), "127.0.0.1", 0, ssl=tls, backlog=1024),
    ]
    ports.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.gather(*(server.serve_forever() for server in servers))


class _Service(asyncio.Protocol):
    """HTTP/1.1 with kept connections, one request after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(self._buffer, 0, end)
        size = end + 4 + (int(found[1]) if found else 0)
        if len(self._buffer) >= size:
            request = bytes(self._buffer[:size])
            del self._buffer[:size]
            self.answer(request)

    def answer(self, request: bytes) -> None:
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


class _Taker(_Service):
    """Takes what is posted, after the delay, and counts it."""

    REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    ACCEPTED = b""

    def __init__(self, delay: Any, accepted: Any) -> None:
        super().__init__()
        self._delay, self._accepted = delay, accepted

    def answer(self, request: bytes) -> None:
        good = self.is_good(request)
        self._accepted.value += good  # the only writer
        text = self.ACCEPTED if good else self.REFUSED
        if self._delay.value:
            asyncio.get_running_loop().call_later(self._delay.value, self.write, text)
        else:
            self.write(text)

    def is_good(self, request: bytes) -> bool:
        raise NotImplementedError


class _SendGrid(_Taker):
    ACCEPTED = (
        b"HTTP/1.1 202 Accepted\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: keep-alive\r\n"
        b"X-Message-Id: bench-0123456789ABCDEFG\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n"
    )

    def is_good(self, request: bytes) -> bool:
        return request.startswith(b"POST /v3/mail/send ") and SENDGRID_KEY.encode() in request


class _CloudTasks(_Taker):
    ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    def is_good(self, request: bytes) -> bool:
        return request.startswith(f"POST /v2/{QUEUE}/tasks ".encode())


class _SecretManager(_Service):
    def answer(self, request: bytes) -> None:
        name = request.split(b" ", 2)[1].decode().partition("?")[0].removeprefix("/v1/")
        value = SECRETS[name.split("/")[3]]
        payload = {"data": base64.b64encode(value.encode()).decode()}
        text = json.dumps({"name": name.removesuffix(":access"), "payload": payload}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        self.write(head.encode() + text)
