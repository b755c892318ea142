"""IAM permissions of the signed-in account in the project: which are missing, and which role grants each."""

import os
from collections.abc import Iterator, Mapping

import requests

from doctor.finding import Finding

RESOURCE_MANAGER_URL = "https://cloudresourcemanager.googleapis.com/"
TIMEOUT_SECONDS = 10

SETUP: Mapping[str, str] = {
    "serviceusage.services.enable": "roles/serviceusage.serviceUsageAdmin",
    "iam.serviceAccounts.create": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.setIamPolicy": "roles/iam.serviceAccountAdmin",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "secretmanager.secrets.create": "roles/secretmanager.admin",
    "secretmanager.secrets.setIamPolicy": "roles/secretmanager.admin",
    "secretmanager.versions.add": "roles/secretmanager.admin",
    "cloudtasks.queues.create": "roles/cloudtasks.admin",
    "cloudtasks.queues.setIamPolicy": "roles/cloudtasks.admin",
}
DEPLOY: Mapping[str, str] = {
    "run.services.create": "roles/run.admin",
    "run.services.update": "roles/run.admin",
    "run.services.setIamPolicy": "roles/run.admin",
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "cloudbuild.builds.create": "roles/cloudbuild.builds.editor",
    "artifactregistry.repositories.create": "roles/artifactregistry.admin",
    "storage.buckets.create": "roles/storage.admin",
    "storage.objects.create": "roles/storage.admin",
}


def check(project: str, needed: Mapping[str, str], token: str) -> Iterator[Finding]:
    """Call the project's testIamPermissions; skip if it fails, because gcloud then reports what is missing."""
    endpoint = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER") or RESOURCE_MANAGER_URL
    url = f"{endpoint}v1/projects/{project}:testIamPermissions"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        response = requests.post(url, json={"permissions": list(needed)}, headers=headers, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        granted = set(response.json().get("permissions", []))
    except (requests.RequestException, ValueError) as error:
        yield Finding("skipped", "permissions", f"couldn't check permissions in {project}: {type(error).__name__}")
        return
    missing = [permission for permission in needed if permission not in granted]
    if not missing:
        yield Finding("ok", "permissions", f"all {len(needed)} permissions in {project} are granted")
    for permission in missing:
        yield Finding(
            "error",
            "permissions",
            f"the permission {permission} is missing in {project}",
            "without it, the deployment would fail partway",
            f"ask for {needed[permission]}: gcloud projects add-iam-policy-binding {project} "
            f'--member="user:$(gcloud config get account)" --role={needed[permission]}',
        )
