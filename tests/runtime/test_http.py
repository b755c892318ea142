import json
from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import EnvironBuilder

from runtime.errors import InvalidCallout, NoticeError, Rejected, Unavailable
from runtime.http import MAX_BODY_BYTES, JsonResponse, error_response, read_body, to_flask_response, trace_fields


def request(body: bytes = b"{}", *, method: str = "POST", **headers: Any) -> Request:
    """Return a POST request with a JSON body; header names have underscores instead of hyphens."""
    environ = EnvironBuilder(method=method, data=body, content_type="application/json").get_environ()
    for name, value in headers.items():
        plain = name in ("Content_Type", "Content_Length")
        environ[name.upper() if plain else f"HTTP_{name.upper()}"] = value
    return Request(environ)


def unread(**headers: Any) -> Request:
    """Return a request whose body must not be read."""

    class Untouchable(BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

    made = request(**headers)
    made.environ["wsgi.input"] = Untouchable()
    return made


def chunked(body: BytesIO) -> Request:
    """Return a request without a Content-Length."""
    made = request()
    del made.environ["CONTENT_LENGTH"]
    made.environ.update({"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"})
    return made


def rejection(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(InvalidCallout) as caught:
        call()
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_json_body_is_read(content_type: str) -> None:
    assert read_body(request(b'{"a":1}', Content_Type=content_type)) == b'{"a":1}'


def test_an_empty_body_is_read() -> None:
    assert read_body(request(b"")) == b""


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"])
def test_other_methods_are_rejected_first(method: str) -> None:
    made = unread(method=method, Content_Type="text/plain", Content_Length="99999999")

    assert rejection(lambda: read_body(made)) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Type": ""},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "application/json+x"},
        {"Content_Encoding": "gzip"},
        {"Content_Encoding": "identity"},
    ],
)
def test_other_content_types_and_any_encoding_are_rejected_second(headers: dict[str, str]) -> None:
    assert rejection(lambda: read_body(unread(Content_Length="99999999", **headers))) == (415, "unsupported_media_type")


def test_a_content_length_over_the_limit_is_rejected_without_reading() -> None:
    assert rejection(lambda: read_body(unread(Content_Length=str(MAX_BODY_BYTES + 1)))) == (413, "too_large")


def test_a_body_of_the_maximum_size_is_read() -> None:
    assert MAX_BODY_BYTES == 65_536
    assert len(read_body(request(b"x" * MAX_BODY_BYTES))) == MAX_BODY_BYTES
    assert len(read_body(chunked(BytesIO(b"x" * MAX_BODY_BYTES)))) == MAX_BODY_BYTES


def test_a_body_without_a_content_length_is_read_only_to_the_limit() -> None:
    body = BytesIO(b"x" * 10 * MAX_BODY_BYTES)

    assert rejection(lambda: read_body(chunked(body))) == (413, "too_large")
    assert body.tell() == MAX_BODY_BYTES + 1


def test_a_body_that_arrives_in_chunks_is_complete() -> None:
    class Chunks(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 3))

        def readinto(self, buffer: Any, /) -> int:
            return super().readinto(memoryview(buffer)[:3])

    assert read_body(chunked(Chunks(b'{"event":{}}'))) == b'{"event":{}}'


class HostError(Exception):
    """Represents gunicorn's own exceptions."""


@pytest.mark.parametrize("error", [ClientDisconnected, ConnectionResetError, HostError, ValueError])
def test_a_truncated_body_is_rejected(error: type[Exception]) -> None:
    class Broken(BytesIO):
        def read(self, *_: Any) -> bytes:
            raise error

        def readinto(self, *_: Any) -> int:
            raise error

    assert rejection(lambda: read_body(chunked(Broken()))) == (400, "invalid_json")


def test_a_body_shorter_than_its_content_length_is_rejected() -> None:
    assert rejection(lambda: read_body(request(b"{}", Content_Length="3"))) == (400, "invalid_json")


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        {"X_Cloud_Trace_Context": f"{TRACE}/1;o=1"},
        {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X_Cloud_Trace_Context": f"{'f' * 32}/1"},
    ],
)
def test_the_trace_is_read_from_both_headers(headers: dict[str, Any]) -> None:
    expected = {"logging.googleapis.com/trace": f"projects/my-project/traces/{TRACE}"}

    assert trace_fields(request(**headers), "my-project") == expected


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{TRACE[:-1]}-1-01", f"00-{TRACE.upper()}-1", f"{TRACE}"])
def test_a_malformed_trace_is_ignored(header: str) -> None:
    assert trace_fields(request(traceparent=header), "my-project") == {}


def test_a_trace_without_a_project_is_ignored() -> None:
    assert trace_fields(request(traceparent=f"00-{TRACE}-1-01"), "") == {}


def test_the_execution_id_is_a_label_if_the_framework_was_asked_to_log_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = request(Function_Execution_Id="aB3-x_9")
    assert trace_fields(sent, "") == {}
    monkeypatch.setattr("runtime.http.LOG_EXECUTION_ID", True)

    assert trace_fields(sent, "") == {"logging.googleapis.com/labels": {"execution_id": "aB3-x_9"}}


@pytest.mark.parametrize("header", ["", "j@example.com", "two words", "x" * 65])
def test_a_malformed_execution_id_is_ignored(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.http.LOG_EXECUTION_ID", True)

    assert trace_fields(request(Function_Execution_Id=header), "") == {}


@given(st.text(st.characters(exclude_characters="\r\n", max_codepoint=0xFF)))
def test_any_trace_header_is_parsed_or_ignored(header: str) -> None:
    assert len(trace_fields(request(traceparent=header), "p")) <= 1


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (InvalidCallout("method_not_allowed", 405, "m"), 405, {"Allow": "POST"}),
        (InvalidCallout("invalid_json", 400, "m"), 400, {}),
        (Rejected("m"), 502, {}),
        (NoticeError("internal", "m"), 500, {}),
        (Unavailable("in_progress", "m"), 503, {"Retry-After": "1"}),
        (Unavailable("mail_unavailable", "m", retry_after=60), 503, {"Retry-After": "60"}),
    ],
)
def test_an_error_response_has_code_message_and_headers(
    error: NoticeError, status: int, headers: dict[str, str]
) -> None:
    error.cause = "only logged"

    assert error_response(error) == JsonResponse(status, {"error": {"code": error.code, "message": "m"}}, headers)


def test_a_response_is_json_that_must_not_be_stored() -> None:
    response = to_flask_response(JsonResponse(503, {"a": "é\ud800"}, {"Retry-After": "2"}))

    assert not response.is_streamed
    assert response.status_code == 503
    assert json.loads(response.get_data()) == {"a": "é\ud800"}
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Retry-After"] == "2"


def test_a_value_without_a_json_type_is_sent_as_text() -> None:
    assert json.loads(to_flask_response(JsonResponse(200, {"message_id": UUID(int=0)})).get_data()) == {
        "message_id": str(UUID(int=0))
    }


def test_a_response_to_an_unread_body_is_streamed_and_closes_the_connection() -> None:
    response = to_flask_response(JsonResponse(413, {}), body_unread=True)

    assert response.is_streamed
    assert response.headers["Connection"] == "close"
    assert int(response.headers["Content-Length"]) == len(b"".join(response.response)) == 3  # type: ignore[arg-type]
