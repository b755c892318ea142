"""The server: a peer's process group, its processor time and its memory, as /proc tells them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from emulator.cloud_run.process import free_port

START_SECONDS = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """The server did not start or did not answer as it should; the message holds what it said."""


class ServerProcess:
    """A context manager: from its spawn to its end. `port` is put in for PORT in the command."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, said: Path) -> None:
        self.port = free_port()
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._environment, self._folder, self._said = {**_inherited(), **environment}, folder, said
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(  # noqa: S603  (a list of our own)
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def said(self) -> str:
        return self._said.read_text("utf-8", "replace")

    def post(self, request: bytes) -> bytes:
        """The answer to a whole HTTP request, asked again and again until somebody listens."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self._process is not None and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), START_SECONDS) as connection:
                    connection.sendall(request)
                    answer = connection.recv(65_536)
            except ConnectionRefusedError:
                time.sleep(0.001)
            else:
                if answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")):
                    return answer
                raise ServerError(f"{answer!r}\n{self.said()}")
        raise ServerError(f"{self._command} does not answer:\n{self.said()}")

    def processes(self) -> list[int]:
        """The master first, then the workers."""
        if self._process is None:
            return []
        found, new = [self._process.pid], [self._process.pid]
        while new:
            children = [int(pid) for parent in new for pid in _children(parent)]
            found, new = found + children, children
        return found

    def processor_seconds(self) -> float:
        """User and system time of all processes up to now."""
        return sum(_processor_seconds(pid) for pid in self.processes())

    def worker_megabytes(self) -> float:
        """What the process that answers keeps in memory (RSS)."""
        return _status_kilobytes(self.processes()[-1], "VmRSS") / 1024

    def megabytes(self) -> float:
        """All processes together, what they share counted once (PSS)."""
        return sum(_pss_kilobytes(pid) for pid in self.processes()) / 1024


def _inherited() -> dict[str, str]:
    """Nothing of the caller's settings may reach a peer."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _children(pid: int) -> list[str]:
    return [pid for task in Path(f"/proc/{pid}/task").iterdir() for pid in (task / "children").read_text().split()]


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _status_kilobytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _pss_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
