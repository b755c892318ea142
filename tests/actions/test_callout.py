import base64
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from werkzeug.datastructures import Headers

from actions.callout import (
    Callout,
    Signed,
    idempotency_key,
    is_signed,
    read_body,
    read_headers,
    signing_key,
    unauthorized,
    verify_age,
)
from actions.errors import CalloutRefused
from tests.conftest import SIGNING_KEY, FakeTime, Sign

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "signature.json").read_text())
KEY = signing_key(SIGNING_KEY)
OTHER_KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"event":{}}'
NOW = 1_800_000_000


def signed(id_: str = "msg_1", timestamp: int = NOW, *signatures: str) -> Signed:
    return Signed(id_, timestamp, signatures)


def body_of(text: str | bytes) -> Callout:
    return read_body(signed(), text if isinstance(text, bytes) else text.encode(), 5.0)[0]


def refusal(text: str | bytes) -> tuple[str, int, str]:
    with pytest.raises(CalloutRefused) as caught:
        body_of(text)
    return caught.value.code, caught.value.status, caught.value.message


# Signature


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_frozen_vector_verifies(vector: dict[str, Any]) -> None:
    headers = Headers(
        {
            "webhook-id": vector["id"],
            "webhook-timestamp": str(vector["timestamp"]),
            "webhook-signature": vector["signature"],
        }
    )
    claimed = read_headers(headers)

    verify_age(claimed, vector["timestamp"])
    assert is_signed(claimed, vector["body"].encode(), [signing_key(vector["secret"])])


@given(st.from_regex(r"[!-~]{1,50}", fullmatch=True), st.text())
def test_what_the_public_library_signs_verifies(webhook_id: str, body: str) -> None:
    signature = Webhook(SIGNING_KEY).sign(webhook_id, datetime.fromtimestamp(NOW, UTC), body)

    assert is_signed(signed(webhook_id, NOW, signature), body.encode(), [KEY])


def test_changed_id_time_body_or_key_does_not_verify(sign: Sign) -> None:
    good = sign(BODY, timestamp=NOW)["webhook-signature"]

    assert is_signed(signed("msg_1", NOW, good), BODY, [KEY])
    assert not is_signed(signed("msg_2", NOW, good), BODY, [KEY])
    assert not is_signed(signed("msg_1", NOW + 1, good), BODY, [KEY])
    assert not is_signed(signed("msg_1", NOW, good), BODY + b" ", [KEY])
    assert not is_signed(signed("msg_1", NOW, good), BODY, [signing_key(OTHER_KEY)])
    assert not is_signed(signed("msg_1", NOW, good), BODY, [])


def test_one_good_signature_among_several_with_one_good_key_among_several_holds(sign: Sign) -> None:
    good = sign(BODY, timestamp=NOW)["webhook-signature"]
    several = signed("msg_1", NOW, "v1,AAAA", "v2,whatever", good)

    assert is_signed(several, BODY, [signing_key(OTHER_KEY), KEY])
    assert is_signed(several, BODY, [KEY, signing_key(OTHER_KEY)])


@pytest.mark.parametrize(
    "change",
    [
        lambda good: "v1a," + good[3:],
        lambda good: "v2," + good[3:],
        lambda good: "V1," + good[3:],
        lambda good: "v1;" + good[3:],
        lambda good: good[3:],
        lambda good: good[:-1],
        lambda good: good + "=",
        lambda good: good.replace("v1,", "v1, "),
        lambda good: "v1,",
        lambda good: "v1,é",
        lambda good: "v1,\ud800",
        lambda good: "v1,%%%",
        lambda good: "",
    ],
)
def test_signature_of_another_version_or_malformed_is_none(sign: Sign, change: Any) -> None:
    good = sign(BODY, timestamp=NOW)["webhook-signature"]

    assert not is_signed(signed("msg_1", NOW, change(good)), BODY, [KEY])


def test_several_signatures_are_separated_by_one_space() -> None:
    headers = Headers({"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,a v1,b"})

    assert read_headers(headers) == Signed("a", 1, ("v1,a", "v1,b"))


# Headers


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_header_is_refused_with_its_name_for_the_log_alone(name: str, value: str | None) -> None:
    headers = Headers({"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,a"})
    headers.remove(name)
    if value is not None:
        headers[name] = value

    with pytest.raises(CalloutRefused) as caught:
        read_headers(headers)

    assert caught.value.cause == f"{name} missing"
    assert caught.value.message == unauthorized("").message
    assert (caught.value.status, caught.value.code) == (401, "invalid_signature")


def test_all_missing_headers_are_named_together() -> None:
    with pytest.raises(CalloutRefused) as caught:
        read_headers(Headers())

    assert caught.value.cause == "webhook-id and webhook-timestamp and webhook-signature missing"


@pytest.mark.parametrize(
    ("webhook_id", "timestamp"),
    [
        ("two words", "1"),
        ("é", "1"),
        ("x" * 257, "1"),
        ("new\x01", "1"),
        ("a", "-1"),
        ("a", "1.5"),
        ("a", " 1"),
        ("a", "1" * 12),
        ("a", "٣"),
        ("a", "0x10"),
        ("a", "01614265330"),
        ("a", "0"),
    ],
)
def test_malformed_id_or_timestamp_is_refused(webhook_id: str, timestamp: str) -> None:
    headers = Headers({"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": "v1,a"})

    with pytest.raises(CalloutRefused) as caught:
        read_headers(headers)

    assert caught.value.code == "invalid_signature"
    assert "malformed" in caught.value.cause


def test_longest_id_is_taken() -> None:
    headers = Headers({"webhook-id": "x" * 256, "webhook-timestamp": "99999999999", "webhook-signature": "v1,a"})

    assert read_headers(headers).timestamp == 99_999_999_999


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_age_within_five_minutes_is_tolerated(age: int) -> None:
    verify_age(signed(timestamp=NOW - age), NOW + 0.9)


@pytest.mark.parametrize("age", [-301, 301])
def test_age_of_a_second_more_is_refused(age: int) -> None:
    with pytest.raises(CalloutRefused) as caught:
        verify_age(signed(timestamp=NOW - age), NOW)

    assert caught.value.code == "invalid_signature"
    assert f"{age} s old" in caught.value.cause


def test_longer_tolerance_is_for_the_past_alone() -> None:
    month = 31 * 86_400

    verify_age(signed(timestamp=NOW - month), NOW, tolerance=month)
    with pytest.raises(CalloutRefused):
        verify_age(signed(timestamp=NOW - month - 1), NOW, tolerance=month)
    with pytest.raises(CalloutRefused):
        verify_age(signed(timestamp=NOW + 301), NOW, tolerance=month)


# Signing key


@pytest.mark.parametrize("size", [24, 64])
def test_signing_key_of_legal_size_is_read(size: int) -> None:
    key = bytes(range(size))

    assert signing_key(f"whsec_{base64.b64encode(key).decode()}") == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "secret_" + base64.b64encode(bytes(24)).decode(),
        base64.b64encode(bytes(24)).decode(),
        "whsec_not base64 at all, not at all",
        "whsec_é" + "A" * 40,
        "whsec_" + "A" * 41,
        SIGNING_KEY[:20] + "!" + SIGNING_KEY[20:],
    ],
)
def test_malformed_signing_key_is_a_value_error_without_the_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it is not whsec_|what follows whsec_)") as caught:
        signing_key(text)

    assert caught.value.__cause__ is None
    assert not text[6:] or text[6:] not in str(caught.value)


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
        callout, odd = read_body(signed(), text, 0)

        assert callout.time == datetime.fromtimestamp(NOW, UTC)
        assert callout.sandbox is False
        assert odd == ""


@pytest.mark.parametrize("value", ['"true"', "1", "0", "[]", "{}"])
def test_sandbox_of_the_wrong_type_reads_as_absent_with_a_remark(value: str) -> None:
    callout, odd = read_body(signed(), b'{"sandbox":%s}' % value.encode(), 0)

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
    callout, odd = read_body(signed(), json.dumps({"time": text}).encode(), 0)

    assert callout.time.tzinfo is UTC
    assert (callout.time.day, callout.time.hour) == (23, hour)
    assert odd == ""


def test_time_without_a_zone_is_utc_wherever_this_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        callout, _ = read_body(signed(), b'{"time": "2026-11-23T10:15:00"}', 0)
    time.tzset()

    assert callout.time == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["", "yesterday", "9999-12-31T23:00:00-23:00", "0001-01-01T00:00:00+23:00", 5, [], {}]
)
def test_time_that_is_none_gives_way_to_the_timestamp_with_a_remark(value: object) -> None:
    callout, odd = read_body(signed(), json.dumps({"time": value}).encode(), 0)

    assert callout.time == datetime.fromtimestamp(NOW, UTC)
    assert odd.startswith("time: expected")


def test_two_oddities_are_told_together() -> None:
    odd = read_body(signed(), b'{"time":1,"sandbox":1}', 0)[1]

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
    key = read_body(signed("a", 1), BODY, 0)[0].key

    assert key == "b3d23cc304ecc055cd86fe9eeb9848542f115cd82a044b2e6ab8cb9f3e6cfd40"  # sha256sum's
    assert key == read_body(signed("a", 2, "v1,other"), BODY, 9)[0].key == idempotency_key("a", BODY)
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


latin = st.text(st.characters(exclude_characters="\r\n", max_codepoint=0xFF))
headers = st.dictionaries(
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]),
    latin | st.from_regex(r"[0-9]{1,13}|v1,[ -~]*", fullmatch=True),
)
whole = st.fixed_dictionaries(
    {
        "webhook-id": st.from_regex(r"[!-~]{1,256}", fullmatch=True),
        "webhook-timestamp": st.from_regex(r"[0-9]{1,11}", fullmatch=True),
        "webhook-signature": latin.filter(bool),
    }
)


@given(headers | whole, st.binary(), st.integers(0, 2**40))
def test_any_headers_and_bytes_are_refused_with_401(headers: dict[str, str], body: bytes, now: int) -> None:
    try:
        claimed = read_headers(Headers(headers))
        verify_age(claimed, now)
    except CalloutRefused as error:
        status = error.status
    else:
        status = 401
        assert not is_signed(claimed, body, [KEY])

    assert status == 401


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.integers(0, 99_999_999_999))
def test_any_bytes_are_a_callout_or_refused_with_400(body: bytes, timestamp: int) -> None:
    try:
        callout, odd = read_body(signed("a", timestamp), body, 0)
    except CalloutRefused as error:
        status = error.status
    else:
        status = 400
        assert callout.time.tzinfo is UTC
        assert isinstance(odd, str)

    assert status == 400


@given(st.text() | json_values)
def test_any_time_and_sandbox_are_taken(value: Any) -> None:
    callout, _ = read_body(signed(), json.dumps({"time": value, "sandbox": value}).encode(), 0)

    assert callout.sandbox is (value is True)


def test_fresh_signature_of_the_signer_verifies(sign: Sign, time: FakeTime) -> None:
    claimed = read_headers(Headers(sign(BODY)))

    verify_age(claimed, time.now)
    assert is_signed(claimed, BODY, [KEY])
