"""What every Google API has in common: google.rpc.Status errors, project numbers, IAM policies, pages, named faults."""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.routing import UnicodeConverter

from emulator.core.faults import Fault, Kind

Json = dict[str, Any]

# HTTP status of each canonical code used here (google/rpc/code.proto).
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
    """A refusal in Google's form; `code` is a canonical name of STATUSES, `reason` fills an ErrorInfo detail."""

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
    """A Flask application that answers ApiError, and every path it does not know, as a Google API does."""
    app = Flask(name)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of the documentation
    app.url_map.converters["id"] = _Id
    app.register_error_handler(ApiError, lambda error: (jsonify(error.body()), STATUSES[error.code]))
    for unknown in (404, 405):
        app.register_error_handler(unknown, lambda _: (jsonify(ApiError("NOT_FOUND", "Method not found.").body()), 404))
    return app


class _Id(UnicodeConverter):
    """The last part of a resource's name: it ends before the colon of a custom method such as `:access`."""

    regex = "[^/:]+"


def body() -> Json:
    """The request's JSON object (an absent body is an empty one). Raises ApiError."""
    try:
        value = json.loads(request.get_data() or b"{}")
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token.") from error
    if not isinstance(value, dict):
        raise ApiError("INVALID_ARGUMENT", "Invalid JSON payload received. Root element must be a message.")
    return value


def message_field(owner: Json, name: str) -> Json:
    """A member that is a message; absent is empty. Raises ApiError."""
    value = owner.get(name) or {}
    if not isinstance(value, dict):
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{name}'")
    return value


def from_base64(text: object, path: str) -> bytes:
    """The bytes of a `bytes` field: either alphabet, with or without padding, as protobuf's JSON has it."""
    try:
        plain = str(text or "").replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed") from error


def page(items: Sequence[Json], key: str, default_size: int) -> Response:
    """One page of a list method, by `pageSize` (0: the default) and `pageToken` of the request."""
    try:
        start, size = int(request.args.get("pageToken") or 0), int(request.args.get("pageSize") or 0)
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", "The page token or size is invalid.") from error
    end = start + min(size or default_size, default_size)
    token = {"nextPageToken": str(end)} if end < len(items) else {}
    return jsonify({key: list(items[start:end]), **token})


def project_number(project: str) -> str:
    """The number that answers show in place of a project's id; always the same twelve digits for one id."""
    if project.isdigit():
        return project
    return str(10**11 + int.from_bytes(sha256(project.encode()).digest()[:6], "big") % (9 * 10**11))


@dataclass
class Policies:
    """IAM policies by resource. They are kept and handed back, not enforced: nobody here has an identity."""

    _policies: dict[str, Json] = field(default_factory=dict)

    def get(self, resource: str) -> Json:
        return self._policies.get(resource) or _stamped({})

    def set(self, resource: str, policy: Json) -> Json:
        """Raises ApiError 409 ABORTED when the policy's etag is an old one."""
        if policy.get("etag") not in (None, "", self.get(resource)["etag"]):
            raise ApiError("ABORTED", "There were concurrent policy changes. Please retry the whole read-modify-write.")
        kept = {name: policy[name] for name in ("version", "bindings") if policy.get(name)}
        self._policies[resource] = _stamped(kept)
        return self._policies[resource]

    def drop(self, resource: str) -> None:
        self._policies.pop(resource, None)


def _stamped(policy: Json) -> Json:
    text = json.dumps(policy, sort_keys=True).encode()
    return {**policy, "etag": base64.b64encode(b"\x00" + zlib.crc32(text).to_bytes(4, "big")).decode()}


def status_fault(name: str, error: ApiError, **headers: str) -> Fault:
    """A named fault that answers `error`."""
    typed = {"Content-Type": "application/json; charset=UTF-8", **headers}
    return Fault("status", name, status=STATUSES[error.code], headers=typed, body=json.dumps(error.body()))


def api_faults(service: str, permission: str) -> dict[str, Fault]:
    """What can go wrong with any method of `service`, by name, each once: use `replace(FAULT, count=…)` for more."""
    metric = {"service": service, "quota_metric": f"{service}/requests", "quota_limit": "RequestsPerMinutePerProject"}
    denied = f"Permission '{permission}' denied on resource (or it may not exist)."
    refusals = {
        "unauthenticated": ApiError(
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
            "valid authentication credential.",
            "ACCESS_TOKEN_EXPIRED",
            service=service,
        ),
        "permission denied": ApiError(
            "PERMISSION_DENIED", denied, "IAM_PERMISSION_DENIED", "iam.googleapis.com", permission=permission
        ),
        "not found": ApiError("NOT_FOUND", "Requested entity was not found."),
        "rate limited": ApiError(
            "RESOURCE_EXHAUSTED", f"Quota exceeded for service '{service}'.", "RATE_LIMIT_EXCEEDED", **metric
        ),
        "internal": ApiError("INTERNAL", "Internal error encountered."),
        "unavailable": ApiError("UNAVAILABLE", "The service is currently unavailable."),
    }
    waits: list[tuple[str, Kind, float]] = [("slow", "delay", 2.0), ("hang", "hang", 60.0), ("reset", "reset", 0.0)]
    return {name: status_fault(name, error) for name, error in refusals.items()} | {
        name: Fault(kind, name, seconds=seconds) for name, kind, seconds in waits
    }
