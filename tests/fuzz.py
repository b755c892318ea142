"""Hostile inputs to the public entry, in this process: `python -m tests.fuzz --inputs 300000 --seed 1`.

Each input is a request that was valid and signed, and then was spoiled in one to three ways, before or after signing.
What must hold for every one of them: no answer of 500, and no success without a signature that holds.
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
    *("callout", "_members", "__class__", "get", "configuration"),
)


@dataclass
class Hostile:
    """A request in the making."""

    chance: random.Random
    body: bytes = b""
    method: str = "POST"
    path: str = "/"
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False

    def set(self, name: str, value: str) -> None:
        self.headers = [(n, v) for n, v in self.headers if n.lower() != name.lower()] + [(name, value)]

    def value(self) -> Any:
        """Any JSON value, or what is none."""
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
        identity, moment = f"msg_{self.chance.getrandbits(64):x}", str(NOW + self.chance.randint(-299, 299))
        self.headers = [
            *(("Content-Type", "application/json"), ("webhook-id", identity), ("webhook-timestamp", moment)),
            ("webhook-signature", signature(identity, moment, self.body)),
        ]

    def holds(self) -> bool:
        """Whether the request is one that Auth0's Action could have signed, by a check of its own."""
        try:
            identity, moment, offered = (self._one(name) for name in NAMES)
            fresh = moment.isascii() and moment.isdigit() and abs(int(moment) - NOW) <= 300
            return fresh and signature(identity, moment, self.body) in offered.split(" ")
        except (KeyError, ValueError, UnicodeError):
            return False

    def _one(self, name: str) -> str:
        """As a WSGI server hands it over: a header that stands twice is one, with a comma."""
        values = [value for header, value in self.headers if header.lower() == name]
        if not values:
            raise KeyError(name)
        return ",".join(values)


def signature(identity: str, moment: str, body: bytes) -> str:
    digest = hmac.new(KEY, f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def good_body(chance: random.Random) -> dict[str, Any]:
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


def spoil_member(body: dict[str, Any], hostile: Hostile) -> None:
    *parents, last = hostile.chance.choice(PATHS).split(".")
    owner: Any = body["event"]
    for name in parents:
        owner = owner.get(name) if isinstance(owner, dict) else None
    if isinstance(owner, dict):
        owner[last] = hostile.value()


def spoil_top(body: dict[str, Any], hostile: Hostile) -> None:
    body[hostile.chance.choice(["event", "time", "sandbox", "secrets", "extra"])] = hostile.value()


def spoil_bytes(body: bytes, hostile: Hostile) -> bytes:
    chance = hostile.chance
    at = chance.randrange(len(body) + 1)
    junk = chance.choice(
        [b"\0", b"\xff", b"\xed\xa0\x80", b"{", b"[" * 50_000, b'"a":1,"a":2,', b"NaN", b"9" * 5000, b"\\ud800"]
    )
    if chance.random() < 0.3:
        return body[:at]
    if chance.random() < 0.05:
        return body + b" " * chance.choice([65_536 - len(body), 65_537 - len(body), 100_000])
    return body[:at] + junk + body[at:]


def spoil_header(hostile: Hostile) -> None:
    chance, name = hostile.chance, hostile.chance.choice(NAMES)
    value = dict(hostile.headers).get(name, "")
    spoiled = chance.choice(
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
        hostile.headers.append((name, spoiled))
    elif chance.random() < 0.1:
        hostile.headers = [(n, v) for n, v in hostile.headers if n != name]
    else:
        hostile.set(name, spoiled)


def spoil_request(hostile: Hostile) -> None:
    chance = hostile.chance
    match chance.randrange(5):
        case 0:
            hostile.method = chance.choice(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"])
        case 1:
            hostile.set(
                "Content-Type",
                chance.choice(["", "text/plain", "application/json; charset=x", "a/b;;;", "application/JSON"]),
            )
        case 2:
            hostile.set("Content-Encoding", chance.choice(["gzip", "identity", "br", "x"]))
        case 3:
            hostile.path = chance.choice(["/x", "//", "/deliver", "/%00", "/..", "/on_execute_post_change_password"])
        case _:
            hostile.set("traceparent", chance.choice(["00-" + "f" * 32 + "-1-1", "x", "00-" + "F" * 32 + "-", "\t"]))


def generate(chance: random.Random) -> Hostile:
    hostile, body = Hostile(chance), good_body(chance)
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        chance.choice([spoil_member, spoil_member, spoil_top])(body, hostile)
    hostile.body = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if chance.random() < 0.2:
        hostile.body = spoil_bytes(hostile.body, hostile)
    hostile.sign()
    if chance.random() < 0.1:
        hostile.body = spoil_bytes(hostile.body, hostile)
    if chance.random() < 0.4:
        spoil_header(hostile)
    if chance.random() < 0.1:
        spoil_request(hostile)
    hostile.chunked = chance.random() < 0.05
    return hostile


def flow(settings: Settings) -> Flow:
    """The flow as in main.py, but for the last step: what would be sent is made, and goes nowhere."""
    secret = "whsec_" + base64.b64encode(KEY).decode()
    clock = Clock(now=lambda: NOW)
    flow = Flow(settings, secrets=SecretCache(settings, fetch=lambda _source: secret, clock=clock), clock=clock)

    @flow.action
    def on_execute_post_change_password(event: Event, api: Api) -> Result:
        if not event.user.email:
            return skipped("no_email")
        print(f"about to write to {event.user.email}")
        json.dumps(payload(password_changed(event, settings), event.callout)).encode()
        return Result("sent")

    return flow


def answer(entry: Callable[[Request], Any], hostile: Hostile) -> int:
    builder = EnvironBuilder(method=hostile.method, path=hostile.path, input_stream=BytesIO(hostile.body))
    environ = builder.get_environ()
    environ["CONTENT_LENGTH"] = str(len(hostile.body))
    for name, value in hostile.headers:
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        text = value.encode("utf-8", "surrogatepass").decode("latin-1")  # as a WSGI server hands it over
        environ[key] = f"{environ[key]},{text}" if key in environ and name in NAMES else text
    if hostile.chunked:
        del environ["CONTENT_LENGTH"]
        environ["wsgi.input_terminated"] = True
    return int(entry(Request(environ)).status_code)


def run(inputs: int, seed: int) -> tuple[Counter[int], list[str]]:
    """How often each status was answered, and what should not have been."""
    log.install()
    chance, entry = random.Random(seed), flow(load(ENVIRONMENT)).handle_callout
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    for number in range(inputs):
        hostile = generate(chance)
        status = answer(entry, hostile)
        statuses[status] += 1
        if status >= 500 or (status < 400 and not hostile.holds()):
            wrong.append(
                f"input {number} of seed {seed}: {status}, signature {'holds' if hostile.holds() else 'does not hold'}"
            )
    return statuses, wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Hostile inputs to the public entry.")
    parser.add_argument("--inputs", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    shown = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:  # the log of it all
        os.dup2(nowhere.fileno(), 1)
    began = time.monotonic()
    statuses, wrong = run(options.inputs, options.seed)
    os.dup2(shown, 1)
    print(f"{options.inputs} inputs, seed {options.seed}, {time.monotonic() - began:.0f} s")
    print("\n".join(f"  {status}: {count}" for status, count in sorted(statuses.items())))
    print("\n".join(wrong[:20]) or "no answer of 500, none accepted without a valid signature")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
