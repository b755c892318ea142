"""Run a candidate's server process group and read its CPU time and memory from /proc."""

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from bench.cpus import Cpus, all_cpus, restricted_to
from emulator.cloud_run.process import free_port
from emulator.core.child import Child

START_TIMEOUT_SECONDS = 30.0
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """The server didn't start or returned an unexpected response; the message contains its output."""


class ServerProcess:
    """Context manager that runs a server on `cpus` (default: all CPUs of this process).

    `{port}` in the command is replaced with a free port.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        output_file: Path,
        cpus: Cpus | None = None,
    ) -> None:
        self.port = free_port()
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._environment, self._folder, self._output_file = {**_inherited(), **environment}, folder, output_file
        self._cpus = cpus or all_cpus().server
        self._process: Child[bytes] | None = None

    def __enter__(self) -> Self:
        with self._output_file.open("wb") as output, restricted_to(self._cpus):
            self._process = Child(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self, timeout: float) -> int | None:
        """Send SIGTERM and return the exit status. Raise TimeoutExpired if the process doesn't end in time."""
        if self._process is None:
            return None
        self._process.terminate()
        return self._process.wait(timeout)

    def output(self) -> str:
        return self._output_file.read_text("utf-8", "replace")

    def post(self, request: bytes) -> bytes:
        """Send a whole HTTP request and return the response, retrying until the server listens.

        Raise ServerError if the server doesn't respond or the status isn't 200 or 202.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), START_TIMEOUT_SECONDS) as connection:
                    connection.sendall(request)
                    response = connection.recv(65_536)
            except ConnectionRefusedError:
                time.sleep(0.001)
            else:
                if response.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")):
                    return response
                raise ServerError(f"{response!r}\n{self.output()}")
        raise ServerError(f"no response from {self._command}:\n{self.output()}")

    def pids(self) -> list[int]:
        """Return the process IDs: that of the main process, then those of the workers."""
        if self._process is None:
            return []
        pids, parents = [self._process.pid], [self._process.pid]
        while parents:
            children = [int(pid) for parent in parents for pid in _children(parent)]
            pids, parents = pids + children, children
        return pids

    def cpu_seconds(self) -> float:
        """Return the user and system time that all processes have used."""
        return sum(_cpu_seconds(pid) for pid in self.pids())

    def wait_until_idle(self) -> None:
        """Wait, up to ten seconds, until the server has finished the requests of clients that have disconnected."""
        deadline, before = time.monotonic() + 10, -1.0
        while time.monotonic() < deadline and (after := self.cpu_seconds()) > before:
            before = after
            time.sleep(0.1)

    def worker_rss_mb(self) -> float:
        """Return the resident set size (RSS) of the worker, or of the only process."""
        return _status_kilobytes(self.pids()[-1], "VmRSS") / 1024


def _inherited() -> dict[str, str]:
    """Return only basic variables, so that no setting of the caller reaches a candidate."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _children(pid: int) -> list[str]:
    return [pid for task in Path(f"/proc/{pid}/task").iterdir() for pid in (task / "children").read_text().split()]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_SECOND


def _status_kilobytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
