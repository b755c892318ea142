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
LONG = 1e9


def signed(id_: str = "msg_1", timestamp: int = NOW, *signatures: str) -> SignedHeaders:
    return SignedHeaders(id_, timestamp, signatures)


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
    claimed = parse_headers(headers)

    check_age(claimed, vector["timestamp"])
    assert has_valid_signature(claimed, vector["body"].encode(), [parse_signing_key(vector["secret"])])


@given(st.from_regex(r"[!-~]{1,50}", fullmatch=True), st.text())
def test_what_the_public_library_signs_verifies(webhook_id: str, body: str) -> None:
    signature = Webhook(SIGNING_KEY).sign(webhook_id, datetime.fromtimestamp(NOW, UTC), body)

    assert has_valid_signature(signed(webhook_id, NOW, signature), body.encode(), [KEY])


def test_changed_id_time_body_or_key_does_not_verify(sign: Sign) -> None:
    good = sign(BODY, timestamp=NOW)["webhook-signature"]

    assert has_valid_signature(signed("msg_1", NOW, good), BODY, [KEY])
    assert not has_valid_signature(signed("msg_2", NOW, good), BODY, [KEY])
    assert not has_valid_signature(signed("msg_1", NOW + 1, good), BODY, [KEY])
    assert not has_valid_signature(signed("msg_1", NOW, good), BODY + b" ", [KEY])
    assert not has_valid_signature(signed("msg_1", NOW, good), BODY, [parse_signing_key(OTHER_KEY)])
    assert not has_valid_signature(signed("msg_1", NOW, good), BODY, [])


def test_one_good_signature_among_several_with_one_good_key_among_several_holds(sign: Sign) -> None:
    good = sign(BODY, timestamp=NOW)["webhook-signature"]
    several = signed("msg_1", NOW, "v1,AAAA", "v2,whatever", good)

    assert has_valid_signature(several, BODY, [parse_signing_key(OTHER_KEY), KEY])
    assert has_valid_signature(several, BODY, [KEY, parse_signing_key(OTHER_KEY)])


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

    assert not has_valid_signature(signed("msg_1", NOW, change(good)), BODY, [KEY])


def test_several_signatures_are_separated_by_one_space() -> None:
    headers = Headers({"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,a v1,b"})

    assert parse_headers(headers) == SignedHeaders("a", 1, ("v1,a", "v1,b"))


# Headers


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_header_is_refused_with_its_name_for_the_log_alone(name: str, value: str | None) -> None:
    headers = Headers({"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,a"})
    headers.remove(name)
    if value is not None:
        headers[name] = value

    with pytest.raises(InvalidCallout) as caught:
        parse_headers(headers)

    assert caught.value.cause == f"{name} missing"
    assert caught.value.message == invalid_signature("").message
    assert (caught.value.status, caught.value.code) == (401, "invalid_signature")


def test_all_missing_headers_are_named_together() -> None:
    with pytest.raises(InvalidCallout) as caught:
        parse_headers(Headers())

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

    with pytest.raises(InvalidCallout) as caught:
        parse_headers(headers)

    assert caught.value.code == "invalid_signature"
    assert "malformed" in caught.value.cause


def test_longest_id_is_taken() -> None:
    headers = Headers({"webhook-id": "x" * 256, "webhook-timestamp": "99999999999", "webhook-signature": "v1,a"})

    assert parse_headers(headers).timestamp == 99_999_999_999


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_age_within_five_minutes_is_tolerated(age: int) -> None:
    check_age(signed(timestamp=NOW - age), NOW + 0.9)


@pytest.mark.parametrize("age", [-301, 301])
def test_age_of_a_second_more_is_refused(age: int) -> None:
    with pytest.raises(InvalidCallout) as caught:
        check_age(signed(timestamp=NOW - age), NOW)

    assert caught.value.code == "invalid_signature"
    assert f"{age} s old" in caught.value.cause


def test_longer_tolerance_is_for_the_past_alone() -> None:
    month = 31 * 86_400

    check_age(signed(timestamp=NOW - month), NOW, tolerance=month)
    with pytest.raises(InvalidCallout):
        check_age(signed(timestamp=NOW - month - 1), NOW, tolerance=month)
    with pytest.raises(InvalidCallout):
        check_age(signed(timestamp=NOW + 301), NOW, tolerance=month)


# Signing key


@pytest.mark.parametrize("size", [24, 64])
def test_signing_key_of_legal_size_is_read(size: int) -> None:
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
def test_malformed_signing_key_is_a_value_error_without_the_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it is not whsec_|what follows whsec_)") as caught:
        parse_signing_key(text)

    assert caught.value.__cause__ is None
    assert not text[6:] or text[6:] not in str(caught.value)


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
        claimed = parse_headers(Headers(headers))
        check_age(claimed, now)
    except InvalidCallout as error:
        status = error.status
    else:
        status = 401
        assert not has_valid_signature(claimed, body, [KEY])

    assert status == 401


def test_fresh_signature_of_the_signer_verifies(sign: Sign, time: FakeTime) -> None:
    claimed = parse_headers(Headers(sign(BODY)))

    check_age(claimed, time.now)
    assert has_valid_signature(claimed, BODY, [KEY])


# The keys of the secret


class Store:
    """What holds the keys; a reading takes a moment."""

    def __init__(self, time: FakeTime) -> None:
        self.text, self.asked, self.time = SIGNING_KEY, 0, time
        self.error: Exception | None = None

    def __call__(self, source: str) -> str:
        self.asked += 1
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
def good(sign: Sign) -> Headers:
    return signed_by(sign, SIGNING_KEY)


@pytest.fixture
def other(sign: Sign) -> Headers:
    return signed_by(sign, OTHER_KEY)


def signed_by(sign: Sign, *keys: str) -> Headers:
    return Headers(sign(BODY, keys=keys))


def refused(keys: SigningKeys, signed: Headers) -> InvalidCallout:
    with pytest.raises(InvalidCallout) as caught:
        keys.verify(signed, BODY, tolerance=math.inf, deadline=LONG)
    assert (caught.value.code, caught.value.status) == ("invalid_signature", 401)
    return caught.value


def test_known_signature_holds_and_the_keys_are_read_once(keys: SigningKeys, store: Store, good: Headers) -> None:
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)

    assert store.asked == 1


def test_any_of_several_keys_will_do(keys: SigningKeys, store: Store, good: Headers, other: Headers) -> None:
    store.text = f"{OTHER_KEY}\n\t{SIGNING_KEY} "

    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
    keys.verify(other, BODY, tolerance=math.inf, deadline=LONG)


def test_new_key_works_at_once_though_the_old_one_was_just_read(
    keys: SigningKeys, store: Store, good: Headers, other: Headers
) -> None:
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
    store.text = OTHER_KEY

    keys.verify(other, BODY, tolerance=math.inf, deadline=LONG)
    assert store.asked == 2


def test_unknown_signature_makes_us_read_at_most_once_in_ten_seconds(
    keys: SigningKeys, store: Store, time: FakeTime, good: Headers, other: Headers
) -> None:
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
    for _ in range(5):
        refused(keys, other)
    assert store.asked == 2

    time.advance(9.9 - 0.05)  # a reading takes a moment
    refused(keys, other)
    assert store.asked == 2

    time.monotonic = round(time.monotonic + 0.1, 6)
    refused(keys, other)
    assert store.asked == 3


def test_key_that_came_just_after_a_stranger_works_ten_seconds_later(
    keys: SigningKeys, store: Store, time: FakeTime, other: Headers
) -> None:
    refused(keys, other)
    store.text = OTHER_KEY
    refused(keys, other)
    time.advance(10)

    keys.verify(other, BODY, tolerance=math.inf, deadline=LONG)


def test_stranger_hears_the_same_in_an_outage(
    keys: SigningKeys, store: Store, time: FakeTime, good: Headers, other: Headers
) -> None:
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
    store.error = TemporaryError("503")

    assert refused(keys, other).cause == "no signature of a known key"
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)


def test_malformed_key_beside_a_good_one_is_skipped_and_told_once(
    keys: SigningKeys, store: Store, good: Headers, time: FakeTime, lines: Lines
) -> None:
    store.text = f"whsec_short nonsense-of-a-key {SIGNING_KEY}"
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
    time.advance(300)
    keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)

    first, second = lines()
    assert (first["severity"], first["code"]) == ("ERROR", "malformed_signing_key")
    assert first["message"].startswith("key 1 of CALLOUT_SIGNING_KEY is skipped: ")
    assert second["message"].startswith("key 2 of CALLOUT_SIGNING_KEY is skipped: ")
    assert "nonsense" not in second["message"]


@pytest.mark.parametrize("text", ["", "nonsense", "whsec_AAAA"])
def test_no_usable_key_is_unavailable_and_lets_nobody_in(
    keys: SigningKeys, store: Store, good: Headers, text: str
) -> None:
    store.text = text

    with pytest.raises(Unavailable) as caught:
        keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
    assert (caught.value.code, caught.value.cause) == ("secret_unavailable", "no usable signing key")


def test_refused_secret_is_unavailable(keys: SigningKeys, store: Store, good: Headers) -> None:
    store.error = PermanentError("403")

    with pytest.raises(Unavailable):
        keys.verify(good, BODY, tolerance=math.inf, deadline=LONG)
