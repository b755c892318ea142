"""Callouts as the forwarder sends them: an ID, a body, and a signature computed when the callout is sent."""

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

HEADER_NAMES = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True)
class OutgoingCallout:
    """A callout to send. The signature covers the bytes of `body`."""

    body: bytes
    id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(16)}")

    @property
    def idempotency_key(self) -> str:
        """Return the key by which the function detects duplicates. The names of its Cloud Tasks tasks start with it."""
        return hashlib.sha256(self.id.encode() + b"." + self.body).hexdigest()

    def headers(self, key: str, at: float | None = None) -> dict[str, str]:
        """Return the headers of one attempt at `at` (Unix seconds; None: now), signed with `key` (whsec_…)."""
        timestamp = str(int(time.time() if at is None else at))
        values = ("application/json", self.id, timestamp, sign(key, self.id, timestamp, self.body))
        return dict(zip(HEADER_NAMES, values, strict=True))

    def curl(self, url: str, key: str) -> str:
        """Return a command for a POSIX shell. It is signed immediately, so it works for five minutes."""
        headers = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers(key).items())
        return f"curl -sS {shlex.quote(url)} {headers} --data-binary {shlex.quote(self.body.decode())}"


def build_callout(event: Mapping[str, Any], **fields: Any) -> OutgoingCallout:
    """Return a callout with the whole `event` except its secrets. `fields`, such as sandbox, are added next to it."""
    sent = {name: value for name, value in event.items() if name != "secrets"}
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return OutgoingCallout(json.dumps({"event": sent, "time": now, **fields}, ensure_ascii=False).encode())


def sign(key: str, callout_id: str, timestamp: str, body: bytes) -> str:
    """Return a Standard Webhooks signature: HMAC-SHA256 over `id.timestamp.body` with the first of the keys."""
    secret = base64.b64decode(key.split(maxsplit=1)[0].removeprefix("whsec_"))
    text = f"{callout_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
