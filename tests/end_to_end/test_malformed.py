"""Property-based tests: malformed input gets a 4xx response and never makes the function fail."""

import json
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth0.callout import OutgoingCallout, sign
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import Harness

few_examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
EVENT_FIELDS = [
    "authentication",
    "configuration",
    "connection",
    "custom_domain",
    "request",
    "secrets",
    "tenant",
    "transaction",
]


@few_examples
@given(values=st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "timestamp", "signature"), header_values)))
def test_malformed_headers_are_unauthorized(harness: Harness, values: dict[str, str]) -> None:
    callout = callout_for(new_address())
    content_type = {
        name: value for name, value in callout.headers(harness.signing_key).items() if name == "content-type"
    }
    headers = {f"webhook-{name}": value for name, value in values.items()}
    assert harness.request(callout.body, {**content_type, **headers}).status == 401


@few_examples
@given(timestamp=header_values | st.integers().map(str) | st.floats().map(str))
def test_a_malformed_timestamp_is_unauthorized_even_if_signed(harness: Harness, timestamp: str) -> None:
    callout = callout_for(new_address())
    signature = sign(harness.signing_key, callout.id, timestamp, callout.body)
    headers = {**callout.headers(harness.signing_key), "webhook-timestamp": timestamp, "webhook-signature": signature}
    assert harness.request(callout.body, headers).status == 401


@few_examples
@given(callout_id=header_values)
def test_any_webhook_id_is_accepted_or_unauthorized(harness: Harness, callout_id: str) -> None:
    callout, timestamp = callout_for(new_address()), str(int(time.time()))
    signature = sign(harness.signing_key, callout_id, timestamp, callout.body)
    headers = {**callout.headers(harness.signing_key), "webhook-id": callout_id, "webhook-signature": signature}
    assert harness.request(callout.body, headers).status in (200, 401)


@few_examples
@given(data=st.data())
def test_changing_any_byte_of_the_body_is_unauthorized(harness: Harness, data: st.DataObject) -> None:
    callout = callout_for("a-signed-reader@example.com")
    index = data.draw(st.integers(0, len(callout.body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != callout.body[index]))
    changed = callout.body[:index] + bytes([byte]) + callout.body[index + 1 :]
    assert harness.request(changed, callout.headers(harness.signing_key)).status == 401


@few_examples
@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_a_signed_body_of_arbitrary_bytes_is_a_bad_request(harness: Harness, body: bytes) -> None:
    response = harness.send(OutgoingCallout(body))
    assert (response.status, response.code in ("invalid_json", "invalid_event")) == (400, True)


@few_examples
@given(fields=st.fixed_dictionaries({}, optional=dict.fromkeys(EVENT_FIELDS, json_values)), value=json_values)
def test_a_signed_event_with_arbitrary_fields_sends_the_email(
    harness: Harness, fields: dict[str, Any], value: Any
) -> None:
    address = new_address()
    response = harness.send(make_callout(make_event(address, **fields), time=value, sandbox=value, other=value))
    assert (response.status, response.body["status"] in ("sent", "sandbox")) == (200, True)


@few_examples
@given(
    request_fields=st.dictionaries(st.sampled_from(["ip", "language", "user_agent", "geoip", "hostname"]), json_values)
)
def test_a_signed_event_with_arbitrary_request_fields_sends_the_email(
    harness: Harness, request_fields: dict[str, Any]
) -> None:
    response = harness.send(
        make_callout(make_event(new_address(), request=request_fields, connection={"name": request_fields.get("ip")}))
    )
    assert (response.status, response.body["status"]) == (200, "sent")
