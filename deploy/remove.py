"""Remove everything that the setup created."""

import sys
from argparse import Namespace
from collections.abc import Collection, Iterator
from typing import Any

from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud, base_name, text
from deploy.resources import Resource, account, builder_role, enabled_apis, find_changes, queue, secret, service

Step = tuple[str, tuple[str, ...]]  # what is deleted, and the command


def remove(gcloud: Gcloud, deployment: Deployment, _options: Namespace) -> None:
    """List what was set up, ask for confirmation, and delete it."""
    steps = list(_steps(gcloud, deployment, enabled_apis(gcloud)))
    if not steps:
        raise DeployError(f"no resources of {deployment.public} exist in {deployment.project}")
    gcloud.say(
        f"This deletes, in {deployment.project}:",
        *(f"  {what}" for what, _ in steps),
        "It leaves: the APIs, the sources and images of the builds, the logs, and what is in Auth0 and SendGrid.",
    )
    if deployment.has_queue:
        gcloud.say("Notices that wait in the queue are lost, and its name can't be reused for about a week.")
    gcloud.say(f"Unbind the Action in Auth0 first. Type {deployment.public} to continue:")
    if sys.stdin.readline().strip() != deployment.public:
        raise DeployError("nothing was deleted")
    for _, words in steps:
        gcloud.write(*words)


def _steps(gcloud: Gcloud, deployment: Deployment, enabled: Collection[str]) -> Iterator[Step]:
    """Yield everything that exists, in the order in which it can be deleted."""
    for kind, resource in _resources(gcloud, deployment, enabled):
        if resource.api in enabled and gcloud.read(*resource.command("describe"), parse=_exists):
            if resource.name == deployment.builder:
                changes = find_changes(gcloud, [builder_role(deployment, wanted=False)])
                yield from (("the builder's role on the project", words) for words, _ in changes)
            yield f"{kind} {resource.name}", resource.command("delete")


def _resources(gcloud: Gcloud, deployment: Deployment, enabled: Collection[str]) -> Iterator[tuple[str, Resource]]:
    """Yield everything that may exist. Secrets are those that deploy.sh created."""
    yield from (("service", service(deployment, name)) for name in (deployment.public, deployment.private))
    yield "queue", queue(deployment)
    if "secretmanager" in enabled:
        names = gcloud.read_list("secrets", "list", f"--filter=labels.app={deployment.public}", parse=base_name)
        yield from (("secret", secret(name)) for name in names)
    services = [deployment.account(name) for name in (deployment.public, deployment.private)]
    yield from (("account", account(email)) for email in (*services, deployment.invoker, deployment.builder))


def _exists(found: Any) -> bool:
    return bool(text(found["metadata"]["name"] if "metadata" in found else found["name"]))  # Cloud Run's, and others
