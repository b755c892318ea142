"""A callout as the Action makes it: an id, the bytes of a body, and a signature that is made when it is sent."""

import base64
import hashlib
import hmac
import json
import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SENT_HEADERS = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True)
class OutgoingCallout:
    """`body` is what was signed, byte for byte."""

    body: bytes
    id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(16)}")

    @property
    def idempotency_key(self) -> str:
        """What the function knows a repetition by; the names of its tasks begin with it."""
        return hashlib.sha256(self.id.encode() + b"." + self.body).hexdigest()

    def headers(self, key: str, at: float | None = None) -> dict[str, str]:
        """Those of one attempt at `at` (unix seconds; None: now), signed with `key`, a whsec_ key."""
        timestamp = str(int(time.time() if at is None else at))
        values = ("application/json", self.id, timestamp, sign(key, self.id, timestamp, self.body))
        return dict(zip(SENT_HEADERS, values, strict=True))

    def curl(self, url: str, key: str) -> str:
        """A command for a POSIX shell, signed now: it works for five minutes."""
        headers = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers(key).items())
        return f"curl -sS {shlex.quote(url)} {headers} --data-binary {shlex.quote(self.body.decode())}"


def build_callout(event: Mapping[str, Any], **members: Any) -> OutgoingCallout:
    """The callout that brings the whole `event`, except for secrets; `members` stand beside it, such as sandbox."""
    sent = {name: value for name, value in event.items() if name != "secrets"}
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return OutgoingCallout(json.dumps({"event": sent, "time": now, **members}, ensure_ascii=False).encode())


def sign(key: str, callout_id: str, timestamp: str, body: bytes) -> str:
    """Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`. Of several keys the first signs."""
    secret = base64.b64decode(key.split(maxsplit=1)[0].removeprefix("whsec_"))
    text = f"{callout_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
