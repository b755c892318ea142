"""The queue: Cloud Tasks keeps each Action of a callout as a task until `deliver` has done it.

Over the REST surface (https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create):
the official client would add its import to every cold start of the public side (docs/performance.md has the figures).
"""

import base64
import json
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
DISPATCH_DEADLINE_SECONDS = 60  # how long Cloud Tasks waits for `deliver`, which answers within 45
MOST_ATTEMPTS = 5
ATTEMPT_SECONDS = 2.0  # for each: its task's name makes another one harmless
TOKEN_SECONDS = 60  # how long an access token is used unasked; Google's library renews it 225 s before it ends
FIRST_PAUSE_SECONDS = 0.1  # doubled with each attempt, less a random half


class CloudTasksClient:
    """The queue that TASKS_QUEUE names. Safe for threads."""

    def __init__(self, settings: Settings, *, clock: Clock = CLOCK) -> None:
        self._settings, self._clock = settings, clock
        self._http = HttpClient(settings)
        self._tokens = SecretCache(settings, fetch=_Account().token, clock=clock)
        self._url = f"{settings.cloud_tasks_endpoint or CLOUD_TASKS_URL}/v2/{settings.tasks_queue}/tasks"

    def add(self, signed: SignedHeaders, body: bytes, *, key: str, action: str, deadline: float) -> bool:
        """Hand one Action's callout over: its own bytes and webhook headers. False where Cloud Tasks has it already.

        Raises Unavailable (queue_unavailable).
        """
        task = json.dumps({"task": self._task(signed, body, key, action)}).encode()
        attempt, maybe_ours = 1, False
        while True:
            try:
                # A name that is taken after an attempt that may have been accepted is that attempt's own.
                return self._create(task, deadline) or maybe_ours
            except Unavailable as error:
                maybe_ours = maybe_ours or error.maybe_accepted
                pause = FIRST_PAUSE_SECONDS * 2**attempt * (1 - self._clock.random() / 2)
                if attempt >= MOST_ATTEMPTS or self._clock.monotonic() + pause > deadline:
                    raise
                log.write("WARNING", f"attempt {attempt}: {error.cause}", code=error.code)
            self._clock.sleep(pause)
            attempt += 1

    def _task(self, signed: SignedHeaders, body: bytes, key: str, action: str) -> dict[str, Any]:
        settings = self._settings
        return {
            # Hashed, as Cloud Tasks asks of names: neighbours in order would slow it down.
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
            attempt_deadline = min(deadline, self._clock.monotonic() + ATTEMPT_SECONDS)
            reply = self._http.post(self._url, headers, task, deadline=attempt_deadline)
        except NoResponse as error:
            raise _unavailable(str(error), maybe_accepted=error.maybe_accepted) from error
        if reply.status in (200, 409):
            return reply.status == 200
        raise _unavailable(f"{reply.status} {_status(reply)}", maybe_accepted=reply.status >= 500)

    def _authorization(self, deadline: float) -> dict[str, str]:
        """Read as secrets are: by one thread, for all, and nobody waits past the own deadline."""
        if self._settings.cloud_tasks_endpoint:
            return {}  # the emulator wants none
        try:
            token = self._tokens.get("access token", max_age=TOKEN_SECONDS, deadline=deadline)
        except Unavailable as error:
            raise _unavailable(error.cause) from error
        return {"Authorization": f"Bearer {token}"}


class _Account:
    """The account of this process, by Google's own library: imported when it is first used."""

    def __init__(self) -> None:
        self._credentials: Any = None

    def token(self, _source: str) -> str:
        """An access token. Raises Outage: where nothing answers, after twelve seconds and more."""
        import google.auth  # noqa: PLC0415  (a cold start of another mode has no use for it)
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


def _unavailable(cause: str, *, maybe_accepted: bool = False) -> Unavailable:
    cause = f"Cloud Tasks: {cause}"
    return Unavailable(
        "queue_unavailable", "the notice could not be queued", cause=cause, maybe_accepted=maybe_accepted
    )


def _status(reply: HttpResponse) -> str:
    try:
        return str(json.loads(reply.body)["error"]["status"])[:100]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "without a reason"
