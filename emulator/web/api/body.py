"""What comes in and goes out: JSON both ways, and one form for every refusal."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, request

Json = dict[str, Any]


class ApiResponse(Response):
    """Half a character, such as \\ud800, is legal in JSON but no text: it goes out as a question mark."""

    def set_data(self, value: bytes | str) -> None:
        super().set_data(value.encode("utf-8", "replace") if isinstance(value, str) else value)


class RequestError(Exception):
    """A request that cannot be done; the message says why, and what would do."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def read() -> Json:
    """The request's JSON object; an absent body is an empty one. Raises RefusedError."""
    try:
        value = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RequestError("the body is not a JSON object")
    return value


def text(given: Mapping[str, Any], name: str) -> str:
    """A member that has to be text. Raises RefusedError."""
    if not isinstance(given.get(name), str):
        raise RequestError(f"{name}: expected text")
    return str(given[name])


def answer(value: Any, status: int = 200) -> Response:
    written = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return ApiResponse(written + "\n", status, content_type="application/json")


def done() -> Response:
    return answer({"done": True})
