"""Events and callouts of a user of whom no other test knows."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from auth0.callout import OutgoingCallout


def new_address() -> str:
    """Of nobody else in this run, so that its mails can be told from all others."""
    return f"reader+{uuid.uuid4().hex}@example.com"


def event(address: str | None, **members: Any) -> dict[str, Any]:
    """An event whose user has `address`; `members` replace or add some of its own."""
    usual = {
        "tenant": {"id": "acme"},
        "connection": {"name": "customers"},
        "request": {"ip": "192.0.2.44", "language": "en"},
        "user": {"user_id": "auth0|42", "email": address},
    }
    return {**usual, **members}


def callout(of: Mapping[str, Any], **members: Any) -> OutgoingCallout:
    """The callout that brings the event `of`; `members` stand beside it in the body, such as sandbox."""
    return OutgoingCallout(json.dumps({"event": of, **members}).encode())


def notice_to(address: str, **members: Any) -> OutgoingCallout:
    return callout(event(address), **members)
