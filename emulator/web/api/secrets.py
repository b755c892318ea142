"""Secrets: their versions, without their values."""

import os
import re
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from emulator.core.google_api import ApiError
from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, Emulator
from emulator.secret_manager.key_rotation import PROJECT, masked
from emulator.secret_manager.model import StoredSecret, Version
from emulator.web.api import body

_DECLARED = re.compile(re.escape(PROJECT) + r"([\w-]+)")


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("secrets", __name__)

    @api.get("/secrets")
    def list_secrets() -> Response:
        """Each secret with its versions, the newest first, every value cut to a few characters."""
        return body.answer({"secrets": shown(emulator)})

    _add_rotation(api, emulator)
    _add_versions(api, emulator)
    return api


def _add_rotation(api: Blueprint, emulator: Emulator) -> None:
    @api.post("/secrets/<name>/rotate")
    def rotate(name: str) -> Response:
        """A new key on both sides, for sendgrid-api-key or callout-signing-key."""
        rotations = {
            SENDGRID_KEY: emulator.keys.rotate_sendgrid_key,
            SIGNING_KEY: emulator.keys.rotate_signing_key,
        }
        if PROJECT + name not in rotations:
            raise body.RequestError(f"{name} has no other side; add a version instead")
        rotations[PROJECT + name]()
        return _changed(emulator)

    @api.post("/secrets/callout-signing-key/retire")
    def retire() -> Response:
        """A version that holds only the key that Auth0 signs with: the one before no longer counts."""
        emulator.keys.retire_signing_key()
        return _changed(emulator)


def _add_versions(api: Blueprint, emulator: Emulator) -> None:
    @api.post("/secrets/<name>/versions")
    def add_version(name: str) -> Response:
        """Give the secret, which is made where it is absent, a new `value`."""
        try:
            emulator.secret_manager.put(PROJECT + name, body.text(body.read(), "value"))
        except (ValueError, ApiError) as error:
            raise body.RequestError(str(error)) from None
        return _changed(emulator)

    @api.post("/secrets/<name>/versions/<int:number>")
    def change_version(name: str, number: int) -> Response:
        """Enable or disable a version: `enabled` is true or false."""
        enabled = body.read().get("enabled")
        if not isinstance(enabled, bool):
            raise body.RequestError("enabled: expected true or false")
        change = emulator.secret_manager.enable if enabled else emulator.secret_manager.disable
        try:
            change(PROJECT + name, number)
        except (ValueError, ApiError) as error:
            raise body.RequestError(str(error), 404) from None
        return _changed(emulator)


def _changed(emulator: Emulator) -> Response:
    emulator.journal.record("secrets.changed")
    return body.answer({"secrets": shown(emulator)})


def shown(emulator: Emulator) -> list[dict[str, Any]]:
    """Those that exist, and those that the environment declares but nobody filled."""
    known = {secret.name.rpartition("/")[2]: _secret(secret) for secret in emulator.secret_manager.secrets()}
    declared = _declared({**os.environ, **emulator.settings})
    for name, secret in known.items():
        secret["read_as"] = declared.get(name, [])
    empty = [{"name": name, "versions": [], "read_as": read_as} for name, read_as in declared.items()]
    return [*known.values(), *(secret for secret in empty if secret["name"] not in known)]


def _declared(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """A secret's name, and as what the function reads it: `X_SECRET` declares X."""
    found: dict[str, list[str]] = {}
    for variable, value in environment.items():
        match = _DECLARED.match(value)
        if variable.endswith("_SECRET") and match:
            found.setdefault(match[1], []).append(variable.removesuffix("_SECRET"))
    return found


def _secret(secret: StoredSecret) -> dict[str, Any]:
    newest_first = [_version(version) for version in reversed(secret.versions)]
    return {"name": secret.name.rpartition("/")[2], "versions": newest_first}


def _version(version: Version) -> dict[str, Any]:
    return {
        "number": int(version.name.rpartition("/")[2]),
        "state": version.state,
        "created": version.created.isoformat(timespec="seconds"),
        "shown": masked((version.data or b"").decode("utf-8", "replace")),
    }
