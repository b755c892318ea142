"""The deployed function, called as the Action calls it: signed, with `sandbox`, so that nobody gets mail."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import requests

from auth0.callout import OutgoingCallout
from doctor import clock
from doctor.context import SECONDS, CheckContext
from doctor.finding import Finding
from doctor.sendgrid import sample

QUEUED_POLLS, QUEUED_PAUSE = 40, 1.0
GOOGLE_TASKS = "https://cloudtasks.googleapis.com"
DEAF = "the Action in Auth0 gets the same answer, and no notice goes out"
LOGS = "look into its log: gcloud logging read 'resource.labels.service_name:\"{}\" AND severity>=WARNING' --limit=20"

FIXES = {
    "invalid_signature": "the function has another key than the secret: a new one works in five minutes at the latest; "
    "if it does not, deploy anew: ./deploy.sh",
    "mail_rejected": "mend what SendGrid names",
    "mail_unavailable": "SendGrid is not reachable from the function: https://status.sendgrid.com, and your VPC egress",
    "secret_unavailable": "the function cannot read a secret: ./deploy.sh setup grants access; check that its latest "
    "version is enabled",
    "queue_unavailable": "the function cannot add to its queue: ./deploy.sh setup makes the queue and the grant",
}


def check(case: CheckContext) -> Iterator[Finding]:
    if not case.url:
        yield Finding("note", "callout", "the function was not called: no address is given (--url)")
        return
    if not case.signing_key:
        yield Finding("note", "callout", "the function was not called: there is no signing key to sign with")
        return
    yield from _judge_stranger(case)
    moment = datetime.fromtimestamp(case.now, UTC).isoformat()
    sent = OutgoingCallout(json.dumps({"event": sample(case), "time": moment, "sandbox": True}).encode())
    headers = sent.headers(case.signing_key, case.now)
    try:
        answer = requests.post(case.url, sent.body, headers=headers, timeout=SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        yield _unreachable(case, type(error).__name__)
        return
    said = _json(answer)
    if answer.status_code == 200 and said.get("id") == sent.id:
        yield Finding("ok", "callout", f"{case.url} answered {said.get('status')}; nobody got mail")
    elif answer.status_code == 202 and said.get("id") == sent.id:
        yield from _follow(case, sent.idempotency_key, [str(action["name"]) for action in said["actions"]])
    else:
        yield _judge_failure(case, answer, said)


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _unreachable(case: CheckContext, cause: str) -> Finding:
    fix = f"check the address, and that it answers from here: curl -i {case.url}"
    return Finding("fault", "callout", f"nothing answers at {case.url}: {cause}", DEAF, fix)


def _judge_stranger(case: CheckContext) -> Iterator[Finding]:
    """A callout that nobody signed must be refused; and the answer's date tells by which time to sign."""
    try:
        headers = {"Content-Type": "application/json"}
        answer = requests.post(case.url, b"{}", headers=headers, timeout=SECONDS, allow_redirects=False)
    except requests.RequestException:
        return  # the signed one will say so
    yield from clock.check(case, answer)
    if answer.status_code < 300:
        what = f"{case.url} takes a callout without a signature: this is not the function"
        fix = "set FUNCTION_URL to the function's own"
        yield Finding("fault", "callout", what, "the Action sends users' data there", fix)


def _judge_failure(case: CheckContext, answer: requests.Response, said: dict[str, Any]) -> Finding:
    error = said.get("error")
    if isinstance(error, dict):
        code = str(error.get("code"))
        said_so = f"the function answers {answer.status_code} {code}: {error.get('message')}"
        return Finding("fault", "callout", said_so, DEAF, FIXES.get(code, LOGS.format("password-notice")))
    what = f"{case.url} answers {answer.status_code}, but not as the function does"
    if answer.status_code in (401, 403):
        return Finding("fault", "callout", f"{what}: it is not public", DEAF, "open it: ./deploy.sh deploy")
    fix = "check the address (./deploy.sh versions), and the service's ingress: it has to be all"
    return Finding("fault", "callout", what, DEAF, fix)


def _follow(case: CheckContext, key: str, actions: list[str]) -> Iterator[Finding]:
    """Queue mode: wait until `deliver` has done each task, or has failed with it."""
    queue = case.environment.get("TASKS_QUEUE", "")
    if not queue:
        yield Finding("note", "callout", "queued; whether it is delivered was not looked at (no TASKS_QUEUE)")
        return
    endpoint = case.environment.get("CLOUD_TASKS_ENDPOINT") or GOOGLE_TASKS
    for action in actions:
        yield _outcome(case, f"{endpoint}/v2/{queue}/tasks/{key}-{action}", action)


def _outcome(case: CheckContext, task: str, action: str) -> Finding:
    for _ in range(QUEUED_POLLS):
        try:
            answer = requests.get(task, headers=case.google_headers, timeout=SECONDS)
        except requests.RequestException as error:
            return Finding("note", "callout", f"queued, but the queue cannot be asked: {type(error).__name__}")
        if answer.status_code == 404:
            return Finding("ok", "callout", f"queued, and deliver has done {action}; nobody got mail")
        if answer.status_code != 200:
            return Finding("note", "callout", f"queued, but the queue answers {answer.status_code} to you")
        status = _json(answer).get("lastAttempt", {}).get("responseStatus")
        if status:
            # The sample is of no use to anybody: it must not be tried for a month.
            requests.delete(task, headers=case.google_headers, timeout=SECONDS)
            what = f"queued, but deliver fails with {action}: {status.get('message')}"
            return Finding("fault", "callout", what, "no notice goes out until it is mended", LOGS.format("deliver"))
        case.clock.sleep(QUEUED_PAUSE)
    fix = "is it paused? gcloud tasks queues describe, and resume"
    return Finding("fault", "callout", f"queued, but {action} is not dispatched", "notices wait in the queue", fix)
