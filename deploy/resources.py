"""The desired state of a project as data, and the setup that applies only the difference."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deploy import secret_values
from deploy.bindings import Binding, change_of, is_bound, service_account
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.gcloud import Gcloud, items, text

ACCESSOR = "roles/secretmanager.secretAccessor"
# Every response that isn't 2xx is retried for as long as Cloud Tasks keeps a task, 31 days, so that a notice that fails
# because of something a person can fix goes out once it is fixed.
RETRY = {"maxAttempts": -1, "minBackoff": "10s", "maxBackoff": "3600s", "maxDoublings": 16}
RETRY_FLAGS = (
    "--max-attempts=unlimited",
    "--min-backoff=10s",
    "--max-backoff=3600s",
    "--max-doublings=16",
    "--max-retry-duration=0s",
)


@dataclass(frozen=True)
class Resource:
    """Something that gcloud describes and creates; `update` applies where `is_current` finds other settings."""

    api: str
    describe: tuple[str, ...]
    create: tuple[str, ...]
    update: tuple[str, ...] = ()
    is_current: Callable[[Any], bool] = lambda found: bool(text(found["name"]))


@dataclass(frozen=True)
class SecretValue:
    """The version of a secret that the function reads; NAME is the one in `event.secrets.NAME`."""

    name: str
    api: str = "secretmanager"


Item = Resource | Binding | SecretValue
Change = tuple[str, ...] | SecretValue  # a command, or a value that is to be stored


def apis(deployment: Deployment) -> list[str]:
    names = ["run", "cloudbuild", "artifactregistry", "iam", "cloudresourcemanager", "secretmanager"]
    return [f"{name}.googleapis.com" for name in (*names, *(["cloudtasks"] if deployment.has_queue else []))]


def desired(deployment: Deployment) -> Iterator[Item]:
    """Yield everything that a deployment needs, in the order in which it can be created."""
    yield account(deployment, "builder", f"builds {deployment.public}")
    yield builder_binding(deployment)
    yield account(deployment, "", f"{deployment.public}: the function")
    if deployment.has_queue:
        yield account(deployment, "deliver", f"{deployment.public}: sends the email")
        yield account(deployment, "invoker", f"{deployment.public}: Cloud Tasks calls deliver as this")
        yield queue(deployment)
    yield from (secret(deployment, name) for name in deployment.secrets)
    yield from (SecretValue(name) for name in deployment.secrets)
    yield from bindings(deployment)


def account(deployment: Deployment, suffix: str, title: str) -> Resource:
    email = deployment.account(suffix)
    create = ("iam", "service-accounts", "create", email.partition("@")[0], f"--display-name={title}")
    return Resource("iam", ("iam", "service-accounts", "describe", email), create)


def builder_binding(deployment: Deployment) -> Binding:
    """Return the only grant on the whole project: a build needs the log, a bucket, and the images' repository."""
    member = service_account(deployment.account("builder"))
    return Binding("cloudresourcemanager", ("projects",), deployment.project, member, "roles/run.builder")


def queue(deployment: Deployment) -> Resource:
    place = f"--location={deployment.region}"

    def words(verb: str, *flags: str) -> tuple[str, ...]:
        return ("tasks", "queues", verb, deployment.queue, place, *flags)

    describe, create, update = words("describe"), words("create", *RETRY_FLAGS), words("update", *RETRY_FLAGS)
    return Resource("cloudtasks", describe, create, update, _has_retries)


def _has_retries(found: Any) -> bool:
    retry = found["retryConfig"]
    return {name: retry.get(name) for name in RETRY} == RETRY and retry.get("maxRetryDuration", "0s") == "0s"


def secret(deployment: Deployment, name: str) -> Resource:
    secret_id, replication = deployment.secret_id(name), deployment.get("REPLICATION", "automatic")
    flags = [f"--replication-policy={replication}", f"--labels=app={deployment.public}"]
    if replication == "user-managed":
        flags.append(f"--locations={deployment.region}")
    return Resource("secretmanager", ("secrets", "describe", secret_id), ("secrets", "create", secret_id, *flags))


def bindings(deployment: Deployment) -> Iterator[Binding]:
    """Yield the grants of the services' accounts; each may do as little as possible."""
    public = service_account(deployment.account())
    for service in deployment.services:
        member = service_account(deployment.account_of(service))
        for name in deployment.secrets_of(service):
            yield Binding("secretmanager", ("secrets",), deployment.secret_id(name), member, ACCESSOR)
    if not deployment.has_queue:
        return
    for name in deployment.secrets[1:]:  # before, in direct mode, the public service may have read them
        yield Binding("secretmanager", ("secrets",), deployment.secret_id(name), public, ACCESSOR, wanted=False)
    place = (f"--location={deployment.region}",)
    yield Binding("cloudtasks", ("tasks", "queues"), deployment.queue, public, "roles/cloudtasks.enqueuer", place)
    invoker = deployment.account("invoker")
    yield Binding("iam", ("iam", "service-accounts"), invoker, public, "roles/iam.serviceAccountUser")


def enabled_apis(gcloud: Gcloud) -> set[str]:
    """Return the enabled APIs, such as run.googleapis.com."""
    if gcloud.dry_run:
        return set()
    words = ("services", "list", "--enabled")
    return gcloud.read_existing(*words, parse=lambda found: {text(each["config"]["name"]) for each in items(found)})


def difference(gcloud: Gcloud, deployment: Deployment, enabled: Collection[str]) -> list[Change]:
    """Return the changes that lead to the desired state. Everything is read before anything is changed."""
    changes: list[Change] = []
    absent: list[tuple[str, ...]] = []
    for item in desired(deployment):
        can_exist = f"{item.api}.googleapis.com" in enabled
        if isinstance(item, Resource):
            is_current = gcloud.read(*item.describe, parse=item.is_current) if can_exist else None
            if is_current is None:
                absent.append(item.describe)
                changes.append(item.create)
            elif not is_current:
                changes.append(item.update)
        elif isinstance(item, Binding):
            can_exist = can_exist and (*item.group, "describe", item.resource, *item.flags) not in absent
            if item.wanted != (can_exist and is_bound(gcloud, item)):
                changes.append(change_of(item))
        elif secret_values.latest_version(gcloud, deployment, item.name, can_exist=can_exist) is None:
            changes.append(item)
    return changes


def enable_apis(gcloud: Gcloud, deployment: Deployment, enabled: Collection[str]) -> None:
    missing = [api for api in apis(deployment) if api not in enabled]
    if missing:
        gcloud.write("services", "enable", *missing)
        gcloud.enabled_apis = True


def apply(gcloud: Gcloud, deployment: Deployment, changes: Sequence[Change]) -> None:
    if changes:
        check_region(gcloud, deployment)
    for change in changes:
        if isinstance(change, SecretValue):
            secret_values.store_first(gcloud, deployment, change.name)
        else:
            gcloud.write(*change)


def check_region(gcloud: Gcloud, deployment: Deployment) -> None:
    """Raise DeployError, with the possible regions, if a product isn't in REGION."""
    if gcloud.dry_run:
        return
    for product, words, further in (
        ("Cloud Run", ("run", "regions", "list"), ""),
        ("Cloud Tasks", ("tasks", "locations", "list"), ", or DELIVERY to direct"),
    ):
        if product == "Cloud Tasks" and not deployment.has_queue:
            continue
        regions = gcloud.read_existing(*words, parse=lambda found: [text(each["locationId"]) for each in items(found)])
        if deployment.region not in regions:
            fix = f"set REGION in {deployment.file} to one of these{further}:"
            raise DeployError(f"{product} isn't in {deployment.region}", fix, " ".join(regions))


def warn_if_paused(gcloud: Gcloud, deployment: Deployment) -> None:
    state = gcloud.read(*queue(deployment).describe, parse=lambda found: text(found["state"]))
    if state == "PAUSED":
        resume = f"gcloud tasks queues resume {deployment.queue} --location={deployment.region}"
        gcloud.say(f"the queue is paused: {resume} --project={deployment.project}")
