import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import callout as callouts
from runtime.callout import Callout, idempotency_key
from runtime.errors import InvalidCallout
from runtime.signature import SignedHeaders

BODY = b'{"event":{}}'
NOW = 1_800_000_000


def signed(id_: str = "msg_1", timestamp: int = NOW, *signatures: str) -> SignedHeaders:
    return SignedHeaders(id_, timestamp, signatures)


def parse(headers: SignedHeaders, body: bytes, deadline: float) -> tuple[Callout, str]:
    """Return the callout, and the warnings as one text."""
    warnings: list[str] = []
    callout = callouts.parse(headers, body, deadline, warnings.append)
    return callout, "; ".join(warnings)


def parse_body(text: str | bytes) -> Callout:
    return parse(signed(), text if isinstance(text, bytes) else text.encode(), 5.0)[0]


def rejection(text: str | bytes) -> tuple[str, int, str]:
    with pytest.raises(InvalidCallout) as caught:
        parse_body(text)
    return caught.value.code, caught.value.status, caught.value.message


# Body


def test_a_body_is_parsed() -> None:
    callout = parse_body('{"event":{"user":{}},"time":"2026-11-23T10:15:00Z","sandbox":true,"more":1}')

    assert callout.id == "msg_1"
    assert callout.time == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
    assert callout.sandbox is True
    assert callout.event == {"user": {}}
    assert callout.deadline == 5.0


def test_time_and_sandbox_may_be_absent_or_null_without_a_warning() -> None:
    for text in (b'{"event":{}}', b'{"event":{},"time":null,"sandbox":null}'):
        callout, warning = parse(signed(), text, 0)

        assert callout.time == datetime.fromtimestamp(NOW, UTC)
        assert callout.sandbox is False
        assert warning == ""


@pytest.mark.parametrize("value", ['"true"', "1", "0", "[]", "{}"])
def test_sandbox_of_the_wrong_type_is_treated_as_absent_with_a_warning(value: str) -> None:
    callout, warning = parse(signed(), b'{"sandbox":%s}' % value.encode(), 0)

    assert callout.sandbox is False
    assert warning.startswith("sandbox: expected a boolean")


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-23T10:15:00Z", 10),
        ("2026-11-23T10:15:00.123Z", 10),
        ("2026-11-23T10:15:00+02:00", 8),
        ("2026-11-23 10:15:00", 10),
        ("20261123T101500Z", 10),
        ("2026-11-23", 0),
    ],
)
def test_each_time_format_is_parsed_as_utc(text: str, hour: int) -> None:
    callout, warning = parse(signed(), json.dumps({"time": text}).encode(), 0)

    assert callout.time.tzinfo is UTC
    assert (callout.time.day, callout.time.hour) == (23, hour)
    assert warning == ""


def test_a_time_without_a_time_zone_is_utc_whatever_the_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        callout, _ = parse(signed(), b'{"time": "2026-11-23T10:15:00"}', 0)
    time.tzset()

    assert callout.time == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["", "yesterday", "9999-12-31T23:00:00-23:00", "0001-01-01T00:00:00+23:00", 5, [], {}]
)
def test_an_invalid_time_is_replaced_by_the_timestamp_with_a_warning(value: object) -> None:
    callout, warning = parse(signed(), json.dumps({"time": value}).encode(), 0)

    assert callout.time == datetime.fromtimestamp(NOW, UTC)
    assert warning.startswith("time: expected")


def test_two_warnings_are_reported_together() -> None:
    warning = parse(signed(), b'{"time":1,"sandbox":1}', 0)[1]

    assert warning.startswith("sandbox: ")
    assert "; time: " in warning


@pytest.mark.parametrize("text", ["[]", '"text"', "1", "null", "true"])
def test_a_body_that_is_not_an_object_is_an_invalid_event(text: str) -> None:
    assert rejection(text) == ("invalid_event", 400, "body: expected an object with the field event")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "body: Expecting value at line 1 column 1"),
        (b'{"a" 1}', "body: Expecting ':' delimiter at line 1 column 6"),
        (b'{"a":1}x', "body: Extra data at line 1 column 8"),
        (b'{"a":1,"a":2}', "body: duplicate key in a JSON object"),
        (b'{"event":{"user":{"email":1,"email":1}}}', "body: duplicate key in a JSON object"),
        (b'{"a":NaN}', "body: NaN isn't JSON"),
        (b'{"a":Infinity}', "body: Infinity isn't JSON"),
        (b'{"a":-Infinity}', "body: -Infinity isn't JSON"),
        (b'{"a":"\xff"}', "body: expected UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "body: expected UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "body: Unexpected UTF-8 BOM (decode using utf-8-sig) at line 1 column 1"),
        (b'{"a":"\x00"}', "body: Invalid control character at at line 1 column 7"),
    ],
)
def test_invalid_json_is_rejected_without_echoing_it(text: bytes, message: str) -> None:
    assert rejection(text) == ("invalid_json", 400, message)


def test_a_lone_surrogate_becomes_the_replacement_character_everywhere() -> None:
    callout = parse_body(r'{"event":{"\ud800":["a\udfffb",{"x":"\ud83d\ude00"},1.5,null]}}')

    assert callout.event == {"\ufffd": ["a\ufffdb", {"x": "😀"}, 1.5, None]}


def test_an_escaped_nul_is_kept() -> None:
    assert parse_body(r'{"event":{"a":"\u0000"}}').event == {"a": "\0"}


@pytest.mark.parametrize("digits", [1, 18])
def test_an_integer_stays_an_integer(digits: int) -> None:
    assert parse_body('{"event":%s}' % ("7" * digits)).event == int("7" * digits)


@pytest.mark.parametrize("number", ["9" * 19, "-" + "9" * 400, "1" * 5000, "1e999"])
def test_a_long_number_is_parsed_as_a_float(number: str) -> None:
    assert parse_body(f'{{"event":{number}}}').event == float(number)


def test_the_idempotency_key_depends_only_on_id_and_body() -> None:
    key = parse(signed("a", 1), BODY, 0)[0].key

    assert key == "b3d23cc304ecc055cd86fe9eeb9848542f115cd82a044b2e6ab8cb9f3e6cfd40"  # from sha256sum
    assert key == parse(signed("a", 2, "v1,other"), BODY, 9)[0].key == idempotency_key("a", BODY)
    assert key != idempotency_key("b", BODY)
    assert key != idempotency_key("a", BODY + b" ")


def test_the_reference_is_a_short_code_of_the_key() -> None:
    callout = parse_body(BODY)

    assert callout.reference.replace("-", "") == callout.key[:12].upper()
    assert len(callout.reference) == 14


def test_the_repr_of_a_callout_omits_the_event() -> None:
    callout = parse_body('{"event":{"user":{"email":"victim@example.com"},"secrets":{"A":"hidden"}}}')

    assert "victim" not in repr(callout)
    assert "hidden" not in repr(callout)


# Arbitrary input


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.integers(0, 99_999_999_999))
def test_any_bytes_are_a_callout_or_rejected_with_400(body: bytes, timestamp: int) -> None:
    try:
        callout, warning = parse(signed("a", timestamp), body, 0)
    except InvalidCallout as error:
        status = error.status
    else:
        status = 400
        assert callout.time.tzinfo is UTC
        assert isinstance(warning, str)

    assert status == 400


@given(st.text() | json_values)
def test_any_time_and_sandbox_are_accepted(value: Any) -> None:
    callout, _ = parse(signed(), json.dumps({"time": value, "sandbox": value}).encode(), 0)

    assert callout.sandbox is (value is True)
