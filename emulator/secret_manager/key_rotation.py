"""Rotation of both keys: the SendGrid key, and the signing key shared by Auth0 and Secret Manager."""

import base64
from collections.abc import Callable, Iterable, MutableMapping
from secrets import token_bytes
from typing import Any

from emulator.core.server import Environ
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.server import FakeSendGrid

SECRET_PREFIX = "projects/emulator/secrets/"  # noqa: S105  (a name, not a secret)
SENDGRID_KEY = f"{SECRET_PREFIX}sendgrid-api-key"
SIGNING_KEY = f"{SECRET_PREFIX}callout-signing-key"
ACTION_SECRET = "CALLOUT_SIGNING_KEY"  # noqa: S105  (the secret's name in Auth0)


class Keys:
    """Both keys, everywhere that they are stored; `action_secrets` are the forwarder Action's secrets in Auth0."""

    def __init__(
        self, sendgrid: FakeSendGrid, secret_manager: FakeSecretManager, action_secrets: MutableMapping[str, str]
    ) -> None:
        self._sendgrid, self._secret_manager, self._action_secrets = sendgrid, secret_manager, action_secrets
        self._sendgrid_key = ""
        self._signing_keys: list[str] = []

    @property
    def signing_key(self) -> str:
        """Return the key that Auth0 signs with."""
        return self._action_secrets[ACTION_SECRET]

    def initialize(self) -> None:
        """Replace both keys with new ones; the previous keys become invalid."""
        self.rotate_sendgrid_key()
        self._signing_keys.clear()
        self.rotate_signing_key()

    def rotate_sendgrid_key(self) -> None:
        """Add a new SendGrid key as the newest version, and revoke the previous one."""
        old, self._sendgrid_key = self._sendgrid_key, self._sendgrid.new_key("mail.send")
        self._secret_manager.put(SENDGRID_KEY, self._sendgrid_key)
        self._sendgrid.revoke(old)

    def rotate_sendgrid_key_at_next_email(self) -> None:
        """Rotate the SendGrid key during the next callout, after the function has read the key."""
        app = self._sendgrid.app

        def rotating(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            self._sendgrid.app = app
            self.rotate_sendgrid_key()
            return app(environ, start_response)

        self._sendgrid.app = rotating

    def rotate_signing_key(self) -> None:
        """Add a new signing key ahead of the current one, then make Auth0 sign with it, so that no callout is lost."""
        self._put([new_signing_key(), *self._signing_keys[:1]])
        self._action_secrets[ACTION_SECRET] = self._signing_keys[0]

    def retire_signing_key(self) -> None:
        """Remove all signing keys except the one that Auth0 signs with."""
        self._put(self._signing_keys[:1])

    def _put(self, signing_keys: list[str]) -> None:
        self._signing_keys = signing_keys
        self._secret_manager.put(SIGNING_KEY, "\n".join(signing_keys))


def new_signing_key() -> str:
    """Return a random 32-byte key in the Standard Webhooks format."""
    return "whsec_" + base64.b64encode(token_bytes(32)).decode()


def mask(value: str) -> str:
    """Return just enough of a secret to distinguish it from others."""
    return "\n".join(f"{word[: _visible_characters(word)]}…" for word in value.split()) or "…"


def _visible_characters(word: str) -> int:
    prefix = next((len(known) for known in ("whsec_", "SG.") if word.startswith(known)), 0)
    return prefix + 4 if len(word) >= prefix + 24 else 0
