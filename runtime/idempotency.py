"""Idempotency cache: a repeated callout gets the original response and runs no Action again."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from runtime.clock import CLOCK, Clock
from runtime.errors import Unavailable
from runtime.http import JsonResponse

TTL_SECONDS = 15 * 60
MAX_ENTRIES = 10_000

CompletedActions = dict[str, Any]  # an Action's name → its outcome, for those that succeeded


class _Entry:
    __slots__ = ("done", "expires_at", "running", "success")

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at  # monotonic seconds
        self.done: CompletedActions = {}
        self.success = ""  # the response's body as JSON: 10,000 of them as objects would take 25 MB
        self.running: Future[JsonResponse] | None = None


class IdempotencyCache:
    """The callouts that this instance remembers: for TTL_SECONDS, at most MAX_ENTRIES, evicting the oldest first."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, key: str, deadline: float, work: Callable[[CompletedActions], JsonResponse]) -> JsonResponse:
        """Run `work` and return its response; for a duplicate, return the first response without running it.

        After a success, the duplicate's status is `duplicate`; while the first run is in progress, the duplicate waits
        for its response. `work` gets the Actions that have already succeeded, and adds those that it completes. Raise
        Unavailable (in_progress) if the run in progress doesn't finish by `deadline` (monotonic seconds).
        """
        with self._lock:
            entry = self._get_entry(key)
            if entry.success:
                return JsonResponse(200, {**json.loads(entry.success), "status": "duplicate"})
            in_progress = entry.running
            if in_progress is None:
                own: Future[JsonResponse] = Future()
                entry.running = own
        if in_progress is not None:
            return self._wait(in_progress, deadline)
        try:
            response = work(entry.done)
        except BaseException as error:
            self._finish(key, entry, None)
            own.set_exception(error)
            raise
        self._finish(key, entry, response)
        own.set_result(response)
        return response

    def _get_entry(self, key: str) -> _Entry:
        now = self._clock.monotonic()
        while self._entries and next(iter(self._entries.values())).expires_at <= now:
            self._entries.popitem(last=False)
        if key not in self._entries and len(self._entries) >= MAX_ENTRIES:
            self._entries.popitem(last=False)
        return self._entries.setdefault(key, _Entry(now + TTL_SECONDS))

    def _finish(self, key: str, entry: _Entry, response: JsonResponse | None) -> None:
        with self._lock:
            entry.running = None
            if response is not None and response.status < 300:
                entry.success, entry.done = json.dumps(response.body, default=str), {}
            elif not entry.done and self._entries.get(key) is entry:  # not an entry created after this one was evicted
                del self._entries[key]

    def _wait(self, running: Future[JsonResponse], deadline: float) -> JsonResponse:
        try:
            return running.result(max(0.0, deadline - self._clock.monotonic()))
        except FutureTimeoutError:
            raise Unavailable("in_progress", "the same callout is still in progress") from None
