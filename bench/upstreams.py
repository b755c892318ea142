"""Stubs of SendGrid, Secret Manager, and Cloud Tasks in one separate, fast process.

They implement only the requests that the candidates make, so that the stubs don't become the bottleneck.
"""

import asyncio
import base64
import json
import multiprocessing
import os
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
from bench.cpus import Cpus

SENDGRID_KEY = f"SG.{'m' * 22}.{'k' * 43}"
SECRETS = {"sendgrid-api-key": SENDGRID_KEY, "callout-signing-key": requests_file.SIGNING_KEY}
PROJECT_SECRETS = "projects/bench/secrets"
QUEUE = "projects/bench/locations/europe-west1/queues/notices"
CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Upstreams:
    """Context manager that runs the stubs. `delay` (seconds) applies to SendGrid and Cloud Tasks and can be changed."""

    def __init__(self, folder: Path) -> None:
        self.certificates = tls.make(folder)
        spawn = multiprocessing.get_context("spawn")
        self._delay, self._accepted = spawn.RawValue(c_double, 0.0), spawn.RawValue(c_ulong, 0)
        self._ports, sender = spawn.Pipe(duplex=False)
        self._process = spawn.Process(
            target=_serve,
            args=(self.certificates.server, self._delay, self._accepted, sender),
            name="upstreams",
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

    def move_to(self, cpus: Cpus) -> None:
        os.sched_setaffinity(self._process.pid or 0, cpus)

    def measure_latency(self) -> float:
        """Return the SendGrid stub's latency in seconds as an idle client sees it: the median of 40 requests.

        It exceeds the delay because of timer resolution and scheduling.
        """
        url = urlsplit(self.sendgrid_url)
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        request = f"POST /v3/mail/send HTTP/1.1\r\nAuthorization: {SENDGRID_KEY}\r\nContent-Length: 0\r\n\r\n".encode()
        latencies = []
        with (
            socket.create_connection((url.hostname, url.port)) as plain,
            context.wrap_socket(plain, server_hostname=url.hostname) as connection,
        ):
            for _ in range(40):
                started = time.perf_counter()
                connection.sendall(request)
                connection.recv(65_536)
                latencies.append(time.perf_counter() - started)
        return statistics.median(latencies)

    @property
    def accepted(self) -> int:
        """Return the total number of accepted emails and tasks."""
        return int(self._accepted.value)


def _serve(certificate: Path, delay: Any, accepted: Any, ports: Connection) -> None:
    asyncio.run(_listen(certificate, delay, accepted, ports))


async def _listen(certificate: Path, delay: Any, accepted: Any, ports: Connection) -> None:
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    servers = [
        await loop.create_server(lambda: _SendGrid(delay, accepted), "127.0.0.1", 0, ssl=context, backlog=1024),
        await loop.create_server(_SecretManager, "127.0.0.1", 0, backlog=1024),
        await loop.create_server(lambda: _CloudTasks(delay, accepted), "127.0.0.1", 0, ssl=context, backlog=1024),
    ]
    ports.send([server.sockets[0].getsockname()[1] for server in servers])
    parent, parent_ended = multiprocessing.parent_process(), asyncio.Event()
    if parent is not None:
        loop.add_reader(parent.sentinel, parent_ended.set)
    await parent_ended.wait()


class _Service(asyncio.Protocol):
    """HTTP/1.1 server protocol with keep-alive and without pipelining."""

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
        match = CONTENT_LENGTH.search(self._buffer, 0, end)
        size = end + 4 + (int(match[1]) if match else 0)
        if len(self._buffer) >= size:
            request = bytes(self._buffer[:size])
            del self._buffer[:size]
            self.respond(request)

    def respond(self, request: bytes) -> None:
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


class _AcceptingService(_Service):
    """Service that counts valid requests and responds after the delay."""

    REJECTED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    ACCEPTED = b""

    def __init__(self, delay: Any, accepted: Any) -> None:
        super().__init__()
        self._delay, self._accepted = delay, accepted

    def respond(self, request: bytes) -> None:
        is_valid = self.is_valid(request)
        self._accepted.value += is_valid  # no lock: this process is the only writer
        response = self.ACCEPTED if is_valid else self.REJECTED
        if self._delay.value:
            asyncio.get_running_loop().call_later(self._delay.value, self.write, response)
        else:
            self.write(response)

    def is_valid(self, request: bytes) -> bool:
        raise NotImplementedError


class _SendGrid(_AcceptingService):
    ACCEPTED = (
        b"HTTP/1.1 202 Accepted\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: keep-alive\r\n"
        b"X-Message-Id: bench-0123456789ABCDEFG\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n"
    )

    def is_valid(self, request: bytes) -> bool:
        return request.startswith(b"POST /v3/mail/send ") and SENDGRID_KEY.encode() in request


class _CloudTasks(_AcceptingService):
    ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    def is_valid(self, request: bytes) -> bool:
        return request.startswith(f"POST /v2/{QUEUE}/tasks ".encode())


class _SecretManager(_Service):
    def respond(self, request: bytes) -> None:
        name = request.split(b" ", 2)[1].decode().partition("?")[0].removeprefix("/v1/")
        value = SECRETS[name.split("/")[3]]
        payload = {"data": base64.b64encode(value.encode()).decode()}
        body = json.dumps({"name": name.removesuffix(":access"), "payload": payload}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.write(head.encode() + body)
