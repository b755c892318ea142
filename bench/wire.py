"""Read whole HTTP messages from a connection."""

import asyncio
import re

CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read one whole message, head and body. Raise OSError or IncompleteReadError if the connection ends first."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = CONTENT_LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)
