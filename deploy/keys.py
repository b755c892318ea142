"""The commands that store and rotate keys, in the order that loses no notice."""

import base64
from typing import Any

from deploy import doctor, policies, resources
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.gcloud import Gcloud, base_name, items, text
from deploy.secret_values import SENDGRID, SIGNING, latest_version, new_signing_key, read_value, store
from runtime.signature import parse_signing_key


def secret(gcloud: Gcloud, deployment: Deployment, name: str) -> None:
    """Store a value of the Action secret NAME."""
    name = name.upper().replace("-", "_")
    if not name.isidentifier() or not name[0].isalpha() or not name.isascii():
        raise DeployError("which secret? For example: ./deploy.sh secret SENDGRID_API_KEY")
    _store_value(gcloud, deployment, name, read_value(name))
    if name not in deployment.secrets:
        path = f"projects/{deployment.project}/secrets/{deployment.secret_id(name)}"
        gcloud.say(f'declare it in {deployment.file}, and deploy: {name}_SECRET: "{path}"')


def _store_value(gcloud: Gcloud, deployment: Deployment, name: str, value: str) -> None:
    enabled = resources.enabled_apis(gcloud)
    found = resources.secret(deployment, name)
    is_there = "secretmanager.googleapis.com" in enabled and gcloud.read(*found.describe, parse=found.is_current)
    if not is_there:
        policies.check_replication(gcloud, deployment, [found.create])
    resources.enable_apis(gcloud, deployment, enabled)
    if not is_there:
        gcloud.write(*found.create)
    store(gcloud, deployment, name, value)


def rotate_signing_key(gcloud: Gcloud, deployment: Deployment, *, finish: bool) -> None:
    """First the function accepts both keys, then Auth0 signs with the new one, and then the old one is removed."""
    stored = _signing_keys(gcloud, deployment)
    if finish:
        _finish_signing_key(gcloud, deployment, stored)
        return
    if len(stored) == 1:
        store(gcloud, deployment, SIGNING, f"{new_signing_key()}\n{stored[0]}")
    print_key = f"gcloud secrets versions access latest --secret={deployment.secret_id(SIGNING)}"
    gcloud.say(
        "The function accepts the old key and a new one from now on. Next:",
        "1. Put the new key into the Action's secret CALLOUT_SIGNING_KEY, and deploy the Action. This prints the key:",
        f"   {print_key} --project={gcloud.project} | head -n 1",
        "2. ./deploy.sh doctor    (with access to Auth0, the Action itself calls the function: docs/deploy.md)",
        "3. ./deploy.sh rotate-signing-key finish",
    )


def _signing_keys(gcloud: Gcloud, deployment: Deployment) -> list[str]:
    """Return the stored keys, the one that Auth0 should sign with first."""
    _reject_pinned(deployment, SIGNING)
    secret_id = deployment.secret_id(SIGNING)
    words = ("secrets", "versions", "access", "latest", f"--secret={secret_id}")
    stored = gcloud.read(*words, parse=signing_keys_of)
    if stored is None:
        raise DeployError(f"the secret {secret_id} has no key yet: ./deploy.sh")
    return stored


def signing_keys_of(version: Any) -> list[str]:
    """Return the keys in a version as gcloud prints it. Raise ValueError if one is malformed, or if there is none."""
    stored = base64.urlsafe_b64decode(text(version["payload"]["data"])).decode().split()
    for key in stored or [""]:
        parse_signing_key(key)  # raises ValueError
    return stored


def _finish_signing_key(gcloud: Gcloud, deployment: Deployment, stored: list[str]) -> None:
    old = _old_versions(gcloud, deployment, SIGNING)
    if len(stored) == 1 and not old:
        raise DeployError("no rotation is in progress: ./deploy.sh rotate-signing-key")
    if len(stored) > 1:
        check_queue_is_empty(gcloud, deployment, "may be signed with the old key: try again later")
        store(gcloud, deployment, SIGNING, stored[0])
        old = _old_versions(gcloud, deployment, SIGNING)
    _disable(gcloud, deployment, SIGNING, old)
    gcloud.say("Only the new key is accepted, in five minutes at the latest.")


def check_queue_is_empty(gcloud: Gcloud, deployment: Deployment, problem: str) -> None:
    """Raise DeployError if a notice waits; `problem` says what that means."""
    if not deployment.has_queue:
        return
    words = ("tasks", "list", f"--queue={deployment.queue}", f"--location={deployment.region}", "--limit=1")
    if gcloud.read_existing(*words, parse=items):
        listed = f"gcloud {' '.join(words[:-1])} --project={gcloud.project}"
        raise DeployError(f"the queue still holds notices, which {problem}", f"{listed} lists them")


def rotate_sendgrid_key(gcloud: Gcloud, deployment: Deployment, *, finish: bool) -> None:
    """First the new key is checked, then it's stored, and the old one is disabled last."""
    _reject_pinned(deployment, SENDGRID)
    if finish:
        old = _old_versions(gcloud, deployment, SENDGRID)
        _disable(gcloud, deployment, SENDGRID, old)
        gcloud.say(f"{len(old)} old versions were disabled." if old else "There was no old version left to disable.")
        return
    value = read_value(SENDGRID)
    if doctor.examine(gcloud, deployment, "key", value=value) != 0:
        raise DeployError("the new key doesn't work, and nothing was stored")
    _store_value(gcloud, deployment, SENDGRID, value)
    gcloud.say(
        "The function uses the new key in five minutes at the latest. Then:",
        "1. ./deploy.sh test",
        "2. Delete the old key in SendGrid: https://app.sendgrid.com/settings/api_keys",
        "3. ./deploy.sh rotate-sendgrid-key finish",
    )


def _reject_pinned(deployment: Deployment, name: str) -> None:
    if deployment.secret_version(name) != "latest":
        fix = f"remove /versions/{deployment.secret_version(name)} from {name}_SECRET in {deployment.file}, and deploy"
        raise DeployError("a secret with a fixed version can't be rotated", fix)


def _old_versions(gcloud: Gcloud, deployment: Deployment, name: str) -> list[str]:
    """Return the enabled versions before the latest one, which must be enabled itself."""
    secret_id = deployment.secret_id(name)
    latest = latest_version(gcloud, deployment, name)
    if latest is None:
        raise DeployError(f"the secret {secret_id} has no value yet: ./deploy.sh secret {name}")
    words = ("secrets", "versions", "list", secret_id, "--filter=state=ENABLED")
    enabled = gcloud.read_existing(*words, parse=lambda found: [base_name(each) for each in items(found)])
    return [version for version in enabled if version != latest]


def _disable(gcloud: Gcloud, deployment: Deployment, name: str, versions: list[str]) -> None:
    for version in versions:
        gcloud.write("secrets", "versions", "disable", version, f"--secret={deployment.secret_id(name)}")
