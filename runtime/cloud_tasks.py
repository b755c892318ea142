"""The Cloud Tasks client: stores each Action of a callout as a task until `deliver` has completed it.

Uses the REST API (https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create):
importing the official client would slow down every cold start of the public service.
"""

import base64
import json
import re
from typing import Any

from runtime import log
from runtime.clock import CLOCK, Clock
from runtime.errors import Unavailable
from runtime.http_client import HttpClient, HttpResponse, NoResponse
from runtime.secret_sources import TemporaryError
from runtime.secrets import SecretCache
from runtime.signature import SignedHeaders
from settings import CLOUD_TASKS_URL, Settings

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
DISPATCH_DEADLINE_SECONDS = 60  # how long Cloud Tasks waits for `deliver`, which responds within 45
MAX_ATTEMPTS = 5
ATTEMPT_TIMEOUT_SECONDS = 2.0  # per attempt; retries are safe because the task name deduplicates them
TOKEN_MAX_AGE_SECONDS = 60  # how long to reuse an access token; Google's library refreshes it 225 s before it expires
INITIAL_BACKOFF_SECONDS = 0.2  # doubled after each attempt, then reduced by up to half at random


class CloudTasksClient:
    """A client for the queue in TASKS_QUEUE. Thread-safe."""

    def __init__(self, settings: Settings, *, clock: Clock = CLOCK) -> None:
        self._settings, self._clock = settings, clock
        self._http = HttpClient(settings)
        self._tokens = SecretCache(settings, fetch=_GoogleCredentials().access_token, clock=clock)
        self._url = f"{settings.cloud_tasks_endpoint or CLOUD_TASKS_URL}/v2/{settings.tasks_queue}/tasks"

    def add(self, signed: SignedHeaders, body: bytes, *, key: str, action: str, deadline: float) -> bool:
        """Enqueue one Action's task, with the callout's own bytes and webhook headers.

        Return False if Cloud Tasks already has the task. Raise Unavailable (queue_unavailable).
        """
        task = json.dumps({"task": self._build_task(signed, body, key, action)}).encode()
        attempt, maybe_created = 1, False
        while True:
            try:
                # If the name is taken after an attempt that may have succeeded, that attempt created the task.
                return self._create(task, deadline) or maybe_created
            except Unavailable as error:
                maybe_created = maybe_created or error.maybe_accepted
                backoff = INITIAL_BACKOFF_SECONDS * 2 ** (attempt - 1) * (1 - self._clock.random() / 2)
                is_final = isinstance(error, _InvalidTask) or attempt >= MAX_ATTEMPTS
                if is_final or self._clock.monotonic() + backoff > deadline:
                    raise
                log.write("WARNING", f"attempt {attempt}: {error.cause}", code=error.code)
            self._clock.sleep(backoff)
            attempt += 1

    def _build_task(self, signed: SignedHeaders, body: bytes, key: str, action: str) -> dict[str, Any]:
        settings = self._settings
        return {
            # Cloud Tasks recommends hashed names: sequential ones increase latency.
            "name": f"{settings.tasks_queue}/tasks/{key}-{action}",
            "dispatchDeadline": f"{DISPATCH_DEADLINE_SECONDS}s",
            "httpRequest": {
                "url": f"{settings.deliver_url}/{action}",
                "httpMethod": "POST",
                "headers": {
                    "Content-Type": "application/json",
                    "webhook-id": signed.id,
                    "webhook-timestamp": str(signed.timestamp),
                    "webhook-signature": " ".join(signed.signatures),
                },
                "body": base64.b64encode(body).decode(),
                "oidcToken": {"serviceAccountEmail": settings.deliver_invoker, "audience": settings.deliver_url},
            },
        }

    def _create(self, task: bytes, deadline: float) -> bool:
        headers = {"Content-Type": "application/json", **self._authorization(deadline)}
        try:
            attempt_deadline = min(deadline, self._clock.monotonic() + ATTEMPT_TIMEOUT_SECONDS)
            response = self._http.post(self._url, headers, task, deadline=attempt_deadline)
        except NoResponse as error:
            raise _unavailable(str(error), maybe_accepted=error.maybe_accepted) from error
        if response.status in (200, 409):
            return response.status == 200
        cause = f"{response.status} {_error_status(response)}"
        error_class = _InvalidTask if response.status == 400 else Unavailable
        raise _unavailable(cause, error_class, maybe_accepted=response.status >= 500)

    def _authorization(self, deadline: float) -> dict[str, str]:
        """Fetch tokens through the secret cache: one fetch at a time, and callers never wait past their deadline."""
        if self._settings.cloud_tasks_endpoint:
            return {}  # the emulator doesn't require a token
        try:
            token = self._tokens.get("access token", max_age=TOKEN_MAX_AGE_SECONDS, deadline=deadline)
        except Unavailable as error:
            raise _unavailable(error.cause) from error
        return {"Authorization": f"Bearer {token}"}


class _GoogleCredentials:
    """The process's Application Default Credentials, from Google's library, which is imported on first use."""

    def __init__(self) -> None:
        self._credentials: Any = None

    def access_token(self, _source: str) -> str:
        """Return an access token. Raise TemporaryError; if nothing responds, only after 12 seconds or more."""
        import google.auth  # noqa: PLC0415  (a cold start in direct mode doesn't need it)
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
        from google.auth.transport.requests import Request  # noqa: PLC0415

        try:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[SCOPE])
            if not self._credentials.valid:
                self._credentials.refresh(Request())
        except GoogleAuthError as error:
            raise TemporaryError(type(error).__name__) from error
        return str(self._credentials.token)


class _InvalidTask(Unavailable):
    """Cloud Tasks responded with 400: retrying can't help."""


def _unavailable(
    cause: str, error_class: type[Unavailable] = Unavailable, *, maybe_accepted: bool = False
) -> Unavailable:
    cause = f"Cloud Tasks: {cause}"
    return error_class("queue_unavailable", "the notice couldn't be queued", cause=cause, maybe_accepted=maybe_accepted)


def _error_status(response: HttpResponse) -> str:
    try:
        status = str(json.loads(response.body)["error"]["status"])
    except (ValueError, TypeError, KeyError, RecursionError):
        status = ""
    return status if re.fullmatch(r"[A-Z_]{1,40}", status) else "no reason given"
