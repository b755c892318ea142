"""Send hostile input to the public function, in this process: `python -m tests.fuzz --inputs 300000 --seed 1`.

Each input is a valid, signed request that is corrupted in up to three ways, before or after signing. No input may cause
a response of 500 or higher, or succeed without a valid signature.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from flask import Request
from werkzeug.test import EnvironBuilder

from notice.compose import password_changed
from notice.sendgrid import payload
from runtime import Api, Event, Flow, Result, log, skipped
from runtime.clock import Clock
from runtime.secrets import SecretCache
from settings import Settings, load

NOW = 1_800_000_000
KEY = b"k" * 32
ENVIRONMENT = {
    "SENDER_EMAIL": "security@example.com",
    "SUPPORT_CONTACT": "help@example.com",
    "PRODUCT_NAME": "Example",
    "SENDGRID_API_KEY_SECRET": "/secrets/sendgrid",
    "CALLOUT_SIGNING_KEY_SECRET": "/secrets/signing",
    "OWN_ADDRESSES": "192.0.2.0/24",
}
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")
TEXTS = (
    *("", " ", "\0", "\r\nBcc: eve@example.net", "<script>alert(1)</script>", "{{7*7}}", "{0.__class__}", "%s%n"),
    *(
        "\u202eevil",
        "\ud800",
        "\U0001f600" * 50,
        "a" * 10_000,
        "https://evil.example/x",
        "www.evil.example",
        "' OR 1=1",
    ),
    *(
        "a@b,c@d",
        "a@b\nc@d",
        '"quoted local"@example.com',
        "ü@bücher.example",
        "x" * 400 + "@example.com",
        "\ufeff",
        "İ",
    ),
    *(
        "../../etc/passwd",
        "Europe/Stockholm",
        "zh-TW,zh;q=0.9,*;q=x",
        "2026-13-45T99:99:99Z",
        "9" * 400,
        "::ffff:192.0.2.1",
    ),
    *("Mozilla/5.0 (" + "(" * 5000, "Mozilla/5.0 (Windows NT 10.0) Chrome/1 Safari/1", "\x1b[31m", "${jndi:ldap://x}"),
)
PATHS = (
    *(
        "user",
        "user.email",
        "user.email_verified",
        "user.user_id",
        "user.username",
        "tenant",
        "tenant.id",
        "connection",
    ),
    *("connection.name", "connection.metadata", "request", "request.ip", "request.language", "request.user_agent"),
    *("request.geoip", "request.geoip.cityName", "request.geoip.countryCode", "request.geoip.countryName"),
    *("request.geoip.timeZone", "request.geoip.latitude", "secrets", "authentication", "custom_domain", "transaction"),
    *("callout", "_values", "__class__", "get", "configuration"),
)


@dataclass
class HostileRequest:
    """A request under construction."""

    chance: random.Random
    body: bytes = b""
    method: str = "POST"
    path: str = "/"
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False

    def set_header(self, name: str, value: str) -> None:
        self.headers = [(n, v) for n, v in self.headers if n.lower() != name.lower()] + [(name, value)]

    def random_value(self) -> Any:
        """Return a random JSON value, or NaN or infinity."""
        pick = self.chance.choice
        return pick(
            [
                *(
                    None,
                    True,
                    0,
                    -1,
                    1e308,
                    float("inf"),
                    float("nan"),
                    10**30,
                    2**63,
                    {},
                    [],
                    [[[]]],
                    {"a": {"b": []}},
                ),
                *(pick(TEXTS), pick(TEXTS), {pick(TEXTS): pick(TEXTS)}, [pick(TEXTS)] * 3),
            ]
        )

    def sign(self) -> None:
        webhook_id, timestamp = f"msg_{self.chance.getrandbits(64):x}", str(NOW + self.chance.randint(-299, 299))
        self.headers = [
            *(("Content-Type", "application/json"), ("webhook-id", webhook_id), ("webhook-timestamp", timestamp)),
            ("webhook-signature", signature(webhook_id, timestamp, self.body)),
        ]

    def is_valid(self) -> bool:
        """Return whether the signature is valid and recent, by an independent check."""
        try:
            webhook_id, timestamp, signatures = (self._header(name) for name in NAMES)
            is_fresh = timestamp.isascii() and timestamp.isdigit() and abs(int(timestamp) - NOW) <= 300
            return is_fresh and signature(webhook_id, timestamp, self.body) in signatures.split(" ")
        except (KeyError, ValueError, UnicodeError):
            return False

    def _header(self, name: str) -> str:
        """Return the value as a WSGI server does: repeated headers are joined with a comma."""
        values = [value for header, value in self.headers if header.lower() == name]
        if not values:
            raise KeyError(name)
        return ",".join(values)


def signature(webhook_id: str, timestamp: str, body: bytes) -> str:
    digest = hmac.new(KEY, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def valid_body(chance: random.Random) -> dict[str, Any]:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    geoip = {"cityName": "Stockholm", "countryCode": "SE", "timeZone": "Europe/Stockholm"}
    return {
        "event": {
            "tenant": {"id": "acme"},
            "connection": {"name": "customers"},
            "request": {"ip": "198.51.100.7", "language": "sv", "user_agent": agent, "geoip": geoip},
            "user": {"email": f"u{chance.getrandbits(40):x}@example.com", "email_verified": True, "user_id": "auth0|1"},
        },
        "time": "2026-11-23T10:15:00Z",
    }


def corrupt_field(body: dict[str, Any], hostile: HostileRequest) -> None:
    *parents, last = hostile.chance.choice(PATHS).split(".")
    parent: Any = body["event"]
    for name in parents:
        parent = parent.get(name) if isinstance(parent, dict) else None
    if isinstance(parent, dict):
        parent[last] = hostile.random_value()


def corrupt_top_level_field(body: dict[str, Any], hostile: HostileRequest) -> None:
    body[hostile.chance.choice(["event", "time", "sandbox", "secrets", "extra"])] = hostile.random_value()


def corrupt_bytes(body: bytes, hostile: HostileRequest) -> bytes:
    chance = hostile.chance
    position = chance.randrange(len(body) + 1)
    junk = chance.choice(
        [b"\0", b"\xff", b"\xed\xa0\x80", b"{", b"[" * 50_000, b'"a":1,"a":2,', b"NaN", b"9" * 5000, b"\\ud800"]
    )
    if chance.random() < 0.3:
        return body[:position]
    if chance.random() < 0.05:
        return body + b" " * chance.choice([65_536 - len(body), 65_537 - len(body), 100_000])
    return body[:position] + junk + body[position:]


def corrupt_header(hostile: HostileRequest) -> None:
    chance, name = hostile.chance, hostile.chance.choice(NAMES)
    value = dict(hostile.headers).get(name, "")
    corrupted = chance.choice(
        [
            *(
                "",
                " ",
                value + "x",
                value[:-1],
                value.upper(),
                "0" + value,
                value.replace("v1,", "v1a,"),
                value.replace("v1,", "v2,"),
            ),
            *(
                "v1,",
                "v1",
                ",",
                "é" * 10,
                "0" * 3000,
                "-1",
                "1e9",
                "+1800000000",
                "１８００００００００",
                f"{NOW}.0",
                str(NOW - 301),
            ),
            *(
                str(NOW + 301),
                " ".join(["v1,AAAA"] * 300),
                f"{value} {value}",
                f"v1,{'A' * 4000}",
                "a b",
                "../x",
                "\x7f",
            ),
        ]
    )
    if chance.random() < 0.1:
        hostile.headers.append((name, corrupted))
    elif chance.random() < 0.1:
        hostile.headers = [(n, v) for n, v in hostile.headers if n != name]
    else:
        hostile.set_header(name, corrupted)


def corrupt_request(hostile: HostileRequest) -> None:
    chance = hostile.chance
    match chance.randrange(5):
        case 0:
            hostile.method = chance.choice(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"])
        case 1:
            hostile.set_header(
                "Content-Type",
                chance.choice(["", "text/plain", "application/json; charset=x", "a/b;;;", "application/JSON"]),
            )
        case 2:
            hostile.set_header("Content-Encoding", chance.choice(["gzip", "identity", "br", "x"]))
        case 3:
            hostile.path = chance.choice(["/x", "//", "/deliver", "/%00", "/..", "/on_execute_post_change_password"])
        case _:
            hostile.set_header(
                "traceparent", chance.choice(["00-" + "f" * 32 + "-1-1", "x", "00-" + "F" * 32 + "-", "\t"])
            )


def generate(chance: random.Random) -> HostileRequest:
    hostile, body = HostileRequest(chance), valid_body(chance)
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        chance.choice([corrupt_field, corrupt_field, corrupt_top_level_field])(body, hostile)
    hostile.body = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if chance.random() < 0.2:
        hostile.body = corrupt_bytes(hostile.body, hostile)
    hostile.sign()
    if chance.random() < 0.1:
        hostile.body = corrupt_bytes(hostile.body, hostile)
    if chance.random() < 0.4:
        corrupt_header(hostile)
    if chance.random() < 0.1:
        corrupt_request(hostile)
    hostile.chunked = chance.random() < 0.05
    return hostile


def flow(settings: Settings) -> Flow:
    """Return main.py's flow without its last step: the request to SendGrid is built but not sent."""
    secret = "whsec_" + base64.b64encode(KEY).decode()
    clock = Clock(now=lambda: NOW)
    flow = Flow(settings, secrets=SecretCache(settings, fetch=lambda _source: secret, clock=clock), clock=clock)

    @flow.action
    def on_execute_post_change_password(event: Event, api: Api) -> Result:
        if not event.user.email:
            return skipped("no_email")
        print(f"about to email {event.user.email}")
        json.dumps(payload(password_changed(event, settings), event.callout)).encode()
        return Result("sent")

    return flow


def respond(function: Callable[[Request], Any], hostile: HostileRequest) -> int:
    builder = EnvironBuilder(method=hostile.method, path=hostile.path, input_stream=BytesIO(hostile.body))
    environ = builder.get_environ()
    environ["CONTENT_LENGTH"] = str(len(hostile.body))
    for name, value in hostile.headers:
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        text = value.encode("utf-8", "surrogatepass").decode("latin-1")  # as a WSGI server does
        environ[key] = f"{environ[key]},{text}" if key in environ and name in NAMES else text
    if hostile.chunked:
        del environ["CONTENT_LENGTH"]
        environ["wsgi.input_terminated"] = True
    return int(function(Request(environ)).status_code)


def run(inputs: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Return how often each status occurred, and a line for each failure."""
    log.install()
    chance, function = random.Random(seed), flow(load(ENVIRONMENT)).handle_callout
    statuses: Counter[int] = Counter()
    failures: list[str] = []
    for number in range(inputs):
        hostile = generate(chance)
        status = respond(function, hostile)
        statuses[status] += 1
        if status >= 500 or (status < 400 and not hostile.is_valid()):
            validity = "valid" if hostile.is_valid() else "invalid"
            failures.append(f"input {number} of seed {seed}: {status}, {validity} signature")
    return statuses, failures


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Send hostile input to the public function.", allow_abbrev=False
    )
    parser.add_argument("--inputs", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    stdout = os.dup(1)
    with Path(os.devnull).open("wb") as devnull:  # discards the log
        os.dup2(devnull.fileno(), 1)
    started = time.monotonic()
    statuses, failures = run(options.inputs, options.seed)
    os.dup2(stdout, 1)
    print(f"{options.inputs} inputs, seed {options.seed}, {time.monotonic() - started:.0f} s")
    print("\n".join(f"  {status}: {count}" for status, count in sorted(statuses.items())))
    print("\n".join(failures[:20]) or "no response of 500 or higher, no success without a valid signature")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
