"""The function as a process, started as Cloud Run starts it: with the functions-framework command."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from emulator.core.child import Child
from emulator.core.journal import Journal

PROJECT_ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 20.0
OUTPUT_TIMEOUT_SECONDS = 5.0  # for reading what is left of the output when the process has ended


class FunctionError(Exception):
    """The function didn't start; the message is `cause` and the text of its output, `output` the output itself."""

    def __init__(self, cause: str, output: Iterable[str]) -> None:
        lines = list(output)
        super().__init__("\n".join([cause, *map(_text, lines)]))
        self.output = "\n".join(lines)


class FunctionProcess:
    """A process that serves `target`; its output becomes `function.log` entries (data: side, line, and fields).

    `environment` is added to this process's environment. In the output, paths of files next to `source` are relative;
    its latest `max_lines` are kept (None: all).
    """

    def __init__(
        self,
        journal: Journal,
        environment: Mapping[str, str],
        *,
        target: str = "on_execute_post_change_password",
        source: Path = PROJECT_ROOT / "main.py",
        max_lines: int | None = None,
    ) -> None:
        self._journal, self._environment, self._target = journal, environment, target
        self._source, self._max_lines = source, max_lines
        reservation = reserve_port()
        self.port = reservation.getsockname()[1]
        if sys.platform == "linux":
            weakref.finalize(self, reservation.close)
        else:  # the process couldn't listen on the port
            reservation.close()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output: list[str] = []
        self.process: Child[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it listens. Raise FunctionError with its output if it doesn't start."""
        command = [str(Path(sys.executable).parent / "functions-framework"), "--target", self._target]
        command += ["--source", str(self._source), "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = Child(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
            cwd=self._source.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        self._wait_until_listening()

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> None:
        """Stop the process: gracefully with SIGTERM, as Cloud Run does, or immediately with SIGKILL."""
        if self.process is None:
            return
        if signal_number == signal.SIGKILL:
            self.process.kill()  # gunicorn's main process and its worker together
        else:
            self.process.send_signal(signal_number)
        self.process.wait()
        if self._reader is not None:
            self._reader.join(OUTPUT_TIMEOUT_SECONDS)
        self.process = None

    def _read(self, process: Child[str]) -> None:
        for text in process.stdout or ():
            line = text.rstrip("\n").replace(f"{self._source.parent}/", "")
            self.output.append(line)
            if self._max_lines is not None:
                del self.output[: -self._max_lines]
            self._journal.record("function.log", side=self._target, line=line, fields=_fields(line))
        if process.stdout is not None:
            process.stdout.close()

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        is_running = self.process is not None and self.process.poll() is None
        self.stop(signal.SIGKILL) if is_running else self.stop()
        cause = f"it didn't listen within {START_TIMEOUT_SECONDS:g} s" if is_running else "it exited"
        raise FunctionError(f"the function didn't start: {cause}", self.output)


def free_port() -> int:
    """Return a free port for a process that is about to start."""
    with reserve_port() as reservation:
        port: int = reservation.getsockname()[1]
        return port


def reserve_port() -> socket.socket:
    """Return a socket bound to a free port, which no other call returns until the socket is closed.

    On Linux, a server that sets SO_REUSEADDR, such as gunicorn, can listen on the port meanwhile. The port is below the
    ephemeral range (from 32,768), so that no outgoing connection takes it. Concurrent processes, such as parallel
    tests, start searching 100 ports apart.
    """
    while True:
        port = 20_000 + (100 * os.getpid() + next(_requests)) % 12_000
        reservation = socket.socket()
        try:
            reservation.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
        else:
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return reservation


_requests = itertools.count()


def _text(line: str) -> str:
    """Return the message of a log line, or the line itself if it isn't one."""
    return str(_fields(line).get("message", line))


def _fields(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
