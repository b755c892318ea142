"""The two keys, on both sides: SendGrid's key in Secret Manager, and the signing key there and at Auth0."""

import base64
from collections.abc import Callable, Iterable, MutableMapping
from secrets import token_bytes
from typing import Any

from emulator.core.server import Environ
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.server import FakeSendGrid

SECRET_PREFIX = "projects/emulator/secrets/"
SENDGRID_KEY = f"{SECRET_PREFIX}sendgrid-api-key"  # a secret's name, not a secret
SIGNING_KEY = f"{SECRET_PREFIX}callout-signing-key"
ACTION_SECRET = "CALLOUT_SIGNING_KEY"  # noqa: S105  (its name at Auth0)


class Keys:
    """`action_secrets` are those that the Action has at Auth0."""

    def __init__(
        self, sendgrid: FakeSendGrid, secret_manager: FakeSecretManager, action_secrets: MutableMapping[str, str]
    ) -> None:
        self._sendgrid, self._secret_manager, self._action = sendgrid, secret_manager, action_secrets
        self._sendgrid_key = ""
        self._signing_keys: list[str] = []

    @property
    def signing_key(self) -> str:
        """What Auth0 signs with."""
        return self._action[ACTION_SECRET]

    def fill(self) -> None:
        """A new key of each kind, and no trace of those before."""
        self.rotate_sendgrid_key()
        self._signing_keys.clear()
        self.rotate_signing_key()

    def rotate_sendgrid_key(self) -> None:
        """A new key becomes the newest version; SendGrid no longer knows the one before."""
        old, self._sendgrid_key = self._sendgrid_key, self._sendgrid.new_key("mail.send")
        self._secret_manager.put(SENDGRID_KEY, self._sendgrid_key)
        self._sendgrid.revoke(old)

    def rotate_sendgrid_key_at_next_email(self) -> None:
        """After the function has read the key, before SendGrid checks it: in the middle of a callout."""
        app = self._sendgrid.app

        def rotating(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            self._sendgrid.app = app
            self.rotate_sendgrid_key()
            return app(environ, start_response)

        self._sendgrid.app = rotating

    def rotate_signing_key(self) -> None:
        """A new key, before the last one in the newest version, then Auth0 signs with it: no callout is lost."""
        self._put([new_signing_key(), *self._signing_keys[:1]])
        self._action[ACTION_SECRET] = self._signing_keys[0]

    def retire_signing_key(self) -> None:
        """The newest version holds only what Auth0 signs with."""
        self._put(self._signing_keys[:1])

    def _put(self, signing_keys: list[str]) -> None:
        self._signing_keys = signing_keys
        self._secret_manager.put(SIGNING_KEY, "\n".join(signing_keys))


def new_signing_key() -> str:
    """A key of the Standard Webhooks form, of 32 random bytes."""
    return "whsec_" + base64.b64encode(token_bytes(32)).decode()


def mask(value: str) -> str:
    """Enough of a secret to tell it from another one, and no more."""
    return "\n".join(f"{word[: _shown(word)]}…" for word in value.split()) or "…"


def _shown(word: str) -> int:
    prefix = next((len(known) for known in ("whsec_", "SG.") if word.startswith(known)), 0)
    return prefix + 4 if len(word) >= prefix + 24 else 0
