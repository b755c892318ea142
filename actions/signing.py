"""The signing keys: which callouts they vouch for, and when they are read again."""

import math

from actions import log
from actions.callout import Signed, is_signed, signing_key, unauthorized
from actions.clock import CLOCK, Clock
from actions.errors import Unavailable
from actions.secrets import Secrets
from settings import Settings

UNKNOWN_SIGNATURE_SECONDS = 10  # a stranger's signature makes us read again no more often than this


class SigningKeys:
    """The keys of CALLOUT_SIGNING_KEY_SECRET, as they stand there now."""

    def __init__(self, settings: Settings, secrets: Secrets, *, clock: Clock = CLOCK) -> None:
        self._source, self._secrets, self._clock = settings.signing_key_secret, secrets, clock
        self._read_again_at = -math.inf
        self._reported: str | None = None

    def verify(self, signed: Signed, body: bytes, deadline: float) -> None:
        """An unknown signature is looked at again with freshly read keys, so that a new key works at once.

        Raises CalloutRefused (invalid_signature) or Unavailable (secret_unavailable).
        """
        if not is_signed(signed, body, self._keys(None, deadline)) and not is_signed(
            signed, body, self._keys(self._unknown_signature(), deadline)
        ):
            raise unauthorized("no signature of a known key")

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
                keys.append(signing_key(word))
            except ValueError as error:
                faults.append(f"key {number} of CALLOUT_SIGNING_KEY is skipped: {error}")
        if self._reported != text:
            self._reported = text
            for fault in faults:
                log.write("ERROR", fault, code="signing_key_malformed")
        if not keys:
            raise Unavailable("secret_unavailable", "a secret cannot be read", cause="no usable signing key")
        return keys
