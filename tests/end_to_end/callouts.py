"""Events and callouts for users that no other test uses."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from auth0.callout import OutgoingCallout


def new_address() -> str:
    """Return an address that is unique in this run, so that its emails can be found."""
    return f"reader+{uuid.uuid4().hex}@example.com"


def make_event(address: str | None, **fields: Any) -> dict[str, Any]:
    """Return an event whose user has `address`; `fields` add or replace top-level fields."""
    defaults = {
        "tenant": {"id": "acme"},
        "connection": {"name": "customers"},
        "request": {"ip": "192.0.2.44", "language": "en"},
        "user": {"user_id": "auth0|42", "email": address},
    }
    return {**defaults, **fields}


def make_callout(event: Mapping[str, Any], **fields: Any) -> OutgoingCallout:
    """Return a callout with the event; `fields` are further fields of the body, such as `sandbox`."""
    return OutgoingCallout(json.dumps({"event": event, **fields}).encode())


def callout_for(address: str, **fields: Any) -> OutgoingCallout:
    """Return a callout for a user with `address`."""
    return make_callout(make_event(address), **fields)
