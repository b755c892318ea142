"""Prepare callouts like the forwarder's, each with its own ID and email address."""

import base64
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auth0.callout import OutgoingCallout

SIGNING_KEY = "whsec_" + base64.b64encode(b"a key for measurements only 32 B").decode()

USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


def event(address: str) -> dict[str, Any]:
    """Return an event with every field that the email uses and a non-default language, for the longest email."""
    return {
        "tenant": {"id": "example-tenant"},
        "connection": {"name": "Username-Password-Authentication"},
        "request": {
            "ip": "198.51.100.7",
            "language": "de",
            "user_agent": USER_AGENT,
            "geoip": {
                "cityName": "Stockholm",
                "countryCode": "SE",
                "countryName": "Sweden",
                "timeZone": "Europe/Stockholm",
            },
        },
        "user": {"email": address, "email_verified": True, "user_id": "auth0|5f7c8ec7c33c6c004bbafe82"},
    }


def signed_request() -> bytes:
    """Return one callout's whole HTTP request, signed now."""
    callout_id = f"msg_{uuid.uuid4().hex}"
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    body = json.dumps({"event": event(f"{callout_id}@example.com"), "time": timestamp}).encode()
    return _post(body, OutgoingCallout(body, callout_id).headers(SIGNING_KEY))


def plain_request() -> bytes:
    """Return an unsigned HTTP request whose body is the event itself, as the baselines expect."""
    return _post(json.dumps(event(f"msg_{uuid.uuid4().hex}@example.com")).encode(), {})


def _post(body: bytes, headers: dict[str, str]) -> bytes:
    common = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**common, **headers}.items())
    return f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body


def write(file: Path, count: int, *, is_signed: bool) -> None:
    """Write `count` requests in the format that replay.lua reads."""
    with file.open("wb") as output:
        output.writelines(_requests(count, signed_request if is_signed else plain_request))


def _requests(count: int, make_request: Any) -> Iterator[bytes]:
    for _ in range(count):
        request = make_request()
        yield b"%08d" % len(request)
        yield request
