"""Read JSON request bodies, and build JSON responses and errors."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, request

Json = dict[str, Any]


class ApiResponse(Response):
    """Encodes lone surrogates as `?`: JSON allows them, UTF-8 doesn't."""

    def set_data(self, value: bytes | str) -> None:
        super().set_data(value.encode("utf-8", "replace") if isinstance(value, str) else value)


class RequestError(Exception):
    """An invalid request; the message says why and what to do."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def read_object() -> Json:
    """Return the request's JSON object, or an empty one if there is no body. Raise RequestError."""
    try:
        value = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RequestError("the body is not a JSON object")
    return value


def require_str(values: Mapping[str, Any], name: str) -> str:
    """Return a field that must be a string. Raise RequestError."""
    if not isinstance(values.get(name), str):
        raise RequestError(f"{name}: expected a string")
    return str(values[name])


def json_response(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return ApiResponse(text + "\n", status, content_type="application/json")


def done() -> Response:
    return json_response({"done": True})
