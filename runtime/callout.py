"""The callout: a signed webhook from the forwarder, parsed only after its signature is verified (signature.py)."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, Never

from runtime.errors import InvalidCallout
from runtime.signature import SignedHeaders


class Callout(NamedTuple):
    """A callout with a valid signature.

    `key` is the idempotency key (64 hex digits), `time` is when the password was changed (UTC), `sandbox` requests
    SendGrid's sandbox mode (no email is sent), `event` is Auth0's event as received, and `deadline` is the monotonic
    second by which the response is due.
    """

    id: str
    key: str
    time: datetime
    sandbox: bool
    event: Any
    deadline: float

    def __repr__(self) -> str:
        """Omit the event: it contains users' data, and a repr can end up in logs."""
        return f"Callout({self.id!r})"

    @property
    def reference(self) -> str:
        """Return the short code in the email and the log by which support finds the event, such as `1A2B-3C4D-5E6F`."""
        code = self.key[:12].upper()
        return f"{code[:4]}-{code[4:8]}-{code[8:]}"


def idempotency_key(webhook_id: str, body: bytes) -> str:
    """Return SHA-256 over the ID, `.`, and the body. Retries have the same key, whatever their timestamp."""
    return hashlib.sha256(webhook_id.encode() + b"." + body).hexdigest()


def parse(signed: SignedHeaders, body: bytes, deadline: float, warn: Callable[[str], None]) -> Callout:
    """Return the callout in a verified body. `warn` gets a message for each field of an unexpected type.

    Raise InvalidCallout: invalid_json (not UTF-8, not JSON, a duplicate key, or NaN) or invalid_event (not an object).
    Raise RecursionError if the body is nested too deeply.
    """
    value = _parse_json(body)
    if not isinstance(value, dict):
        raise InvalidCallout("invalid_event", 400, "body: expected an object with the field event")
    sandbox, time = value.get("sandbox"), _parse_time(value.get("time"))
    if not isinstance(sandbox, bool | None):
        warn("sandbox: expected a boolean; treated as absent")
    if time is None and value.get("time") is not None:
        warn("time: expected an ISO 8601 time; using webhook-timestamp instead")
    time = time or datetime.fromtimestamp(signed.timestamp, UTC)
    key = idempotency_key(signed.id, body)
    return Callout(signed.id, key, time, sandbox is True, value.get("event"), deadline)


def _parse_time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return time and (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parse_json(body: bytes) -> Any:
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_unique_fields, parse_constant=_reject_constant, parse_int=_parse_int
        )
        # A lone \ud800 is valid JSON but not valid text: it could be neither hashed nor sent.
        return _replace_lone_surrogates(value) if b"\\u" in body else value
    except UnicodeDecodeError:
        raise InvalidCallout("invalid_json", 400, "body: expected UTF-8") from None
    except json.JSONDecodeError as error:
        position = f"line {error.lineno} column {error.colno}"
        raise InvalidCallout("invalid_json", 400, f"body: {error.msg} at {position}") from None
    except ValueError as error:
        raise InvalidCallout("invalid_json", 400, f"body: {error}") from None


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate key in a JSON object")
    return fields


def _parse_int(text: str) -> int | float:
    """Return long numbers as floats: Python rejects integers of thousands of digits, and huge ones are slow."""
    return int(text) if len(text) <= 18 else float(text)


def _reject_constant(name: str) -> Never:
    raise ValueError(f"{name} isn't JSON")


def _replace_lone_surrogates(value: Any) -> Any:
    """Return a copy with each lone surrogate replaced by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_replace_lone_surrogates(name): _replace_lone_surrogates(field) for name, field in value.items()}
    return [_replace_lone_surrogates(item) for item in value] if isinstance(value, list) else value
