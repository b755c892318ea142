"""Standard output and standard error, for the log. If a stream is full, closed, or not read, lines are lost, but a
callout is never blocked and gets no error.
"""

import json
import os
import select
import threading
from contextlib import suppress

from runtime.clock import CLOCK

# For a working stream; one that has lost lines must be ready immediately.
MAX_WAIT_SECONDS = 0.1  # until there is room
MAX_LOCK_SECONDS = 1.0  # until another thread has written its line; see write() for a thread that is stuck


class Output:
    """A stream, by its file descriptor. Thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)
        self._lock = threading.Lock()
        self._lost = 0  # lines, since the stream last worked
        self._in_line = False  # whether the last byte written wasn't a line break

    def write(self, text: str) -> None:
        """Write the text. If the stream doesn't accept it, count its lines as lost, and report them once it works."""
        data = text.encode("utf-8", "backslashreplace")
        is_written = False
        # Another process that shares the pipe can fill it just before a thread writes, so that the thread gets stuck.
        if self._lock.acquire(timeout=0 if self._lost else MAX_LOCK_SECONDS):
            try:
                is_written = self._report_lost() and self._write(data)
            finally:
                self._lock.release()
        if not is_written:
            self._lost += max(data.count(b"\n"), 1)

    def _report_lost(self) -> bool:
        """Report the lines lost so far. Return whether the stream works."""
        lost = self._lost
        if lost:
            message = f"lost {lost} log lines: the stream didn't accept them in time"
            report = {"severity": "WARNING", "message": message, "code": "log_lines_lost", "lines": lost}
            if not self._write(b"\n" * self._in_line + json.dumps(report).encode() + b"\n"):
                return False
            self._lost -= lost
        return True

    def _write(self, data: bytes) -> bool:
        deadline = CLOCK.monotonic() + (0 if self._lost else MAX_WAIT_SECONDS)
        with suppress(OSError):  # closed, or the disk is full
            while data and self._ready.poll(max(0, deadline - CLOCK.monotonic()) * 1000):
                written = os.write(self._descriptor, data[: select.PIPE_BUF])  # never blocks on a ready pipe
                self._in_line = data[written - 1 : written] != b"\n"
                data = data[written:]
        return not data


STDOUT, STDERR = Output(1), Output(2)
