"""The event: Auth0's post-change-password event (trigger version v2), frozen, with dotted access.

A tolerant reader: a member that is absent, null or of the wrong type reads as None (a wrong type is told to `warn`,
with its path), an object that the type always has (connection, request, geoip, tenant, user) reads as an empty one,
and unknown members are kept. Only what leaves nobody to notify is refused.

Source: Auth0's event reference, https://auth0.com/docs/customize/actions/explore-triggers/password-reset-triggers/post-change-password-trigger/post-change-password-event-object
"""

import math
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, get_args

from runtime.callout import Callout
from runtime.errors import InvalidCallout
from runtime.secrets import ActionSecrets

Warn = Callable[[str], None]


class _Kind(NamedTuple):
    """What an annotation says of a member."""

    type: type
    is_optional: bool
    has_members: bool


def _kind(hint: Any) -> _Kind:
    kind, is_optional = (get_args(hint)[0], True) if isinstance(hint, UnionType) else (hint, False)
    return _Kind(kind, is_optional, issubclass(kind, JsonObject))


class JsonObject(Mapping[str, Any]):
    """A JSON object: its members by dot (`event.user.email`) or by name (`metadata["brand"]`).

    A subclass names the members that it knows, by annotation; `X | None` is optional, a bare subclass is always there.
    """

    __slots__ = ("_members",)
    _members: dict[str, Any]
    _known: ClassVar[dict[str, _Kind]] = {}

    def __init_subclass__(cls) -> None:
        hints = cls.__annotations__.items()
        cls._known = {name: _kind(hint) for name, hint in hints}

    def __init__(self, value: Mapping[str, Any], path: str, warn: Warn) -> None:
        members = {name: _frozen(member, warn) for name, member in value.items() if name not in self._known}
        for name, kind in self._known.items():
            members[name] = _read(value.get(name), kind, f"{path}.{name}", warn)
        object.__setattr__(self, "_members", members)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._members[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no member {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the event is frozen: {name!r} cannot be set")

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        """The members' names alone: values are users' data, and a repr ends up in logs."""
        return f"{type(self).__name__}({', '.join(self._members)})"


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
    """What an Action gets as `event`. `callout` is ours: the request that brought the event."""

    connection: Connection
    request: Request
    tenant: Tenant
    user: User
    custom_domain: CustomDomain | None
    transaction: Transaction | None
    authentication: Authentication | None
    configuration: JsonObject | None

    if TYPE_CHECKING:  # put there by the runtime, never read from the body
        callout: Callout
        secrets: ActionSecrets


def parse(callout: Callout, secrets: ActionSecrets, warn: Warn) -> Event:
    """The event that the callout brought.

    Raises InvalidCallout (invalid_event, with the path) where `event` or `event.user` is no object, or
    `event.user.email` is there and no string.
    """
    raw = callout.event
    if not isinstance(raw, dict):
        raise _refused("event", "an object", raw)
    if not isinstance(raw.get("user"), dict):
        raise _refused("event.user", "an object", raw.get("user"))
    email = raw["user"].get("email")
    if email is not None and not isinstance(email, str):
        raise _refused("event.user.email", "a string", email)
    event = Event({name: member for name, member in raw.items() if name != "secrets"}, "event", warn)
    event._members.update(callout=callout, secrets=secrets)  # noqa: SLF001  (frozen for everybody else)
    return event


def _refused(path: str, expected: str, value: object) -> InvalidCallout:
    return InvalidCallout("invalid_event", 400, f"{path}: expected {expected}, got {json_type(value)}")


def _read(value: object, kind: _Kind, path: str, warn: Warn) -> Any:
    if kind.has_members:
        if isinstance(value, dict):
            return kind.type(value, path, warn)
        _warn_of(value, "an object", path, warn)
        return None if kind.is_optional else kind.type({}, path, warn)
    if _fits(value, kind.type):
        return value
    _warn_of(value, NAMES[kind.type], path, warn)
    return None


def _fits(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    return isinstance(value, kind)


def _warn_of(value: object, expected: str, path: str, warn: Warn) -> None:
    if value is not None:
        warn(f"{path}: expected {expected}, got {json_type(value)}; it reads as absent")


def _frozen(value: Any, warn: Warn) -> Any:
    if isinstance(value, dict):
        return JsonObject(value, "", warn)
    return tuple(_frozen(item, warn) for item in value) if isinstance(value, list) else value


NAMES = {str: "a string", bool: "a boolean", float: "a number"}


def json_type(value: object) -> str:
    """What a value is in JSON's words; never the value."""
    if value is None:
        return "nothing"
    known: dict[type, str] = {**NAMES, int: "a number", dict: "an object", list: "an array"}
    return known.get(type(value), "something else")
