"""The flow: the trigger's Actions, in order, behind one HTTP function.

Request flow: raw bytes → verified callout → event → each Action → one response. In queue mode, the public service
enqueues each Action in Cloud Tasks instead of running it, and the private service, `deliver`, handles each task the
same way for that one Action.
"""

import functools
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterable
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
from settings import Settings, SettingsError, exempt_loopback_from_proxies
from settings import load as load_settings

DIRECT_TIMEOUT_SECONDS = 5.5  # for the whole response; the forwarder waits 7
DELIVER_TIMEOUT_SECONDS = 45.0  # long enough that a slow acceptance isn't taken for a failure
MAX_TASK_AGE_SECONDS = 31 * 24 * 3600  # how long Cloud Tasks keeps a task, so the maximum age of its signature
MAX_TIMEOUTS = 5  # per notice, each possibly accepted by SendGrid; then `deliver` abandons the task
MAX_TIMEOUT_COUNTS = 10_000  # notices
ACTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,400}")  # what Cloud Tasks accepts as the end of a task's ID

Action = Callable[[Event, Api], Result | None]
HttpFunction = Callable[[Request], Response]


class _VerifiedRequest(NamedTuple):
    """A request with a valid signature and event, and what a task needs from it."""

    signed: SignedHeaders
    body: bytes
    event: Event
    started: float  # monotonic seconds
    deadline: float  # monotonic seconds


Attempt = Callable[[str, _VerifiedRequest], Result]  # runs or enqueues the Action of this name


def start(is_language: Callable[[str], bool] | None = None) -> Settings:
    """Prepare the process, and return the settings; if they are invalid, log each error and exit with status 1.

    `is_language`: whether the notice has a language, by its tag; DEFAULT_LANGUAGE must be one.
    """
    log.install()
    process.prepare()
    http.handle_every_path()
    exempt_loopback_from_proxies()
    try:
        return load_settings(is_language=is_language)
    except SettingsError as invalid:
        for error in invalid.errors:
            log.write("CRITICAL", str(error), code="invalid_setting", setting=error.name)
        sys.exit(1)


class Flow:
    """The Actions of one trigger, and what they share for the lifetime of this instance."""

    def __init__(self, settings: Settings, *, secrets: SecretCache | None = None, clock: Clock = CLOCK) -> None:
        self.settings, self._clock = settings, clock
        self._actions: dict[str, Action] = {}
        self._secrets = secrets or SecretCache(settings, clock=clock)
        self._signing_keys = SigningKeys(settings, self._secrets, clock=clock)
        self._queue = CloudTasksClient(settings, clock=clock) if settings.delivery == "queue" else None
        self._idempotency = IdempotencyCache(clock)
        self._api = Api(clock)
        # A counter of SendGrid's timeouts for each of the latest notices that this instance handled.
        self._timeouts = functools.lru_cache(MAX_TIMEOUT_COUNTS)(lambda _key: itertools.count(1))

    def action(self, action: Action) -> HttpFunction:
        """Register an Action (a decorator). Return the HTTP function that Cloud Functions invokes."""
        if inspect.iscoroutinefunction(action):
            raise TypeError(f"{action.__name__} is async: define the Action with def instead of async def")
        if not ACTION_NAME.fullmatch(action.__name__):
            raise TypeError(f"{action.__name__} isn't an Action's name: use ASCII letters, digits, and underscores")
        if action.__name__ in self._actions:
            raise TypeError(f"there are two Actions named {action.__name__}: rename one of them")
        self._actions[action.__name__] = action

        @functools.wraps(action)
        def http(request: Request) -> Response:
            return self.handle_callout(request)

        return http

    def handle_callout(self, request: Request) -> Response:
        """Respond to a callout from Auth0. Never raises."""
        return self._respond(request, DIRECT_TIMEOUT_SECONDS, TOLERANCE_SECONDS, self._handle)

    def deliver(self, request: Request) -> Response:
        """Respond to Cloud Tasks: run the Action that the path names. Cloud Tasks retries unless the status is 2xx.

        Never raises.
        """
        run = functools.partial(self._deliver, request.path.strip("/"))
        return self._respond(request, DELIVER_TIMEOUT_SECONDS, MAX_TASK_AGE_SECONDS, run)

    def _respond(
        self, request: Request, timeout: float, tolerance: float, handle: Callable[[_VerifiedRequest], JsonResponse]
    ) -> Response:
        started, body_unread = self._clock.monotonic(), True
        with log.context(**http.trace_fields(request, self.settings.google_cloud_project)):
            try:
                body = http.read_body(request)
                body_unread = False
                response = handle(self._verify_and_parse(request.headers, body, started, timeout, tolerance))
            except NoticeError as error:
                response = http.error_response(error)
                log.write(severity(error), error.code, code=error.code, cause=error.cause or error.message)
            except Exception as error:  # noqa: BLE001  (never leak exception details to the caller)
                response = http.error_response(internal_error())
                log.write("ERROR", log.format_error(error), code="internal")
            return http.to_flask_response(response, body_unread=body_unread)

    def _verify_and_parse(
        self, headers: Headers, body: bytes, started: float, timeout: float, tolerance: float
    ) -> _VerifiedRequest:
        """Verify the signature, then parse the body."""
        deadline = started + timeout
        signed = self._signing_keys.verify(headers, body, tolerance=tolerance, deadline=deadline)
        secrets = ActionSecrets(self.settings.secrets, self._secrets, deadline)
        warnings: list[str] = []
        try:
            callout = callouts.parse(signed, body, deadline, warnings.append)
            if self.settings.allowed_tenants and _tenant_id(callout.event) not in self.settings.allowed_tenants:
                raise invalid_signature("the tenant isn't in ALLOWED_TENANTS")
            event = events.parse(callout, secrets, warnings.append)
        except RecursionError:
            raise InvalidCallout("invalid_json", 400, "body: nested too deeply") from None
        _bind_log_context(event)
        for message in warnings:
            log.write("WARNING", message, code="unexpected_field_type")
        return _VerifiedRequest(signed, body, event, started, deadline)

    def _handle(self, request: _VerifiedRequest) -> JsonResponse:
        """Run every Action (direct mode), or enqueue a task for each (queue mode)."""
        attempt = self._run if self._queue is None else functools.partial(self._enqueue, self._queue)
        return self._run_once(request.event.callout.key, self._actions, request, attempt)

    def _deliver(self, name: str, request: _VerifiedRequest) -> JsonResponse:
        if name not in self._actions:
            known = ", ".join(self._actions)
            raise NoticeError("unknown_action", "no Action has this name", cause=f"the flow's Actions: {known}")
        key = f"{request.event.callout.key}/{name}"
        return self._run_once(key, [name], request, functools.partial(self._run_or_abandon, key))

    def _run_once(self, key: str, names: Iterable[str], request: _VerifiedRequest, attempt: Attempt) -> JsonResponse:
        """Run each Action that hasn't succeeded yet; a failure in one doesn't stop the others."""

        def work(done: CompletedActions) -> JsonResponse:
            outcomes = [done.get(name) or self._run_action(name, request, attempt, done) for name in names]
            return combine(request.event.callout, outcomes, self._clock.monotonic() - request.started)

        return self._idempotency.run(key, request.deadline, work)

    def _run(self, name: str, request: _VerifiedRequest) -> Result:
        returned = self._actions[name](request.event, self._api)
        return returned if isinstance(returned, Result) else Result("done")

    def _run_or_abandon(self, key: str, name: str, request: _VerifiedRequest) -> Result:
        """Run an Action.

        Abandon it only if retrying can't help: SendGrid rejected the recipient, or timed out repeatedly.
        """
        try:
            return self._run(name, request)
        except Rejected as error:
            if not error.recipient_rejected:
                raise
            return Result("abandoned", reason="recipient_refused")
        except Unavailable as error:
            if not error.maybe_accepted or next(self._timeouts(key)) < MAX_TIMEOUTS:
                raise
            return Result("abandoned", reason="maybe_accepted")

    def _enqueue(self, queue: CloudTasksClient, name: str, request: _VerifiedRequest) -> Result:
        key, deadline = request.event.callout.key, request.deadline
        is_new = queue.add(request.signed, request.body, key=key, action=name, deadline=deadline)
        return Result("queued" if is_new else "duplicate")

    def _run_action(self, name: str, request: _VerifiedRequest, attempt: Attempt, done: CompletedActions) -> Outcome:
        started, error = self._clock.monotonic(), None
        try:
            result = attempt(name, request)
        except NoticeError as known:
            error = known
        except (Exception, SystemExit) as unexpected:  # noqa: BLE001  (one Action must not stop the others)
            log.write("ERROR", log.format_error(unexpected), code="internal", action=name)
            error = internal_error()
        if error is not None:
            result = Result("failed", reason=error.code)
        outcome = Outcome(name, result, milliseconds(self._clock.monotonic() - started), error)
        if error is None:
            done[name] = outcome  # before it is logged: whatever happens there, a retry must not run the Action again
        log.flush_console()
        outcome.write_log()
        return outcome


def _tenant_id(event: Any) -> str | None:
    """Return the tenant ID of a not-yet-validated event, so that a tenant that isn't allowed gets 401 before any
    validation error.
    """
    match event:
        case {"tenant": {"id": str(tenant)}}:
            return tenant
    return None


def _bind_log_context(event: Event) -> None:
    """Add the callout's fields to every log line. The user is a hash that support can compute, never the address."""
    callout = event.callout
    user = sha256(f"{event.tenant.id or ''}/{event.user.user_id or ''}".encode()).hexdigest()[:16]
    log.bind(callout=callout.id, idempotency_key=callout.key, reference=callout.reference, user=user)
    log.redact_address(event.user.email, f"user {user}")
