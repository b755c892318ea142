import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.callout import Callout, idempotency_key, parse
from runtime.errors import InvalidCallout
from runtime.signature import SignedHeaders

BODY = b'{"event":{}}'
NOW = 1_800_000_000


def signed(id_: str = "msg_1", timestamp: int = NOW, *signatures: str) -> SignedHeaders:
    return SignedHeaders(id_, timestamp, signatures)


def body_of(text: str | bytes) -> Callout:
    return parse(signed(), text if isinstance(text, bytes) else text.encode(), 5.0)[0]


def refusal(text: str | bytes) -> tuple[str, int, str]:
    with pytest.raises(InvalidCallout) as caught:
        body_of(text)
    return caught.value.code, caught.value.status, caught.value.message


# Body


def test_body_is_read() -> None:
    callout = body_of('{"event":{"user":{}},"time":"2026-11-23T10:15:00Z","sandbox":true,"more":1}')

    assert callout.id == "msg_1"
    assert callout.time == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
    assert callout.sandbox is True
    assert callout.event == {"user": {}}
    assert callout.deadline == 5.0


def test_time_and_sandbox_may_be_absent_or_null_without_remark() -> None:
    for text in (b'{"event":{}}', b'{"event":{},"time":null,"sandbox":null}'):
        callout, odd = parse(signed(), text, 0)

        assert callout.time == datetime.fromtimestamp(NOW, UTC)
        assert callout.sandbox is False
        assert odd == ""


@pytest.mark.parametrize("value", ['"true"', "1", "0", "[]", "{}"])
def test_sandbox_of_the_wrong_type_reads_as_absent_with_a_remark(value: str) -> None:
    callout, odd = parse(signed(), b'{"sandbox":%s}' % value.encode(), 0)

    assert callout.sandbox is False
    assert odd.startswith("sandbox: expected a boolean")


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
def test_each_form_of_the_time_is_read_as_utc(text: str, hour: int) -> None:
    callout, odd = parse(signed(), json.dumps({"time": text}).encode(), 0)

    assert callout.time.tzinfo is UTC
    assert (callout.time.day, callout.time.hour) == (23, hour)
    assert odd == ""


def test_time_without_a_zone_is_utc_wherever_this_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        callout, _ = parse(signed(), b'{"time": "2026-11-23T10:15:00"}', 0)
    time.tzset()

    assert callout.time == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["", "yesterday", "9999-12-31T23:00:00-23:00", "0001-01-01T00:00:00+23:00", 5, [], {}]
)
def test_time_that_is_none_gives_way_to_the_timestamp_with_a_remark(value: object) -> None:
    callout, odd = parse(signed(), json.dumps({"time": value}).encode(), 0)

    assert callout.time == datetime.fromtimestamp(NOW, UTC)
    assert odd.startswith("time: expected")


def test_two_oddities_are_told_together() -> None:
    odd = parse(signed(), b'{"time":1,"sandbox":1}', 0)[1]

    assert odd.startswith("sandbox: ")
    assert "; time: " in odd


@pytest.mark.parametrize("text", ["[]", '"text"', "1", "null", "true"])
def test_body_that_is_no_object_is_an_invalid_event(text: str) -> None:
    assert refusal(text) == ("invalid_event", 400, "body: expected an object with the member event")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "body: Expecting value at line 1 column 1"),
        (b'{"a" 1}', "body: Expecting ':' delimiter at line 1 column 6"),
        (b'{"a":1}x', "body: Extra data at line 1 column 8"),
        (b'{"a":1,"a":2}', "body: a member's name stands twice in one object"),
        (b'{"event":{"user":{"email":1,"email":1}}}', "body: a member's name stands twice in one object"),
        (b'{"a":NaN}', "body: NaN is not JSON"),
        (b'{"a":Infinity}', "body: Infinity is not JSON"),
        (b'{"a":-Infinity}', "body: -Infinity is not JSON"),
        (b'{"a":"\xff"}', "body: expected UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "body: expected UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "body: Unexpected UTF-8 BOM (decode using utf-8-sig) at line 1 column 1"),
        (b'{"a":"\x00"}', "body: Invalid control character at at line 1 column 7"),
        (b'{"a":' * 50_000, "body: nested too deep"),
        (b"[" * 50_000, "body: nested too deep"),
    ],
)
def test_what_is_no_json_is_refused_without_echo(text: bytes, message: str) -> None:
    assert refusal(text) == ("invalid_json", 400, message)


def test_lone_surrogate_becomes_the_replacement_character_everywhere() -> None:
    callout = body_of(r'{"event":{"\ud800":["a\udfffb",{"x":"\ud83d\ude00"},1.5,null]}}')

    assert callout.event == {"\ufffd": ["a\ufffdb", {"x": "😀"}, 1.5, None]}


def test_escaped_nul_is_text() -> None:
    assert body_of(r'{"event":{"a":"\u0000"}}').event == {"a": "\0"}


@pytest.mark.parametrize("digits", [1, 18])
def test_whole_number_stays_whole(digits: int) -> None:
    assert body_of('{"event":%s}' % ("7" * digits)).event == int("7" * digits)


@pytest.mark.parametrize("number", ["9" * 19, "-" + "9" * 400, "1" * 5000, "1e999"])
def test_number_of_any_length_is_taken_as_a_float(number: str) -> None:
    assert body_of(f'{{"event":{number}}}').event == float(number)


def test_idempotency_key_is_over_id_and_body_alone() -> None:
    key = parse(signed("a", 1), BODY, 0)[0].key

    assert key == "b3d23cc304ecc055cd86fe9eeb9848542f115cd82a044b2e6ab8cb9f3e6cfd40"  # sha256sum's
    assert key == parse(signed("a", 2, "v1,other"), BODY, 9)[0].key == idempotency_key("a", BODY)
    assert key != idempotency_key("b", BODY)
    assert key != idempotency_key("a", BODY + b" ")


def test_reference_is_a_short_code_of_the_key() -> None:
    callout = body_of(BODY)

    assert callout.reference.replace("-", "") == callout.key[:12].upper()
    assert len(callout.reference) == 14


def test_repr_of_a_callout_shows_nothing_of_the_event() -> None:
    callout = body_of('{"event":{"user":{"email":"victim@example.com"},"secrets":{"A":"hidden"}}}')

    assert "victim" not in repr(callout)
    assert "hidden" not in repr(callout)


# Whatever a stranger sends


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.integers(0, 99_999_999_999))
def test_any_bytes_are_a_callout_or_refused_with_400(body: bytes, timestamp: int) -> None:
    try:
        callout, odd = parse(signed("a", timestamp), body, 0)
    except InvalidCallout as error:
        status = error.status
    else:
        status = 400
        assert callout.time.tzinfo is UTC
        assert isinstance(odd, str)

    assert status == 400


@given(st.text() | json_values)
def test_any_time_and_sandbox_are_taken(value: Any) -> None:
    callout, _ = parse(signed(), json.dumps({"time": value, "sandbox": value}).encode(), 0)

    assert callout.sandbox is (value is True)
