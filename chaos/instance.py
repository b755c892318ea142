"""An instance: one function behind its front, which may be killed and replaced while callouts go on."""

import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Self

from chaos.front_end import FrontEnd
from chaos.recorder import Recorder
from emulator.cloud_run.process import FunctionProcess

GRACE_SECONDS = 10.0  # between Cloud Run's SIGTERM and its SIGKILL
NO_MORE_SECONDS = 0.3  # until an instance has taken up what the front has handed over


class Instance:
    """A context manager. Times are monotonic seconds.

    `deaths` begin with a kill and end when another instance listens: requests were broken off. In `changes` a new
    instance, which remembers nothing, takes over.
    """

    def __init__(self, ledger: Recorder, environment: Mapping[str, str], target: str) -> None:
        self.deaths: list[tuple[float, float]] = []
        self.changes: list[tuple[float, float]] = []
        self._ledger, self._environment, self._target = ledger, environment, target
        self._front, self._stack = FrontEnd(), ExitStack()
        self.url = self._front.url
        self.function = self._new()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._front)
        self._stack.callback(lambda: self.function.stop(signal.SIGKILL))
        self._start(self.function)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def kill(self) -> None:
        """At once, with all that is in flight; then a new one starts, for which the front holds what comes."""
        began = time.monotonic()
        self.function.stop(signal.SIGKILL)
        self.function = self._new()
        self._start(self.function)
        self.deaths.append((began, time.monotonic()))

    def replace(self) -> None:
        """In order: the new one gets what comes, the old one ends what it has."""
        old, self.function = self.function, self._new()
        self._start(self.function)
        time.sleep(NO_MORE_SECONDS)
        late = threading.Timer(GRACE_SECONDS, self._lose_patience, [old])
        late.start()
        old.stop(signal.SIGTERM)
        late.cancel()

    def _lose_patience(self, old: FunctionProcess) -> None:
        now, process = time.monotonic(), old.process
        if process is not None:
            self.deaths.append((now, now + 0.5))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _start(self, function: FunctionProcess) -> None:
        function.start()
        began = time.monotonic()
        self.changes.append((began, began))
        self._front.turn(function.port)
        self.changes[-1] = (began, time.monotonic())

    def _new(self) -> FunctionProcess:
        return FunctionProcess(self._ledger, self._environment, target=self._target)
