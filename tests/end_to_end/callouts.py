"""Callouts as an Auth0 Action makes them, signed with the standard library alone."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def _new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Callout:
    """An id and the bytes of a body: what stays the same when it is sent again."""

    body: bytes
    id: str = field(default_factory=_new_id)

    def headers(self, key: str, at: float | None = None) -> dict[str, str]:
        """Those of one attempt, at `at` (unix seconds; None: now)."""
        timestamp = str(int(time.time() if at is None else at))
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(key, self.id, timestamp, self.body),
        }


def sign(key: str, callout_id: str, timestamp: str, body: bytes) -> str:
    secret = base64.b64decode(key.removeprefix("whsec_"))
    text = f"{callout_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()


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


def callout(of: Mapping[str, Any], **members: Any) -> Callout:
    """The callout that brings the event `of`; `members` stand beside it in the body, such as sandbox."""
    return Callout(json.dumps({"event": of, **members}).encode())


def notice_to(address: str, **members: Any) -> Callout:
    return callout(event(address), **members)
