"""A function instance behind its front end that can be killed and replaced during traffic."""

import fcntl
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Self

from chaos.front_end import FrontEnd
from chaos.recorder import Recorder
from emulator.cloud_run.process import FunctionError, FunctionProcess

MAX_START_SECONDS = 6.0  # less than the forwarder waits, so that a callout interrupted by a crash succeeds as a retry
GRACE_SECONDS = 10.0  # between Cloud Run's SIGTERM and SIGKILL
HANDOVER_SECONDS = 0.3  # for the old instance to start on the requests already sent to it


class Instance:
    """Context manager that runs one instance at a time. Intervals are in monotonic seconds.

    During `crashes`, from a kill until the next instance listens, requests may be cut off. During `replacements`, a new
    instance with an empty idempotency cache takes over. Each start raises FunctionError if it doesn't respond in time.
    """

    def __init__(self, recorder: Recorder, environment: Mapping[str, str], target: str) -> None:
        self.crashes: list[tuple[float, float]] = []
        self.replacements: list[tuple[float, float]] = []
        self._recorder, self._environment, self._target = recorder, environment, target
        self._front_end, self._stack = FrontEnd(), ExitStack()
        self.url = self._front_end.url
        self.function = self._new()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._front_end)
        self._stack.callback(lambda: self.function.stop(signal.SIGKILL))
        self._start(self.function)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def kill(self) -> None:
        """Kill the instance and its requests in flight, and start another; the front end holds requests until then."""
        started = time.monotonic()
        self.function.stop(signal.SIGKILL)
        self.function = self._new()
        self._start(self.function)
        self.crashes.append((started, time.monotonic()))

    def replace(self) -> None:
        """Replace the instance gracefully: the new one gets new requests, the old one finishes its own."""
        old, self.function = self.function, self._new()
        self._start(self.function)
        time.sleep(HANDOVER_SECONDS)
        timer = threading.Timer(GRACE_SECONDS, self._kill_after_grace_period, [old])
        timer.start()
        old.stop(signal.SIGTERM)
        timer.cancel()

    def set_output_buffer(self, size: int) -> None:
        """Set the size in bytes of the pipe that the instance writes its output to, if it is Linux's."""
        process = self.function.process
        if sys.platform == "linux" and process and process.stdout:
            with suppress(OSError):  # the pipe contains more
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, size)

    def _kill_after_grace_period(self, old: FunctionProcess) -> None:
        now, process = time.monotonic(), old.process
        if process is not None:
            self.crashes.append((now, now + 0.5))
            process.kill()

    def _start(self, function: FunctionProcess) -> None:
        deadline = time.monotonic() + MAX_START_SECONDS
        function.start()
        _require_response(function, self._target, deadline)
        started = time.monotonic()
        self.replacements.append((started, started))
        self._front_end.route_to(function.port)
        self.replacements[-1] = (started, time.monotonic())

    def _new(self) -> FunctionProcess:
        return FunctionProcess(self._recorder, self._environment, target=self._target)


def _require_response(function: FunctionProcess, target: str, deadline: float) -> None:
    """Raise FunctionError if the function doesn't respond: its main process listens before its worker runs.

    After the deadline, callouts could be lost because the machine is slow.
    """
    connection = HTTPConnection("127.0.0.1", function.port, timeout=max(0.01, deadline - time.monotonic()))
    with closing(connection):
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, HTTPException) as error:
            function.stop(signal.SIGKILL)
            cause = f"{target} hasn't responded {MAX_START_SECONDS:g} s after its start ({type(error).__name__})"
            raise FunctionError(cause, function.output) from None
