"""A journal that keeps counts instead of entries, so that a long run needs little memory."""

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from emulator.core.journal import Entry, Journal

TIMEOUT = re.compile(r"time-?d? ?out|deadline|in time", re.IGNORECASE)


class Recorder(Journal):
    """Counts of emails, deliveries, and injected faults, to explain who got an email, how many times, and why."""

    def __init__(self) -> None:
        super().__init__()
        self.emails: Counter[str] = Counter()  # by address
        self.hidden_acceptances: defaultdict[str, list[str]] = defaultdict(list)  # by address: faults that hid one
        self.sendgrid_requests = 0
        self.max_load = 0.0  # of the machine; if it's too high, senders time out
        self.timeouts: Counter[str] = Counter()  # by webhook-id: attempts that the function logged as timed out
        self.unanswered_deliveries: Counter[str] = Counter()  # by idempotency key: no response from `deliver`
        self.completed_deliveries: Counter[str] = Counter()  # by idempotency key: deliveries acknowledged by `deliver`
        self.injected: Counter[str] = Counter()  # by fault
        self.rejected_reads = 0  # of secrets, with 400, 403, or 404
        self.abandoned: list[str] = []  # idempotency keys of notices abandoned by `deliver`
        self.dropped = 0  # tasks dropped by Cloud Tasks
        self.severities: Counter[str] = Counter()
        self.unexpected_lines: list[str] = []  # output of the function that isn't a log entry
        self.reads_output = threading.Event()  # cleared: the function's output isn't read
        self.reads_output.set()
        self._counts_lock = threading.Lock()
        self._exchange = threading.local()

    def record(self, kind: str, **data: Any) -> Entry:
        if kind == "function.log":
            self.reads_output.wait()
        handler = getattr(self, "_" + kind.replace(".", "_"), None)
        if handler is not None:
            with self._counts_lock:
                handler(data)
        return Entry(0, 0.0, kind)

    def inject(self, fault: str, count: int = 1) -> None:
        with self._counts_lock:
            self.injected[fault] += count

    def _sendgrid_mail(self, data: Mapping[str, Any]) -> None:
        address = data["to"][0]["email"]
        self.emails[address] += 1
        self._exchange.address = address

    def _sendgrid_exchange(self, data: Mapping[str, Any]) -> None:
        """Count the exchange; it follows the accepted email's entry on the same thread."""
        address, self._exchange.address = getattr(self._exchange, "address", ""), ""
        self._count_fault("SendGrid", data)
        self.sendgrid_requests += 1
        if address and data["fault"]:
            self.hidden_acceptances[address].append(data["fault"])

    def _secret_manager_exchange(self, data: Mapping[str, Any]) -> None:
        self._count_fault("Secret Manager", data)
        self.rejected_reads += data["status"] in (400, 403, 404)

    def _cloud_tasks_exchange(self, data: Mapping[str, Any]) -> None:
        self._count_fault("Cloud Tasks", data)

    def _count_fault(self, service: str, data: Mapping[str, Any]) -> None:
        if data["fault"]:
            self.injected[f"{service}: {data['fault']}"] += 1

    def _cloud_tasks_attempt(self, data: Mapping[str, Any]) -> None:
        key = data["task"].partition("-")[0]
        if not data["status"]:
            self.unanswered_deliveries[key] += 1
        elif data["status"] < 300:
            self.completed_deliveries[key] += 1

    def _cloud_tasks_done(self, data: Mapping[str, Any]) -> None:
        self.dropped += data["how"] != "delivered"

    def _function_log(self, data: Mapping[str, Any]) -> None:
        fields = data["fields"]
        if not fields:
            self.unexpected_lines.append(data["line"])
        self.severities[str(fields.get("severity"))] += 1
        if fields.get("code") == "mail_unavailable" and TIMEOUT.search(str(fields.get("cause"))):
            self.timeouts[str(fields.get("callout"))] += 1
        if fields.get("code") == "log_lines_lost":
            self.injected["output: lines lost"] += fields["lines"]
        if fields.get("status") == "abandoned":
            self.abandoned.append(str(fields.get("idempotency_key")))
