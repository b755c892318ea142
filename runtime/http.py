"""HTTP for the function: request checks and response formatting. Only this module and flow.py use Flask."""

import json
import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from flask import Request, Response, current_app, has_app_context
from flask import request as current_request

from runtime.errors import InvalidCallout, NoticeError, Unavailable

MAX_BODY_BYTES = 65_536
TRACE = re.compile(r"(?:00-)?([0-9a-f]{32})[-/]")
EXECUTION_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
# Removed from the environment: otherwise, functions-framework also wraps each piece of printed text in JSON.
LOG_EXECUTION_ID = os.environ.pop("LOG_EXECUTION_ID", "") in ("y", "yes", "t", "true", "on", "1")


class JsonResponse(NamedTuple):
    """An HTTP response with a JSON body."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = MappingProxyType({})


def handle_every_path() -> None:
    """Make functions-framework run the function for every path.

    By default, it or Flask responds to /robots.txt, /favicon.ico, and /static itself.
    """
    if has_app_context():  # while functions-framework imports main.py
        current_app.before_request(_run_function)


def _run_function() -> Any:
    endpoint = "run"  # the name that functions-framework gives to the function's view
    return None if current_request.endpoint == endpoint else current_app.view_functions[endpoint]("")


def read_body(request: Request) -> bytes:
    """Return the raw body, without reading more than the limit into memory.

    Raise InvalidCallout: method_not_allowed, unsupported_media_type, too_large, or invalid_json (a truncated body).
    """
    if request.method != "POST":
        raise InvalidCallout("method_not_allowed", 405, "use POST")
    if request.mimetype != "application/json" or request.headers.get("Content-Encoding"):
        message = "Content-Type must be application/json, without a Content-Encoding"
        raise InvalidCallout("unsupported_media_type", 415, message)
    size, body = request.content_length or 0, b""
    try:
        while size <= MAX_BODY_BYTES and (chunk := request.stream.read(MAX_BODY_BYTES + 1 - len(body))):
            body += chunk
            size = len(body)
    except Exception:  # noqa: BLE001  (werkzeug and gunicorn raise their own errors for malformed framing)
        raise InvalidCallout("invalid_json", 400, "body: truncated") from None
    if size > MAX_BODY_BYTES:
        raise InvalidCallout("too_large", 413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return body


def trace_fields(request: Request, project: str) -> dict[str, Any]:
    """Return the log fields that group a request's lines: under Cloud Run's own entry, and by execution ID."""
    header = request.headers.get("traceparent") or request.headers.get("X-Cloud-Trace-Context") or ""
    trace, execution = TRACE.match(header), EXECUTION_ID.fullmatch(request.headers.get("Function-Execution-Id") or "")
    return {
        **({"logging.googleapis.com/trace": f"projects/{project}/traces/{trace[1]}"} if trace and project else {}),
        **({"logging.googleapis.com/labels": {"execution_id": execution[0]}} if execution and LOG_EXECUTION_ID else {}),
    }


def error_response(error: NoticeError) -> JsonResponse:
    """Return the response that reports the error to the caller."""
    headers = {"Retry-After": str(max(error.retry_after, 1))} if isinstance(error, Unavailable) else {}
    if error.code == "method_not_allowed":
        headers = {"Allow": "POST"}
    return JsonResponse(error.status, {"error": {"code": error.code, "message": error.message}}, headers)


def to_flask_response(response: JsonResponse, *, body_unread: bool = False) -> Response:
    """Convert to a Flask response.

    `body_unread`: the request's body wasn't read to the end and must not be. functions-framework reads the rest into
    memory after any response that isn't streamed, so the response is streamed and closes the connection.
    """
    text = json.dumps(response.body, default=str).encode() + b"\n"  # an Action's result can contain any type
    headers = {**response.headers, "Content-Type": "application/json", "Cache-Control": "no-store"}
    if body_unread:
        streamed = {**headers, "Content-Length": str(len(text)), "Connection": "close"}
        return Response(iter((text,)), response.status, streamed)
    return Response(text, response.status, headers)
