import base64
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from werkzeug.datastructures import Headers

from runtime.errors import InvalidCallout, Unavailable
from runtime.secret_sources import PermanentError, TemporaryError
from runtime.secrets import SecretCache
from runtime.signature import (
    SignedHeaders,
    SigningKeys,
    check_age,
    has_valid_signature,
    invalid_signature,
    parse_headers,
    parse_signing_key,
)
from settings import Settings
from tests.conftest import SIGNING_KEY, FakeTime, Lines, Sign

OTHER_KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b"{}"
VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "signature.json").read_text())
KEY = parse_signing_key(SIGNING_KEY)
NOW = 1_800_000_000
FAR_DEADLINE = 1e9  # monotonic seconds
SOURCE = "projects/p/secrets/callout"


def signed(id_: str = "msg_1", timestamp: int = NOW, *signatures: str) -> SignedHeaders:
    return SignedHeaders(id_, timestamp, signatures)


# Signature


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_test_vector_is_valid(vector: dict[str, Any]) -> None:
    headers = Headers(
        {
            "webhook-id": vector["id"],
            "webhook-timestamp": str(vector["timestamp"]),
            "webhook-signature": vector["signature"],
        }
    )
    claimed = parse_headers(headers)

    check_age(claimed, vector["timestamp"])
    assert has_valid_signature(claimed, vector["body"].encode(), [parse_signing_key(vector["secret"])])


@given(st.from_regex(r"[!-~]{1,50}", fullmatch=True), st.text())
def test_a_signature_by_the_reference_library_is_valid(webhook_id: str, body: str) -> None:
    signature = Webhook(SIGNING_KEY).sign(webhook_id, datetime.fromtimestamp(NOW, UTC), body)

    assert has_valid_signature(signed(webhook_id, NOW, signature), body.encode(), [KEY])


def test_a_signature_with_a_changed_id_time_body_or_key_is_invalid(sign: Sign) -> None:
    valid = sign(BODY, timestamp=NOW)["webhook-signature"]

    assert has_valid_signature(signed("msg_1", NOW, valid), BODY, [KEY])
    assert not has_valid_signature(signed("msg_2", NOW, valid), BODY, [KEY])
    assert not has_valid_signature(signed("msg_1", NOW + 1, valid), BODY, [KEY])
    assert not has_valid_signature(signed("msg_1", NOW, valid), BODY + b" ", [KEY])
    assert not has_valid_signature(signed("msg_1", NOW, valid), BODY, [parse_signing_key(OTHER_KEY)])
    assert not has_valid_signature(signed("msg_1", NOW, valid), BODY, [])


def test_one_matching_pair_of_several_signatures_and_keys_is_enough(sign: Sign) -> None:
    valid = sign(BODY, timestamp=NOW)["webhook-signature"]
    multiple = signed("msg_1", NOW, "v1,AAAA", "v2,other", valid)

    assert has_valid_signature(multiple, BODY, [parse_signing_key(OTHER_KEY), KEY])
    assert has_valid_signature(multiple, BODY, [KEY, parse_signing_key(OTHER_KEY)])


@pytest.mark.parametrize(
    "change",
    [
        lambda valid: "v1a," + valid[3:],
        lambda valid: "v2," + valid[3:],
        lambda valid: "V1," + valid[3:],
        lambda valid: "v1;" + valid[3:],
        lambda valid: valid[3:],
        lambda valid: valid[:-1],
        lambda valid: valid + "=",
        lambda valid: valid.replace("v1,", "v1, "),
        lambda valid: "v1,",
        lambda valid: "v1,é",
        lambda valid: "v1,\ud800",
        lambda valid: "v1,%%%",
        lambda valid: "",
    ],
)
def test_a_signature_that_is_malformed_or_of_another_version_is_invalid(sign: Sign, change: Any) -> None:
    valid = sign(BODY, timestamp=NOW)["webhook-signature"]

    assert not has_valid_signature(signed("msg_1", NOW, change(valid)), BODY, [KEY])


def test_several_signatures_are_separated_by_one_space() -> None:
    headers = Headers({"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,a v1,b"})

    assert parse_headers(headers) == SignedHeaders("a", 1, ("v1,a", "v1,b"))


# Headers


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_header_is_rejected_and_its_name_is_only_logged(name: str, value: str | None) -> None:
    headers = Headers({"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,a"})
    headers.remove(name)
    if value is not None:
        headers[name] = value

    with pytest.raises(InvalidCallout) as caught:
        parse_headers(headers)

    assert caught.value.cause == f"missing {name}"
    assert caught.value.message == invalid_signature("").message
    assert (caught.value.status, caught.value.code) == (401, "invalid_signature")


def test_all_missing_headers_are_reported_together() -> None:
    with pytest.raises(InvalidCallout) as caught:
        parse_headers(Headers())

    assert caught.value.cause == "missing webhook-id and webhook-timestamp and webhook-signature"


@pytest.mark.parametrize(
    ("webhook_id", "timestamp"),
    [
        ("two words", "1"),
        ("é", "1"),
        ("x" * 257, "1"),
        ("new\x01", "1"),
        ("msg:1", "1"),
        ("msg+1", "1"),
        ("../1", "1"),
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
def test_a_malformed_id_or_timestamp_is_rejected(webhook_id: str, timestamp: str) -> None:
    headers = Headers({"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": "v1,a"})

    with pytest.raises(InvalidCallout) as caught:
        parse_headers(headers)

    assert caught.value.code == "invalid_signature"
    assert "malformed" in caught.value.cause


def test_an_id_with_a_dot_is_rejected_because_its_signature_has_a_second_interpretation(sign: Sign) -> None:
    headers = sign(BODY, webhook_id=f"msg_1.{NOW}", timestamp=NOW)

    assert has_valid_signature(signed("msg_1", NOW, headers["webhook-signature"]), b"%d." % NOW + BODY, [KEY])
    with pytest.raises(InvalidCallout):
        parse_headers(Headers(headers))


def test_an_id_of_the_maximum_length_is_accepted() -> None:
    headers = Headers({"webhook-id": "x" * 256, "webhook-timestamp": "99999999999", "webhook-signature": "v1,a"})

    assert parse_headers(headers).timestamp == 99_999_999_999


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_an_age_of_up_to_five_minutes_is_accepted(age: int) -> None:
    check_age(signed(timestamp=NOW - age), NOW + 0.9)


@pytest.mark.parametrize("age", [-301, 301])
def test_a_greater_age_is_rejected(age: int) -> None:
    with pytest.raises(InvalidCallout) as caught:
        check_age(signed(timestamp=NOW - age), NOW)

    assert caught.value.code == "invalid_signature"
    assert f"{age} s old" in caught.value.cause


def test_a_longer_tolerance_applies_only_to_the_past() -> None:
    month = 31 * 86_400

    check_age(signed(timestamp=NOW - month), NOW, tolerance=month)
    with pytest.raises(InvalidCallout):
        check_age(signed(timestamp=NOW - month - 1), NOW, tolerance=month)
    with pytest.raises(InvalidCallout):
        check_age(signed(timestamp=NOW + 301), NOW, tolerance=month)


# Signing key


@pytest.mark.parametrize("size", [24, 64])
def test_a_signing_key_of_valid_size_is_parsed(size: int) -> None:
    key = bytes(range(size))

    assert parse_signing_key(f"whsec_{base64.b64encode(key).decode()}") == key


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
def test_a_malformed_signing_key_is_a_value_error_without_the_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(expected whsec_|the part after whsec_)") as caught:
        parse_signing_key(text)

    assert caught.value.__cause__ is None
    assert not text[6:] or text[6:] not in str(caught.value)


latin = st.text(st.characters(exclude_characters="\r\n", max_codepoint=0xFF))
headers = st.dictionaries(
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]),
    latin | st.from_regex(r"[0-9]{1,13}|v1,[ -~]*", fullmatch=True),
)
complete_headers = st.fixed_dictionaries(
    {
        "webhook-id": st.from_regex(r"[A-Za-z0-9_-]{1,256}", fullmatch=True),
        "webhook-timestamp": st.from_regex(r"[0-9]{1,11}", fullmatch=True),
        "webhook-signature": latin.filter(bool),
    }
)


@given(headers | complete_headers, st.binary(), st.integers(0, 2**40))
def test_any_headers_and_bytes_are_rejected_with_401(headers: dict[str, str], body: bytes, now: int) -> None:
    try:
        claimed = parse_headers(Headers(headers))
        check_age(claimed, now)
    except InvalidCallout as error:
        status = error.status
    else:
        status = 401
        assert not has_valid_signature(claimed, body, [KEY])

    assert status == 401


def test_a_fresh_signature_is_valid(sign: Sign, time: FakeTime) -> None:
    claimed = parse_headers(Headers(sign(BODY)))

    check_age(claimed, time.now)
    assert has_valid_signature(claimed, BODY, [KEY])


# The keys of the secret


class Store:
    """A secret source for the keys, each read of which takes 0.05 s."""

    def __init__(self, time: FakeTime) -> None:
        self.text, self.reads, self.time = SIGNING_KEY, 0, time
        self.error: Exception | None = None

    def __call__(self, source: str) -> str:
        self.reads += 1
        self.time.advance(0.05)
        if self.error:
            raise self.error
        return self.text


@pytest.fixture
def store(time: FakeTime) -> Store:
    return Store(time)


@pytest.fixture
def keys(settings: Settings, store: Store, time: FakeTime) -> SigningKeys:
    return SigningKeys(settings, SecretCache(settings, fetch=store, clock=time.clock), clock=time.clock)


@pytest.fixture
def valid_headers(sign: Sign) -> Headers:
    return headers_signed_by(sign, SIGNING_KEY)


@pytest.fixture
def other_headers(sign: Sign) -> Headers:
    return headers_signed_by(sign, OTHER_KEY)


def headers_signed_by(sign: Sign, *keys: str) -> Headers:
    return Headers(sign(BODY, keys=keys))


def verify(keys: SigningKeys, signed: Headers) -> None:
    keys.verify(signed, BODY, tolerance=math.inf, deadline=FAR_DEADLINE)


def rejection(keys: SigningKeys, signed: Headers) -> InvalidCallout:
    with pytest.raises(InvalidCallout) as caught:
        verify(keys, signed)
    assert (caught.value.code, caught.value.status) == ("invalid_signature", 401)
    return caught.value


def unavailability(keys: SigningKeys, signed: Headers) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        verify(keys, signed)
    assert (caught.value.code, caught.value.status) == ("secret_unavailable", 503)
    return caught.value


def test_a_known_signature_is_valid_and_the_keys_are_read_once(
    keys: SigningKeys, store: Store, valid_headers: Headers
) -> None:
    verify(keys, valid_headers)
    verify(keys, valid_headers)

    assert store.reads == 1


def test_a_signature_by_any_of_several_keys_is_valid(
    keys: SigningKeys, store: Store, valid_headers: Headers, other_headers: Headers
) -> None:
    store.text = f"{OTHER_KEY}\n\t{SIGNING_KEY} "

    verify(keys, valid_headers)
    verify(keys, other_headers)


def test_a_new_key_works_immediately_even_if_the_old_one_was_just_read(
    keys: SigningKeys, store: Store, valid_headers: Headers, other_headers: Headers
) -> None:
    verify(keys, valid_headers)
    store.text = OTHER_KEY

    verify(keys, other_headers)
    assert store.reads == 2


def test_unknown_signatures_trigger_a_read_at_most_every_ten_seconds(
    keys: SigningKeys, store: Store, time: FakeTime, valid_headers: Headers, other_headers: Headers
) -> None:
    verify(keys, valid_headers)
    for _ in range(5):
        rejection(keys, other_headers)
    assert store.reads == 2

    time.advance(9.9 - 0.05)  # the last read took 0.05 s
    rejection(keys, other_headers)
    assert store.reads == 2

    time.monotonic = round(time.monotonic + 0.1, 6)
    rejection(keys, other_headers)
    assert store.reads == 3


def test_a_key_added_just_after_an_unknown_signature_works_ten_seconds_later(
    keys: SigningKeys, store: Store, time: FakeTime, other_headers: Headers
) -> None:
    rejection(keys, other_headers)
    store.text = OTHER_KEY
    rejection(keys, other_headers)
    time.advance(10)

    verify(keys, other_headers)


def test_an_unknown_signature_that_cannot_be_checked_against_fresh_keys_is_unavailable_not_invalid(
    keys: SigningKeys, store: Store, time: FakeTime, valid_headers: Headers, other_headers: Headers
) -> None:
    """The forwarder retries a 503 and not a 401, which would lose the notice if the key is new."""
    verify(keys, valid_headers)
    store.text, store.error = OTHER_KEY, TemporaryError("503")

    assert [unavailability(keys, other_headers).cause for _ in range(3)] == [f"{SOURCE}: 503"] * 3
    assert store.reads == 2
    verify(keys, valid_headers)

    store.error = None
    unavailability(keys, other_headers)
    time.advance(10)
    verify(keys, other_headers)
    assert store.reads == 3


def test_a_known_signature_stays_valid_for_a_day_of_outage(
    keys: SigningKeys, store: Store, time: FakeTime, sign: Sign
) -> None:
    verify(keys, headers_signed_by(sign, SIGNING_KEY))
    store.error = TemporaryError("503")
    time.advance(24 * 3600 - 1)

    verify(keys, headers_signed_by(sign, SIGNING_KEY))


def test_a_malformed_key_next_to_a_valid_one_is_skipped_and_logged_once(
    keys: SigningKeys, store: Store, valid_headers: Headers, time: FakeTime, lines: Lines
) -> None:
    store.text = f"whsec_short nonsense-of-a-key {SIGNING_KEY}"
    verify(keys, valid_headers)
    time.advance(300)
    verify(keys, valid_headers)

    first, second = lines()
    assert (first["severity"], first["code"]) == ("ERROR", "malformed_signing_key")
    assert first["message"].startswith("skipping key 1 of CALLOUT_SIGNING_KEY: ")
    assert second["message"].startswith("skipping key 2 of CALLOUT_SIGNING_KEY: ")
    assert "nonsense" not in second["message"]


@pytest.mark.parametrize("text", ["", "nonsense", "whsec_AAAA"])
def test_without_a_valid_key_every_callout_is_unavailable(
    keys: SigningKeys, store: Store, valid_headers: Headers, text: str
) -> None:
    store.text = text

    assert unavailability(keys, valid_headers).cause == "no valid signing key"


def test_a_valid_key_stored_in_place_of_malformed_ones_works_ten_seconds_later(
    keys: SigningKeys, store: Store, time: FakeTime, valid_headers: Headers
) -> None:
    store.text = "nonsense"
    unavailability(keys, valid_headers)
    store.text = SIGNING_KEY
    time.advance(10)

    verify(keys, valid_headers)


def test_a_secret_with_a_permanent_error_is_unavailable(
    keys: SigningKeys, store: Store, valid_headers: Headers
) -> None:
    store.error = PermanentError("403")

    assert unavailability(keys, valid_headers).cause == f"{SOURCE}: 403"
