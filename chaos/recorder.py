"""The ledger: a journal that keeps counts instead of entries, so that a long run has a small memory."""

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from emulator.core.journal import Entry, Journal

TIMED_OUT = re.compile(r"time-?d? ?out|deadline|in time", re.IGNORECASE)


class Recorder(Journal):
    """What the parts of a run did, as far as it says who got a mail, how often and why."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: Counter[str] = Counter()  # by address
        self.hidden: defaultdict[str, list[str]] = defaultdict(list)  # by address: faults that hid an acceptance
        self.timed_out: Counter[str] = Counter()  # by webhook-id: what the function took for a time-out
        self.unanswered: Counter[str] = Counter()  # by idempotency key: deliveries that `deliver` did not answer
        self.delivered: Counter[str] = Counter()  # by idempotency key: deliveries that it said were done
        self.injected: Counter[str] = Counter()  # by fault
        self.refused_reads = 0  # of secrets
        self.abandoned: list[str] = []  # idempotency keys of notices that `deliver` gave up
        self.dropped = 0  # tasks that Cloud Tasks gave up
        self.severities: Counter[str] = Counter()
        self.strange: list[str] = []  # lines of the function's that are none of the log's
        self._counting = threading.Lock()
        self._current = threading.local()

    def record(self, kind: str, **data: Any) -> Entry:
        count = getattr(self, "_" + kind.replace(".", "_"), None)
        if count is not None:
            with self._counting:
                count(data)
        return Entry(0, 0.0, kind)

    def inject(self, fault: str, count: int = 1) -> None:
        with self._counting:
            self.injected[fault] += count

    def _sendgrid_mail(self, data: Mapping[str, Any]) -> None:
        address = data["to"][0]["email"]
        self.mails[address] += 1
        self._current.address = address

    def _sendgrid_exchange(self, data: Mapping[str, Any]) -> None:
        """The thread that accepted a mail records the exchange next."""
        address, self._current.address = getattr(self._current, "address", ""), ""
        self._fault("SendGrid", data)
        if address and data["fault"]:
            self.hidden[address].append(data["fault"])

    def _secret_manager_exchange(self, data: Mapping[str, Any]) -> None:
        self._fault("Secret Manager", data)
        self.refused_reads += data["status"] in (400, 403, 404)

    def _cloud_tasks_exchange(self, data: Mapping[str, Any]) -> None:
        self._fault("Cloud Tasks", data)

    def _fault(self, service: str, data: Mapping[str, Any]) -> None:
        if data["fault"]:
            self.injected[f"{service}: {data['fault']}"] += 1

    def _cloud_tasks_attempt(self, data: Mapping[str, Any]) -> None:
        key = data["task"].partition("-")[0]
        if not data["status"]:
            self.unanswered[key] += 1
        elif data["status"] < 300:
            self.delivered[key] += 1

    def _cloud_tasks_done(self, data: Mapping[str, Any]) -> None:
        self.dropped += data["how"] != "delivered"

    def _function_log(self, data: Mapping[str, Any]) -> None:
        fields = data["fields"]
        if not fields:
            self.strange.append(data["line"])
        self.severities[str(fields.get("severity"))] += 1
        if fields.get("code") == "mail_unavailable" and TIMED_OUT.search(str(fields.get("cause"))):
            self.timed_out[str(fields.get("callout"))] += 1
        if fields.get("status") == "abandoned":
            self.abandoned.append(str(fields.get("idempotency_key")))
