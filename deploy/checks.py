"""What is checked before anything is changed: the project, permissions, policies, and the queue."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import requests

from auth0.deadline import within
from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud, UnknownError, base_name, command_line, text

BILLING = "https://console.cloud.google.com/billing/linkedaccount?project="
TIMEOUT_SECONDS = 10
ACT_AS = "iam.serviceAccounts.actAs"
# The permissions that the setup needs, each with a role that includes it.
SETUP = {
    "serviceusage.services.enable": "roles/serviceusage.serviceUsageAdmin",
    "iam.serviceAccounts.create": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.setIamPolicy": "roles/iam.serviceAccountAdmin",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "secretmanager.secrets.create": "roles/secretmanager.admin",
    "secretmanager.secrets.setIamPolicy": "roles/secretmanager.admin",
    "secretmanager.versions.add": "roles/secretmanager.admin",
}
SETUP_OF_QUEUE = {
    "cloudtasks.queues.create": "roles/cloudtasks.admin",
    "cloudtasks.queues.setIamPolicy": "roles/cloudtasks.admin",
}
# What a deployment needs: for what exists, roles/run.sourceDeveloper and acting as the accounts are enough.
DEPLOY = {"run.services.update": "roles/run.sourceDeveloper", ACT_AS: "roles/iam.serviceAccountUser"}
CREATE = {"run.services.create": "roles/run.sourceDeveloper"}
OPEN = {"run.services.setIamPolicy": "roles/run.admin"}
REJECTION = re.compile(r"permitted customer|do not belong to a permitted|[Oo]rgani[sz]ation [Pp]olicy|constraints?/")
INVOKER_CHECK = "run.managed.requireInvokerIam"


def project(gcloud: Gcloud) -> None:
    """Raise DeployError if the project isn't visible, is being deleted, or has no billing."""
    words, cause = ("projects", "describe", gcloud.project), "gcloud reports that it doesn't exist"
    try:
        state = gcloud.read(*words, parse=lambda found: text(found["lifecycleState"]))
    except UnknownError as error:
        if not error.is_denied:
            raise
        state, cause = None, error.cause
    if state is None:
        what = f"the account {gcloud.account or 'of this access token'} can't see the project {gcloud.project}"
        fix = "gcloud config set account ACCOUNT, or gcloud config set project PROJECT"
        raise DeployError(f"{what}: {fix}", f"{command_line(words)}: {cause}")
    if state != "ACTIVE":
        raise DeployError(f"the project {gcloud.project} isn't active: its state is {state}")
    billing = ("billing", "projects", "describe", gcloud.project)
    if not _read_if_allowed(gcloud, *billing, parse=lambda found: bool(found["billingEnabled"]), default=True):
        raise DeployError(f"the project {gcloud.project} has no billing: {BILLING}{gcloud.project}")


def _read_if_allowed(gcloud: Gcloud, *words: str, parse: Callable[[Any], bool], default: bool = False) -> bool:
    """Return what `parse` finds, or the default if the account may not read it: the change itself will show it."""
    try:
        return gcloud.read(*words, parse=parse) or False
    except UnknownError as error:
        if not error.is_denied:
            raise
        gcloud.say(f"this can't be read, so it isn't checked: {command_line(words)}", f"  {error.cause}")
        return default


def of_setup(deployment: Deployment) -> dict[str, str]:
    return {**SETUP, **(SETUP_OF_QUEUE if deployment.has_queue else {})}


def permissions(gcloud: Gcloud, deployment: Deployment, needed: Mapping[str, str]) -> None:
    """Raise DeployError with every missing permission. Acting as an account may be granted on the account itself."""
    if gcloud.dry_run:
        return
    missing = set(needed) - _granted(gcloud, "CLOUDRESOURCEMANAGER", f"projects/{gcloud.project}", needed)
    if missing == {ACT_AS}:
        emails = [*(deployment.account(name) for name in deployment.services), deployment.builder]
        accounts = (f"projects/{gcloud.project}/serviceAccounts/{email}" for email in emails)
        if all(_granted(gcloud, "IAM", account, [ACT_AS]) for account in accounts):
            return
    if missing:
        kind = "serviceAccount" if gcloud.account.endswith("gserviceaccount.com") else "user"
        member = f"--member={kind}:{gcloud.account or 'ACCOUNT'}"
        grant = f"gcloud projects add-iam-policy-binding {gcloud.project} {member} --role="
        listed = [f"{name}: {grant}{role}" for name, role in needed.items() if name in missing]
        what = f"permissions are missing in {gcloud.project}, and nothing was changed; ask for them:"
        raise DeployError(what, *listed)


def _granted(gcloud: Gcloud, service: str, resource: str, names: Iterable[str]) -> set[str]:
    """Return which of the permissions the signed-in account has."""
    host = os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}") or f"https://{service.lower()}.googleapis.com/"
    url = f"{host}v1/{resource}:testIamPermissions"
    headers = {"Authorization": f"Bearer {gcloud.token}"}
    try:
        response = within(
            TIMEOUT_SECONDS,
            lambda: requests.post(url, json={"permissions": list(names)}, headers=headers, timeout=TIMEOUT_SECONDS),
        )
        body = response.json()
        if response.status_code != 200:
            raise UnknownError(f"POST {url}", f"{response.status_code} {body['error']['message']}")
        return set(body.get("permissions", []))
    except (requests.RequestException, TimeoutError) as error:
        raise UnknownError(f"POST {url}", type(error).__name__) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnknownError(f"POST {url}", f"an unexpected response with status {response.status_code}") from None


def allows_all_users(gcloud: Gcloud, deployment: Deployment) -> bool:
    """Return whether allUsers may call a service.

    Raise DeployError if neither that is allowed nor a service that doesn't check its invoker.
    """
    limits = _policy(gcloud, ("resource-manager", "org-policies"), "iam.allowedPolicyMemberDomains", _is_limited)
    members = _policy(gcloud, ("org-policies",), "iam.managed.allowedPolicyMembers", _excludes_all_users)
    if not limits and not members:
        return True
    if _policy(gcloud, ("org-policies",), INVOKER_CHECK, _is_enforced):
        raise forbidden(deployment, "iam.managed.allowedPolicyMembers" if members else "iam.allowedPolicyMemberDomains")
    return False


def forbidden(deployment: Deployment, members: str) -> DeployError:
    return DeployError(
        "the organization forbids a public service, by two policies of this project:",
        f"{members} (no allUsers) and {INVOKER_CHECK} (no service without that check)",
        f"Auth0 must be able to call {deployment.public}: ask an administrator of the organization to lift one of them",
        f"for {deployment.project} only, or put an API gateway with its own service account in front of it",
        "every callout is signed in either case",
    )


def replication(gcloud: Gcloud, deployment: Deployment, commands: Iterable[tuple[str, ...]]) -> None:
    """Raise DeployError if a secret would be created that replicates to where the organization forbids it."""
    if not any("--replication-policy=automatic" in command for command in commands):
        return
    if _policy(gcloud, ("resource-manager", "org-policies"), "gcp.resourceLocations", _is_limited):
        raise DeployError(
            "the organization limits the locations of resources (constraints/gcp.resourceLocations), so that a secret "
            "can't be replicated automatically, and nothing was changed",
            f'set REPLICATION: "user-managed" in {deployment.file}: the secrets are then in {deployment.region} only',
        )


def _policy(gcloud: Gcloud, group: tuple[str, ...], constraint: str, parse: Callable[[Any], bool]) -> bool:
    return _read_if_allowed(gcloud, *group, "describe", constraint, "--effective", parse=parse)


def _is_limited(policy: Any) -> bool:
    """Return whether a list policy allows less than everything."""
    text(policy["constraint"])
    values = policy.get("listPolicy", {})
    return any(values.get(name) for name in ("allowedValues", "deniedValues")) or values.get("allValues") == "DENY"


def _is_enforced(policy: Any) -> bool:
    text(policy["name"])
    return any(rule.get("enforce") for rule in policy["spec"].get("rules", []))


def _excludes_all_users(policy: Any) -> bool:
    rules = policy["spec"].get("rules", [])
    allowed = [subject for rule in rules for subject in (rule.get("parameters") or {}).get("allowedMemberSubjects", [])]
    return _is_enforced(policy) and "allUsers" not in allowed


def queue_is_empty(gcloud: Gcloud, deployment: Deployment, problem: str) -> None:
    """Raise DeployError if the queue contains a notice; `problem` completes the message."""
    words = ("tasks", "list", f"--queue={deployment.public}", f"--location={deployment.region}")
    if deployment.has_queue and gcloud.read_list(*words, "--limit=1", parse=base_name):
        listed = f"{command_line(words)} --project={gcloud.project}"
        raise DeployError(f"the queue still contains notices, which {problem}", f"{listed} lists them")
