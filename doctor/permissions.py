"""The rights that who is signed in has in the project: all that are missing, each with the role that brings it."""

import os
from collections.abc import Iterator, Mapping

import requests

from doctor.finding import Finding

GOOGLE = "https://cloudresourcemanager.googleapis.com/"
SECONDS = 10

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
    """Asks the project itself, by testIamPermissions; where it does not answer, gcloud will say what it lacks."""
    endpoint = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER") or GOOGLE
    url = f"{endpoint}v1/projects/{project}:testIamPermissions"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = requests.post(url, json={"permissions": list(needed)}, headers=headers, timeout=SECONDS)
        answer.raise_for_status()
        granted = set(answer.json().get("permissions", []))
    except (requests.RequestException, ValueError) as error:
        yield Finding("note", "rights", f"the rights in {project} cannot be asked: {type(error).__name__}")
        return
    missing = [permission for permission in needed if permission not in granted]
    if not missing:
        yield Finding("ok", "rights", f"all {len(needed)} rights in {project} are there")
    for permission in missing:
        yield Finding(
            "fault",
            "rights",
            f"the right {permission} is missing in {project}",
            "without it the deployment would stop half-way",
            f"ask for {needed[permission]}: gcloud projects add-iam-policy-binding {project} "
            f'--member="user:$(gcloud config get account)" --role={needed[permission]}',
        )
