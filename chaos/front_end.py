"""Cloud Run's front end: it holds requests while no instance is up and resets those cut off by a crash."""

import asyncio
import re
import socket
import struct
import threading
import time
from collections import Counter
from typing import Self

from bench.wire import read_message

HOLD_SECONDS = 10.0  # maximum wait for an instance
KEEP_ALIVE_HEADERS = re.compile(rb"\r\n(connection|keep-alive): [^\r]*", re.IGNORECASE)
NO_INSTANCE = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 14\r\nConnection: close\r\n\r\nRate exceeded."


class FrontEnd:
    """Context manager that forwards requests to the current instance."""

    def __init__(self) -> None:
        self._backend = 0  # port of the current instance
        self._forwarding: Counter[int] = Counter()  # by port: requests not yet fully sent to the instance
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="front-end", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._socket.close()

    def route_to(self, backend: int) -> None:
        """Route new requests to the instance at this port and wait until none is being sent to another."""
        self._backend = backend
        deadline = time.monotonic() + HOLD_SECONDS
        while (
            any(count for port, count in list(self._forwarding.items()) if port != backend)
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._socket))
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request per connection."""
        try:
            response = await self._forward(await _request(reader))
            writer.write(response)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            # Send RST, so that the client sees immediately that its request was cut off.
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            writer.close()

    async def _forward(self, request: bytes) -> bytes:
        try:
            reader, writer = await asyncio.wait_for(self._send_to_instance(request), HOLD_SECONDS)
        except TimeoutError:
            return NO_INSTANCE
        try:
            return await read_message(reader)
        finally:
            writer.close()

    async def _send_to_instance(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            backend = self._backend
            self._forwarding[backend] += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", backend)
                writer.write(request)
                await writer.drain()
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                return reader, writer
            finally:
                self._forwarding[backend] -= 1


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read a request and set Connection: close."""
    head, end, body = (await read_message(reader)).partition(b"\r\n\r\n")
    return KEEP_ALIVE_HEADERS.sub(b"", head) + b"\r\nConnection: close" + end + body
