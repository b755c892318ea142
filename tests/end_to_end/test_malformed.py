"""Whatever comes, the answer is a refusal of the caller's mistake and never a failure of the function."""

import json
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth0.callout import OutgoingCallout, sign
from tests.end_to_end.callouts import callout, event, new_address, notice_to
from tests.end_to_end.harness import Harness

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
MEMBERS = [
    "authentication",
    "configuration",
    "connection",
    "custom_domain",
    "request",
    "secrets",
    "tenant",
    "transaction",
]


@few
@given(values=st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "timestamp", "signature"), header_values)))
def test_malformed_headers_are_unauthorized(stage: Harness, values: dict[str, str]) -> None:
    sent = notice_to(new_address())
    good = {name: value for name, value in sent.headers(stage.signing_key).items() if name == "content-type"}
    headers = {f"webhook-{name}": value for name, value in values.items()}
    assert stage.request(sent.body, {**good, **headers}).status == 401


@few
@given(timestamp=header_values | st.integers().map(str) | st.floats().map(str))
def test_a_malformed_timestamp_is_unauthorized_although_it_is_signed(stage: Harness, timestamp: str) -> None:
    sent = notice_to(new_address())
    signature = sign(stage.signing_key, sent.id, timestamp, sent.body)
    headers = {**sent.headers(stage.signing_key), "webhook-timestamp": timestamp, "webhook-signature": signature}
    assert stage.request(sent.body, headers).status == 401


@few
@given(callout_id=header_values)
def test_an_id_of_any_kind_is_taken_or_unauthorized(stage: Harness, callout_id: str) -> None:
    bare, moment = notice_to(new_address()), str(int(time.time()))
    signature = sign(stage.signing_key, callout_id, moment, bare.body)
    headers = {**bare.headers(stage.signing_key), "webhook-id": callout_id, "webhook-signature": signature}
    assert stage.request(bare.body, headers).status in (200, 401)


@few
@given(data=st.data())
def test_every_changed_byte_of_the_body_is_unauthorized(stage: Harness, data: st.DataObject) -> None:
    sent = notice_to("a-signed-reader@example.com")
    place = data.draw(st.integers(0, len(sent.body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != sent.body[place]))
    changed = sent.body[:place] + bytes([byte]) + sent.body[place + 1 :]
    assert stage.request(changed, sent.headers(stage.signing_key)).status == 401


@few
@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_a_signed_body_of_any_bytes_is_a_bad_request(stage: Harness, body: bytes) -> None:
    answer = stage.send(OutgoingCallout(body))
    assert (answer.status, answer.code in ("invalid_json", "invalid_event")) == (400, True)


@few
@given(members=st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, json_values)), beside=json_values)
def test_a_signed_event_with_anything_beside_the_address_brings_the_mail(
    stage: Harness, members: dict[str, Any], beside: Any
) -> None:
    address = new_address()
    answer = stage.send(callout(event(address, **members), time=beside, sandbox=beside, other=beside))
    assert (answer.status, answer.body["status"] in ("sent", "sandbox")) == (200, True)


@few
@given(facts=st.dictionaries(st.sampled_from(["ip", "language", "user_agent", "geoip", "hostname"]), json_values))
def test_a_signed_request_of_any_facts_brings_the_mail(stage: Harness, facts: dict[str, Any]) -> None:
    answer = stage.send(callout(event(new_address(), request=facts, connection={"name": facts.get("ip")})))
    assert (answer.status, answer.body["status"]) == (200, "sent")
