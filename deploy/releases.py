"""Deployments: deploy, draft, promote, versions, revert."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from deploy import permissions, policies, services
from deploy.bindings import Binding, change_of, is_bound, service_account
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.gcloud import Gcloud
from deploy.services import Release, Revision, Service


def invoker_binding(deployment: Deployment) -> Binding:
    member = service_account(deployment.account("invoker"))
    return Binding("run", ("run", "services"), deployment.private, member, "roles/run.invoker", (deployment.place,))


def public_binding(deployment: Deployment) -> Binding:
    """Auth0 has no Google identity: the public service is open to all, and the signature lets a callout in."""
    return Binding("run", ("run", "services"), deployment.public, "allUsers", "roles/run.invoker", (deployment.place,))


@dataclass(frozen=True)
class Current:
    """What a deployment finds, read before it changes anything."""

    public: Service | None = None
    private: Service | None = None
    is_open: bool = False  # anyone may call the public service
    has_invoker: bool = False  # Cloud Tasks may call the private one

    def permissions(self, deployment: Deployment) -> dict[str, str]:
        """Return the permissions that the deployment needs."""
        creates = self.public is None or (deployment.has_queue and self.private is None)
        return permissions.of_deployment(creates=creates, opens=not self.is_open or not self.has_invoker)


def look(gcloud: Gcloud, deployment: Deployment) -> Current:
    """Return what is deployed now."""
    public = services.find(gcloud, deployment, deployment.public)
    is_open = public is not None and (public.is_open or is_bound(gcloud, public_binding(deployment)))
    if not deployment.has_queue:
        return Current(public, None, is_open, has_invoker=True)
    private = services.find(gcloud, deployment, deployment.private)
    return Current(public, private, is_open, private is not None and is_bound(gcloud, invoker_binding(deployment)))


def deploy(
    gcloud: Gcloud, deployment: Deployment, flags: Sequence[str], current: Current, *, all_users: bool = True
) -> None:
    """Deploy both services and route the traffic to them."""
    release, url = Release(_now(), "live", flags, is_first=current.public is None), ""
    if deployment.has_queue:
        services.deploy(gcloud, deployment, release, deployment.private)
        if not current.has_invoker:
            gcloud.write(*change_of(invoker_binding(deployment)))
        services.serve(gcloud, deployment, deployment.private, "--to-latest")
        url = services.require(gcloud, deployment, deployment.private).url
    services.deploy(gcloud, deployment, release, deployment.public, deliver_url=url)
    if not current.is_open:
        _open(gcloud, deployment, all_users=all_users)
    services.serve(gcloud, deployment, deployment.public, "--to-latest", "--remove-tags=draft")
    if not gcloud.dry_run:
        gcloud.say("", f"The function's address: {services.require(gcloud, deployment, deployment.public).url}")
        gcloud.say("Next: ./deploy.sh test, then put the Action into Auth0 (docs/deploy.md), then ./deploy.sh doctor.")


def _open(gcloud: Gcloud, deployment: Deployment, *, all_users: bool) -> None:
    """Make the public service public, in the way that the organization allows."""
    if all_users:
        try:
            gcloud.write(*change_of(public_binding(deployment)))
        except DeployError as error:
            if not policies.REJECTION.search(str(error)):
                raise
            gcloud.say("the organization rejects allUsers: the service is opened without the invoker check instead")
        else:
            return
    try:
        gcloud.write("run", "services", "update", deployment.public, deployment.place, "--no-invoker-iam-check")
    except DeployError as error:
        if not policies.REJECTION.search(str(error)):
            raise
        raise policies.forbidden(deployment, "iam.allowedPolicyMemberDomains") from error


def draft(gcloud: Gcloud, deployment: Deployment, flags: Sequence[str]) -> None:
    """Deploy a revision without traffic, at a URL of its own; a draft's tasks go to the draft's `deliver`."""
    found = {name: services.find(gcloud, deployment, name) for name in deployment.services}
    for name, service in found.items():
        if service is None:
            raise DeployError(f"{name} isn't deployed yet, and a first revision always receives traffic: ./deploy.sh")
    release = Release(_now(), "draft", flags)
    url = services.require(gcloud, deployment, deployment.private).draft_url if deployment.has_queue else ""
    for name in deployment.services:
        services.deploy(gcloud, deployment, release, name, deliver_url=url)
    url = services.require(gcloud, deployment, deployment.public).draft_url
    gcloud.say("", f"The draft is at {url}, without traffic. Next: ./deploy.sh test, then ./deploy.sh promote.")


def promote(gcloud: Gcloud, deployment: Deployment) -> None:
    """Route the traffic to the draft."""
    public = _with_draft(gcloud, deployment, deployment.public)
    if deployment.has_queue:
        _promote_both(gcloud, deployment, public)
    else:
        services.serve(gcloud, deployment, public.name, f"--to-revisions={public.draft}=100", "--remove-tags=draft")
    gcloud.say("The draft receives the traffic. To go back: ./deploy.sh revert")


def _promote_both(gcloud: Gcloud, deployment: Deployment, public: Service) -> None:
    """Promote both services.

    The draft's public service hands its tasks to the draft's `deliver`. What receives traffic must not: the next draft
    would take over its tasks. So it's copied, with the URL of the `deliver` that receives traffic; nothing is rebuilt.
    """
    revision = services.find_revision(gcloud, deployment, public.draft)
    if revision is None or public.newest.get("deployment") != revision.deployment:
        raise DeployError("something was deployed after the draft: ./deploy.sh draft")
    private = _with_draft(gcloud, deployment, deployment.private)
    services.serve(gcloud, deployment, private.name, f"--to-revisions={private.draft}=100")
    if public.newest.get("stage") != "live":
        flags = f"--update-env-vars=DELIVER_URL={private.url}", "--update-labels=stage=live"
        gcloud.write("run", "services", "update", public.name, deployment.place, *flags)
    services.serve(gcloud, deployment, public.name, "--to-latest", "--remove-tags=draft")


def _with_draft(gcloud: Gcloud, deployment: Deployment, name: str) -> Service:
    service = services.require(gcloud, deployment, name)
    if not service.draft:
        raise DeployError(f"there is no draft of {name}: ./deploy.sh draft")
    return service


def versions(gcloud: Gcloud, deployment: Deployment) -> None:
    """Print the function's URL and both services' revisions."""
    found = {name: services.require(gcloud, deployment, name) for name in deployment.services}
    listed = {name: services.revisions(gcloud, deployment, name) for name in deployment.services}
    print(f"FUNCTION_URL: {found[deployment.public].url}")
    for name, service in found.items():
        print(f"{name}, receiving traffic: {service.serving or 'several revisions'}")
        rows = [("REVISION", "DEPLOYMENT", "STAGE", "DEPLOYED")]
        rows += [(each.name, each.deployment, each.stage, each.created[:10]) for each in listed[name]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(map(str.ljust, row, widths)).rstrip())


def revert(gcloud: Gcloud, deployment: Deployment, revision: str | None) -> None:
    """Route the traffic of both services to the revisions that were deployed with one, or before what serves now."""
    listed = {name: services.revisions(gcloud, deployment, name) for name in deployment.services}
    if revision:
        target = next((each.deployment for each in chain(*listed.values()) if each.name == revision), "")
        if not target:
            raise DeployError(f"there is no revision {shlex.quote(revision)}: ./deploy.sh versions")
    else:
        target = _previous(gcloud, deployment, listed[deployment.public])
    chosen = {name: _of_deployment(deployment, name, listed[name], target) for name in deployment.services}
    for name, found in chosen.items():
        services.serve(gcloud, deployment, name, f"--to-revisions={found}=100")
        gcloud.say(f"{found} receives the traffic.")


def _previous(gcloud: Gcloud, deployment: Deployment, listed: Sequence[Revision]) -> str:
    """Return the previous deployment; its name is its time, so that it's the next smaller one."""
    serving = services.require(gcloud, deployment, deployment.public).serving
    current = next((each.deployment for each in listed if each.name == serving), "")
    names = {each.deployment for each in listed if _may_serve(deployment, deployment.public, each)}
    earlier = [name for name in names if name and name < current]
    if not earlier:
        raise DeployError("there is no deployment before this one: ./deploy.sh versions")
    return max(earlier)


def _of_deployment(deployment: Deployment, name: str, listed: Sequence[Revision], target: str) -> str:
    for each in listed:
        if each.deployment == target and _may_serve(deployment, name, each):
            return each.name
    raise DeployError(f"{name} has no working revision of the deployment {target}: ./deploy.sh versions")


def _may_serve(deployment: Deployment, name: str, revision: Revision) -> bool:
    """In queue mode a draft's public revision receives traffic only as its copy: see promote."""
    is_draft = name == deployment.public and deployment.has_queue and revision.stage == "draft"
    return revision.is_ready and not is_draft


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
