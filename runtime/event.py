"""The event: Auth0's post-change-password event (trigger version v2), immutable, with attribute access.

A tolerant reader: a field that is absent, null, or of the wrong type reads as None (for a wrong type, `warn` gets its
path); an object that the event type always has (connection, request, geoip, tenant, user) reads as an empty object; and
unknown fields are kept. Only an event that can't be acted on is rejected. The forwarder sends only the fields in
`FIELDS` in auth0/action.js; add a field there to use it here.

Reference: https://auth0.com/docs/customize/actions/explore-triggers/password-reset-triggers/post-change-password-trigger/post-change-password-event-object
"""

import math
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, get_args

from runtime.callout import Callout
from runtime.errors import InvalidCallout
from runtime.secrets import ActionSecrets

Warn = Callable[[str], None]
JSON_TYPES = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "an array",
}


class _FieldType(NamedTuple):
    """A field's type, from its annotation."""

    type: type
    is_optional: bool
    is_object: bool


def _field_type(hint: Any) -> _FieldType:
    declared, is_optional = (get_args(hint)[0], True) if isinstance(hint, UnionType) else (hint, False)
    return _FieldType(declared, is_optional, issubclass(declared, JsonObject))


class JsonObject(Mapping[str, Any]):
    """A JSON object whose fields are read as attributes (`event.user.email`) or by name (`metadata["brand"]`).

    A subclass declares its known fields as annotations: `X | None` is optional; a bare subclass is always present.
    """

    __slots__ = ("_values",)
    _values: dict[str, Any]
    _known: ClassVar[dict[str, _FieldType]] = {}

    def __init_subclass__(cls) -> None:
        cls._known = {name: _field_type(hint) for name, hint in cls.__annotations__.items()}

    def __init__(self, value: Mapping[str, Any], path: str, warn: Warn) -> None:
        fields = {name: _freeze(field, warn) for name, field in value.items() if name not in self._known}
        for name, field_type in self._known.items():
            fields[name] = _read_field(value.get(name), field_type, f"{path}.{name}", warn)
        object.__setattr__(self, "_values", fields)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the event is immutable: can't set {name!r}")

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        """Show only the fields' names: values are users' data, and a repr can end up in logs."""
        return f"{type(self).__name__}({', '.join(self._values)})"


class GeoIp(JsonObject):
    cityName: str | None  # noqa: N815  (Auth0's names)
    continentCode: str | None  # noqa: N815
    countryCode: str | None  # noqa: N815
    countryCode3: str | None  # noqa: N815
    countryName: str | None  # noqa: N815
    latitude: float | None
    longitude: float | None
    subdivisionCode: str | None  # noqa: N815
    subdivisionName: str | None  # noqa: N815
    timeZone: str | None  # noqa: N815


class Request(JsonObject):
    geoip: GeoIp
    hostname: str | None
    ip: str | None
    language: str | None
    method: str | None
    user_agent: str | None


class Connection(JsonObject):
    id: str | None
    metadata: JsonObject | None
    name: str | None
    strategy: str | None


class Tenant(JsonObject):
    id: str | None


class User(JsonObject):
    email: str | None
    email_verified: bool | None
    last_password_reset: str | None
    phone_number: str | None
    phone_verified: bool | None
    user_id: str | None
    username: str | None


class CustomDomain(JsonObject):
    domain: str | None
    domain_metadata: JsonObject | None


class Transaction(JsonObject):
    correlation_id: str | None


class Authentication(JsonObject):
    riskAssessment: JsonObject | None  # noqa: N815


class Event(JsonObject):
    """The `event` argument of an Action. Auth0's has no `callout`, the request that delivered the event."""

    connection: Connection
    request: Request
    tenant: Tenant
    user: User
    custom_domain: CustomDomain | None
    transaction: Transaction | None
    authentication: Authentication | None
    configuration: JsonObject | None

    if TYPE_CHECKING:  # set by the runtime, never read from the body
        callout: Callout
        secrets: ActionSecrets


def parse(callout: Callout, secrets: ActionSecrets, warn: Warn) -> Event:
    """Return the callout's event, without whitespace around `user.email`, which custom databases keep.

    Raise InvalidCallout (invalid_event, with the path) if `event` or `event.user` isn't an object, or if
    `event.user.email` is present and isn't a string.
    """
    raw = callout.event
    if not isinstance(raw, dict):
        raise _invalid_event("event", "an object", raw)
    if not isinstance(raw.get("user"), dict):
        raise _invalid_event("event.user", "an object", raw.get("user"))
    email = raw["user"].get("email")
    if email is not None and not isinstance(email, str):
        raise _invalid_event("event.user.email", "a string", email)
    event = Event({name: field for name, field in raw.items() if name != "secrets"}, "event", warn)
    event._values.update(callout=callout, secrets=secrets)  # noqa: SLF001  (immutable for everyone else)
    event.user._values.update(email=email and (email.strip() or email))  # noqa: SLF001
    return event


def _invalid_event(path: str, expected: str, value: object) -> InvalidCallout:
    return InvalidCallout(
        "invalid_event", 400, f"{path}: expected {expected}, got {JSON_TYPES.get(type(value), 'nothing')}"
    )


def _read_field(value: object, field: _FieldType, path: str, warn: Warn) -> Any:
    if field.is_object and isinstance(value, dict):
        return field.type(value, path, warn)
    if not field.is_object and _has_type(value, field.type):
        return value
    if value is not None:
        expected = JSON_TYPES[dict if field.is_object else field.type]
        warn(f"{path}: expected {expected}, got {JSON_TYPES.get(type(value), 'nothing')}; treated as absent")
    return field.type({}, path, warn) if field.is_object and not field.is_optional else None


def _has_type(value: object, expected: type) -> bool:
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    return isinstance(value, expected)


def _freeze(value: Any, warn: Warn) -> Any:
    if isinstance(value, dict):
        return JsonObject(value, "", warn)
    return tuple(_freeze(item, warn) for item in value) if isinstance(value, list) else value
