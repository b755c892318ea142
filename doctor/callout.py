"""Call the deployed function as the Action does: signed, but with `sandbox`, so that no email is sent."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import requests

from audit.callouts import json_object
from auth0.callout import OutgoingCallout
from doctor import clock
from doctor.context import CheckContext
from doctor.finding import Finding
from doctor.http import request
from doctor.sendgrid import sample_event
from settings import CLOUD_TASKS_URL

MAX_TASK_POLLS, TASK_POLL_SECONDS = 40, 1.0
NO_NOTICES = "the Auth0 Action gets the same response, so no notices are sent"
CHECK_LOGS = (
    "check the logs: gcloud logging read 'resource.labels.service_name:\"{}\" AND severity>=WARNING' --limit=20"
)

FIXES = {
    "invalid_signature": "the function may use a different signing key than the secret, or other ALLOWED_TENANTS than "
    "env.yaml: it picks up a new key within five minutes; if the error persists, deploy again: ./deploy.sh",
    "mail_rejected": "fix what SendGrid reports",
    "mail_unavailable": "SendGrid didn't accept the email in time: check https://status.sendgrid.com and VPC egress",
    "secret_unavailable": "the function can't read a secret: run ./deploy.sh setup, which grants access, and check "
    "that the secret's latest version is enabled",
    "queue_unavailable": "the function can't add tasks to its queue: run ./deploy.sh setup, which creates the queue "
    "and grants access",
}


def check(context: CheckContext) -> Iterator[Finding]:
    if not context.url:
        yield Finding("skipped", "callout", "the function wasn't called: no URL given (--url)")
        return
    if not context.signing_key:
        yield Finding("skipped", "callout", "the function wasn't called: no valid signing key to sign with")
        return
    yield from _check_unsigned(context)
    time = datetime.fromtimestamp(context.now, UTC).isoformat()
    callout = OutgoingCallout(json.dumps({"event": sample_event(context), "time": time, "sandbox": True}).encode())
    headers = callout.headers(context.signing_key, context.now)
    try:
        response = _post(context, callout.body, headers)
    except requests.RequestException as error:
        fix = f"check the URL, and that it's reachable from here: curl -i {context.url}"
        what = f"no response from {context.url}: {type(error).__name__}"
        yield Finding("error", "callout", what, NO_NOTICES, fix)
        return
    body = json_object(response)
    if response.status_code == 200 and body.get("id") == callout.id:
        yield Finding("ok", "callout", f"{context.url} responded {body.get('status')}; no email was sent")
    elif response.status_code == 202 and body.get("id") == callout.id:
        yield from _check_tasks(context, callout.idempotency_key, [str(action["name"]) for action in body["actions"]])
    else:
        yield _explain_failure(context, response, body)


def _post(context: CheckContext, body: bytes, headers: dict[str, str]) -> requests.Response:
    return request("POST", context.url, data=body, headers=headers, allow_redirects=False)


def _check_unsigned(context: CheckContext) -> Iterator[Finding]:
    """Check that an unsigned callout is rejected; the response's date also reveals the clock skew."""
    try:
        response = _post(context, b"{}", {"Content-Type": "application/json"})
    except requests.RequestException:
        return  # the signed callout reports it
    yield from clock.check(context, response)
    if response.status_code < 300:
        what = f"{context.url} accepts an unsigned callout: it isn't the function"
        fix = "set FUNCTION_URL to the function's URL (./deploy.sh versions)"
        yield Finding("error", "callout", what, "the Action sends users' data there", fix)


def _explain_failure(context: CheckContext, response: requests.Response, body: dict[str, Any]) -> Finding:
    error = body.get("error")
    if isinstance(error, dict):
        code = str(error.get("code"))
        what = f"the function responded {response.status_code} {code}: {error.get('message')}"
        return Finding("error", "callout", what, NO_NOTICES, FIXES.get(code, CHECK_LOGS.format("password-notice")))
    what = f"{context.url} responded {response.status_code}, but not as the function does"
    if response.status_code in (401, 403):
        fix = "make it public: ./deploy.sh deploy"
        return Finding("error", "callout", f"{what}: the service isn't public", NO_NOTICES, fix)
    fix = "check the URL (./deploy.sh versions), and that the service's ingress is set to all"
    return Finding("error", "callout", what, NO_NOTICES, fix)


def _check_tasks(context: CheckContext, key: str, actions: list[str]) -> Iterator[Finding]:
    """Wait until `deliver` has completed or failed each task (queue mode)."""
    queue = context.environment.get("TASKS_QUEUE", "")
    if not queue:
        yield Finding("skipped", "callout", "queued; delivery wasn't checked (no TASKS_QUEUE)")
        return
    endpoint = context.environment.get("CLOUD_TASKS_ENDPOINT") or CLOUD_TASKS_URL
    for action in actions:
        yield _wait_for_task(context, f"{endpoint}/v2/{queue}/tasks/{key}-{action}", action)


def _wait_for_task(context: CheckContext, task_url: str, action: str) -> Finding:
    for _ in range(MAX_TASK_POLLS):
        try:
            response = request("GET", task_url, headers=context.google_headers)
        except requests.RequestException as error:
            what = f"queued, but Cloud Tasks can't be reached: {type(error).__name__}"
            return Finding("skipped", "callout", what)
        if response.status_code == 404:
            return Finding("ok", "callout", f"queued, and deliver completed {action}; no email was sent")
        if response.status_code != 200:
            what = f"queued, but Cloud Tasks responded {response.status_code} when asked for the task"
            return Finding("skipped", "callout", what)
        status = json_object(response).get("lastAttempt", {}).get("responseStatus")
        if status:
            _delete_task(context, task_url)
            what = f"queued, but deliver failed to run {action}: {status.get('message')}"
            fix = f"{CHECK_LOGS.format('deliver')}; if there are none, the task didn't reach it: ./deploy.sh"
            return Finding("error", "callout", what, "no notices are sent until this is fixed", fix)
        context.clock.sleep(TASK_POLL_SECONDS)
    _delete_task(context, task_url)
    what = f"queued, but the task for {action} isn't dispatched"
    _, project, _, location, _, queue = context.environment["TASKS_QUEUE"].split("/")
    flags = f"{queue} --location={location} --project={project}"
    fix = (
        f"resume the queue if it is paused: gcloud tasks queues resume {flags}; otherwise, see its state and limits: "
        f"gcloud tasks queues describe {flags}"
    )
    return Finding("error", "callout", what, "notices wait in the queue", fix)


def _delete_task(context: CheckContext, task_url: str) -> None:
    """Delete the sample's task; otherwise Cloud Tasks would retry it for a month."""
    with suppress(requests.RequestException):
        request("DELETE", task_url, headers=context.google_headers)
