from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.callout import Callout
from runtime.errors import InvalidCallout
from runtime.event import JsonObject, parse
from runtime.secrets import ActionSecrets, SecretCache
from settings import Settings

Read = Callable[[Any], Any]  # returns an Event; Any, so that optional fields need no None checks

FULL: dict[str, Any] = {
    "authentication": {"riskAssessment": {"supplemental": {"akamai": {"akamaiBot": {"botScore": 5}}}}},
    "configuration": {"a": "b"},
    "connection": {"id": "con_1", "metadata": {"brand": "blue"}, "name": "Users", "strategy": "auth0"},
    "custom_domain": {"domain": "login.example.com", "domain_metadata": {"k": "v"}},
    "request": {
        "geoip": {
            "cityName": "Bellevue",
            "continentCode": "NA",
            "countryCode": "US",
            "countryCode3": "USA",
            "countryName": "United States",
            "latitude": 47.6,
            "longitude": -122,
            "subdivisionCode": "WA",
            "subdivisionName": "Washington",
            "timeZone": "America/Los_Angeles",
        },
        "hostname": "example.auth0.com",
        "ip": "192.0.2.1",
        "language": "en",
        "method": "post",
        "user_agent": "curl/8",
    },
    "tenant": {"id": "acme"},
    "transaction": {"correlation_id": "c-1"},
    "user": {
        "email": "j+smith@example.com",
        "email_verified": True,
        "last_password_reset": "2026-11-23T10:15:00Z",
        "phone_number": "+13205550100",
        "phone_verified": False,
        "user_id": "auth0|1",
        "username": "j+smith",
    },
}


def callout_of(event: Any) -> Callout:
    return Callout("msg_1", "0" * 64, datetime(2026, 11, 23, tzinfo=UTC), sandbox=False, event=event, deadline=0)


@pytest.fixture
def secrets(settings: Settings) -> ActionSecrets:
    return ActionSecrets({}, SecretCache(settings, fetch=str))


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def event_of(secrets: ActionSecrets, warnings: list[str]) -> Read:
    return lambda raw: parse(callout_of(raw), secrets, warnings.append)


def plain(value: Any) -> Any:
    """Convert the event's values back to plain JSON values."""
    if isinstance(value, JsonObject):
        return {name: plain(field) for name, field in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def test_every_documented_field_is_read_unchanged(event_of: Read, warnings: list[str]) -> None:
    event = event_of(FULL)

    assert {name: plain(event[name]) for name in FULL} == FULL
    assert event.user.email == "j+smith@example.com"
    assert event.request.geoip.longitude == -122
    assert event.connection.metadata["brand"] == event.connection.metadata.brand == "blue"
    assert event.authentication.riskAssessment.supplemental.akamai.akamaiBot.botScore == 5
    assert warnings == []


@pytest.mark.parametrize("whitespace", [" ", "  ", "\t", "\r\n", "\u00a0", "\u3000"])
def test_whitespace_around_the_address_is_removed(event_of: Read, whitespace: str) -> None:
    """Custom databases keep it."""
    assert event_of({"user": {"email": f"{whitespace}kim@example.org{whitespace}"}}).user.email == "kim@example.org"
    assert event_of({"user": {"email": whitespace}}).user.email == whitespace  # SendGrid's rejection reports it
    assert event_of({"user": {"email": '"a b"@example.org'}}).user.email == '"a b"@example.org'


@pytest.mark.parametrize("absent", [{"user": {}}, {"user": {}, **dict.fromkeys(["connection", "request", "tenant"])}])
def test_absent_required_objects_read_as_empty_and_the_others_as_none(
    event_of: Read, warnings: list[str], absent: dict[str, Any]
) -> None:
    event = event_of(absent)

    assert event.user.email is event.connection.name is event.tenant.id is None
    assert event.request.geoip.timeZone is event.request.ip is None
    assert event.custom_domain is event.transaction is event.authentication is event.configuration is None
    assert event.connection.metadata is None
    assert warnings == []


def paths(value: dict[str, Any], path: str) -> list[tuple[str, ...]]:
    return [
        nested
        for name, field in value.items()
        for nested in [(*path.split("."), name), *(paths(field, f"{path}.{name}") if isinstance(field, dict) else [])]
    ]


KNOWN = [
    path
    for path in paths(FULL, "event")
    if path[:2] != ("event", "configuration")
    and "riskAssessment" not in path[:-1]
    and path[-2] not in ("metadata", "domain_metadata")
    and path not in (("event", "user"), ("event", "user", "email"))
] + [("event", "configuration")]


@pytest.mark.parametrize("path", KNOWN, ids=".".join)
def test_a_wrong_type_is_treated_as_absent_with_one_warning_that_has_the_path(
    event_of: Read, warnings: list[str], path: tuple[str, ...]
) -> None:
    wrong = [] if path[-1] != "configuration" else "text"
    raw: Any = wrong
    for name in reversed(path[1:]):
        raw = {name: raw}

    event = event_of({"user": {}, **raw})

    value: Any = event
    for name in path[1:]:
        value = value[name]
    assert value is None or list(value.values()) == [None] * len(value) or isinstance(value, JsonObject)
    assert [warning.split(":")[0] for warning in warnings] == [".".join(path)]
    assert "treated as absent" in warnings[0]


@pytest.mark.parametrize(
    ("raw", "expected", "got"),
    [
        ({"request": {"geoip": {"latitude": True}}}, "a number", "a boolean"),
        ({"request": {"geoip": {"latitude": float("nan")}}}, "a number", "a number"),
        ({"request": {"geoip": {"latitude": float("inf")}}}, "a number", "a number"),
        ({"request": {"geoip": {"latitude": "47"}}}, "a number", "a string"),
        ({"user": {"email_verified": 1}}, "a boolean", "a number"),
        ({"user": {"username": {}}}, "a string", "an object"),
        ({"tenant": {"id": 1.5}}, "a string", "a number"),
        ({"connection": []}, "an object", "an array"),
    ],
)
def test_a_warning_has_both_types_and_never_the_value(
    event_of: Read, warnings: list[str], raw: dict[str, Any], expected: str, got: str
) -> None:
    event_of({"user": {}, **raw})

    (warning,) = warnings
    assert f": expected {expected}, got {got};" in warning


def test_a_number_too_large_for_a_float_is_accepted(event_of: Read, warnings: list[str]) -> None:
    assert event_of({"user": {}, "request": {"geoip": {"latitude": 10**400}}}).request.geoip.latitude == 10**400
    assert warnings == []


def test_unknown_fields_are_kept_immutable_at_every_level(event_of: Read, warnings: list[str]) -> None:
    event = event_of({"user": {"id": "u"}, "new": {"list": [1, {"x": [2]}]}, "count": 3})

    assert event.user.id == "u"
    assert event.new.list == (1, JsonObject({"x": [2]}, "", print))
    assert event.count == 3
    assert warnings == []


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "event: expected an object, got nothing"),
        ([], "event: expected an object, got an array"),
        ("text", "event: expected an object, got a string"),
        ({}, "event.user: expected an object, got nothing"),
        ({"user": None}, "event.user: expected an object, got nothing"),
        ({"user": 5}, "event.user: expected an object, got a number"),
        ({"user": {"email": 5}}, "event.user.email: expected a string, got a number"),
        ({"user": {"email": False}}, "event.user.email: expected a string, got a boolean"),
        ({"user": {"email": ["a@b.example"]}}, "event.user.email: expected a string, got an array"),
    ],
)
def test_an_event_that_cannot_be_acted_on_is_rejected_with_the_path(event_of: Read, raw: Any, message: str) -> None:
    with pytest.raises(InvalidCallout) as caught:
        event_of(raw)

    assert (caught.value.code, caught.value.status, caught.value.message) == ("invalid_event", 400, message)


@pytest.mark.parametrize("user", [{}, {"email": None}])
def test_a_user_without_an_address_is_valid(event_of: Read, user: dict[str, Any]) -> None:
    assert event_of({"user": user}).user.email is None


def test_secrets_and_callout_in_the_body_are_ignored(event_of: Read, secrets: ActionSecrets) -> None:
    event = event_of({"user": {}, "secrets": {"SENDGRID_API_KEY": "forged"}, "callout": "forged"})

    assert event.secrets is secrets
    assert event.callout.id == "msg_1"


def test_the_event_is_immutable(event_of: Read) -> None:
    event = event_of(FULL)

    with pytest.raises(AttributeError, match=r"^the event is immutable: can't set 'email'$"):
        event.user.email = "other@example.com"
    with pytest.raises(TypeError):
        event.user["email"] = "other@example.com"
    with pytest.raises(AttributeError):
        del event.user.email
    with pytest.raises(AttributeError, match="immutable"):
        event.connection.metadata.brand = "red"


def test_a_missing_field_is_an_attribute_error_that_names_it(event_of: Read) -> None:
    with pytest.raises(AttributeError, match=r"^User has no field 'name'$"):
        _ = event_of(FULL).user.name
    with pytest.raises(KeyError):
        _ = event_of(FULL).user["name"]


def test_an_object_is_a_mapping_of_its_fields(event_of: Read) -> None:
    tenant = event_of(FULL).tenant

    assert dict(tenant) == {"id": "acme"}
    assert len(tenant) == 1
    assert "id" in tenant
    assert tenant.get("name") is None


def test_the_repr_shows_only_names(event_of: Read) -> None:
    event = event_of(FULL)

    assert repr(event.tenant) == "Tenant(id)"
    shown = repr(event) + repr(event.user) + repr(event.request.geoip) + f"{event} {event.user}"
    for value in ("smith", "192.0.2.1", "Bellevue", "auth0|1", "+1320"):
        assert value not in shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(FULL["request"])), inner),
    max_leaves=20,
)
near_events = st.fixed_dictionaries(
    {},
    optional={
        "user": st.fixed_dictionaries({}, optional=dict.fromkeys(FULL["user"], json_values)) | json_values,
        "request": st.fixed_dictionaries({}, optional=dict.fromkeys(FULL["request"], json_values)) | json_values,
        "connection": json_values,
        "tenant": json_values,
        "secrets": json_values,
        "callout": json_values,
        "_values": json_values,
        "__class__": json_values,
    },
)


@given(near_events | json_values)
def test_any_json_is_an_event_or_rejected(raw: Any) -> None:
    sources: Any = None  # no secret is read
    try:
        event = parse(callout_of(raw), sources, print)
    except InvalidCallout as error:
        status = error.status
    else:
        status = 400
        assert event.user.email is None or isinstance(event.user.email, str)
        assert event.callout.event is raw

    assert status == 400
