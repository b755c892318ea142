"""An emulator of Secret Manager's REST API, complete enough for the official client and gcloud.

Names are global (`projects/P/secrets/S`) or regional (`projects/P/locations/L/secrets/S`). P is an ID or a number;
responses show the number, as in the service. Values are kept in memory and never recorded in the journal. IAM isn't
enforced (but see `deny`).
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import Flask, Response, jsonify, request

from emulator.core.google_api import (
    ApiError,
    Json,
    Policies,
    api,
    api_faults,
    body,
    from_base64,
    granted_permissions,
    message_field,
    page,
    project_number,
)
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.secret_manager.model import StoredSecret, crc32c

PAGE_LIMIT = 25_000
SETTINGS = ("labels", "annotations", "topics", "ttl")  # that can be updated, unlike the replication

_ACCESS = "secretmanager.versions.access"

FAULTS = api_faults(
    "secretmanager.googleapis.com",
    _ACCESS,
    {
        "permission denied": "403: the service account lost its role; the cached value is dropped at once",
        "not found": "404: the secret or its version doesn't exist",
        "unauthenticated": "401: the caller isn't authenticated",
        "rate limited": "429: the cached value stays in use",
        "internal": "500: the cached value stays in use",
        "unavailable": "503: the cached value stays in use",
    },
)

_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_SECRET_NAME = re.compile(r"projects/(?P<project>[^/]+)(/locations/(?P<location>[^/]+))?/secrets/(?P<secret>[^/]+)")


class FakeSecretManager(Server):
    """The fake Secret Manager, a context manager; FAULTS are the faults that can be added to `faults`.

    `on_change` is called after each change of a secret.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__("secret_manager", self._app(), journal, redact=redact_payload)
        self.on_change: Callable[[], None] = lambda: None
        self._secrets: dict[str, StoredSecret] = {}
        self._policies = Policies()
        self._lock = threading.RLock()

    def put(self, name: str, value: str | bytes) -> int:
        """Add a version to the secret, which is created if absent, and return the version's number."""
        with self._change():
            secret = self._secrets.setdefault(_canonical(name), StoredSecret(_canonical(name), _settings(name, {})))
            secret.add(value.encode() if isinstance(value, str) else value)
            return len(secret.versions)

    def disable(self, name: str, version: int | str = "latest") -> None:
        with self._change():
            self._secret(name).version(str(version)).set_state("DISABLED")

    def enable(self, name: str, version: int | str = "latest") -> None:
        with self._change():
            self._secret(name).version(str(version)).set_state("ENABLED")

    def deny(self, name: str, *, denied: bool = True) -> None:
        """Return 403 for reads of this secret, as without the accessor role, until called with `denied=False`."""
        with self._change():
            self._secret(name).denied = denied

    def clear(self) -> None:
        """Delete all secrets."""
        with self._change():
            self._secrets.clear()
            self._policies = Policies()

    def secrets(self) -> list[StoredSecret]:
        """Return all secrets, sorted by name; don't modify them."""
        with self._lock:
            return [self._secrets[name] for name in sorted(self._secrets)]

    def latest_values(self) -> dict[str, bytes]:
        """Return the value of each secret's latest version by the secret's ID, if it can be read."""
        return {
            secret.name.rpartition("/")[2]: secret.versions[-1].data or b""
            for secret in self.secrets()
            if secret.versions and secret.versions[-1].state == "ENABLED" and not secret.denied
        }

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock:
            yield
            self.on_change()

    def _secret(self, name: str) -> StoredSecret:
        canonical = _canonical(name)
        if canonical not in self._secrets:
            raise ApiError("NOT_FOUND", f"Secret [{canonical}] not found.")
        return self._secrets[canonical]

    def _app(self) -> Flask:
        app = api("secret_manager")
        for parent in ("/v1/projects/<project>", "/v1/projects/<project>/locations/<location>"):
            secret = f"{parent}/secrets/<id:secret>"
            version = f"{secret}/versions/<id:version>"
            for method, rule, view in (
                ("POST", f"{parent}/secrets", self._create),
                ("GET", f"{parent}/secrets", self._list),
                ("GET", secret, self._get),
                ("PATCH", secret, self._update),
                ("DELETE", secret, self._delete),
                ("POST", f"{secret}:addVersion", self._add_version),
                ("GET", f"{secret}:getIamPolicy", self._get_policy),
                ("POST", f"{secret}:setIamPolicy", self._set_policy),
                ("POST", f"{secret}:testIamPermissions", self._test_permissions),
                ("GET", f"{secret}/versions", self._list_versions),
                ("GET", version, self._get_version),
                ("GET", f"{version}:access", self._access),
                ("POST", f"{version}:enable", self._set_state("ENABLED")),
                ("POST", f"{version}:disable", self._set_state("DISABLED")),
                ("POST", f"{version}:destroy", self._set_state("DESTROYED")),
            ):
                app.add_url_rule(rule, rule + method, self._locked(view), methods=[method])
        return app

    def _locked(self, view: Callable[..., Response]) -> Callable[..., Response]:
        def locked(**names: str) -> Response:
            with self._lock if request.method == "GET" else self._change():
                return view(**names)

        return locked

    def _create(self, **names: str) -> Response:
        secret_id = request.args.get("secretId", "")
        if not _ID.fullmatch(secret_id):
            raise ApiError("INVALID_ARGUMENT", f"Secret ID [{secret_id}] does not match the expected format.")
        name = _name(**names, secret=secret_id)
        if name in self._secrets:
            raise ApiError("ALREADY_EXISTS", f"Secret [{name}] already exists.")
        fields = body()
        if "location" not in names and not fields.get("replication"):
            raise ApiError("INVALID_ARGUMENT", "The replication policy of a secret is required.")
        self._secrets[name] = StoredSecret(name, _settings(name, fields))
        return jsonify(self._secrets[name].resource())

    def _list(self, **names: str) -> Response:
        parent = _name(**names, secret="")
        owned = [s.resource() for name, s in sorted(self._secrets.items()) if name.rpartition("/")[0] + "/" == parent]
        return page(owned, "secrets", PAGE_LIMIT)

    def _get(self, **names: str) -> Response:
        return jsonify(self._secret(_name(**names)).resource())

    def _update(self, **names: str) -> Response:
        """Replace the fields that the update mask names; a field that the body lacks is cleared."""
        secret, fields = self._secret(_name(**names)), body()
        paths = [path for path in request.args.get("updateMask", "").split(",") if path]
        if not paths or set(paths) - set(SETTINGS):
            raise ApiError(
                "INVALID_ARGUMENT", f"The update mask must name some of these fields: {', '.join(SETTINGS)}."
            )
        kept = {name: value for name, value in secret.settings.items() if name not in paths}
        secret.settings = kept | {name: fields[name] for name in paths if fields.get(name)}
        return jsonify(secret.resource())

    def _delete(self, **names: str) -> Response:
        name = self._secret(_name(**names)).name
        del self._secrets[name]
        self._policies.drop(name)
        return jsonify({})

    def _add_version(self, **names: str) -> Response:
        payload = message_field(body(), "payload")
        data, checksum = from_base64(payload.get("data"), "payload.data"), payload.get("dataCrc32c")
        if checksum is not None and str(checksum) != str(crc32c(data)):
            raise ApiError("INVALID_ARGUMENT", "The payload's checksum does not match the given dataCrc32c.")
        if not data:
            raise ApiError("INVALID_ARGUMENT", "Secret Payload cannot be empty.")
        return jsonify(self._secret(_name(**names)).add(data, checksum_given=checksum is not None).resource())

    def _list_versions(self, **names: str) -> Response:
        newest_first = self._secret(_name(**names)).versions[::-1]
        return page([version.resource() for version in newest_first], "versions", PAGE_LIMIT)

    def _get_version(self, version: str, **names: str) -> Response:
        return jsonify(self._secret(_name(**names)).version(version).resource())

    def _access(self, version: str, **names: str) -> Response:
        # The service reports a missing secret as one without versions.
        secret = self._secrets.get(_name(**names)) or StoredSecret(_name(**names), {})
        if secret.denied:
            raise _denied(request.path.removeprefix("/v1/").removesuffix(":access"))
        return jsonify(secret.version(version).access())

    def _set_state(self, state: str) -> Callable[..., Response]:
        def set_state(version: str, **names: str) -> Response:
            return jsonify(self._secret(_name(**names)).version(version).set_state(state))

        return set_state

    def _get_policy(self, **names: str) -> Response:
        return jsonify(self._policies.get(self._secret(_name(**names)).name))

    def _set_policy(self, **names: str) -> Response:
        return jsonify(self._policies.set(self._secret(_name(**names)).name, message_field(body(), "policy")))

    def _test_permissions(self, **names: str) -> Response:
        secret = self._secrets.get(_name(**names))
        denied = [_ACCESS] if secret and secret.denied else []
        return jsonify(granted_permissions(exists=secret is not None, denied=denied))


def redact_payload(text: str) -> str:
    """Redact the payload in a request or response body; a body that isn't a JSON object is redacted entirely."""
    try:
        message = json.loads(text or "{}")
        payload = message.get("payload") or {}
        redacted = {**payload, **{name: "…" for name in ("data", "dataCrc32c") if name in payload}}
    except (ValueError, AttributeError, TypeError):
        return f"({len(text)} characters)"
    return json.dumps({**message, "payload": redacted}, ensure_ascii=False) if payload else text


def _name(project: str, secret: str, location: str = "") -> str:
    """Return the canonical name, with the project number, which responses show and secrets are stored under."""
    region = f"/locations/{location}" if location else ""
    return f"projects/{project_number(project)}{region}/secrets/{secret}"


def _canonical(name: str) -> str:
    """Return the canonical form of a secret's name. Raise ValueError if it isn't one."""
    match = _SECRET_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} isn't a secret's name: expected projects/P[/locations/L]/secrets/S")
    return _name(match["project"], match["secret"], match["location"] or "")


def _settings(name: str, fields: Json) -> Json:
    """Return the settings that a secret stores; a regional one has no replication."""
    stored = {key: fields[key] for key in SETTINGS if fields.get(key)}
    return (
        stored if "/locations/" in name else {"replication": fields.get("replication") or {"automatic": {}}, **stored}
    )


def _denied(name: str) -> ApiError:
    return ApiError(
        "PERMISSION_DENIED",
        f"Permission '{_ACCESS}' denied for resource '{name}' (or it may not exist).",
        "IAM_PERMISSION_DENIED",
        "iam.googleapis.com",
        permission=_ACCESS,
        resource=name,
    )
