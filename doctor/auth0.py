"""Check the Auth0 tenant, through its Management API: that the forwarder runs when a password changes, and works."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from auth0.management_api import REQUIRED, ManagementApi, ManagementApiError, connect, is_configured
from doctor.context import CheckContext
from doctor.finding import Finding

TRIGGER = "post-change-password"
FORWARDER = Path(__file__).parents[1] / "auth0" / "action.js"
SECRETS = {"FUNCTION_URL", "CALLOUT_SIGNING_KEY"}
NO_NOTICES = "Auth0 reports no error, but no notices are sent"
DEPLOY = "click Deploy in its editor"


@dataclass(frozen=True)
class Action:
    """The Action as its editor shows it, or the version that runs. `secrets` has the time at which each was saved."""

    id: str
    code: str
    secrets: Mapping[str, datetime]


def check(context: CheckContext) -> Iterator[Finding]:
    yield from _check_tenant(context)
    if not is_configured(os.environ):
        yield Finding("skipped", "tenant", f"the Auth0 tenant wasn't checked: {REQUIRED}")
        return
    try:
        yield from _check_action(context, connect(os.environ))
    except ManagementApiError as error:
        what = f"the Auth0 tenant couldn't be checked: {error}"
        yield Finding("error", "tenant", what, "the Action may not work", error.fix)
    except (KeyError, TypeError, ValueError, AttributeError):
        what = "the Auth0 tenant couldn't be checked: the Management API's response has an unexpected format"
        fix = "check that AUTH0_DOMAIN is the tenant's own domain, such as TENANT.eu.auth0.com"
        yield Finding("error", "tenant", what, "the Action may not work", fix)


def _check_tenant(context: CheckContext) -> Iterator[Finding]:
    """Compare ALLOWED_TENANTS with the tenant's real name."""
    allowed = context.settings.allowed_tenants
    if not allowed or context.tenant in allowed:
        return
    if not context.tenant:
        what = "ALLOWED_TENANTS wasn't compared with the tenant: AUTH0_DOMAIN isn't set to its domain at auth0.com"
        yield Finding("skipped", "tenant", what)
        return
    what = f"ALLOWED_TENANTS ({', '.join(sorted(allowed))}) doesn't contain the tenant {context.tenant}"
    fix = f'add "{context.tenant}" to ALLOWED_TENANTS in env.yaml, and deploy: ./deploy.sh'
    yield Finding("error", "tenant", what, "the function responds to every callout with 401", fix)


def _check_action(context: CheckContext, api: ManagementApi) -> Iterator[Finding]:
    name = os.environ.get("AUTH0_ACTION") or "password-notice"
    listed = api.request("GET", f"actions/actions?triggerId={TRIGGER}&actionName={quote(name)}")["actions"]
    action = next((candidate for candidate in listed if candidate["name"] == name), None)
    if action is None:
        what, fix = f"the tenant has no Action {name} for {TRIGGER}", "create it: docs/deploy.md"
        yield Finding("error", "tenant", what, NO_NOTICES, fix)
        return
    yield from _check_binding(api, name)
    draft = _parse_action(action)
    problem = _find_problem(api, name, draft, action.get("deployed_version") or {})
    yield problem or _run(context, api, draft)


def _check_binding(api: ManagementApi, name: str) -> Iterator[Finding]:
    bindings = api.request("GET", f"actions/triggers/{TRIGGER}/bindings?per_page=100")["bindings"]
    if any(binding["action"]["name"] == name for binding in bindings):
        yield Finding("ok", "tenant", f"the Action {name} is bound to {TRIGGER}")
    else:
        fix = "bind it: python3 auth0/bind.py, or Actions > Triggers > post-change-password, drag it in, Apply"
        yield Finding("error", "tenant", f"the Action {name} isn't bound to {TRIGGER}", NO_NOTICES, fix)


def _find_problem(api: ManagementApi, name: str, draft: Action, version: Mapping[str, Any]) -> Finding | None:
    """Return what is wrong with the Action, or None if the draft, which Auth0's test runs, is what is deployed."""
    missing = SECRETS - set(draft.secrets)
    if missing:
        what = f"the Action {name} is missing the secret {', '.join(sorted(missing))}"
        fix = f"add it in the Action's editor (key icon) or as described in docs/deploy.md, then {DEPLOY}"
        return Finding("error", "tenant", what, "every run of the Action fails", fix)
    if not _is_forwarder(draft.code):
        what = f"the code of the Action {name} isn't that of {FORWARDER.parent.name}/{FORWARDER.name}"
        fix = f"replace the Action's code with auth0/action.js, or edit that file if the code is yours; then {DEPLOY}"
        return Finding("error", "tenant", what, "it may not send callouts", fix)
    if not version.get("deployed"):
        return Finding("error", "tenant", f"the Action {name} has never been deployed", NO_NOTICES, DEPLOY)
    deployed = _parse_action(api.request("GET", f"actions/actions/{draft.id}/versions/{version['id']}"))
    changed = [secret for secret in sorted(SECRETS) if deployed.secrets.get(secret) != draft.secrets[secret]]
    changed = changed if _is_forwarder(deployed.code) else ["the code", *changed]
    if changed:
        what = f"the Action {name} has changes that are saved but not deployed: {', '.join(changed)}"
        return Finding("error", "tenant", what, "Auth0 runs the older version when a password changes", DEPLOY)
    return None


def _is_forwarder(code: str) -> bool:
    """Return whether the code is auth0/action.js of this checkout; line endings don't matter."""
    return code.strip().splitlines() == FORWARDER.read_text("utf-8").strip().splitlines()


def _parse_action(value: Mapping[str, Any]) -> Action:
    secrets = {secret["name"]: datetime.fromisoformat(secret["updated_at"]) for secret in value.get("secrets") or []}
    return Action(value["id"], value["code"], secrets)


def _run(context: CheckContext, api: ManagementApi, action: Action) -> Finding:
    """Make Auth0 run the Action with its own secrets, because their values can't be read back."""
    payload = {"payload": {"event": _event(context)}}
    result = api.request("POST", f"actions/actions/{action.id}/test", payload)["payload"]
    error = (result.get("error") or {}).get("message", "") if isinstance(result, dict) else ""
    if not error:
        return Finding("ok", "tenant", "Auth0 ran the Action, and the function accepted its callout; no email was sent")
    if "invalid_signature" in error:
        what = (
            "the function rejected the Action's callout: the signing keys differ, a clock is off, or ALLOWED_TENANTS "
            f"doesn't contain {context.tenant or 'the tenant'}"
        )
        fix = "copy the key into the Action's secret CALLOUT_SIGNING_KEY again, and deploy the Action: docs/deploy.md"
        return Finding("error", "tenant", what, "the function responds to every callout with 401", fix)
    fix = "check the Action's secret FUNCTION_URL (./deploy.sh versions prints the URL), and run ./deploy.sh test"
    return Finding("error", "tenant", f"Auth0 ran the Action, and it failed: {error}", "no notices are sent", fix)


def _event(context: CheckContext) -> dict[str, object]:
    """Return an event whose user has no email address, which is valid: the function responds `skipped`."""
    return {
        "tenant": {"id": context.sample_tenant},
        "connection": {"id": "con_doctor", "name": "doctor", "strategy": "auth0"},
        "request": {"ip": "192.0.2.44", "method": "POST", "geoip": {}},
        "user": {"user_id": "auth0|doctor"},
        "secrets": {},
    }
