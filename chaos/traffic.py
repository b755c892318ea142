"""Start callouts at a constant rate and track which are in progress."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from chaos.request import ChaosCallout

MAX_CONCURRENCY = 128


class Traffic:
    """Counts of callouts `started` and `accepted`; every change notifies the condition `changed`."""

    def __init__(self, callouts: Sequence[ChaosCallout], per_second: float) -> None:
        self.callouts, self._interval = callouts, 1 / per_second
        self.started = self.accepted = 0
        self.changed = threading.Condition()
        self._active: set[int] = set()
        self._is_stopped = False

    @property
    def is_over(self) -> bool:
        return self._is_stopped or self.started == len(self.callouts)

    def run(self, send: Callable[[ChaosCallout], None]) -> None:
        """Send all callouts and wait until they finish. Raise whatever `send` raises."""
        started = time.monotonic()
        with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
            futures = []
            for number, callout in enumerate(self.callouts):
                time.sleep(max(0.0, started + number * self._interval - time.monotonic()))
                if self._is_stopped:
                    break
                futures.append(pool.submit(self._send, send, callout))
            for future in futures:
                future.result()

    def stop(self) -> None:
        """Send no more callouts."""
        with self.changed:
            self._is_stopped = True
            self.changed.notify_all()

    def active(self) -> frozenset[int]:
        with self.changed:
            return frozenset(self._active)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `condition` or until all callouts have started. Return False after `seconds`."""
        with self.changed:
            return self.changed.wait_for(lambda: condition() or self.is_over, seconds)

    def wait_for_start(self, count: int) -> None:
        """Wait until `count` callouts have started, or all of them."""
        with self.changed:
            self.changed.wait_for(lambda: self.started >= count or self.is_over)

    def _send(self, send: Callable[[ChaosCallout], None], callout: ChaosCallout) -> None:
        if not self._is_stopped:
            with self._tracked(callout):
                send(callout)

    @contextmanager
    def _tracked(self, callout: ChaosCallout) -> Iterator[None]:
        with self.changed:
            self.started += 1
            self._active.add(callout.number)
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self._active.discard(callout.number)
                self.accepted += any(attempt.is_accepted for attempt in callout.attempts)
                self.changed.notify_all()
