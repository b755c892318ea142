"""What all Google APIs share: google.rpc.Status errors, project numbers, IAM policies, paging, and named faults."""

import base64
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.routing import UnicodeConverter

from emulator.core.faults import Fault

Json = dict[str, Any]

# The HTTP status of each canonical code (google/rpc/code.proto).
STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}


class ApiError(Exception):
    """An error response in Google's format; `code` is a key of STATUSES, `reason` adds an ErrorInfo detail."""

    def __init__(self, code: str, message: str, reason: str = "", domain: str = "googleapis.com", **metadata: str):
        super().__init__(message)
        self.code, self.message = code, message
        self.reason, self.domain, self.metadata = reason, domain, metadata

    def body(self) -> Json:
        error: Json = {"code": STATUSES[self.code], "message": self.message, "status": self.code}
        if self.reason:
            info = {"reason": self.reason, "domain": self.domain, "metadata": self.metadata}
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info}]
        return {"error": error}


def api(name: str) -> Flask:
    """Create a Flask application that returns ApiError and unknown paths as a Google API does."""
    app = Flask(name)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # keep the documented field order
    app.url_map.converters["id"] = _Id
    app.before_request(_reject_body_of_get)
    app.register_error_handler(ApiError, lambda error: (jsonify(error.body()), STATUSES[error.code]))
    for unknown in (404, 405):
        app.register_error_handler(unknown, lambda _: (jsonify(ApiError("NOT_FOUND", "Method not found.").body()), 404))
    return app


def _reject_body_of_get() -> Response | None:
    """Reject a GET with a body as Google's front end does, before any API sees it."""
    if request.method != "GET" or not request.get_data():
        return None
    text = "Your client has issued a malformed or illegal request."
    page = f"<!DOCTYPE html>\n<html lang=en>\n<title>Error 400 (Bad Request)!!1</title>\n<p><b>400.</b> {text}\n"
    return Response(page, 400, mimetype="text/html")


class _Id(UnicodeConverter):
    """The last segment of a resource name; it ends before the colon of a custom method such as `:access`."""

    regex = "[^/:]+"


def body() -> Json:
    """Return the request's JSON object, empty if there is no body. Raise ApiError if it is invalid."""
    try:
        value = json.loads(request.get_data() or b"{}")
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token.") from error
    if not isinstance(value, dict):
        raise ApiError("INVALID_ARGUMENT", "Invalid JSON payload received. Root element must be a message.")
    return value


def message_field(owner: Json, name: str) -> Json:
    """Return a field that is a message, empty if absent. Raise ApiError if it isn't an object."""
    value = owner.get(name) or {}
    if not isinstance(value, dict):
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{name}'")
    return value


def granted_permissions(*, exists: bool, denied: Collection[str] = ()) -> Json:
    """Return the response of testIamPermissions: the requested permissions that aren't denied.

    For a missing resource, the list is empty; NOT_FOUND isn't returned [google.iam.v1.IAMPolicy.TestIamPermissions].
    """
    requested = body().get("permissions") or []
    if not isinstance(requested, list) or not all(isinstance(permission, str) for permission in requested):
        raise ApiError("INVALID_ARGUMENT", "Invalid value at 'permissions'")
    granted = [permission for permission in requested if exists and permission not in denied]
    return {"permissions": granted} if granted else {}


def from_base64(text: object, path: str) -> bytes:
    """Decode a `bytes` field as protobuf's JSON mapping does: either alphabet, with or without padding."""
    try:
        plain = str(text or "").replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed") from error


def page(items: Sequence[Json], key: str, default_size: int) -> Response:
    """Return one page of a list method, by the request's `pageSize` (0: the default) and `pageToken`."""
    try:
        start, size = int(request.args.get("pageToken") or 0), int(request.args.get("pageSize") or 0)
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", "The page token or size is invalid.") from error
    end = start + min(size or default_size, default_size)
    token = {"nextPageToken": str(end)} if end < len(items) else {}
    return jsonify({key: list(items[start:end]), **token})


def project_number(project: str) -> str:
    """Return the number that responses show instead of a project's ID: twelve digits derived from the ID."""
    if project.isdigit():
        return project
    return str(10**11 + int.from_bytes(sha256(project.encode()).digest()[:6], "big") % (9 * 10**11))


@dataclass
class Policies:
    """IAM policies by resource, stored but not enforced: the emulator has no identities."""

    _policies: dict[str, Json] = field(default_factory=dict)

    def get(self, resource: str) -> Json:
        return self._policies.get(resource) or _with_etag({})

    def set(self, resource: str, policy: Json) -> Json:
        """Store a policy. Raise ApiError 409 ABORTED if its etag is stale."""
        if policy.get("etag") not in (None, "", self.get(resource)["etag"]):
            raise ApiError("ABORTED", "There were concurrent policy changes. Please retry the whole read-modify-write.")
        stored = {name: policy[name] for name in ("version", "bindings") if policy.get(name)}
        self._policies[resource] = _with_etag(stored)
        return self._policies[resource]

    def drop(self, resource: str) -> None:
        self._policies.pop(resource, None)


def _with_etag(policy: Json) -> Json:
    text = json.dumps(policy, sort_keys=True).encode()
    return {**policy, "etag": base64.b64encode(b"\x00" + zlib.crc32(text).to_bytes(4, "big")).decode()}


def status_fault(name: str, error: ApiError, summary: str, **headers: str) -> Fault:
    """Return a named fault that responds with `error`."""
    all_headers = {"Content-Type": "application/json; charset=UTF-8", **headers}
    body = json.dumps(error.body())
    return Fault("status", name, status=STATUSES[error.code], headers=all_headers, body=body, summary=summary)


def api_faults(service: str, permission: str, summaries: Mapping[str, str]) -> dict[str, Fault]:
    """Return the faults of any method of `service`, by name; `summaries` describe the error responses."""
    metric = {"service": service, "quota_metric": f"{service}/requests", "quota_limit": "RequestsPerMinutePerProject"}
    denied = f"Permission '{permission}' denied on resource (or it may not exist)."
    errors = {
        "permission denied": ApiError(
            "PERMISSION_DENIED", denied, "IAM_PERMISSION_DENIED", "iam.googleapis.com", permission=permission
        ),
        "not found": ApiError("NOT_FOUND", "Requested entity was not found."),
        "unauthenticated": ApiError(
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
            "valid authentication credential.",
            "ACCESS_TOKEN_EXPIRED",
            service=service,
        ),
        "rate limited": ApiError(
            "RESOURCE_EXHAUSTED", f"Quota exceeded for service '{service}'.", "RATE_LIMIT_EXCEEDED", **metric
        ),
        "internal": ApiError("INTERNAL", "Internal error encountered."),
        "unavailable": ApiError("UNAVAILABLE", "The service is currently unavailable."),
    }
    faults = (
        *(status_fault(name, error, summaries[name]) for name, error in errors.items()),
        Fault("delay", "slow", seconds=2, summary="responds two seconds late"),
        Fault("hang", "hang", seconds=60, summary="never responds"),
        Fault("reset", "reset", summary="resets the connection"),
    )
    return {fault.name: fault for fault in faults}
