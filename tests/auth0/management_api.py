"""A fake of the Actions endpoints of Auth0's Management API, over https on loopback.

Builds aren't instant: an Action is `pending` until it has been read once, as in the recordings of Deploy CLI's own
tests.
"""

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask, Response, jsonify, request

from emulator.core import server
from emulator.core.journal import Journal
from emulator.core.server import Server

Json = dict[str, Any]
Run = Callable[[Json, dict[str, str]], str]  # event, the Action's secrets → the error's message, empty on success
TENANT, TENANT_DOMAIN = "acme", "acme.eu.auth0.com"
TOKEN, CLIENT_ID, CLIENT_SECRET = "a-management-token", "a-client-id", "a-client-secret"
FORWARDER = (Path(__file__).parents[2] / "auth0" / "action.js").read_text("utf-8")


class _Handler(server._Handler):
    """Serves the tenant's domain too, which the guard of the emulated services rejects."""

    def make_environ(self) -> server.Environ:
        return {**super().make_environ(), "HTTP_HOST": "localhost"}


class FakeManagementApi:
    """A context manager. `domain` is the value for AUTH0_DOMAIN, `ca_certificate` is the certificate to trust.

    It is also the tenant at TENANT_DOMAIN and the same port, for a test that resolves this name to loopback.
    """

    def __init__(self, folder: Path, run: Run = lambda event, secrets: "") -> None:
        self.actions: list[Json] = []
        self.bindings: list[Json] = []
        self.secrets: dict[str, dict[str, str]] = {}  # by the Action's ID
        self.versions: dict[str, Json] = {}  # by the version's ID
        self.journal = Journal()
        self.ca_certificate = folder / "certificate.pem"
        self._run, self._token, self._numbers = run, TOKEN, count(1)
        self._server = Server("auth0", self._create_app(), self.journal)
        self._server._http.RequestHandlerClass = _Handler
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_write_certificate(self.ca_certificate, folder / "key.pem"), folder / "key.pem")
        self._server._http.socket = context.wrap_socket(self._server._http.socket, server_side=True)
        self.domain = f"localhost:{self._server.port}"

    def __enter__(self) -> "FakeManagementApi":
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(None, None, None)

    def revoke_token(self) -> None:
        self._token = ""

    def bind(self, *names: str) -> None:
        """Bind Actions, creating those that don't exist."""
        for name in names:
            action = next((each for each in self.actions if each["name"] == name), None) or self._create({"name": name})
            number = f"{len(self.bindings) + 1:08}-0000-4000-8000-000000000000"
            self.bindings.append(
                {"id": number, "trigger_id": "post-change-password", "display_name": f"{name}!", "action": action}
            )

    def deploy(self, name: str, secrets: dict[str, str], code: str = FORWARDER) -> Json:
        """Create a built and deployed Action, as the editor does."""
        listed = [{"name": key, "value": secrets[key]} for key in secrets]
        action = self._create({"name": name, "code": code, "secrets": listed})
        action["status"] = "built"
        self.deploy_draft(action)
        return action

    def save(self, action: Json, code: str = "", **secrets: str) -> None:
        """Save the draft with other code or secrets, as the editor does, without changing what is deployed."""
        listed = [{"name": each["name"]} for each in action["secrets"] if each["name"] not in secrets]
        listed += [{"name": name, "value": value} for name, value in secrets.items()]
        action.update(code=code or action["code"], all_changes_deployed=False)
        self._put_secrets(action, {"secrets": listed})

    def deploy_draft(self, action: Json) -> Json:
        """Deploy the draft as a new version, as the Deploy button does."""
        number = next(self._numbers)
        version = {
            "id": f"{number:08}-3333-4000-8000-000000000000",
            "number": number,
            "deployed": True,
            "status": "built",
            "code": action.get("code", ""),
            "secrets": deepcopy(action.get("secrets", [])),
            "created_at": _timestamp(number),
        }
        self.versions[version["id"]] = version
        action.update(deployed_version={**version, "code": ""}, all_changes_deployed=True)
        return version

    @property
    def bound(self) -> list[tuple[str, str]]:
        return [(binding["action"]["name"], binding["display_name"]) for binding in self.bindings]

    def _create(self, body: Json) -> Json:
        copied = ("name", "code", "runtime", "dependencies", "supported_triggers")
        action: Json = {
            "id": f"{len(self.actions) + 1:08}-1111-4000-8000-000000000000",
            **{key: body[key] for key in copied if key in body},
            "status": "pending",
            "all_changes_deployed": False,
            "installed_integration_id": None,
            "created_at": _timestamp(0),
            "updated_at": _timestamp(0),
        }
        self.actions.append(action)
        self._put_secrets(action, body)
        return action

    def _put_secrets(self, action: Json, body: Json) -> None:
        """Store the secrets: a value is write-only, and a secret that isn't listed is deleted."""
        if "secrets" not in body:
            return
        previous = self.secrets.get(action["id"], {})
        self.secrets[action["id"]] = {
            secret["name"]: secret.get("value", previous.get(secret["name"], "")) for secret in body["secrets"]
        }
        times = {secret["name"]: secret["updated_at"] for secret in action.get("secrets", [])}
        times |= {secret["name"]: _timestamp(next(self._numbers)) for secret in body["secrets"] if "value" in secret}
        names = [secret["name"] for secret in body["secrets"]]
        action["secrets"] = [{"name": name, "updated_at": times[name]} for name in names]

    def _create_app(self) -> Flask:
        app = Flask("management")
        base = "/api/v2/actions"
        for rule, method, view in (
            (f"{base}/actions", "GET", self._list),
            (f"{base}/actions", "POST", lambda: (jsonify(self._create(request.get_json())), 201)),
            (f"{base}/actions/<action_id>", "GET", lambda action_id: jsonify(self._read(action_id))),
            (f"{base}/actions/<action_id>", "PATCH", self._update),
            (f"{base}/actions/<action_id>/deploy", "POST", self._deploy),
            (f"{base}/actions/<action_id>/versions/<version_id>", "GET", self._get_version),
            (f"{base}/actions/<action_id>/test", "POST", self._test),
            (f"{base}/modules", "GET", lambda: jsonify({"modules": [], "total": 0, "page": 0, "per_page": 50})),
            (f"{base}/triggers/<trigger>/bindings", "GET", self._get_bindings),
            (f"{base}/triggers/<trigger>/bindings", "PATCH", self._put_bindings),
            ("/api/v2/logs", "GET", lambda: jsonify([])),
            ("/oauth/token", "POST", self._get_token),
        ):
            app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
        app.before_request(self._check_token)
        app.register_error_handler(404, lambda _: _error_response(404, "Not found."))
        return app

    def _check_token(self) -> tuple[Response, int] | None:
        if request.path != "/oauth/token" and request.headers.get("Authorization") != f"Bearer {self._token}":
            return _error_response(401, "Invalid token")
        return None

    def _get_token(self) -> tuple[Response, int]:
        body = request.get_json()
        assert body["audience"].endswith("/api/v2/")
        if (body["grant_type"], body["client_id"], body["client_secret"]) != (
            "client_credentials",
            CLIENT_ID,
            CLIENT_SECRET,
        ):
            return jsonify({"error": "access_denied", "error_description": "Unauthorized"}), 401
        return jsonify({"access_token": self._token, "expires_in": 86400, "token_type": "Bearer"}), 200

    def _find(self, action_id: str) -> Json:
        [action] = [each for each in self.actions if each["id"] == action_id]
        return action

    def _read(self, action_id: str) -> Json:
        """Return the Action's current state, and mark it as built for the next read."""
        action = self._find(action_id)
        state = dict(action)
        action["status"] = "built"
        return state

    def _list(self) -> Response:
        name = request.args.get("actionName")
        actions = [self._read(each["id"]) for each in list(self.actions) if name in (None, each["name"])]
        start, size = int(request.args.get("page", 0)), int(request.args.get("per_page", 50))
        page = actions[start * size : (start + 1) * size]
        return jsonify({"actions": page, "total": len(actions), "page": start, "per_page": size})

    def _update(self, action_id: str) -> Response:
        action, body = self._find(action_id), request.get_json()
        action.update({key: value for key, value in body.items() if key != "secrets"}, all_changes_deployed=False)
        self._put_secrets(action, body)
        return jsonify(action)

    def _deploy(self, action_id: str) -> tuple[Response, int]:
        action = self._find(action_id)
        if action["status"] != "built":
            return _error_response(400, "A draft must be in the 'built' state before it can be deployed")
        return jsonify({**self.deploy_draft(action), "deployed": False}), 202

    def _get_version(self, action_id: str, version_id: str) -> Response:
        return jsonify(self.versions[version_id])

    def _test(self, action_id: str) -> Response:
        """Run the Action. Auth0 responds with 200 even if it throws."""
        error = self._run(request.get_json()["payload"]["event"], self.secrets.get(action_id, {}))
        return jsonify({"payload": {"error": {"message": error}} if error else {"stats": {"action_duration_ms": 1}}})

    def _get_bindings(self, trigger: str) -> Response:
        bindings = self.bindings if trigger == "post-change-password" else []
        return jsonify({"bindings": bindings, "total": len(bindings), "page": 0, "per_page": 50})

    def _put_bindings(self, trigger: str) -> Any:
        """Replace all bindings with the list."""
        bindings = []
        for position, requested in enumerate(request.get_json()["bindings"], 1):
            ref = requested["ref"]
            if ref["type"] == "binding_id":
                [binding] = [each for each in self.bindings if each["id"] == ref["value"]]
            else:
                field = {"action_id": "id", "action_name": "name"}[ref["type"]]
                action = next((each for each in self.actions if each[field] == ref["value"]), None)
                if action is None or not action.get("deployed_version"):
                    return _error_response(400, f"The action {ref['value']} is not deployed yet")
                binding = {
                    "id": f"{position:08}-2222-4000-8000-000000000000",
                    "trigger_id": trigger,
                    "action": action,
                }
            bindings.append({**binding, "display_name": requested["display_name"]})
        self.bindings = bindings
        return jsonify({"bindings": bindings})


def _timestamp(number: int) -> str:
    """Return times with nanoseconds, as Auth0 does, that differ and are in order."""
    return f"2026-11-23T10:{number // 60:02}:{number % 60:02}.123456789Z"


def _error_response(status: int, message: str) -> tuple[Response, int]:
    return jsonify({"statusCode": status, "error": "Error", "message": message}), status


def _write_certificate(file: Path, key_file: Path) -> Path:
    """Write a self-signed certificate for localhost, valid for one day, and its key. Return the certificate's path."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.DNSName(TENANT_DOMAIN), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*encoding))
    return file
