"""What each command does, with everything read and checked before anything is changed."""

from argparse import Namespace
from collections.abc import Collection

from deploy import permissions, policies, project, releases, resources
from deploy.deployment import Deployment
from deploy.gcloud import Gcloud

RUN = "run.googleapis.com"


def everything(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Set up what is missing, deploy, and route the traffic to the new revision."""
    enabled = resources.enabled_apis(gcloud)
    current = releases.look(gcloud, deployment) if RUN in enabled else releases.Current()
    _check_permissions(deployment, {**permissions.of_setup(deployment), **current.permissions(deployment)})
    all_users = current.is_open or policies.allows_all_users(gcloud, deployment)
    _set_up(gcloud, deployment, enabled)
    releases.deploy(gcloud, deployment, options.flags, current, all_users=all_users)


def plan(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Print every gcloud command of a first run."""
    _set_up(gcloud, deployment, resources.enabled_apis(gcloud))
    releases.deploy(gcloud, deployment, options.flags, releases.Current())


def setup(gcloud: Gcloud, deployment: Deployment, _options: Namespace) -> None:
    """Set up what is missing."""
    _check_permissions(deployment, permissions.of_setup(deployment))
    policies.allows_all_users(gcloud, deployment)
    _set_up(gcloud, deployment, resources.enabled_apis(gcloud))


def deploy(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Deploy, and route the traffic to the new revision."""
    current = releases.look(gcloud, deployment)
    _check_permissions(deployment, current.permissions(deployment))
    all_users = current.is_open or policies.allows_all_users(gcloud, deployment)
    releases.deploy(gcloud, deployment, options.flags, current, all_users=all_users)


def draft(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Deploy a revision without traffic."""
    _check_permissions(deployment, permissions.of_deployment(creates=False, opens=False))
    releases.draft(gcloud, deployment, options.flags)


def _set_up(gcloud: Gcloud, deployment: Deployment, enabled: Collection[str]) -> None:
    changes = resources.difference(gcloud, deployment, enabled)
    policies.check_replication(gcloud, deployment, changes)
    resources.enable_apis(gcloud, deployment, enabled)
    resources.apply(gcloud, deployment, changes)
    if deployment.has_queue:
        resources.warn_if_paused(gcloud, deployment)


def _check_permissions(deployment: Deployment, needed: dict[str, str]) -> None:
    permissions.check(deployment, needed, project.member(project.account()), project.access_token())
