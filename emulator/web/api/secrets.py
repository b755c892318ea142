"""Secrets and their versions; values are always masked."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response

from emulator.core.google_api import ApiError
from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, Emulator
from emulator.secret_manager.key_rotation import SECRET_PREFIX, mask
from emulator.secret_manager.model import StoredSecret, Version
from emulator.web.api import body

_SECRET_NAME = re.compile(re.escape(SECRET_PREFIX) + r"([\w-]+)")


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("secrets", __name__)

    @api.get("/secrets")
    def list_secrets() -> Response:
        """List the secrets with their versions, newest first; values are truncated to a few characters."""
        return body.json_response({"secrets": to_dicts(emulator)})

    _add_rotation(api, emulator)
    _add_versions(api, emulator)
    return api


def _add_rotation(api: Blueprint, emulator: Emulator) -> None:
    @api.post("/secrets/<name>/rotate")
    def rotate(name: str) -> Response:
        """Rotate sendgrid-api-key or callout-signing-key, in Secret Manager and in SendGrid or Auth0."""
        rotations = {
            SENDGRID_KEY: emulator.keys.rotate_sendgrid_key,
            SIGNING_KEY: emulator.keys.rotate_signing_key,
        }
        if SECRET_PREFIX + name not in rotations:
            raise body.RequestError(f"the emulator can't rotate {name}; add a version instead")
        rotations[SECRET_PREFIX + name]()
        return _record_change(emulator)

    @api.post("/secrets/callout-signing-key/retire")
    def retire() -> Response:
        """Add a version with only the key that Auth0 signs with, so that the previous key is rejected."""
        emulator.keys.retire_signing_key()
        return _record_change(emulator)


def _add_versions(api: Blueprint, emulator: Emulator) -> None:
    @api.post("/secrets/<name>/versions")
    def add_version(name: str) -> Response:
        """Add a version with `value`; create the secret if it doesn't exist."""
        try:
            emulator.secret_manager.put(SECRET_PREFIX + name, body.require_str(body.read_object(), "value"))
        except (ValueError, ApiError) as error:
            raise body.RequestError(str(error)) from None
        return _record_change(emulator)

    @api.post("/secrets/<name>/versions/<int:number>")
    def change_version(name: str, number: int) -> Response:
        """Enable or disable a version: `enabled` is true or false."""
        enabled = body.read_object().get("enabled")
        if not isinstance(enabled, bool):
            raise body.RequestError("enabled: expected true or false")
        change = emulator.secret_manager.enable if enabled else emulator.secret_manager.disable
        try:
            change(SECRET_PREFIX + name, number)
        except (ValueError, ApiError) as error:
            raise body.RequestError(str(error), 404) from None
        return _record_change(emulator)


def _record_change(emulator: Emulator) -> Response:
    emulator.journal.record("secrets.changed")
    return body.json_response({"secrets": to_dicts(emulator)})


def to_dicts(emulator: Emulator) -> list[dict[str, Any]]:
    """Return the existing secrets, then those that the settings refer to but that don't exist yet.

    A version's `state` is Secret Manager's; `revoked` says that SendGrid no longer accepts the key in it.
    """
    stored, is_revoked = emulator.secret_manager.secrets(), emulator.sendgrid.is_revoked
    existing = {secret.name.rpartition("/")[2]: _secret(secret, is_revoked) for secret in stored}
    declared = _declared_secrets({**os.environ, **emulator.settings})
    for name, secret in existing.items():
        secret["read_as"] = declared.get(name, [])
    missing = [{"name": name, "versions": [], "read_as": read_as} for name, read_as in declared.items()]
    return [*existing.values(), *(secret for secret in missing if secret["name"] not in existing)]


def _declared_secrets(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names under which the function reads each secret: the variable `X_SECRET` declares X."""
    declared: dict[str, list[str]] = {}
    for variable, value in environment.items():
        match = _SECRET_NAME.match(value)
        if variable.endswith("_SECRET") and match:
            declared.setdefault(match[1], []).append(variable.removesuffix("_SECRET"))
    return declared


def _secret(secret: StoredSecret, is_revoked: Callable[[str], bool]) -> dict[str, Any]:
    newest_first = [_version(version, is_revoked) for version in reversed(secret.versions)]
    return {"name": secret.name.rpartition("/")[2], "versions": newest_first}


def _version(version: Version, is_revoked: Callable[[str], bool]) -> dict[str, Any]:
    value = (version.data or b"").decode("utf-8", "replace")
    return {
        "number": int(version.name.rpartition("/")[2]),
        "state": version.state,
        "created": version.created.isoformat(timespec="seconds"),
        "shown": mask(value),
        "revoked": is_revoked(value),
    }
