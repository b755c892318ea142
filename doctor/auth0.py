"""The Auth0 tenant, through its Management API: the Action exists, is deployed and bound, and reaches the function."""

import os
from collections.abc import Iterator
from typing import Any

import requests

from doctor.context import TIMEOUT_SECONDS, CheckContext
from doctor.finding import Finding

TRIGGER = "post-change-password"
SECRETS = {"FUNCTION_URL", "CALLOUT_SIGNING_KEY"}
RUN_TIMEOUT_SECONDS = 30.0  # the trigger allows 20
NO_NOTICES = "Auth0 reports no error, but no notices are sent"
# A user without an email address is valid in Auth0: the function responds `skipped` and sends no email.
EVENT = {
    "tenant": {"id": "doctor"},
    "connection": {"id": "con_doctor", "name": "doctor", "strategy": "auth0"},
    "request": {"ip": "192.0.2.44", "method": "POST", "geoip": {}},
    "user": {"user_id": "auth0|doctor"},
    "secrets": {},
}


class ManagementApiError(Exception):
    """The Management API returned an error or no usable response."""


def check(context: CheckContext) -> Iterator[Finding]:
    domain, token = os.environ.get("AUTH0_DOMAIN", ""), os.environ.get("AUTH0_TOKEN", "")
    if not domain or not token:
        what = "the Auth0 tenant wasn't checked: set AUTH0_DOMAIN and AUTH0_TOKEN (docs/deploy.md)"
        yield Finding("skipped", "tenant", what)
        return
    try:
        yield from _check_action(context, domain, token)
    except ManagementApiError as error:
        what = f"a request to the Management API at {domain} failed: {error}"
        fix = "get a new token with the scopes read:actions and create:actions (docs/deploy.md)"
        yield Finding("error", "tenant", what, "the Action can't be checked", fix)


def _check_action(context: CheckContext, domain: str, token: str) -> Iterator[Finding]:
    name = os.environ.get("AUTH0_ACTION") or "password-notice"
    found = _call(domain, token, "GET", f"actions/actions?triggerId={TRIGGER}&actionName={name}")["actions"]
    action = next((each for each in found if each["name"] == name), None)
    if action is None:
        fix = "create it: docs/deploy.md"
        yield Finding("error", "tenant", f"the tenant has no Action {name} for {TRIGGER}", NO_NOTICES, fix)
        return
    missing = SECRETS - {secret["name"] for secret in action.get("secrets", [])}
    if missing:
        what = f"the Action is missing the secret {', '.join(sorted(missing))}"
        fix = "add it in the Action's editor (key icon) or as described in docs/deploy.md, then deploy the Action"
        yield Finding("error", "tenant", what, "every run of the Action fails", fix)
    if not (action.get("deployed_version") or {}).get("deployed"):
        what, fix = f"the Action {name} has never been deployed", "click Deploy in its editor"
        yield Finding("error", "tenant", what, NO_NOTICES, fix)
    elif not action.get("all_changes_deployed", True):
        what, fix = f"the Action {name} has undeployed changes", "click Deploy in its editor"
        yield Finding("warning", "tenant", what, "Auth0 runs an older version than the editor shows", fix)
    yield from _check_binding(domain, token, name)
    if not missing:
        yield from _check_run(context, domain, token, action)


def _check_binding(domain: str, token: str, name: str) -> Iterator[Finding]:
    bindings = _call(domain, token, "GET", f"actions/triggers/{TRIGGER}/bindings")["bindings"]
    if any(binding["action"]["name"] == name for binding in bindings):
        yield Finding("ok", "tenant", f"the Action {name} is bound to {TRIGGER}")
    else:
        fix = "bind it: python3 auth0/bind.py, or Actions > Triggers > post-change-password, drag it in, Apply"
        yield Finding("error", "tenant", f"the Action {name} isn't bound to {TRIGGER}", NO_NOTICES, fix)


def _check_run(context: CheckContext, domain: str, token: str, action: dict[str, Any]) -> Iterator[Finding]:
    """Let Auth0 run the Action with its own secrets, because their values can't be read back."""
    tenant = min(context.settings.allowed_tenants, default="doctor")
    event = {**EVENT, "tenant": {"id": tenant}}
    path = f"actions/actions/{action['id']}/test"
    result = _call(domain, token, "POST", path, {"payload": {"event": event}})["payload"]
    error = (result.get("error") or {}).get("message", "") if isinstance(result, dict) else ""
    if not error:
        yield Finding("ok", "tenant", "Auth0 ran the Action, and the function accepted its callout; no email was sent")
    elif "invalid_signature" in error:
        what = (
            "the function rejected the Action's callout: the signing keys differ, a clock is off, or ALLOWED_TENANTS "
            "doesn't match"
        )
        fix = "copy the key into the Action's secret CALLOUT_SIGNING_KEY again, and deploy the Action: docs/deploy.md"
        yield Finding("error", "tenant", what, "the function responds to every callout with 401", fix)
    else:
        fix = "check the Action's secret FUNCTION_URL (./deploy.sh versions prints the URL), and run ./deploy.sh test"
        yield Finding("error", "tenant", f"Auth0 ran the Action, and it failed: {error}", "no notices are sent", fix)


def _call(domain: str, token: str, method: str, path: str, body: object = None) -> Any:
    """Raise ManagementApiError unless the response is JSON with a status below 300."""
    url, headers = f"https://{domain}/api/v2/{path}", {"Authorization": f"Bearer {token}"}
    try:
        timeout = max(TIMEOUT_SECONDS, RUN_TIMEOUT_SECONDS)
        response = requests.request(method, url, json=body, headers=headers, timeout=timeout)
        value = response.json()
    except (requests.RequestException, ValueError) as error:
        raise ManagementApiError(type(error).__name__) from error
    if response.status_code >= 300:
        raise ManagementApiError(f"{response.status_code} {value.get('message')}")
    return value
