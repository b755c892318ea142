"""A task of the Cloud Tasks stand-in: what its creator asked for, what became of it, and the request that it makes."""

import base64
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from emulator.cloud_tasks.queue_config import duration, seconds
from emulator.core.google_api import ApiError, Json, from_base64, message_field

# The documentation says 100 KB in one place and 1 MB in another, and 1,048,569 bytes were measured on the service:
# held to the smallest, so that nothing comes to depend on more.
TASK_LIMIT = 102_400
URL_LIMIT = 2083
DEADLINE, SHORTEST_DEADLINE, LONGEST_DEADLINE = 600.0, 15.0, 1800.0  # seconds [Task.dispatch_deadline]
HORIZON = 720 * 3600.0  # how far ahead a task may be scheduled [Cloud Tasks quotas]

METHODS = ("HTTP_METHOD_UNSPECIFIED", "POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")  # by enum number
_NAME = re.compile(r"(?P<queue>projects/[^/]+/locations/[^/]+/queues/[^/]+)/tasks/(?P<id>.*)", re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_REPLACED = ("host", "content-length", "user-agent")  # headers that the service sets itself [HttpRequest.headers]
_RESERVED = ("x-google-", "x-appengine-", "x-cloudtasks-")

# google.rpc codes of the statuses that have one; UNKNOWN for others.
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
    """What came of one attempt; `status` 0: no answer, and `problem` says why."""

    status: int
    retry_after: float = 0.0  # seconds
    problem: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Task:
    """`queue` and `name` are full names. Times are unix seconds of the stand-in's clock."""

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
    executions: int = 0  # responses that were no 5xx
    running: int = 0
    entry: int = 0  # which entry of the queue's heap is this task's; 0: none
    first_sent: float | None = None
    last: Json = field(default_factory=dict)
    previous: AttemptResponse | None = None

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]

    def begin(self, now: float) -> dict[str, str]:
        """Counts one attempt more and returns the headers that its request has."""
        headers = {**self.headers, **self._about()}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {oidc_token(self.token, self.url)}"
        self.attempts += 1
        self.first_sent = now if self.first_sent is None else self.first_sent
        self.last = {"scheduleTime": format_timestamp(self.scheduled), "dispatchTime": format_timestamp(now)}
        return headers

    def end(self, answer: AttemptResponse, now: float) -> None:
        self.previous = answer
        status = answer.status or 504
        code, name = (0, "OK") if answer.ok else _CODES.get(status, (2, "UNKNOWN"))
        said = {"code": code, "message": f"{name}({code}): HTTP status code {status}"}
        self.last = {**self.last, "responseTime": format_timestamp(now), "responseStatus": said}
        self.responses += bool(answer.status)
        self.executions += 0 < answer.status < 500

    def resource(self, *, full: bool = False) -> Json:
        """The Task message; without `full` the body is left out."""
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
            "dispatchDeadline": duration(self.deadline),
            "dispatchCount": self.attempts,
            "responseCount": self.responses,
            **first,
            **({"lastAttempt": self.last} if self.last else {}),
            "view": "FULL" if full else "BASIC",
        }

    def _about(self) -> dict[str, str]:
        """The headers that tell the target about the task; those about the answer before were seen on the service."""
        about = {
            "QueueName": self.queue.rpartition("/")[2],
            "TaskName": self.short_name,
            "TaskRetryCount": str(self.attempts),
            "TaskExecutionCount": str(self.executions),
            "TaskETA": f"{self.scheduled:.6f}",
        }
        if self.previous is not None:
            about |= {"TaskPreviousResponse": str(self.previous.status or 504), "TaskRetryReason": ""}
        return {f"X-CloudTasks-{name}": value for name, value in about.items()}


def parse_task(given: Json, queue: str, new_id: str, now: float) -> Task:
    """The task that `given`, a Task message, asks for; one without a name is called `new_id`. Raises ApiError."""
    request = message_field(given, "httpRequest")
    task = Task(
        queue=queue,
        name=_name(str(given.get("name") or ""), queue) or f"{queue}/tasks/{new_id}",
        url=_url(str(request.get("url") or "")),
        method=_method(request.get("httpMethod") or "POST"),
        headers=_headers(message_field(request, "headers")),
        body=from_base64(request.get("body"), "task.http_request.body"),
        token=message_field(request, "oidcToken") or None,
        created=now,
        scheduled=max(_moment(given.get("scheduleTime"), now), now),
        deadline=_deadline(given.get("dispatchDeadline")),
    )
    size = len(task.body) + len(task.url) + len(task.name) + sum(map(len, [*task.headers, *task.headers.values()]))
    if size > TASK_LIMIT:
        raise ApiError("INVALID_ARGUMENT", "Task size too large")
    return task


def oidc_token(token: Json, url: str) -> str:
    """A JSON Web Token with the claims of Google's, of the right form; nobody signed it, so no verifier takes it."""
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


def format_timestamp(moment: float) -> str:
    """A google.protobuf.Timestamp in JSON."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


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
    if len(url) > URL_LIMIT:
        raise ApiError("INVALID_ARGUMENT", f"HttpRequest.url must not be longer than {URL_LIMIT} characters.")
    return url


def _method(method: object) -> str:
    """By name or, as the Python client sends it, by number."""
    name = METHODS[method] if isinstance(method, int) and 0 <= method < len(METHODS) else str(method)
    if name not in METHODS:
        raise ApiError("INVALID_ARGUMENT", "Invalid value at 'task.http_request.http_method'")
    return "POST" if name == METHODS[0] else name


def _headers(given: Json) -> dict[str, str]:
    """As they are kept: those that the service sets are dropped, and its User-Agent stands among them."""
    kept = {
        name: str(value)
        for name, value in given.items()
        if name.lower() not in _REPLACED and not name.lower().startswith(_RESERVED)
    }
    return {**kept, "User-Agent": "Google-Cloud-Tasks"}


def _moment(text: object, now: float) -> float:
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(str(text)).timestamp()
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", "Invalid value at 'task.schedule_time'") from error
    if moment > now + HORIZON:
        message = f"The Task.scheduleTime, {text}, is too far in the future."
        raise ApiError("INVALID_ARGUMENT", f"{message} Schedule time must be no more than 720h in the future.")
    return moment


def _deadline(text: object) -> float:
    deadline = DEADLINE if text is None else seconds(text, "task.dispatch_deadline")
    if not SHORTEST_DEADLINE <= deadline <= LONGEST_DEADLINE:
        raise ApiError("INVALID_ARGUMENT", "Task.dispatchDeadline must be between [15s, 30m].")
    return deadline
