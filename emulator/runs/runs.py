"""The runs that the emulator keeps, and which of them each journal entry belongs to."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.cloud_run.trace import trace_id
from emulator.core.journal import Entry, Journal
from emulator.runs.attribution import callout_id
from emulator.runs.run import Run, event_of

KEPT_RUNS = 500
# In the journal, for threads that wait for new entries; each run keeps its own entries regardless.
ENTRIES_PER_RUN, MIN_ENTRIES = 10, 1000
MAX_CALLOUT_SECONDS = 180.0  # a callout that hasn't ended by then has no response


@dataclass
class _Callout:
    """A callout that one of the two services received, from its start to its end (Unix time in seconds)."""

    id: str
    started: float
    ended: float | None = None

    def was_open(self, at: float) -> bool:
        return self.started <= at <= (self.started + MAX_CALLOUT_SECONDS if self.ended is None else self.ended)


class Runs:
    """The latest `keep` runs; each entry of `journal` is assigned to its run when it is recorded. Thread-safe."""

    def __init__(self, keep: int = KEPT_RUNS) -> None:
        self._keep = keep
        self.journal = Journal(max(keep * ENTRIES_PER_RUN, MIN_ENTRIES), self._assign)
        self._runs: dict[int, Run] = {}  # oldest first
        self._by_execution: dict[str, Run] = {}
        self._by_callout: dict[str, Run] = {}  # by webhook-id, and by the trace derived from it
        self._callouts: deque[_Callout] = deque(maxlen=1000)
        self._next = 1
        self._lock = threading.RLock()

    def all(self) -> list[Run]:
        """Return the runs, oldest first."""
        with self._lock:
            return list(self._runs.values())

    def get(self, number: int) -> Run | None:
        return self._runs.get(number)

    def of_callout(self, webhook_id: str) -> Run | None:
        """Return the run of the callout with this ID, if any."""
        return self._by_callout.get(webhook_id)

    def start(self, event: Mapping[str, Any]) -> tuple[Run, str]:
        """Return a new run, and an ID for its execution of the forwarder Action."""
        execution_id = uuid.uuid4().hex
        with self._lock:
            run = self._new(event)
            self._by_execution[execution_id] = run
        return run, execution_id

    def delete(self, number: int) -> bool:
        """Delete the run, and return whether there was one."""
        with self._lock:
            run = self._runs.pop(number, None)
            for index in (self._by_execution, self._by_callout):
                for key in [key for key, value in index.items() if value is run]:
                    del index[key]
            return run is not None

    def clear(self) -> None:
        """Delete all runs; numbering continues."""
        with self._lock:
            for owned in (self._runs, self._by_execution, self._by_callout, self._callouts):
                owned.clear()

    def reset(self) -> None:
        """Delete all runs, and number the next one 1."""
        with self._lock:
            self.clear()
            self._next = 1

    def owner(self, entry: Entry) -> Run | None:
        """Return the run that the entry belongs to, if any."""
        with self._lock:
            if entry.kind.startswith("run."):
                return self._runs.get(entry.data["number"])
            if entry.kind.startswith("auth0."):
                return self._by_execution.get(str(entry.data.get("execution", entry.data.get("id"))))
            if entry.kind == "secret_manager.exchange":
                return self._reader(entry)
            return self._by_callout.get(callout_id(entry))

    def _assign(self, entry: Entry) -> None:
        with self._lock:
            if entry.kind == "function.callout":
                self._receive(entry)
            self._track(entry)
            run = self.owner(entry)
            if run is not None:
                run.add(entry)

    def _new(self, event: Mapping[str, Any], *, is_external: bool = False) -> Run:
        run = Run(self._next, event, time.time(), self.journal, is_external)
        self._next += 1
        self._runs[run.number] = run
        while len(self._runs) > self._keep:
            self.delete(next(iter(self._runs)))
        return run

    def _receive(self, entry: Entry) -> None:
        """Assign a callout to the run of its execution or, if it is external, to a new run."""
        webhook_id, execution = entry.data["webhook_id"], entry.data["execution"]
        if execution:  # unknown: a request of the emulator itself, or of a deleted run
            run = self._by_execution.get(execution)
        else:
            run = self._by_callout.get(webhook_id) or self._new(event_of(entry.data["body"]), is_external=True)
        if run is not None and webhook_id not in run.callout_ids:
            run.callout_ids.append(webhook_id)
            self._by_callout |= {webhook_id: run, trace_id(webhook_id): run}

    def _track(self, entry: Entry) -> None:
        """Record when a callout started and ended."""
        if entry.kind in ("function.callout", "deliver.callout"):
            self._callouts.append(_Callout(callout_id(entry), entry.at))
        elif entry.kind in ("function.exchange", "deliver.exchange"):
            webhook_id = callout_id(entry)
            callout = next((c for c in self._callouts if c.id == webhook_id and c.ended is None), None)
            if callout is not None:
                callout.ended = entry.at

    def _reader(self, entry: Entry) -> Run | None:
        """Return the run whose callout needed the secret: a read carries no ID, so only one callout may be open."""
        started = entry.at - entry.data["duration_ms"] / 1000
        ids = {callout.id for callout in self._callouts if callout.was_open(started)}
        return self._by_callout.get(ids.pop()) if len(ids) == 1 else None
