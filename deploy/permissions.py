"""The permissions that a command needs: all that are missing, each with the role that includes it."""

import os
import re
from collections.abc import Iterable, Mapping

import requests

from deploy.deployment import Deployment
from deploy.errors import DeployError, UnknownError

TIMEOUT_SECONDS = 10
ACT_AS = "iam.serviceAccounts.actAs"
ADMIN = {
    "serviceusage.services": "roles/serviceusage.serviceUsageAdmin",
    "iam.serviceAccounts": "roles/iam.serviceAccountAdmin",
    "resourcemanager.projects": "roles/resourcemanager.projectIamAdmin",
    "secretmanager.secrets": "roles/secretmanager.admin",
    "secretmanager.versions": "roles/secretmanager.admin",
    "cloudtasks.queues": "roles/cloudtasks.admin",
}


def of_setup(deployment: Deployment) -> dict[str, str]:
    """Return the permissions that the setup needs, each with a role that includes it."""
    names = re.findall(
        r"[\w.]+",
        "serviceusage.services.enable iam.serviceAccounts.create iam.serviceAccounts.setIamPolicy "
        "resourcemanager.projects.setIamPolicy secretmanager.secrets.create secretmanager.secrets.setIamPolicy "
        "secretmanager.versions.add",
    )
    if deployment.has_queue:
        names += ["cloudtasks.queues.create", "cloudtasks.queues.setIamPolicy"]
    return {name: ADMIN[name.rpartition(".")[0]] for name in names}


def of_deployment(*, creates: bool, opens: bool) -> dict[str, str]:
    """Return what a deployment needs: `creates` a service, `opens` one to its callers.

    roles/run.sourceDeveloper and acting as the accounts are enough for a deployment of what exists.
    """
    change = "run.services.create" if creates else "run.services.update"
    needed = {change: "roles/run.sourceDeveloper", ACT_AS: "roles/iam.serviceAccountUser"}
    return {**needed, "run.services.setIamPolicy": "roles/run.admin"} if opens else needed


def check(deployment: Deployment, needed: Mapping[str, str], member: str, token: str) -> None:
    """Raise DeployError with every missing permission. Acting as an account may be granted on the account itself."""
    project = deployment.project
    missing = set(needed) - _granted("CLOUDRESOURCEMANAGER", f"projects/{project}", needed, token)
    if missing == {ACT_AS}:
        emails = [*(deployment.account_of(name) for name in deployment.services), deployment.account("builder")]
        accounts = (f"projects/{project}/serviceAccounts/{email}" for email in emails)
        if all(_granted("IAM", account, [ACT_AS], token) for account in accounts):
            return
    if missing:
        grant = f"gcloud projects add-iam-policy-binding {project} --member={member} --role="
        listed = [f"{name}: {grant}{role}" for name, role in needed.items() if name in missing]
        raise DeployError(f"permissions are missing in {project}, and nothing was changed; ask for them:", *listed)


def _granted(service: str, resource: str, permissions: Iterable[str], token: str) -> set[str]:
    """Return which of the permissions the signed-in account has."""
    host = f"https://{service.lower()}.googleapis.com/"
    url = f"{os.environ.get(f'CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}') or host}v1/{resource}:testIamPermissions"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        response = requests.post(url, json={"permissions": list(permissions)}, headers=headers, timeout=TIMEOUT_SECONDS)
        body = response.json()
        if response.status_code != 200:
            raise UnknownError(f"POST {url}", f"{response.status_code} {body['error']['message']}")
        return set(body.get("permissions", []))
    except requests.RequestException as error:
        raise UnknownError(f"POST {url}", type(error).__name__) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnknownError(f"POST {url}", f"an unexpected response with status {response.status_code}") from None
