"""IAM bindings: whether one is there, and how to add or remove it."""

from dataclasses import dataclass
from typing import Any

from deploy.gcloud import Gcloud, text


@dataclass(frozen=True)
class Binding:
    """`group` and `resource` are gcloud's: `secrets`, `callout-signing-key`. One that isn't `wanted` is removed."""

    api: str
    group: tuple[str, ...]
    resource: str
    member: str
    role: str
    flags: tuple[str, ...] = ()
    wanted: bool = True


def service_account(email: str) -> str:
    return f"serviceAccount:{email}"


def is_bound(gcloud: Gcloud, binding: Binding) -> bool:
    """Return whether the binding exists; a resource that doesn't exist has none."""
    words = (*binding.group, "get-iam-policy", binding.resource, *binding.flags)
    bound = gcloud.read(*words, parse=_bindings)
    return bound is not None and (binding.role, binding.member) in bound


def change_of(binding: Binding) -> tuple[str, ...]:
    """Return the command that adds the binding, or that removes it if it isn't wanted."""
    verb = "add-iam-policy-binding" if binding.wanted else "remove-iam-policy-binding"
    member, role = f"--member={binding.member}", f"--role={binding.role}"
    condition = ("--condition=None",) if binding.group == ("projects",) else ()
    return (*binding.group, verb, binding.resource, member, role, *binding.flags, *condition)


def _bindings(policy: Any) -> set[tuple[str, str]]:
    text(policy["etag"])  # every policy has one, even without bindings
    return {
        (text(each["role"]), text(member))
        for each in policy.get("bindings", [])
        if not each.get("condition")
        for member in each["members"]
    }
