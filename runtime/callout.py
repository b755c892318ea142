"""The callout: what an Auth0 Action posts. It is read once its signature holds (signing.py)."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple, Never

from runtime.errors import InvalidCallout
from runtime.signature import SignedHeaders


class Callout(NamedTuple):
    """A callout whose signature holds.

    `key` is the idempotency key (64 hex digits), `time` when the password was changed (UTC), `sandbox` asks that nobody
    gets mail, `event` is Auth0's event as it came, `deadline` the monotonic second by which an answer must be there.
    """

    id: str
    key: str
    time: datetime
    sandbox: bool
    event: Any
    deadline: float

    def __repr__(self) -> str:
        """Without the event: it is users' data, and a repr ends up in logs."""
        return f"Callout({self.id!r})"

    @property
    def reference(self) -> str:
        """The short code in the mail and in the log, by which support finds the event: `1A2B-3C4D-5E6F`."""
        code = self.key[:12].upper()
        return f"{code[:4]}-{code[4:8]}-{code[8:]}"


def idempotency_key(webhook_id: str, body: bytes) -> str:
    """SHA-256 over id, `.` and body: the same for each retry, whatever its timestamp."""
    return hashlib.sha256(webhook_id.encode() + b"." + body).hexdigest()


def parse(signed: SignedHeaders, body: bytes, deadline: float) -> tuple[Callout, str]:
    """The callout in a verified body, and what is odd about it (empty: nothing).

    Raises InvalidCallout: invalid_json (not UTF-8, not JSON, a name twice, NaN, nested too deep) or invalid_event (not
    an object).
    """
    value = _parse(body)
    if not isinstance(value, dict):
        raise InvalidCallout("invalid_event", 400, "body: expected an object with the member event")
    sandbox, odd = value.get("sandbox"), []
    if not isinstance(sandbox, bool | None):
        odd.append("sandbox: expected a boolean; it reads as absent")
    moment = _moment(value.get("time"))
    if moment is None and value.get("time") is not None:
        odd.append("time: expected an ISO 8601 time; webhook-timestamp stands in")
    moment = moment or datetime.fromtimestamp(signed.timestamp, UTC)
    key = idempotency_key(signed.id, body)
    return Callout(signed.id, key, moment, sandbox is True, value.get("event"), deadline), "; ".join(odd)


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parse(body: bytes) -> Any:
    try:
        value = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole_number)
        # \ud800 alone is legal JSON but no text: it could be neither hashed nor sent.
        return _whole_text(value) if b"\\u" in body else value
    except UnicodeDecodeError:
        raise InvalidCallout("invalid_json", 400, "body: expected UTF-8") from None
    except RecursionError:
        raise InvalidCallout("invalid_json", 400, "body: nested too deep") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InvalidCallout("invalid_json", 400, f"body: {error.msg} at {where}") from None
    except ValueError as error:
        raise InvalidCallout("invalid_json", 400, f"body: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member's name stands twice in one object")
    return members


def _whole_number(text: str) -> int | float:
    """Python refuses to read, or to calculate with, what has hundreds of digits."""
    return int(text) if len(text) <= 18 else float(text)


def _constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _whole_text(value: Any) -> Any:
    """The same with each lone surrogate replaced by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole_text(name): _whole_text(member) for name, member in value.items()}
    return [_whole_text(item) for item in value] if isinstance(value, list) else value
