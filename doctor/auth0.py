"""The Auth0 tenant, through its Management API: the Action is there, deployed, bound, and reaches the function."""

import os
from collections.abc import Iterator
from typing import Any

import requests

from doctor.context import SECONDS, CheckContext
from doctor.finding import Finding

TRIGGER = "post-change-password"
SECRETS = {"FUNCTION_URL", "CALLOUT_SIGNING_KEY"}
ACTION_SECONDS = 30.0  # the trigger has 20
SILENT = "Auth0 makes no error of it: passwords change, and no notice goes out"
# A user without an address is legal in Auth0: the function answers `skipped`, and nobody can get mail.
EVENT = {
    "tenant": {"id": "doctor"},
    "connection": {"id": "con_doctor", "name": "doctor", "strategy": "auth0"},
    "request": {"ip": "192.0.2.44", "method": "POST", "geoip": {}},
    "user": {"user_id": "auth0|doctor"},
    "secrets": {},
}


class ManagementApiError(Exception):
    """The Management API says no."""


def check(case: CheckContext) -> Iterator[Finding]:
    domain, token = os.environ.get("AUTH0_DOMAIN", ""), os.environ.get("AUTH0_TOKEN", "")
    if not domain or not token:
        yield Finding(
            "note", "tenant", "the tenant was not looked at: set AUTH0_DOMAIN and AUTH0_TOKEN (docs/deploy.md)"
        )
        return
    try:
        yield from _judge(case, domain, token)
    except ManagementApiError as error:
        fix = "take a new token with the scopes read:actions and create:actions (docs/deploy.md)"
        yield Finding("fault", "tenant", f"{domain} answers: {error}", "the Action cannot be looked at", fix)


def _judge(case: CheckContext, domain: str, token: str) -> Iterator[Finding]:
    name = os.environ.get("AUTH0_ACTION") or "password-notice"
    found = _call(domain, token, "GET", f"actions/actions?triggerId={TRIGGER}&actionName={name}")["actions"]
    action = next((each for each in found if each["name"] == name), None)
    if action is None:
        fix = "create it: docs/deploy.md"
        yield Finding("fault", "tenant", f"the tenant has no Action {name} for {TRIGGER}", SILENT, fix)
        return
    missing = SECRETS - {secret["name"] for secret in action.get("secrets", [])}
    if missing:
        fix = "add it in the Action's editor (the key symbol), or by docs/deploy.md, and deploy the Action"
        yield Finding(
            "fault", "tenant", f"the Action lacks the secret {', '.join(sorted(missing))}", "each run of it fails", fix
        )
    if not (action.get("deployed_version") or {}).get("deployed"):
        yield Finding("fault", "tenant", f"the Action {name} was never deployed", SILENT, "press Deploy in its editor")
    elif not action.get("all_changes_deployed", True):
        what = f"the Action {name} has changes that are not deployed"
        yield Finding(
            "warning", "tenant", what, "what serves is not what the editor shows", "press Deploy in its editor"
        )
    yield from _judge_binding(domain, token, name)
    if not missing:
        yield from _judge_run(case, domain, token, action)


def _judge_binding(domain: str, token: str, name: str) -> Iterator[Finding]:
    bindings = _call(domain, token, "GET", f"actions/triggers/{TRIGGER}/bindings")["bindings"]
    if any(binding["action"]["name"] == name for binding in bindings):
        yield Finding("ok", "tenant", f"the Action {name} is bound to {TRIGGER}")
    else:
        fix = "bind it: python3 auth0/bind.py, or Actions > Triggers > post-change-password, drag it in, Apply"
        yield Finding("fault", "tenant", f"the Action {name} is not bound to {TRIGGER}", SILENT, fix)


def _judge_run(case: CheckContext, domain: str, token: str, action: dict[str, Any]) -> Iterator[Finding]:
    """Auth0 runs the Action with its own secrets: the one way to see that they are right, as nobody can read them."""
    allowed = min(case.settings.allowed_tenants, default="doctor")
    event = {**EVENT, "tenant": {"id": allowed}}
    path = f"actions/actions/{action['id']}/test"
    said = _call(domain, token, "POST", path, {"payload": {"event": event}})["payload"]
    error = (said.get("error") or {}).get("message", "") if isinstance(said, dict) else ""
    if not error:
        yield Finding("ok", "tenant", "Auth0 ran the Action, and the function took its callout; nobody got mail")
    elif "invalid_signature" in error:
        what = "the Action signs with another key than the function has (or the clock or ALLOWED_TENANTS is off)"
        fix = "copy the key again into the Action's secret CALLOUT_SIGNING_KEY, and deploy the Action: docs/deploy.md"
        yield Finding("fault", "tenant", what, "the function answers 401 to every callout", fix)
    else:
        fix = "check the Action's secret FUNCTION_URL (./deploy.sh versions prints it), and ./deploy.sh test"
        yield Finding("fault", "tenant", f"Auth0 ran the Action, and it failed: {error}", "no notice goes out", fix)


def _call(domain: str, token: str, method: str, path: str, body: object = None) -> Any:
    url, headers = f"https://{domain}/api/v2/{path}", {"Authorization": f"Bearer {token}"}
    try:
        answer = requests.request(method, url, json=body, headers=headers, timeout=max(SECONDS, ACTION_SECONDS))
        value = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise ManagementApiError(type(error).__name__) from error
    if answer.status_code >= 300:
        raise ManagementApiError(f"{answer.status_code} {value.get('message')}")
    return value
