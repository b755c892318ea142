"""The signature: whether a request is a callout of ours, by whichever key is in CALLOUT_SIGNING_KEY now.

The scheme is Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import math
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
ID = re.compile(r"[!-~]{1,256}")
TIMESTAMP = re.compile(r"[1-9][0-9]{0,10}")  # one spelling each: what is signed is what stands there
UNKNOWN_SIGNATURE_SECONDS = 10  # a stranger's signature makes us read again no more often than this


class SignedHeaders(NamedTuple):
    """What the three webhook headers say; untrusted until `SigningKeys.verify` has returned it."""

    id: str
    timestamp: int
    signatures: tuple[str, ...]


def parse_headers(headers: Headers) -> SignedHeaders:
    """Raises InvalidCallout (invalid_signature) where a header is missing or malformed."""
    claimed = {name: headers.get(f"webhook-{name}") or "" for name in ("id", "timestamp", "signature")}
    missing = [f"webhook-{name}" for name, value in claimed.items() if not value]
    if missing:
        raise invalid_signature(f"{' and '.join(missing)} missing")
    if not ID.fullmatch(claimed["id"]):
        raise invalid_signature("webhook-id is malformed")
    if not TIMESTAMP.fullmatch(claimed["timestamp"]):
        raise invalid_signature("webhook-timestamp is malformed")
    return SignedHeaders(claimed["id"], int(claimed["timestamp"]), tuple(claimed["signature"].split(" ")))


def check_age(signed: SignedHeaders, now: float, *, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Raises InvalidCallout (invalid_signature) where the timestamp is too far from `now` (unix seconds)."""
    age = int(now) - signed.timestamp
    if age > tolerance or -age > TOLERANCE_SECONDS:
        raise invalid_signature(
            f"webhook-timestamp is {age} s old, tolerated: {tolerance:.0f} s and {TOLERANCE_SECONDS} s ahead"
        )


def has_valid_signature(signed: SignedHeaders, body: bytes, keys: Iterable[bytes]) -> bool:
    """Whether any offered signature of the version v1 is one that any of the keys makes. In constant time per pair."""
    text = f"{signed.id}.{signed.timestamp}.".encode() + body
    offered = [value[3:].encode("utf-8", "replace") for value in signed.signatures if value.startswith("v1,")]
    made = [base64.b64encode(hmac.digest(key, text, "sha256")) for key in keys]
    return any([hmac.compare_digest(mine, theirs) for mine in made for theirs in offered])  # noqa: C419  (no early end)


def parse_signing_key(text: str) -> bytes:
    """The bytes of `whsec_BASE64`. Raises ValueError, without the key, where it is malformed."""
    prefix, _, encoded = text.partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what follows whsec_ is not base64") from None
    if prefix != "whsec" or not 24 <= len(key) <= 64:
        raise ValueError("it is not whsec_ and 24 to 64 bytes in base64")
    return key


def invalid_signature(cause: str) -> InvalidCallout:
    """One answer for every cause, so that a stranger learns nothing from it; the log has the cause."""
    return InvalidCallout("invalid_signature", 401, "the signature does not hold", cause=cause)


class SigningKeys:
    """The keys of CALLOUT_SIGNING_KEY_SECRET, as they stand there now."""

    def __init__(self, settings: Settings, secrets: SecretCache, *, clock: Clock = CLOCK) -> None:
        self._source, self._secrets, self._clock = settings.signing_key_secret, secrets, clock
        self._read_again_at = -math.inf
        self._reported: str | None = None

    def verify(self, headers: Headers, body: bytes, *, tolerance: float, deadline: float) -> SignedHeaders:
        """What the headers say of a body that one of the keys has signed, at most `tolerance` seconds ago.

        An unknown signature is looked at again with freshly read keys, so that a new key works at once.
        Raises InvalidCallout (invalid_signature) or Unavailable (secret_unavailable).
        """
        signed = parse_headers(headers)
        check_age(signed, self._clock.now(), tolerance=tolerance)
        if not has_valid_signature(signed, body, self._keys(None, deadline)) and not has_valid_signature(
            signed, body, self._keys(self._unknown_signature(), deadline)
        ):
            raise invalid_signature("no signature of a known key")
        return signed

    def _unknown_signature(self) -> float:
        """How old the keys may be that judge it: read now, or since an unknown signature last made us read."""
        now = self._clock.monotonic()
        if now - self._read_again_at >= UNKNOWN_SIGNATURE_SECONDS:
            self._read_again_at = now
        return now - self._read_again_at

    def _keys(self, max_age: float | None, deadline: float) -> list[bytes]:
        """Every well-formed key of the secret; each malformed one is told once."""
        text = self._secrets.get(self._source, max_age=max_age, deadline=deadline)
        keys, faults = [], []
        for number, word in enumerate(text.split(), 1):
            try:
                keys.append(parse_signing_key(word))
            except ValueError as error:
                faults.append(f"key {number} of CALLOUT_SIGNING_KEY is skipped: {error}")
        if self._reported != text:
            self._reported = text
            for fault in faults:
                log.write("ERROR", fault, code="malformed_signing_key")
        if not keys:
            raise Unavailable("secret_unavailable", "a secret cannot be read", cause="no usable signing key")
        return keys
