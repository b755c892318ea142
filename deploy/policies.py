"""The organization's policies that can forbid what a deployment does; one that can't be read is reported."""

import re
from collections.abc import Sequence
from typing import Any

from deploy.deployment import Deployment
from deploy.errors import DeployError, UnknownError
from deploy.gcloud import Gcloud, text
from deploy.resources import Change

REJECTION = re.compile(r"permitted customer|do not belong to a permitted|[Oo]rgani[sz]ation [Pp]olicy|constraints?/")
INVOKER_CHECK = "run.managed.requireInvokerIam"


def allows_all_users(gcloud: Gcloud, deployment: Deployment) -> bool:
    """Return whether allUsers may call a service.

    Raise DeployError if neither that is allowed nor a service that doesn't check its invoker.
    """
    limits = _read(gcloud, ("resource-manager", "org-policies"), "iam.allowedPolicyMemberDomains", _is_limited)
    members = _read(gcloud, ("org-policies",), "iam.managed.allowedPolicyMembers", _excludes_all_users)
    if not limits and not members:
        return True
    if _read(gcloud, ("org-policies",), INVOKER_CHECK, _is_enforced):
        raise forbidden(deployment, "iam.managed.allowedPolicyMembers" if members else "iam.allowedPolicyMemberDomains")
    return False


def forbidden(deployment: Deployment, members: str) -> DeployError:
    return DeployError(
        "the organization forbids a public service, by two policies of this project:",
        f"{members} (no allUsers) and {INVOKER_CHECK} (no service without that check)",
        f"Auth0 must be able to call {deployment.public}: ask an administrator of the organization to lift one of them",
        f"for {deployment.project} only, or put an API gateway with a service account of its own in front",
        "every callout is signed in either case",
    )


def check_replication(gcloud: Gcloud, deployment: Deployment, changes: Sequence[Change]) -> None:
    """Raise DeployError if a secret would be created that replicates to where the organization forbids it."""
    creates_secret = any(change[:2] == ("secrets", "create") for change in changes if isinstance(change, tuple))
    if not creates_secret or deployment.get("REPLICATION", "automatic") != "automatic":
        return
    if _read(gcloud, ("resource-manager", "org-policies"), "gcp.resourceLocations", _is_limited):
        raise DeployError(
            "the organization limits the locations of resources (constraints/gcp.resourceLocations), so that a secret "
            "can't be replicated automatically, and nothing was changed",
            f'set REPLICATION: "user-managed" in {deployment.file}: the secrets are then in {deployment.region} only',
        )


def _read(gcloud: Gcloud, group: tuple[str, ...], constraint: str, parse: Any) -> bool:
    """Return what `parse` finds in a policy. One that may not be read is reported; the change itself will show it."""
    try:
        return bool(gcloud.read(*group, "describe", constraint, "--effective", parse=parse))
    except UnknownError as error:
        if not error.is_denied:
            raise
        gcloud.say(f"the organization's policy {constraint} can't be read, so it isn't checked:", f"  {error.cause}")
        return False


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
