"""The flow: the Actions of the trigger, in order, behind one HTTP function.

The way of a callout: raw bytes → verified → event → each Action → one answer.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from flask import Request, Response
from werkzeug.datastructures import Headers

from actions import callout as callouts
from actions import event as events
from actions import function, log
from actions.api import Api
from actions.callout import Callout, Signed
from actions.clock import CLOCK, Clock
from actions.errors import CalloutRefused, NoticeError, Unavailable
from actions.event import Event
from actions.once import Answer, Done, Once
from actions.result import Result
from actions.secrets import UNKNOWN_SIGNATURE_SECONDS, ActionSecrets, Secrets
from settings import Settings, SettingsError
from settings import load as load_settings

DIRECT_SECONDS = 5.5  # what the Action waits for is 7

Action = Callable[[Event, Api], Result | None]
HttpFunction = Callable[[Request], Response]


@dataclass(frozen=True)
class Outcome:
    """What came of one Action."""

    name: str
    result: Result
    milliseconds: float
    error: NoticeError | None = None

    def body(self) -> dict[str, Any]:
        return {"name": self.name, "status": self.result.status, "duration_ms": self.milliseconds}


def start() -> Settings:
    """The settings. Where they cannot be worked with, every fault is a line of the log and the process ends."""
    log.install()
    try:
        return load_settings()
    except SettingsError as error:
        for fault in error.faults:
            log.write("CRITICAL", str(fault), code="setting", setting=fault.name)
        sys.exit(1)


class Flow:
    """The Actions of one trigger, and what they share while this instance lives."""

    def __init__(self, settings: Settings, *, secrets: Secrets | None = None, clock: Clock = CLOCK) -> None:
        self.settings, self._clock = settings, clock
        self._actions: list[Action] = []
        self._secrets = secrets or Secrets(settings)
        self._once = Once(clock)
        self._api = Api(clock)
        self._reported: str | None = None

    def action(self, action: Action) -> HttpFunction:
        """Decorator: append an Action to the flow. What stands under its name then is the HTTP function of the flow."""
        self._actions.append(action)

        @functools.wraps(action)
        def http(request: Request) -> Response:
            return self.callout(request)

        return http

    def callout(self, request: Request) -> Response:
        """Answer a callout from Auth0. Never raises."""
        began = self._clock.monotonic()
        with log.scope(**function.trace(request, self.settings.google_cloud_project)):
            unread = True
            try:
                body = function.read(request)
                unread = False
                answer = self._answer(request.headers, body, began + DIRECT_SECONDS)
            except NoticeError as error:
                answer = function.failure(error)
                log.write(_severity(error), error.code, code=error.code, cause=error.cause or error.message)
            except Exception as error:  # noqa: BLE001  (whatever it is, nothing of it may show outside)
                answer = function.failure(_internal())
                log.write("ERROR", log.error_text(error), code="internal")
            return function.respond(answer, unread=unread)

    def _answer(self, headers: Headers, body: bytes, deadline: float) -> Answer:
        signed = callouts.read_headers(headers)
        callouts.verify_age(signed, self._clock.now())
        self._verify(signed, body)
        event = self._read(signed, body, deadline)
        return self._once.run(event.callout.key, deadline, functools.partial(self._run, event))

    def _verify(self, signed: Signed, body: bytes) -> None:
        if not callouts.is_signed(signed, body, self._signing_keys(None)) and not callouts.is_signed(
            signed, body, self._signing_keys(UNKNOWN_SIGNATURE_SECONDS)
        ):
            raise callouts.unauthorized("no signature of a known key")

    def _signing_keys(self, max_age: float | None) -> list[bytes]:
        """Every well-formed key of the secret; each malformed one is told once."""
        text, keys, faults = self._secrets.get(self.settings.signing_key_secret, max_age=max_age), [], []
        for number, word in enumerate(text.split(), 1):
            try:
                keys.append(callouts.signing_key(word))
            except ValueError as error:
                faults.append(f"key {number} of CALLOUT_SIGNING_KEY is skipped: {error}")
        if self._reported != text:
            self._reported = text
            for fault in faults:
                log.write("ERROR", fault, code="signing_key_malformed")
        if not keys:
            raise Unavailable("secret_unavailable", "a secret cannot be read", cause="no usable signing key")
        return keys

    def _read(self, signed: Signed, body: bytes, deadline: float) -> Event:
        odd: list[str] = []
        try:
            callout, oddity = callouts.read_body(signed, body, deadline)
            event = events.read(callout, ActionSecrets(self.settings.secrets, self._secrets), odd.append)
        except RecursionError:
            raise CalloutRefused("invalid_json", 400, "body: nested too deep") from None
        if self.settings.allowed_tenants and event.tenant.id not in self.settings.allowed_tenants:
            raise callouts.unauthorized("the tenant is not among ALLOWED_TENANTS")
        self._describe(event)
        for warning in [*([oddity] if oddity else []), *odd]:
            log.write("WARNING", warning, code="odd_event")
        return event

    def _describe(self, event: Event) -> None:
        """What the log says of the callout in every line: who by a hash that support can compute, never the address."""
        callout = event.callout
        user = sha256(f"{event.tenant.id or ''}/{event.user.user_id or ''}".encode()).hexdigest()[:16]
        log.describe(callout=callout.id, idempotency_key=callout.key, reference=callout.reference, user=user)
        log.hide_address(event.user.email, f"user {user}")

    def _run(self, event: Event, done: Done) -> Answer:
        """Run each Action that has not succeeded yet, whatever the others do."""
        outcomes = [done.get(action.__name__) or self._run_one(action, event) for action in self._actions]
        done.update({outcome.name: outcome for outcome in outcomes if outcome.error is None})
        total = self._clock.monotonic() - event.callout.deadline + DIRECT_SECONDS
        stats = {"total_ms": _milliseconds(total), "network_ms": _milliseconds(log.network_seconds())}
        return _combine(event.callout, stats, outcomes)

    def _run_one(self, action: Action, event: Event) -> Outcome:
        began, error = self._clock.monotonic(), None
        try:
            result = action(event, self._api) or Result("done")
        except NoticeError as known:
            error = known
        except (Exception, SystemExit) as unforeseen:  # noqa: BLE001  (one Action must not stop the others)
            log.write("ERROR", log.error_text(unforeseen), code="internal", action=action.__name__)
            error = _internal()
        log.end_console()
        if error is not None:
            result = Result("failed", reason=error.code)
        outcome = Outcome(action.__name__, result, _milliseconds(self._clock.monotonic() - began), error)
        _log(outcome)
        return outcome


def _log(outcome: Outcome) -> None:
    error, result = outcome.error, outcome.result
    log.write(
        _severity(error) if error else "INFO",
        f"{outcome.name}: {error.message if error else result.status}",
        action=outcome.name,
        status=result.status,
        code=error and error.code,
        cause=(error and error.cause) or None,
        reason=result.reason,
        attempts=result.attempts,
        message_id=result.message_id,
        duration_ms=outcome.milliseconds,
        network_ms=_milliseconds(log.network_seconds()),
    )


def _combine(callout: Callout, stats: dict[str, float], outcomes: list[Outcome]) -> Answer:
    """One answer for all: the worst failure (what may be tried again before what is final), else the success."""
    common = {"id": callout.id, "stats": stats, "actions": [outcome.body() for outcome in outcomes]}
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        answer = function.failure(max(errors, key=lambda error: SEVERITY[error.status]))
        return replace(answer, body={**answer.body, **common})
    told = min((outcome.result for outcome in outcomes), key=lambda result: TELLING.get(result.status, 2))
    details = {"reason": told.reason} if told.status == "skipped" else {"message_id": told.message_id}
    return Answer(200, {"status": told.status, **details, **common})


TELLING = {"sent": 0, "sandbox": 1, "skipped": 3}  # which success speaks for all; an Action's own word is 2
SEVERITY = {502: 1, 500: 2, 503: 3}


def _severity(error: NoticeError) -> log.Severity:
    return "WARNING" if error.status < 500 else "ERROR"


def _internal() -> NoticeError:
    return NoticeError("internal", "an unforeseen failure; the log of the function says more")


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
