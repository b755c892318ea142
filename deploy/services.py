"""A Cloud Run service: what it is now, and a deployment of one revision of it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.gcloud import Gcloud, items, text

INVOKER_CHECK_OFF = "run.googleapis.com/invoker-iam-disabled"


@dataclass(frozen=True)
class Service:
    """`draft` and `serving` are revisions' names, `newest` the newest revision's labels; empty where there is none."""

    name: str
    url: str
    is_open: bool  # without a check of the invoker
    draft: str
    serving: str
    newest: dict[str, str]

    @property
    def draft_url(self) -> str:
        return self.url.replace("://", "://draft---")


@dataclass(frozen=True)
class Revision:
    name: str
    deployment: str
    stage: str
    created: str
    is_ready: bool


def find(gcloud: Gcloud, deployment: Deployment, name: str) -> Service | None:
    """Return the service, or None if it isn't deployed."""

    def parse(found: Any) -> Service:
        if found["metadata"]["name"] != name:
            raise ValueError("another service")
        status, labels = found["status"], found["spec"]["template"]["metadata"].get("labels", {})
        traffic = items(status.get("traffic", []))
        return Service(
            name,
            status.get("url", ""),
            found["metadata"].get("annotations", {}).get(INVOKER_CHECK_OFF) == "true",
            next((text(each["revisionName"]) for each in traffic if each.get("tag") == "draft"), ""),
            next((text(each["revisionName"]) for each in traffic if each.get("percent") == 100), ""),
            {name: str(value) for name, value in labels.items()},
        )

    return gcloud.read("run", "services", "describe", name, deployment.place, parse=parse)


def require(gcloud: Gcloud, deployment: Deployment, name: str) -> Service:
    """Return a service that has an address. In a dry run it's one that was just deployed."""
    if gcloud.dry_run:
        return Service(name, f"https://{name}-0123456789.{deployment.region}.run.app", False, "", "", {})
    service = find(gcloud, deployment, name)
    if service is None:
        raise DeployError(f"{name} isn't deployed: ./deploy.sh")
    if not service.url:
        raise DeployError(f"{name} has no address, since no deployment of it succeeded yet: ./deploy.sh")
    return service


def revisions(gcloud: Gcloud, deployment: Deployment, name: str) -> list[Revision]:
    """Return the service's revisions, the newest first."""
    words = ("run", "revisions", "list", f"--service={name}", deployment.place, "--sort-by=~metadata.creationTimestamp")
    return gcloud.read_existing(*words, parse=lambda found: [_revision(each) for each in items(found)])


def find_revision(gcloud: Gcloud, deployment: Deployment, name: str) -> Revision | None:
    return gcloud.read("run", "revisions", "describe", name, deployment.place, parse=_revision)


def _revision(found: Any) -> Revision:
    metadata, labels = found["metadata"], found["metadata"].get("labels", {})
    ready = [each["status"] for each in found["status"].get("conditions", []) if each["type"] == "Ready"]
    name, created = text(metadata["name"]), text(metadata["creationTimestamp"])
    return Revision(name, labels.get("deployment", ""), labels.get("stage", ""), created, ready == ["True"])


@dataclass(frozen=True)
class Release:
    """What every service of one deployment has in common."""

    name: str  # its time
    stage: Literal["live", "draft"]
    flags: Sequence[str]  # the user's, for gcloud run deploy
    is_first: bool = False  # there is no public service yet


def deploy(gcloud: Gcloud, deployment: Deployment, release: Release, name: str, *, deliver_url: str = "") -> None:
    """Deploy one revision of a service; the source and its requirements are the same for both."""
    mounted = deployment.get("SECRETS") != "client"
    environment = deployment.environment(name, deliver_url, mounted=mounted)
    if gcloud.dry_run:
        print("".join(f"# {line}\n" for line in environment.splitlines()), end="")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, f"{name}.yaml")
        file.write_text(environment, "utf-8")
        gcloud.write(
            *("run", "deploy", name, "--source=.", "--base-image=python313", deployment.place),
            *_accounts(deployment, name),
            f"--env-vars-file={file}",
            f"--set-secrets={deployment.mounts(name)}" if mounted else "--clear-secrets",
            *_limits(deployment, name),
            f"--labels=app={deployment.public},deployment={release.name},stage={release.stage}",
            *_access(deployment, release, name),
            *_draft(deployment, release, name, deliver_url),
            *release.flags,
        )


def _accounts(deployment: Deployment, name: str) -> tuple[str, ...]:
    builder = f"projects/{deployment.project}/serviceAccounts/{deployment.account('builder')}"
    return f"--service-account={deployment.account_of(name)}", f"--build-service-account={builder}"


def _limits(deployment: Deployment, name: str) -> tuple[str, ...]:
    is_private = name == deployment.private
    return (
        f"--function={'deliver' if is_private else 'on_execute_post_change_password'}",
        f"--timeout={'60s' if is_private else '15s'}",
        f"--concurrency={deployment.get('THREADS', '80')}",
        *("--cpu=1", "--memory=512Mi", "--cpu-boost"),
        f"--min={deployment.get('MIN_INSTANCES', '0')}",
        f"--max-instances={deployment.get('MAX_INSTANCES', '10')}",
    )


def _access(deployment: Deployment, release: Release, name: str) -> tuple[str, ...]:
    if name == deployment.private:
        return "--no-allow-unauthenticated", "--invoker-iam-check", "--ingress=internal"
    ingress = f"--ingress={deployment.get('INGRESS', 'all')}"
    # A service that exists stays as open as it is: closed for the time of a deployment, it would lose callouts.
    return (ingress, "--no-allow-unauthenticated") if release.is_first else (ingress,)


def _draft(deployment: Deployment, release: Release, name: str, deliver_url: str) -> tuple[str, ...]:
    if release.stage == "live":
        return ()
    # Cloud Tasks shows a token for the draft's address, which the private service must accept as its own.
    audience = (f"--add-custom-audiences={deliver_url}",) if name == deployment.private else ()
    return "--no-traffic", "--tag=draft", *audience


def serve(gcloud: Gcloud, deployment: Deployment, name: str, *flags: str) -> None:
    """Route the traffic; --to-latest lets it follow the newest revision again, after a draft or a revert."""
    gcloud.write("run", "services", "update-traffic", name, deployment.place, *flags)
