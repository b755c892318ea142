"""What gcloud reads and changes, and the comparison of what is required with what exists."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud, items, text


class Resource(NamedTuple):
    """What gcloud's commands name: `gcloud GROUP VERB NAME PLACE`."""

    api: str
    group: tuple[str, ...]
    name: str
    place: str = ""

    def command(self, verb: str, *flags: str) -> tuple[str, ...]:
        return (*self.group, verb, self.name, *([self.place] if self.place else []), *flags)


class Requirement(NamedTuple):
    """A part of the desired state, with the command that creates it and the one that changes it if it isn't met.

    `is_met` takes what `read` prints; `value` is what the command reads; what can't be created has an `absent` error.
    """

    resource: Resource
    create: tuple[str, ...]
    update: tuple[str, ...] = ()
    read: str = "describe"
    is_met: Callable[[Any], bool] = lambda found: bool(text(found["name"]))
    value: Callable[[], str] | None = None
    absent: str = ""


Change = tuple[tuple[str, ...], Callable[[], str] | None]  # a command, and what it reads


def service(deployment: Deployment, name: str) -> Resource:
    return Resource("run", ("run", "services"), name, deployment.place)


def queue(deployment: Deployment) -> Resource:
    return Resource("cloudtasks", ("tasks", "queues"), deployment.public, f"--location={deployment.region}")


def account(email: str) -> Resource:
    return Resource("iam", ("iam", "service-accounts"), email)


def secret(secret_id: str) -> Resource:
    return Resource("secretmanager", ("secrets",), secret_id)


def version(deployment: Deployment, name: str, number: str = "") -> Resource:
    """Return a version of a secret, by default the one that the function reads."""
    place = f"--secret={deployment.secret_id(name)}"
    return Resource("secretmanager", ("secrets", "versions"), number or deployment.secret_version(name), place)


def builder_role(deployment: Deployment, *, wanted: bool = True) -> Requirement:
    """Return the only grant on the whole project: a build needs the log, a bucket, and the images' repository."""
    project = Resource("cloudresourcemanager", ("projects",), deployment.project)
    return binding(project, f"serviceAccount:{deployment.builder}", "roles/run.builder", wanted=wanted)


def binding(resource: Resource, member: str, role: str, *, wanted: bool = True) -> Requirement:
    """Return a binding, or, if it isn't wanted, its absence."""

    def is_met(policy: Any) -> bool:
        text(policy["etag"])  # every policy has one, even without bindings
        bindings = [each for each in policy.get("bindings", []) if not each.get("condition")]
        return wanted == any(text(each["role"]) == role and member in items(each["members"]) for each in bindings)

    flags = [f"--member={member}", f"--role={role}", *(["--condition=None"] if resource.group == ("projects",) else [])]
    change = resource.command(f"{'add' if wanted else 'remove'}-iam-policy-binding", *flags)
    return Requirement(resource, change if wanted else (), change, "get-iam-policy", is_met)


def enabled_apis(gcloud: Gcloud) -> set[str]:
    """Return the enabled APIs, such as `run`."""
    if gcloud.dry_run:
        return set()
    names = gcloud.read_list("services", "list", "--enabled", parse=lambda each: text(each["config"]["name"]))
    return {name.removesuffix(".googleapis.com") for name in names}


def find_changes(
    gcloud: Gcloud, requirements: Iterable[Requirement], enabled: Collection[str] | None = None
) -> list[Change]:
    """Return the changes after which all requirements are met. `enabled`: the APIs; None if they are known to be.

    What is in a resource that doesn't exist isn't read.
    """
    changes: list[Change] = []
    absent: set[Resource] = set()
    for each in requirements:
        can_exist = each.resource not in absent and (enabled is None or each.resource.api in enabled)
        is_met = gcloud.read(*each.resource.command(each.read), parse=each.is_met) if can_exist else None
        if is_met is None:
            absent.add(each.resource)
            if each.absent and not gcloud.dry_run:
                raise DeployError(each.absent)
        command = each.create if is_met is None else () if is_met else each.update
        if command:
            changes.append((command, each.value))
    return changes
