"""Once: the same callout again gets the first one's answer, and nothing runs a second time."""

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

KEPT_SECONDS = 15 * 60
KEPT_ENTRIES = 10_000


CompletedActions = dict[str, Any]  # an Action's name → its outcome, for those that succeeded


class _Entry:
    __slots__ = ("done", "running", "success", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.done: CompletedActions = {}
        self.success = ""  # the answer's body, as JSON: 10,000 of them as objects would take 25 MB
        self.running: Future[JsonResponse] | None = None


class IdempotencyCache:
    """What this instance remembers: 15 minutes, 10,000 callouts, the oldest forgotten first."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, key: str, deadline: float, work: Callable[[CompletedActions], JsonResponse]) -> JsonResponse:
        """The answer of `work`, or of the same key's earlier success (as `duplicate`), or of its run under way.

        `work` gets what has succeeded before and adds to it. Raises Unavailable (in_progress) where the run under way
        is not over by `deadline` (monotonic seconds).
        """
        with self._lock:
            entry = self._entry(key)
            if entry.success:
                return JsonResponse(200, {**json.loads(entry.success), "status": "duplicate"})
            others = entry.running
            if others is None:
                mine: Future[JsonResponse] = Future()
                entry.running = mine
        if others is not None:
            return self._wait(others, deadline)
        try:
            answer = work(entry.done)
        except BaseException as error:
            self._end(key, entry, None)
            mine.set_exception(error)
            raise
        self._end(key, entry, answer)
        mine.set_result(answer)
        return answer

    def _entry(self, key: str) -> _Entry:
        now = self._clock.monotonic()
        while self._entries and next(iter(self._entries.values())).until <= now:
            self._entries.popitem(last=False)
        if key not in self._entries and len(self._entries) >= KEPT_ENTRIES:
            self._entries.popitem(last=False)
        return self._entries.setdefault(key, _Entry(now + KEPT_SECONDS))

    def _end(self, key: str, entry: _Entry, answer: JsonResponse | None) -> None:
        with self._lock:
            entry.running = None
            if answer is not None and answer.status < 300:
                entry.success, entry.done = json.dumps(answer.body, default=str), {}
            elif not entry.done and self._entries.get(key) is entry:  # and not one that came after it was forgotten
                del self._entries[key]

    def _wait(self, running: Future[JsonResponse], deadline: float) -> JsonResponse:
        try:
            return running.result(max(0.0, deadline - self._clock.monotonic()))
        except FutureTimeoutError:
            raise Unavailable("in_progress", "the same callout is still being worked on") from None
