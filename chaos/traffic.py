"""The traffic: callouts at an even pace, and which of them are under way."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from chaos.request import ChaosCallout

MOST_AT_A_TIME = 128


class Traffic:
    """`started` and `accepted` count callouts; whoever changes them notifies `changed`."""

    def __init__(self, callouts: Sequence[ChaosCallout], per_second: float) -> None:
        self.callouts, self._pause = callouts, 1 / per_second
        self.started = self.accepted = 0
        self.changed = threading.Condition()
        self._active: set[int] = set()

    @property
    def is_over(self) -> bool:
        return self.started == len(self.callouts)

    def run(self, send: Callable[[ChaosCallout], None]) -> None:
        """Return when each has been sent to its end. What `send` raises is raised."""
        began = time.monotonic()
        with ThreadPoolExecutor(MOST_AT_A_TIME) as pool:
            futures = []
            for number, callout in enumerate(self.callouts):
                time.sleep(max(0.0, began + number * self._pause - time.monotonic()))
                futures.append(pool.submit(self._send, send, callout))
            for future in futures:
                future.result()

    def under_way(self) -> frozenset[int]:
        with self.changed:
            return frozenset(self._active)

    def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: holds() or self.is_over, seconds)

    def _send(self, send: Callable[[ChaosCallout], None], callout: ChaosCallout) -> None:
        with self._counted(callout):
            send(callout)

    @contextmanager
    def _counted(self, callout: ChaosCallout) -> Iterator[None]:
        with self.changed:
            self.started += 1
            self._active.add(callout.number)
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self._active.discard(callout.number)
                self.accepted += any(attempt.accepted for attempt in callout.attempts)
                self.changed.notify_all()
