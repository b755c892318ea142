"""A task of the Cloud Tasks emulator: its validation, its state, and the request that it sends."""

import base64
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from emulator.cloud_tasks.queue_config import format_duration, parse_duration
from emulator.core.google_api import ApiError, Json, from_base64, message_field

# The documentation says 100 KB and 1 MB, and the service accepted 1,048,569 bytes. Enforce the smallest value, so that
# nothing depends on a larger one.
MAX_TASK_BYTES = 102_400
MAX_URL_CHARACTERS = 2083
DEFAULT_DEADLINE_SECONDS, MIN_DEADLINE_SECONDS, MAX_DEADLINE_SECONDS = 600.0, 15.0, 1800.0  # [Task.dispatch_deadline]
MAX_SCHEDULE_SECONDS = 720 * 3600.0  # from now [Cloud Tasks quotas]

METHODS = ("HTTP_METHOD_UNSPECIFIED", "POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")  # by enum number
_NAME = re.compile(r"(?P<queue>projects/[^/]+/locations/[^/]+/queues/[^/]+)/tasks/(?P<id>.*)", re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_OVERRIDDEN = ("host", "content-length", "user-agent")  # headers that the service sets [HttpRequest.headers]
_RESERVED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-")

# The google.rpc codes of HTTP statuses; UNKNOWN for all others.
_CODES = {
    400: (3, "INVALID_ARGUMENT"),
    401: (16, "UNAUTHENTICATED"),
    403: (7, "PERMISSION_DENIED"),
    404: (5, "NOT_FOUND"),
    429: (8, "RESOURCE_EXHAUSTED"),
    500: (13, "INTERNAL"),
    503: (14, "UNAVAILABLE"),
    504: (4, "DEADLINE_EXCEEDED"),
}


@dataclass(frozen=True)
class AttemptResponse:
    """The response to one attempt; status 0 means none was received, because of `problem`."""

    status: int
    retry_after: float = 0.0  # seconds
    problem: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Task:
    """A task; `queue` and `name` are full names, times are Unix seconds of the emulator's clock."""

    queue: str
    name: str
    url: str
    method: str
    headers: dict[str, str]
    body: bytes
    token: Json | None  # the OidcToken message
    created: float
    scheduled: float
    deadline: float
    attempts: int = 0
    responses: int = 0
    executions: int = 0  # responses other than 5xx
    running: int = 0
    entry: int = 0  # number of the task's valid entry in the queue's heap; 0: none
    first_sent: float | None = None
    last: Json = field(default_factory=dict)
    previous: AttemptResponse | None = None

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def webhook_id(self) -> str:
        """Return the ID of the callout that the task delivers, or an empty string."""
        return next((value for name, value in self.headers.items() if name.lower() == "webhook-id"), "")

    def begin(self, now: float) -> dict[str, str]:
        """Count another attempt and return its request headers."""
        headers = {**self.headers, **self._task_headers()}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {oidc_token(self.token, self.url)}"
        self.attempts += 1
        self.first_sent = now if self.first_sent is None else self.first_sent
        self.last = {"scheduleTime": format_timestamp(self.scheduled), "dispatchTime": format_timestamp(now)}
        return headers

    def end(self, response: AttemptResponse, now: float) -> None:
        self.previous = response
        status = response.status or 504
        code, name = (0, "OK") if response.ok else _CODES.get(status, (2, "UNKNOWN"))
        response_status = {"code": code, "message": f"{name}({code}): HTTP status code {status}"}
        self.last = {**self.last, "responseTime": format_timestamp(now), "responseStatus": response_status}
        self.responses += bool(response.status)
        self.executions += 0 < response.status < 500

    def resource(self, *, full: bool = False) -> Json:
        """Return the Task message, with the body only if `full`."""
        token = {} if self.token is None else {"oidcToken": self.token}
        request = {"url": self.url, "httpMethod": self.method, "headers": self.headers, **token}
        if full and self.body:
            request["body"] = base64.b64encode(self.body).decode()
        first = {} if self.first_sent is None else {"firstAttempt": {"dispatchTime": format_timestamp(self.first_sent)}}
        return {
            "name": self.name,
            "httpRequest": request,
            "scheduleTime": format_timestamp(self.scheduled),
            "createTime": format_timestamp(int(self.created)),
            "dispatchDeadline": format_duration(self.deadline),
            "dispatchCount": self.attempts,
            "responseCount": self.responses,
            **first,
            **({"lastAttempt": self.last} if self.last else {}),
            "view": "FULL" if full else "BASIC",
        }

    def _task_headers(self) -> dict[str, str]:
        """Return the X-CloudTasks headers of the next attempt.

        Those about the previous response aren't documented, but the service has been observed to send them.
        """
        headers = {
            "QueueName": self.queue.rpartition("/")[2],
            "TaskName": self.short_name,
            "TaskRetryCount": str(self.attempts),
            "TaskExecutionCount": str(self.executions),
            "TaskETA": f"{self.scheduled:.6f}",
        }
        if self.previous is not None:
            headers |= {"TaskPreviousResponse": str(self.previous.status or 504), "TaskRetryReason": ""}
        return {f"X-CloudTasks-{name}": value for name, value in headers.items()}


def parse_task(message: Json, queue: str, new_id: str, now: float) -> Task:
    """Create the task of a Task message; `new_id` is the default name. Raise ApiError if it is invalid."""
    request = message_field(message, "httpRequest")
    task = Task(
        queue=queue,
        name=_name(str(message.get("name") or ""), queue) or f"{queue}/tasks/{new_id}",
        url=_url(str(request.get("url") or "")),
        method=_method(request.get("httpMethod") or "POST"),
        headers=_headers(message_field(request, "headers")),
        body=from_base64(request.get("body"), "task.http_request.body"),
        token=message_field(request, "oidcToken") or None,
        created=now,
        scheduled=max(_schedule_time(message.get("scheduleTime"), now), now),
        deadline=_deadline(message.get("dispatchDeadline")),
    )
    size = len(task.body) + len(task.url) + len(task.name) + sum(map(len, [*task.headers, *task.headers.values()]))
    if size > MAX_TASK_BYTES:
        raise ApiError("INVALID_ARGUMENT", "Task size too large")
    return task


def oidc_token(token: Json, url: str) -> str:
    """Return a JSON Web Token with Google's claims but an invalid signature, so no verifier accepts it."""
    email, now = str(token.get("serviceAccountEmail", "")), int(time.time())
    subject = str(int.from_bytes(sha256(email.encode()).digest()[:8], "big")).zfill(21)
    claims = {
        "aud": token.get("audience") or url,
        "azp": subject,
        "email": email,
        "email_verified": True,
        "exp": now + 3600,
        "iat": now,
        "iss": "https://accounts.google.com",
        "sub": subject,
    }
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "emulator", "typ": "JWT"}, claims))
    encoded = [base64.urlsafe_b64encode(part) for part in (*parts, b"not signed: this is the emulator")]
    return b".".join(part.rstrip(b"=") for part in encoded).decode()


def format_timestamp(seconds: float) -> str:
    """Format Unix seconds as a google.protobuf.Timestamp in JSON."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _name(name: str, queue: str) -> str:
    if not name:
        return ""
    match = _NAME.fullmatch(name)
    if match is None:
        form = "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>"
        raise ApiError("INVALID_ARGUMENT", f'Task name must be formatted: "{form}"')
    if match["queue"] != queue:
        message = f"The queue name from request ('{queue}') must be the same as the queue name in the named task "
        raise ApiError("INVALID_ARGUMENT", f"{message}('{match['queue']}').")
    if not _ID.fullmatch(match["id"]):
        message = f'Task ID "{match["id"]}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or '
        raise ApiError("INVALID_ARGUMENT", f"{message}underscores (_). Task ID must between 1 and 500 characters.")
    return name


def _url(url: str) -> str:
    if not url:
        raise ApiError("INVALID_ARGUMENT", "HttpRequest.url is required.")
    if not url.startswith(("http://", "https://")):
        raise ApiError("INVALID_ARGUMENT", "HttpTarget.url must start with 'http://' or 'https://'.")
    if len(url) > MAX_URL_CHARACTERS:
        raise ApiError("INVALID_ARGUMENT", f"HttpRequest.url must not be longer than {MAX_URL_CHARACTERS} characters.")
    return url


def _method(method: object) -> str:
    """Return a method given by name or, as the Python client does, by number."""
    name = METHODS[method] if isinstance(method, int) and 0 <= method < len(METHODS) else str(method)
    if name not in METHODS:
        raise ApiError("INVALID_ARGUMENT", "Invalid value at 'task.http_request.http_method'")
    return "POST" if name == METHODS[0] else name


def _headers(headers: Json) -> dict[str, str]:
    """Return the stored headers: without those that the service sets, and with its User-Agent."""
    stored = {
        name: str(value)
        for name, value in headers.items()
        if name.lower() not in _OVERRIDDEN and not name.lower().startswith(_RESERVED_PREFIXES)
    }
    return {**stored, "User-Agent": "Google-Cloud-Tasks"}


def _schedule_time(text: object, now: float) -> float:
    if text is None:
        return now
    try:
        time = datetime.fromisoformat(str(text)).timestamp()
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", "Invalid value at 'task.schedule_time'") from error
    if time > now + MAX_SCHEDULE_SECONDS:
        message = f"The Task.scheduleTime, {text}, is too far in the future."
        raise ApiError("INVALID_ARGUMENT", f"{message} Schedule time must be no more than 720h in the future.")
    return time


def _deadline(text: object) -> float:
    deadline = DEFAULT_DEADLINE_SECONDS if text is None else parse_duration(text, "task.dispatch_deadline")
    if not MIN_DEADLINE_SECONDS <= deadline <= MAX_DEADLINE_SECONDS:
        raise ApiError("INVALID_ARGUMENT", "Task.dispatchDeadline must be between [15s, 30m].")
    return deadline
