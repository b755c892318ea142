"""The flow: the Actions of the trigger, in order, behind one HTTP function.

The way of a callout: raw bytes → verified → event → each Action → one answer. In queue mode the public side hands each
Action to Cloud Tasks instead of running it, and the private side, `deliver`, takes the same way for that one Action.
"""

import functools
import inspect
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from flask import Request, Response
from werkzeug.datastructures import Headers

from runtime import callout as callouts
from runtime import event as events
from runtime import http, log, process
from runtime.api import Api
from runtime.clock import CLOCK, Clock
from runtime.cloud_tasks import CloudTasksClient
from runtime.errors import InvalidCallout, NoticeError, Rejected, Unavailable
from runtime.event import Event
from runtime.http import JsonResponse
from runtime.idempotency import CompletedActions, IdempotencyCache
from runtime.results import Outcome, Result, combine, internal_error, milliseconds, severity
from runtime.secrets import ActionSecrets, SecretCache
from runtime.signature import TOLERANCE_SECONDS, SignedHeaders, SigningKeys, invalid_signature
from settings import Settings, SettingsError
from settings import load as load_settings

DIRECT_TIMEOUT_SECONDS = 5.5  # for the whole answer; what the Action waits for is 7
DELIVER_TIMEOUT_SECONDS = 45.0  # so that a slow acceptance is not taken for a failure
MAX_TASK_AGE_SECONDS = 31 * 24 * 3600  # how long Cloud Tasks keeps a task, and so how old its signature may be
MAX_TIMEOUTS = 5  # of one notice that SendGrid may have accepted each time; then `deliver` gives it up

Action = Callable[[Event, Api], Result | None]
HttpFunction = Callable[[Request], Response]


class _Received(NamedTuple):
    """A callout that may be acted on, with what a task needs of it."""

    signed: SignedHeaders
    body: bytes
    event: Event
    began: float  # monotonic seconds
    deadline: float


def start() -> Settings:
    """The settings. Where they cannot be worked with, every fault is a line of the log and the process ends."""
    log.install()
    process.prepare()
    try:
        return load_settings()
    except SettingsError as error:
        for fault in error.errors:
            log.write("CRITICAL", str(fault), code="invalid_setting", setting=fault.name)
        sys.exit(1)


class Flow:
    """The Actions of one trigger, and what they share while this instance lives."""

    def __init__(self, settings: Settings, *, secrets: SecretCache | None = None, clock: Clock = CLOCK) -> None:
        self.settings, self._clock = settings, clock
        self._actions: dict[str, Action] = {}
        self._secrets = secrets or SecretCache(settings, clock=clock)
        self._signing_keys = SigningKeys(settings, self._secrets, clock=clock)
        self._queue = CloudTasksClient(settings, clock=clock) if settings.delivery == "queue" else None
        self._once = IdempotencyCache(clock)
        self._api = Api(clock)
        self._timeouts = _TimeoutCounter()

    def action(self, action: Action) -> HttpFunction:
        """Decorator: append an Action to the flow. What stands under its name then is the HTTP function of the flow."""
        if inspect.iscoroutinefunction(action):
            raise TypeError(f"{action.__name__} is async: here an Action is a plain function, which nobody awaits")
        self._actions[action.__name__] = action

        @functools.wraps(action)
        def http(request: Request) -> Response:
            return self.handle_callout(request)

        return http

    def handle_callout(self, request: Request) -> Response:
        """Answer a callout from Auth0. Never raises."""
        return self._serve(request, DIRECT_TIMEOUT_SECONDS, TOLERANCE_SECONDS, self._take)

    def deliver(self, request: Request) -> Response:
        """Answer Cloud Tasks: run the Action that the path names. Whatever is not 2xx is tried again. Never raises."""
        name = request.path.strip("/")
        return self._serve(
            request, DELIVER_TIMEOUT_SECONDS, MAX_TASK_AGE_SECONDS, functools.partial(self._deliver, name)
        )

    def _serve(
        self, request: Request, seconds: float, tolerance: float, work: Callable[[_Received], JsonResponse]
    ) -> Response:
        began, unread = self._clock.monotonic(), True
        with log.context(**http.trace_fields(request, self.settings.google_cloud_project)):
            try:
                body = http.read_body(request)
                unread = False
                answer = work(self._receive(request.headers, body, began, seconds, tolerance))
            except NoticeError as error:
                answer = http.error_response(error)
                log.write(severity(error), error.code, code=error.code, cause=error.cause or error.message)
            except Exception as error:  # noqa: BLE001  (whatever it is, nothing of it may show outside)
                answer = http.error_response(internal_error())
                log.write("ERROR", log.format_error(error), code="internal")
            return http.to_flask_response(answer, unread=unread)

    def _receive(self, headers: Headers, body: bytes, began: float, seconds: float, tolerance: float) -> _Received:
        """Verified first, read second."""
        deadline = began + seconds
        signed = self._signing_keys.verify(headers, body, tolerance=tolerance, deadline=deadline)
        return _Received(signed, body, self._read(signed, body, deadline), began, deadline)

    def _read(self, signed: SignedHeaders, body: bytes, deadline: float) -> Event:
        odd: list[str] = []
        try:
            callout, oddity = callouts.parse(signed, body, deadline)
            if self.settings.allowed_tenants and _tenant(callout.event) not in self.settings.allowed_tenants:
                raise invalid_signature("the tenant is not among ALLOWED_TENANTS")
            event = events.parse(callout, ActionSecrets(self.settings.secrets, self._secrets, deadline), odd.append)
        except RecursionError:
            raise InvalidCallout("invalid_json", 400, "body: nested too deep") from None
        _describe(event)
        for warning in [*([oddity] if oddity else []), *odd]:
            log.write("WARNING", warning, code="unexpected_field_type")
        return event

    def _take(self, received: _Received) -> JsonResponse:
        """Direct mode: every Action runs now. Queue mode: every Action becomes a task."""
        attempt = self._run if self._queue is None else functools.partial(self._enqueue, self._queue)

        def work(done: CompletedActions) -> JsonResponse:
            """Each that has not succeeded yet, whatever the others do."""
            outcomes = [done.get(name) or self._outcome(name, received, attempt) for name in self._actions]
            done.update({outcome.name: outcome for outcome in outcomes if outcome.error is None})
            return self._combine(received, outcomes)

        return self._once.run(received.event.callout.key, received.deadline, work)

    def _deliver(self, name: str, received: _Received) -> JsonResponse:
        if name not in self._actions:
            known = ", ".join(self._actions)
            raise NoticeError("unknown_action", "no Action of this name", cause=f"the flow has: {known}")
        key = f"{received.event.callout.key}/{name}"

        def work(_done: CompletedActions) -> JsonResponse:
            return self._combine(
                received, [self._outcome(name, received, functools.partial(self._run_or_give_up, key))]
            )

        return self._once.run(key, received.deadline, work)

    def _run(self, name: str, received: _Received) -> Result:
        returned = self._actions[name](received.event, self._api)
        return returned if isinstance(returned, Result) else Result("done")

    def _run_or_give_up(self, key: str, name: str, received: _Received) -> Result:
        """Only what no repetition can mend ends a task: a refused recipient, or time-out after time-out."""
        try:
            return self._run(name, received)
        except Rejected as error:
            if not error.recipient_rejected:
                raise
            return Result("abandoned", reason="recipient_refused")
        except Unavailable as error:
            if not error.maybe_accepted or self._timeouts.count(key) < MAX_TIMEOUTS:
                raise
            return Result("abandoned", reason="maybe_accepted")

    def _enqueue(self, queue: CloudTasksClient, name: str, received: _Received) -> Result:
        key, deadline = received.event.callout.key, received.deadline
        is_new = queue.add(received.signed, received.body, key=key, action=name, deadline=deadline)
        return Result("queued" if is_new else "duplicate")

    def _outcome(self, name: str, received: _Received, attempt: Callable[[str, _Received], Result]) -> Outcome:
        began, error = self._clock.monotonic(), None
        try:
            result = attempt(name, received)
        except NoticeError as known:
            error = known
        except (Exception, SystemExit) as unforeseen:  # noqa: BLE001  (one Action must not stop the others)
            log.write("ERROR", log.format_error(unforeseen), code="internal", action=name)
            error = internal_error()
        log.flush_console()
        if error is not None:
            result = Result("failed", reason=error.code)
        outcome = Outcome(name, result, milliseconds(self._clock.monotonic() - began), error)
        outcome.write()
        return outcome

    def _combine(self, received: _Received, outcomes: list[Outcome]) -> JsonResponse:
        return combine(received.event.callout, outcomes, self._clock.monotonic() - received.began)


class _TimeoutCounter:
    """How often this instance saw SendGrid time out on one notice, for the last 10,000 of them."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, key: str) -> int:
        """One more; how many they are now."""
        with self._lock:
            self._counts[key] = self._counts.pop(key, 0) + 1
            while len(self._counts) > 10_000:
                self._counts.popitem(last=False)
            return self._counts[key]


def _tenant(event: Any) -> str | None:
    """The tenant's name in an event that nobody has judged yet: whose it is comes before what is wrong with it."""
    try:
        name = event["tenant"]["id"]
    except (TypeError, KeyError):
        return None
    return name if isinstance(name, str) else None


def _describe(event: Event) -> None:
    """What the log says of the callout in every line: who by a hash that support can compute, never the address."""
    callout = event.callout
    user = sha256(f"{event.tenant.id or ''}/{event.user.user_id or ''}".encode()).hexdigest()[:16]
    log.bind(callout=callout.id, idempotency_key=callout.key, reference=callout.reference, user=user)
    log.redact_address(event.user.email, f"user {user}")
