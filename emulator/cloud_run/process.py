"""The function, started exactly as Cloud Run starts it: functions-framework's own command in a process of its own."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from emulator.core.journal import Journal

PROJECT_ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 20.0


class FunctionError(Exception):
    """The function did not start; the message holds what it said."""


class FunctionProcess:
    """The process that serves `target`; its output becomes `function.log` entries (data: side, line, and fields).

    `environment` is added to this process's own. `name` tells the public side from `deliver`.
    """

    def __init__(
        self,
        journal: Journal,
        environment: Mapping[str, str],
        *,
        target: str = "on_execute_post_change_password",
        source: Path = PROJECT_ROOT / "main.py",
    ) -> None:
        self._journal, self._environment, self._target, self._source = journal, environment, target, source
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when the function answers. Raises FunctionError, with what it said, where it does not start."""
        command = [str(Path(sys.executable).parent / "functions-framework"), "--target", self._target]
        command += ["--source", str(self._source), "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
            cwd=self._source.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that the master and its worker can be ended together
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        self._wait_until_it_listens()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM ends it in order, as Cloud Run does; SIGKILL ends master and worker at once."""
        if self.process is None:
            return
        if how == signal.SIGKILL:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        self.process.wait()
        if self._reader is not None:
            self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.output.append(line.rstrip("\n"))
            self._journal.record("function.log", side=self._target, line=line.rstrip("\n"), fields=_fields(line))

    def _wait_until_it_listens(self) -> None:
        ends = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < ends and self.process is not None and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.stop(signal.SIGKILL) if self.process and self.process.poll() is None else self.stop()
        raise FunctionError("the function did not start:\n" + "\n".join(self.output))


def free_port() -> int:
    """A port for a process that is about to start.

    None of those that the system gives to connections (from 32,768 on): one of them could be somebody else's when the
    process comes to listen. Processes that ask side by side, as tests do, begin a hundred apart.
    """
    while True:
        port = 20_000 + (100 * os.getpid() + next(_asked)) % 12_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


_asked = itertools.count()


def _fields(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
