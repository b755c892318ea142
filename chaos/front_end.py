"""The front: Cloud Run's own front end. It holds requests while no instance is up, and breaks off unfinished ones."""

import asyncio
import re
import socket
import struct
import threading
import time
from collections import Counter
from typing import Self

from bench.wire import read_message

HOLD_SECONDS = 10.0  # how long a request waits for an instance
NOT_KEPT = re.compile(rb"\r\n(connection|keep-alive): [^\r]*", re.IGNORECASE)
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 14\r\nConnection: close\r\n\r\nRate exceeded."


class FrontEnd:
    """A context manager, which sends everything to the instance that it was last turned to."""

    def __init__(self) -> None:
        self._backend = 0  # its port
        self._handing: Counter[int] = Counter()  # by port: requests that an instance has not got as a whole yet
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._socket.close()

    def turn(self, backend: int) -> None:
        """From now on the instance at this port gets what comes; returns when no other is being handed anything."""
        self._backend = backend
        ends = time.monotonic() + HOLD_SECONDS
        while any(count for port, count in list(self._handing.items()) if port != backend) and time.monotonic() < ends:
            time.sleep(0.01)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._socket))
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        try:
            answer = await self._forward(await _request(reader))
            writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            # RST, so that the caller sees at once that its request was broken off.
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            writer.close()

    async def _forward(self, request: bytes) -> bytes:
        try:
            reader, writer = await asyncio.wait_for(self._hand_over(request), HOLD_SECONDS)
        except TimeoutError:
            return BUSY
        try:
            return await read_message(reader)
        finally:
            writer.close()

    async def _hand_over(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            backend = self._backend
            self._handing[backend] += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", backend)
                writer.write(request)
                await writer.drain()
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                return reader, writer
            finally:
                self._handing[backend] -= 1


async def _request(reader: asyncio.StreamReader) -> bytes:
    """As it came, for a connection that is not kept."""
    head, end, body = (await read_message(reader)).partition(b"\r\n\r\n")
    return NOT_KEPT.sub(b"", head) + b"\r\nConnection: close" + end + body
