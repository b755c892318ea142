"""The removal of everything that was set up."""

import sys
from collections.abc import Iterator
from dataclasses import replace

from deploy import resources, services
from deploy.bindings import change_of, is_bound
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.gcloud import Gcloud, base_name, items

Step = tuple[str, tuple[str, ...]]  # what is deleted, and the command


def remove(gcloud: Gcloud, deployment: Deployment) -> None:
    """List what exists, ask, and delete it."""
    steps = list(_steps(gcloud, deployment, resources.enabled_apis(gcloud)))
    if not steps:
        raise DeployError(f"nothing of {deployment.public} exists in {deployment.project}")
    print(f"This deletes, in {deployment.project}:", *(f"  {what}" for what, _ in steps), sep="\n", file=sys.stderr)
    gcloud.say(
        "It leaves: the APIs, the sources and images of the builds, the logs, and what is in Auth0 and SendGrid."
    )
    if deployment.has_queue:
        gcloud.say("Notices that wait in the queue are lost, and its name is blocked for about a week.")
    print(
        f"Unbind the Action in Auth0 first. Type {deployment.public} to continue: ", end="", file=sys.stderr, flush=True
    )
    if sys.stdin.readline().strip() != deployment.public:
        raise DeployError("nothing was deleted")
    for _, words in steps:
        gcloud.write(*words)


def _steps(gcloud: Gcloud, deployment: Deployment, enabled: set[str]) -> Iterator[Step]:
    """Yield everything that exists, in the order in which it can be deleted. Secrets are those that deploy.sh made."""
    if "run.googleapis.com" in enabled:
        for name in (deployment.public, deployment.private):
            if services.find(gcloud, deployment, name):
                yield f"service {name}", ("run", "services", "delete", name, deployment.place)
    queue = resources.queue(deployment)
    if "cloudtasks.googleapis.com" in enabled and gcloud.read(*queue.describe, parse=queue.is_current) is not None:
        place = f"--location={deployment.region}"
        yield f"queue {deployment.queue}", ("tasks", "queues", "delete", deployment.queue, place)
    if "secretmanager.googleapis.com" in enabled:
        words = ("secrets", "list", f"--filter=labels.app={deployment.public}")
        for name in gcloud.read_existing(*words, parse=lambda found: [base_name(each) for each in items(found)]):
            yield f"secret {name}", ("secrets", "delete", name)
    if "iam.googleapis.com" in enabled:
        yield from _accounts(gcloud, deployment)


def _accounts(gcloud: Gcloud, deployment: Deployment) -> Iterator[Step]:
    binding = resources.builder_binding(deployment)
    for suffix in ("", "deliver", "invoker", "builder"):
        email = deployment.account(suffix)
        if gcloud.read("iam", "service-accounts", "describe", email, parse=base_name):
            if suffix == "builder" and is_bound(gcloud, binding):
                yield "the builder's role on the project", change_of(replace(binding, wanted=False))
            yield f"account {email}", ("iam", "service-accounts", "delete", email)
