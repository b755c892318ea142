"""The function's HTTP side: what a request must be, and how an answer is written. Nothing else here knows Flask."""

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from flask import Request, Response

from runtime.errors import InvalidCallout, NoticeError, Unavailable

MAX_BODY_BYTES = 65_536
TRACE = re.compile(r"(?:00-)?([0-9a-f]{32})[-/]")


class JsonResponse(NamedTuple):
    """An HTTP answer that is JSON."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = MappingProxyType({})


def read_body(request: Request) -> bytes:
    """The raw body, of which no more than the limit is ever held.

    Raises InvalidCallout: method_not_allowed, unsupported_media_type or too_large.
    """
    if request.method != "POST":
        raise InvalidCallout("method_not_allowed", 405, "POST the callout")
    if request.mimetype != "application/json" or request.headers.get("Content-Encoding"):
        raise InvalidCallout("unsupported_media_type", 415, "Content-Type must be application/json, with no encoding")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    body = _read_at_most(request, MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    return body


def _read_at_most(request: Request, size: int) -> bytes:
    body = b""
    try:
        while chunk := request.stream.read(size - len(body)):
            body += chunk
    except Exception:  # noqa: BLE001  (the host has errors of its own for what is framed wrongly)
        raise InvalidCallout("invalid_json", 400, "body: broken off") from None
    return body


def _too_large() -> InvalidCallout:
    return InvalidCallout("too_large", 413, f"the body may have {MAX_BODY_BYTES} bytes")


def trace_fields(request: Request, project: str) -> dict[str, str]:
    """The log's fields that nest a line under Cloud Run's own request entry."""
    header = request.headers.get("traceparent") or request.headers.get("X-Cloud-Trace-Context") or ""
    found = TRACE.match(header)
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{found[1]}"} if found and project else {}


def error_response(error: NoticeError) -> JsonResponse:
    """The answer that says what went wrong, to whoever called."""
    headers = {"Retry-After": str(max(error.retry_after, 1))} if isinstance(error, Unavailable) else {}
    if error.code == "method_not_allowed":
        headers = {"Allow": "POST"}
    return JsonResponse(error.status, {"error": {"code": error.code, "message": error.message}}, headers)


def to_flask_response(answer: JsonResponse, *, unread: bool = False) -> Response:
    """`unread`: the request's body was not read to its end, and must not be: functions-framework reads the rest into
    memory after every answer but a streamed one."""
    text = json.dumps(answer.body, default=str).encode() + b"\n"  # an Action may report anything
    headers = {**answer.headers, "Content-Type": "application/json", "Cache-Control": "no-store"}
    if unread:
        return Response(
            _stream(text), answer.status, {**headers, "Content-Length": str(len(text)), "Connection": "close"}
        )
    return Response(text, answer.status, headers)


def _stream(text: bytes) -> Iterator[bytes]:
    yield text
