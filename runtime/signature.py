"""Verify that a callout was signed with one of the keys that CALLOUT_SIGNING_KEY currently contains.

The scheme is Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from typing import NamedTuple

from werkzeug.datastructures import Headers

from runtime import log
from runtime.clock import CLOCK, Clock
from runtime.errors import InvalidCallout, Unavailable
from runtime.secrets import SecretCache
from settings import Settings

TOLERANCE_SECONDS = 300
ID = re.compile(r"[A-Za-z0-9_-]{1,256}")  # no dots: they separate the parts of the signed text
TIMESTAMP = re.compile(r"[1-9][0-9]{0,10}")  # canonical form only, because the header text itself is signed
MIN_REREAD_INTERVAL_SECONDS = 10  # between re-reads triggered by unknown signatures
KEY_PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64


class SignedHeaders(NamedTuple):
    """The content of the three webhook headers; untrusted until `SigningKeys.verify` has returned it."""

    id: str
    timestamp: int  # Unix seconds
    signatures: tuple[str, ...]


def parse_headers(headers: Headers) -> SignedHeaders:
    """Parse the webhook headers. Raise InvalidCallout (invalid_signature) if one is missing or malformed."""
    claimed = {name: headers.get(f"webhook-{name}") or "" for name in ("id", "timestamp", "signature")}
    missing = [f"webhook-{name}" for name, value in claimed.items() if not value]
    if missing:
        raise invalid_signature(f"missing {' and '.join(missing)}")
    if not ID.fullmatch(claimed["id"]):
        raise invalid_signature("malformed webhook-id")
    if not TIMESTAMP.fullmatch(claimed["timestamp"]):
        raise invalid_signature("malformed webhook-timestamp")
    return SignedHeaders(claimed["id"], int(claimed["timestamp"]), tuple(claimed["signature"].split(" ")))


def check_age(signed: SignedHeaders, now: float, *, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Raise InvalidCallout (invalid_signature) if the timestamp is more than `tolerance` seconds before `now` (Unix
    seconds), or more than TOLERANCE_SECONDS after it.
    """
    age = int(now) - signed.timestamp
    if age > tolerance or -age > TOLERANCE_SECONDS:
        allowed = f"from {-TOLERANCE_SECONDS} to {tolerance:.0f} s"
        raise invalid_signature(f"webhook-timestamp is {age} s old; allowed: {allowed}")


def has_valid_signature(signed: SignedHeaders, body: bytes, keys: Iterable[bytes]) -> bool:
    """Return whether any v1 signature matches any of the keys. Compares each pair in constant time."""
    text = f"{signed.id}.{signed.timestamp}.".encode() + body
    received = [value[3:].encode("utf-8", "replace") for value in signed.signatures if value.startswith("v1,")]
    expected = [base64.b64encode(hmac.digest(key, text, "sha256")) for key in keys]
    return any([hmac.compare_digest(a, b) for a in expected for b in received])  # noqa: C419  (no early return)


def parse_signing_key(text: str) -> bytes:
    """Return the key's bytes. Raise ValueError, whose text doesn't contain the key, if it is malformed."""
    prefix, underscore, encoded = text.partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the part after {KEY_PREFIX} isn't base64") from None
    if prefix + underscore != KEY_PREFIX or not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"expected {KEY_PREFIX} and {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes in base64")
    return key


def invalid_signature(cause: str) -> InvalidCallout:
    """Return the same error for every cause, so that the caller can't tell them apart; the cause is only logged."""
    return InvalidCallout("invalid_signature", 401, "invalid signature", cause=cause)


class SigningKeys:
    """The current keys in the secret that CALLOUT_SIGNING_KEY_SECRET names."""

    def __init__(self, settings: Settings, secrets: SecretCache, *, clock: Clock = CLOCK) -> None:
        self._source, self._secrets, self._clock = settings.signing_key_secret, secrets, clock
        self._reported: str | None = None

    def verify(self, headers: Headers, body: bytes, *, tolerance: float, deadline: float) -> SignedHeaders:
        """Return the headers' content if one of the keys signed the body, at most `tolerance` seconds ago.

        An unknown signature is checked again with freshly read keys, so that a new key works immediately.
        Raise InvalidCallout (invalid_signature), or Unavailable (secret_unavailable) if the keys can't be read.
        """
        signed = parse_headers(headers)
        check_age(signed, self._clock.now(), tolerance=tolerance)
        if has_valid_signature(signed, body, self._parse(self._secrets.get(self._source, deadline=deadline))):
            return signed
        keys = self._parse(
            self._secrets.refresh(self._source, min_interval=MIN_REREAD_INTERVAL_SECONDS, deadline=deadline)
        )
        if not keys:
            raise Unavailable("secret_unavailable", "can't read a secret", cause="no valid signing key")
        if not has_valid_signature(signed, body, keys):
            raise invalid_signature("no signature matches a known key")
        return signed

    def _parse(self, text: str) -> list[bytes]:
        """Return every valid key in the secret; log each malformed key once."""
        keys, is_new, self._reported = [], text != self._reported, text
        for number, encoded in enumerate(text.split(), 1):
            try:
                keys.append(parse_signing_key(encoded))
            except ValueError as error:
                if is_new:
                    message = f"skipping key {number} of CALLOUT_SIGNING_KEY: {error}"
                    log.write("ERROR", message, code="malformed_signing_key")
        return keys
