"""Deploy, and move traffic between deployments: deploy, draft, promote, versions, revert."""

import shlex
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Literal

from deploy import checks, resources, services, setup
from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud
from deploy.services import Revision, Service

State = Literal["absent", "closed", "open"]  # closed to its callers


def everything(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Create missing resources, deploy, and route all traffic to the new revision."""
    enabled = resources.enabled_apis(gcloud)
    absent: dict[str, State] = dict.fromkeys(deployment.services, "absent")
    states = _states(gcloud, deployment) if "run" in enabled else absent
    all_users = _check(gcloud, deployment, states, checks.of_setup(deployment))
    setup.set_up(gcloud, deployment, enabled)
    _deploy(gcloud, deployment, options.flags, states, all_users=all_users)


def plan(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Print every gcloud command of a first run; change nothing."""
    everything(gcloud, deployment, options)  # gcloud runs dry


def deploy(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Deploy and route the traffic to the new revision, without the setup."""
    states = _states(gcloud, deployment)
    all_users = _check(gcloud, deployment, states, {})
    _deploy(gcloud, deployment, options.flags, states, all_users=all_users)


def _states(gcloud: Gcloud, deployment: Deployment) -> dict[str, State]:
    return {name: _state(gcloud, deployment, name) for name in deployment.services}


def _state(gcloud: Gcloud, deployment: Deployment, name: str) -> State:
    found = services.find(gcloud, deployment, name)
    if found is None:
        return "absent"
    is_open = name == deployment.public and found.is_unchecked
    return "open" if is_open or not resources.find_changes(gcloud, [_callers(deployment, name)]) else "closed"


def _callers(deployment: Deployment, name: str) -> resources.Requirement:
    """Return the binding that lets a service's callers in.

    Auth0 has no Google identity: the public service is open to all, and the signature lets a callout in.
    """
    member = f"serviceAccount:{deployment.invoker}" if name == deployment.private else "allUsers"
    return resources.binding(resources.service(deployment, name), member, "roles/run.invoker")


def _check(gcloud: Gcloud, deployment: Deployment, states: Mapping[str, State], further: Mapping[str, str]) -> bool:
    """Check the permissions and policies, and return whether allUsers may call the public service."""
    found = set(states.values())
    creates, opens = checks.CREATE if "absent" in found else {}, checks.OPEN if found != {"open"} else {}
    checks.permissions(gcloud, deployment, {**further, **checks.DEPLOY, **creates, **opens})
    return states[deployment.public] == "open" or checks.allows_all_users(gcloud, deployment)


def _deploy(
    gcloud: Gcloud, deployment: Deployment, flags: Sequence[str], states: Mapping[str, State], *, all_users: bool
) -> None:
    """Deploy the services and route the traffic to them."""
    url, label = "", _labels(deployment, "live")
    for name in deployment.services:
        # Leave the access to an existing service as it is: closing it during a deployment would lose callouts.
        first = ["--no-allow-unauthenticated"] if states[name] == "absent" and name == deployment.public else []
        services.deploy(gcloud, deployment, name, url, label, *first, *flags)
        if states[name] != "open":
            _open(gcloud, deployment, name, all_users=all_users)
        is_public = name == deployment.public  # tasks of the draft may still wait for the draft's `deliver`
        services.route_traffic(gcloud, deployment, name, "--to-latest", *(["--remove-tags=draft"] if is_public else []))
        url = services.require(gcloud, deployment, name).url
    gcloud.say("", f"The function's URL: {url}")
    gcloud.say("Next: ./deploy.sh test, then put the Action into Auth0 (docs/deploy.md), then ./deploy.sh doctor.")


def _labels(deployment: Deployment, stage: str) -> str:
    """Return the flag with what the revisions of one deployment have in common; its name is its time."""
    return f"--labels=app={deployment.public},deployment={_now()},stage={stage}"


def _open(gcloud: Gcloud, deployment: Deployment, name: str, *, all_users: bool) -> None:
    """Let a service's callers in: all, in the way that the organization allows, or only Cloud Tasks."""
    binding = _callers(deployment, name).create
    if name == deployment.private:
        gcloud.write(*binding)
    elif not all_users or not _is_accepted(gcloud, *binding):
        open_without_check = resources.service(deployment, name).command("update", "--no-invoker-iam-check")
        if not _is_accepted(gcloud, *open_without_check):
            raise checks.forbidden(deployment, "iam.allowedPolicyMemberDomains")


def _is_accepted(gcloud: Gcloud, *words: str) -> bool:
    """Make a change, and return whether the organization's policies accept it."""
    try:
        gcloud.write(*words)
    except DeployError as error:
        if not checks.REJECTION.search(str(error)):
            raise
        gcloud.say("a policy of the organization rejects this")
        return False
    return True


def draft(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Deploy a revision without traffic, at a separate URL; a draft's tasks go to the draft's `deliver`."""
    checks.permissions(gcloud, deployment, checks.DEPLOY)
    for name in deployment.services:
        if services.find(gcloud, deployment, name) is None:
            raise DeployError(f"{name} isn't deployed yet, and a first revision always receives traffic: ./deploy.sh")
    url = services.require(gcloud, deployment, deployment.private).draft_url if deployment.has_queue else ""
    flags = (_labels(deployment, "draft"), "--no-traffic", "--tag=draft")
    for name in deployment.services:
        # Cloud Tasks sends a token for the draft's URL, which the private service must accept too.
        audience = [f"--add-custom-audiences={url}"] if name == deployment.private else []
        services.deploy(gcloud, deployment, name, url, *flags, *audience, *options.flags)


def promote(gcloud: Gcloud, deployment: Deployment, _options: Namespace) -> None:
    """Route all traffic to the draft."""
    public = _with_draft(gcloud, deployment, deployment.public)
    if deployment.has_queue:
        _promote_both(gcloud, deployment, public)
    else:
        services.route_traffic(
            gcloud, deployment, public.name, f"--to-revisions={public.draft}=100", "--remove-tags=draft"
        )
    gcloud.say("The draft receives the traffic. To go back: ./deploy.sh revert")


def _promote_both(gcloud: Gcloud, deployment: Deployment, public: Service) -> None:
    """Promote both services.

    The draft's public revision sends its tasks to the draft's `deliver`. A live revision must not: the next draft would
    get its tasks. So the revision is copied, with the URL of the live `deliver`; nothing is rebuilt.
    """
    listed = services.revisions(gcloud, deployment, public.name)
    of_draft = next((each.deployment for each in listed if each.name == public.draft), "")
    if not of_draft or listed[0].deployment != of_draft:
        raise DeployError("something was deployed after the draft: ./deploy.sh draft")
    private = _with_draft(gcloud, deployment, deployment.private)
    services.route_traffic(gcloud, deployment, private.name, f"--to-revisions={private.draft}=100")
    if listed[0].stage != "live":
        flags = f"--update-env-vars=DELIVER_URL={private.url}", "--update-labels=stage=live"
        gcloud.write(*resources.service(deployment, public.name).command("update", *flags))
    services.route_traffic(gcloud, deployment, public.name, "--to-latest", "--remove-tags=draft")


def _with_draft(gcloud: Gcloud, deployment: Deployment, name: str) -> Service:
    found = services.require(gcloud, deployment, name)
    if not found.draft:
        raise DeployError(f"there is no draft of {name}: ./deploy.sh draft")
    return found


def versions(gcloud: Gcloud, deployment: Deployment, _options: Namespace) -> None:
    """Print the function's URL and the revisions."""
    found = {name: services.require(gcloud, deployment, name) for name in deployment.services}
    listed = {name: services.revisions(gcloud, deployment, name) for name in deployment.services}
    print(f"FUNCTION_URL: {found[deployment.public].url}")
    for name, service in found.items():
        print(f"{name}, receiving traffic: {service.serving or 'several revisions'}")
        print(f"{'REVISION':<42}{'DEPLOYMENT':<17}{'STAGE':<7}DEPLOYED")
        for each in listed[name]:
            print(f"{each.name:<42}{each.deployment:<17}{each.stage:<7}{each.created[:10]}")


def revert(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Route the traffic to the deployment of REVISION again; without one, to the previous deployment."""
    listed = {name: services.revisions(gcloud, deployment, name) for name in deployment.services}
    working = {name: _working(deployment, name, listed[name]) for name in deployment.services}
    if options.REVISION:
        target = _deployment_of(options.REVISION, chain(*listed.values()))
    else:
        serving = services.require(gcloud, deployment, deployment.public).serving
        target = _previous(serving, listed[deployment.public], working[deployment.public])
    for name, revisions in working.items():
        if target not in revisions:
            raise DeployError(f"{name} has no working revision of the deployment {target}: ./deploy.sh versions")
    for name, revisions in working.items():
        services.route_traffic(gcloud, deployment, name, f"--to-revisions={revisions[target]}=100")
        gcloud.say(f"{revisions[target]} receives the traffic.")


def _working(deployment: Deployment, name: str, listed: Sequence[Revision]) -> dict[str, str]:
    """Return the newest revision of each deployment, of those that may receive traffic.

    In queue mode a draft's public revision receives traffic only as its copy: see promote.
    """
    copies_drafts = name == deployment.public and deployment.has_queue
    usable = [each for each in listed if each.is_ready and not (copies_drafts and each.stage == "draft")]
    return {each.deployment: each.name for each in reversed(usable)}


def _deployment_of(revision: str, listed: Iterable[Revision]) -> str:
    for each in listed:
        if each.name == revision and each.deployment:
            return each.deployment
    raise DeployError(f"there is no revision {shlex.quote(revision)}: ./deploy.sh versions")


def _previous(serving: str, listed: Iterable[Revision], working: Iterable[str]) -> str:
    """Return the previous deployment, by its name, which is its time."""
    current = next((each.deployment for each in listed if each.name == serving), "")
    earlier = [each for each in working if each and each < current]
    if not earlier:
        raise DeployError("there is no previous deployment: ./deploy.sh versions")
    return max(earlier)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
