"""A stand-in for Auth0's Management API, as far as Actions go, over https on loopback.

Builds take a moment: an Action is `pending` until it was looked at once, as in the recordings of Deploy
CLI's own tests.
"""

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask, Response, jsonify, request

from emulator.core.journal import Journal
from emulator.core.server import Server

Json = dict[str, Any]
Run = Callable[[Json, dict[str, str]], str]  # an event and the Action's secrets → the error's message, or nothing
TOKEN = "a-management-token"
STAMP = "2026-11-23T10:15:00.000Z"


class Management:
    """A context manager. `domain` is what AUTH0_DOMAIN has to be, `authority` the certificate to trust."""

    def __init__(self, folder: Path, run: Run = lambda event, secrets: "") -> None:
        self.actions: list[Json] = []
        self.bindings: list[Json] = []
        self.values: dict[str, dict[str, str]] = {}  # an Action's id → its secrets
        self.journal = Journal()
        self.authority = folder / "authority.pem"
        self._run, self._token = run, TOKEN
        self._server = Server("auth0", self._app(), self.journal)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(self.authority, folder / "key.pem"), folder / "key.pem")
        self._server._http.socket = context.wrap_socket(self._server._http.socket, server_side=True)
        self.domain = f"localhost:{self._server.port}"

    def __enter__(self) -> "Management":
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(None, None, None)

    def revoke_token(self) -> None:
        self._token = ""

    def bind(self, *names: str) -> None:
        """Binds further Actions, which are made where there are none of these names."""
        for name in names:
            action = next((each for each in self.actions if each["name"] == name), None) or self._made({"name": name})
            number = f"{len(self.bindings) + 1:08}-0000-4000-8000-000000000000"
            self.bindings.append(
                {"id": number, "trigger_id": "post-change-password", "display_name": f"{name}!", "action": action}
            )

    def deploy(self, name: str, secrets: dict[str, str]) -> Json:
        """Makes an Action that is built and deployed, as the editor does."""
        action = self._made({"name": name, "secrets": [{"name": key, "value": secrets[key]} for key in secrets]})
        action.update(status="built", deployed_version={"number": 1, "deployed": True}, all_changes_deployed=True)
        return action

    @property
    def bound(self) -> list[tuple[str, str]]:
        return [(binding["action"]["name"], binding["display_name"]) for binding in self.bindings]

    def _made(self, given: Json) -> Json:
        known = ("name", "code", "runtime", "dependencies", "supported_triggers")
        action: Json = {
            "id": f"{len(self.actions) + 1:08}-1111-4000-8000-000000000000",
            **{key: given[key] for key in known if key in given},
            "status": "pending",
            "all_changes_deployed": False,
            "installed_integration_id": None,
            "created_at": STAMP,
            "updated_at": STAMP,
        }
        self.actions.append(action)
        self._put_secrets(action, given)
        return action

    def _put_secrets(self, action: Json, given: Json) -> None:
        """Values can only be written; what is not named any more is gone."""
        if "secrets" not in given:
            return
        old = self.values.get(action["id"], {})
        self.values[action["id"]] = {
            each["name"]: each.get("value", old.get(each["name"], "")) for each in given["secrets"]
        }
        action["secrets"] = [{"name": each["name"], "updated_at": STAMP} for each in given["secrets"]]

    def _app(self) -> Flask:
        app = Flask("management")
        base = "/api/v2/actions"
        for rule, method, view in (
            (f"{base}/actions", "GET", self._list),
            (f"{base}/actions", "POST", lambda: (jsonify(self._made(request.get_json())), 201)),
            (f"{base}/actions/<action>", "GET", lambda action: jsonify(self._built(action))),
            (f"{base}/actions/<action>", "PATCH", self._update),
            (f"{base}/actions/<action>/deploy", "POST", self._deploy),
            (f"{base}/actions/<action>/test", "POST", self._test),
            (f"{base}/modules", "GET", lambda: jsonify({"modules": [], "total": 0, "page": 0, "per_page": 50})),
            (f"{base}/triggers/<trigger>/bindings", "GET", self._get_bindings),
            (f"{base}/triggers/<trigger>/bindings", "PATCH", self._put_bindings),
        ):
            app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
        app.before_request(self._check_token)
        app.register_error_handler(404, lambda _: _refusal(404, "Not found."))
        return app

    def _check_token(self) -> tuple[Response, int] | None:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _refusal(401, "Invalid token")
        return None

    def _kept(self, identity: str) -> Json:
        [action] = [each for each in self.actions if each["id"] == identity]
        return action

    def _built(self, identity: str) -> Json:
        """The Action as it is told now; the next look finds it built."""
        action = self._kept(identity)
        answer = dict(action)
        action["status"] = "built"
        return answer

    def _list(self) -> Response:
        name = request.args.get("actionName")
        found = [self._built(each["id"]) for each in list(self.actions) if name in (None, each["name"])]
        start, size = int(request.args.get("page", 0)), int(request.args.get("per_page", 50))
        paged = found[start * size : (start + 1) * size]
        return jsonify({"actions": paged, "total": len(found), "page": start, "per_page": size})

    def _update(self, action: str) -> Response:
        kept, given = self._kept(action), request.get_json()
        kept.update({key: value for key, value in given.items() if key != "secrets"}, all_changes_deployed=False)
        self._put_secrets(kept, given)
        return jsonify(kept)

    def _deploy(self, action: str) -> tuple[Response, int]:
        kept = self._kept(action)
        if kept["status"] != "built":
            return _refusal(400, "A draft must be in the 'built' state before it can be deployed")
        version = {"id": f"v-{action}", "number": 1, "deployed": True, "status": "built", "code": kept.get("code")}
        kept.update(deployed_version=version, all_changes_deployed=True)
        return jsonify({**version, "deployed": False}), 202

    def _test(self, action: str) -> Response:
        """Auth0's answer is 200 even when the Action threw."""
        error = self._run(request.get_json()["payload"]["event"], self.values.get(action, {}))
        return jsonify({"payload": {"error": {"message": error}} if error else {"stats": {"action_duration_ms": 1}}})

    def _get_bindings(self, trigger: str) -> Response:
        bindings = self.bindings if trigger == "post-change-password" else []
        return jsonify({"bindings": bindings, "total": len(bindings), "page": 0, "per_page": 50})

    def _put_bindings(self, trigger: str) -> Any:
        """The list replaces the whole flow."""
        kept = []
        for place, given in enumerate(request.get_json()["bindings"], 1):
            ref = given["ref"]
            if ref["type"] == "binding_id":
                [binding] = [each for each in self.bindings if each["id"] == ref["value"]]
            else:
                member = {"action_id": "id", "action_name": "name"}[ref["type"]]
                found = [each for each in self.actions if each[member] == ref["value"]]
                if not found or not found[0].get("deployed_version"):
                    return _refusal(400, f"The action {ref['value']} is not deployed yet")
                binding = {"id": f"{place:08}-2222-4000-8000-000000000000", "trigger_id": trigger, "action": found[0]}
            kept.append({**binding, "display_name": given["display_name"]})
        self.bindings = kept
        return jsonify({"bindings": kept})


def _refusal(status: int, message: str) -> tuple[Response, int]:
    return jsonify({"statusCode": status, "error": "Error", "message": message}), status


def _certificate(file: Path, key_file: Path) -> Path:
    """A certificate for localhost that vouches for itself, for one day."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*form))
    return file
