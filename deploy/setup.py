"""The setup: the desired state of a project as data, of which only the difference is applied."""

from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from deploy import checks
from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud, text
from deploy.resources import (
    Requirement,
    account,
    binding,
    builder_role,
    enabled_apis,
    find_changes,
    queue,
    secret,
    version,
)
from deploy.secret_values import enabled_version, first_value

ACCESSOR = "roles/secretmanager.secretAccessor"
# Every response that isn't 2xx is retried for as long as Cloud Tasks keeps a task, 31 days, so that a notice that fails
# because of something a person can fix goes out once it is fixed. The flag, and the field in gcloud's JSON.
RETRY = (
    ("--max-attempts=unlimited", "maxAttempts", -1),
    ("--min-backoff=10s", "minBackoff", "10s"),
    ("--max-backoff=3600s", "maxBackoff", "3600s"),
    ("--max-doublings=16", "maxDoublings", 16),
    ("--max-retry-duration=0s", "maxRetryDuration", "0s"),
)


def desired(deployment: Deployment) -> Iterator[Requirement]:
    """Yield everything that a deployment needs, in the order in which it can be created."""
    public, names = deployment.public, deployment.secrets
    yield _account(deployment.builder, f"builds {public}")
    yield builder_role(deployment)
    yield _account(deployment.account(public), f"{public}: the function")
    if deployment.has_queue:
        yield _account(deployment.account(deployment.private), f"{public}: sends the email")
        yield _account(deployment.invoker, f"{public}: Cloud Tasks calls deliver as this")
        yield _queue(deployment)
    yield from (require_secret(deployment, name) for name in names)
    yield from (_first_version(deployment, name) for name in names)
    yield from _bindings(deployment)


def _account(email: str, title: str) -> Requirement:
    create = ("iam", "service-accounts", "create", email.partition("@")[0], f"--display-name={title}")
    return Requirement(account(email), create)


def _queue(deployment: Deployment) -> Requirement:
    def is_met(found: Any) -> bool:  # the JSON may omit a zero
        return all(found["retryConfig"].get(field, "0s") == value for _, field, value in RETRY)

    resource, flags = queue(deployment), [flag for flag, _, _ in RETRY]
    return Requirement(resource, resource.command("create", *flags), resource.command("update", *flags), is_met=is_met)


def require_secret(deployment: Deployment, name: str) -> Requirement:
    resource, replication = secret(deployment.secret_id(name)), deployment.get("REPLICATION", "automatic")
    flags = [f"--replication-policy={replication}", f"--labels=app={deployment.public}"]
    if replication == "user-managed":
        flags.append(f"--locations={deployment.region}")
    return Requirement(resource, resource.command("create", *flags))


def add_version(deployment: Deployment, name: str) -> tuple[str, ...]:
    return "secrets", "versions", "add", deployment.secret_id(name), "--data-file=-"


def _first_version(deployment: Deployment, name: str) -> Requirement:
    resource, secret_id = version(deployment, name), deployment.secret_id(name)
    is_latest = resource.name == "latest"
    return Requirement(
        resource,
        add_version(deployment, name) if is_latest else (),
        is_met=lambda found: bool(enabled_version(deployment, name, found)),
        value=lambda: first_value(name),
        absent="" if is_latest else f"{name}_SECRET names version {resource.name} of {secret_id}, which doesn't exist",
    )


def _bindings(deployment: Deployment) -> Iterator[Requirement]:
    """Yield the grants of the services' accounts; each has as few permissions as possible."""
    public = f"serviceAccount:{deployment.account(deployment.public)}"
    for each in deployment.services:
        for name in deployment.secrets_of(each):
            member = f"serviceAccount:{deployment.account(each)}"
            yield binding(secret(deployment.secret_id(name)), member, ACCESSOR)
    if deployment.has_queue:
        for name in deployment.secrets[1:]:  # in direct mode, which may have been used before, it reads them
            yield binding(secret(deployment.secret_id(name)), public, ACCESSOR, wanted=False)
        yield binding(queue(deployment), public, "roles/cloudtasks.enqueuer")
        yield binding(account(deployment.invoker), public, "roles/iam.serviceAccountUser")


def setup(gcloud: Gcloud, deployment: Deployment, _options: Namespace) -> None:
    """Set up what is missing, without a deployment."""
    checks.permissions(gcloud, deployment, checks.of_setup(deployment))
    checks.allows_all_users(gcloud, deployment)
    set_up(gcloud, deployment, enabled_apis(gcloud))


def set_up(gcloud: Gcloud, deployment: Deployment, enabled: Collection[str]) -> None:
    apply(gcloud, deployment, desired(deployment), enabled)
    if deployment.has_queue:
        state = gcloud.read(*queue(deployment).command("describe"), parse=lambda found: text(found["state"]))
        if state == "PAUSED":
            resume = f"gcloud {' '.join(queue(deployment).command('resume'))} --project={deployment.project}"
            gcloud.say(f"the queue is paused: {resume}")


def apply(
    gcloud: Gcloud, deployment: Deployment, requirements: Iterable[Requirement], enabled: Collection[str]
) -> None:
    """Apply the difference. Everything is read and checked before anything but an API is changed."""
    changes = find_changes(gcloud, requirements, enabled)
    checks.replication(gcloud, deployment, [command for command, _ in changes])
    _enable_apis(gcloud, deployment, enabled)
    if any(command[0] != "secrets" for command, _ in changes):  # which need no region
        _check_region(gcloud, deployment)
    for command, value in changes:
        gcloud.write(*command, value=value() if value and not gcloud.dry_run else None)


def _enable_apis(gcloud: Gcloud, deployment: Deployment, enabled: Collection[str]) -> None:
    needed = ["run", "cloudbuild", "artifactregistry", "iam", "cloudresourcemanager", "secretmanager"]
    needed += ["cloudtasks"] if deployment.has_queue else []
    missing = [f"{name}.googleapis.com" for name in needed if name not in enabled]
    if missing:
        gcloud.write("services", "enable", *missing)
        gcloud.enabled_apis = True


def _check_region(gcloud: Gcloud, deployment: Deployment) -> None:
    """Raise DeployError, with the possible regions, if a product isn't in REGION."""
    if gcloud.dry_run:
        return
    products = [("Cloud Run", ("run", "regions", "list"), "")]
    if deployment.has_queue:
        products.append(("Cloud Tasks", ("tasks", "locations", "list"), ", or DELIVERY to direct"))
    for product, words, further in products:
        regions = gcloud.read_list(*words, parse=lambda each: text(each["locationId"]))
        if deployment.region not in regions:
            fix = f"set REGION in {deployment.file} to one of these{further}:"
            raise DeployError(f"{product} isn't in {deployment.region}", fix, " ".join(regions))
