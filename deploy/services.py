"""Read the state of a Cloud Run service, deploy a revision of it, and route its traffic."""

import json
from typing import Any, NamedTuple

from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud, items, text
from deploy.resources import service
from settings import PRIVATE_TARGET, PUBLIC_TARGET

INVOKER_CHECK_OFF = "run.googleapis.com/invoker-iam-disabled"


class Service(NamedTuple):
    """`draft` and `serving` are revisions' names; empty where there is none."""

    name: str
    url: str
    is_unchecked: bool = False  # anyone may call it, without a binding
    draft: str = ""
    serving: str = ""

    @property
    def draft_url(self) -> str:
        return self.url.replace("://", "://draft---")


class Revision(NamedTuple):
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
        status, annotations = found["status"], found["metadata"].get("annotations", {})
        traffic = items(status.get("traffic", []))
        return Service(
            name,
            status.get("url", ""),
            annotations.get(INVOKER_CHECK_OFF) == "true",
            next((text(each["revisionName"]) for each in traffic if each.get("tag") == "draft"), ""),
            next((text(each["revisionName"]) for each in traffic if each.get("percent") == 100), ""),
        )

    return gcloud.read(*service(deployment, name).command("describe"), parse=parse)


def require(gcloud: Gcloud, deployment: Deployment, name: str) -> Service:
    """Return a service that has a URL. In a dry run, it's one that was just deployed."""
    if gcloud.dry_run:
        return Service(name, f"https://{name}-0123456789.{deployment.region}.run.app")
    found = find(gcloud, deployment, name)
    if found is None:
        raise DeployError(f"{name} isn't deployed: ./deploy.sh")
    if not found.url:
        raise DeployError(f"{name} has no URL, since no deployment of it succeeded yet: ./deploy.sh")
    return found


def revisions(gcloud: Gcloud, deployment: Deployment, name: str) -> list[Revision]:
    """Return the service's revisions, the newest first."""
    words = ("run", "revisions", "list", f"--service={name}", deployment.place, "--sort-by=~metadata.creationTimestamp")
    return gcloud.read_list(*words, parse=_revision)


def _revision(found: Any) -> Revision:
    metadata, labels = found["metadata"], found["metadata"].get("labels", {})
    ready = [each["status"] for each in found["status"].get("conditions", []) if each["type"] == "Ready"]
    name, created = text(metadata["name"]), text(metadata["creationTimestamp"])
    return Revision(name, labels.get("deployment", ""), labels.get("stage", ""), created, ready == ["True"])


def deploy(gcloud: Gcloud, deployment: Deployment, name: str, deliver_url: str, *flags: str) -> None:
    """Deploy one revision of a service; the source and its requirements are the same for both."""
    mounted = deployment.get("SECRETS") != "client"
    environment = env_yaml(deployment.environment(name, deliver_url, mounted=mounted))
    if gcloud.dry_run:
        print("".join(f"# {line}\n" for line in environment.splitlines()), end="")
    gcloud.write_file(
        *("run", "deploy", name, "--source=.", "--base-image=python313", deployment.place),
        f"--service-account={deployment.account(name)}",
        f"--build-service-account=projects/{deployment.project}/serviceAccounts/{deployment.builder}",
        f"--set-secrets={_mounts(deployment, name)}" if mounted else "--clear-secrets",
        *("--cpu=1", "--memory=512Mi", "--cpu-boost", f"--concurrency={deployment.get('THREADS', '80')}"),
        *(f"--min={deployment.get('MIN_INSTANCES', '0')}", f"--max-instances={deployment.get('MAX_INSTANCES', '10')}"),
        *_access(deployment, name),
        *flags,
        flag="--env-vars-file",
        content=environment,
    )


def _mounts(deployment: Deployment, name: str) -> str:
    return ",".join(
        f"{deployment.mount_path(each)}={deployment.secret_id(each)}:{deployment.secret_version(each)}"
        for each in deployment.secrets_of(name)
    )


def _access(deployment: Deployment, name: str) -> tuple[str, ...]:
    """Return what differs: who may call the service, which function it calls, and for how long."""
    if name == deployment.private:
        private = ("--no-allow-unauthenticated", "--invoker-iam-check", "--ingress=internal")
        return (*private, f"--function={PRIVATE_TARGET}", "--timeout=60s")
    return f"--ingress={deployment.get('INGRESS', 'all')}", f"--function={PUBLIC_TARGET}", "--timeout=15s"


def env_yaml(environment: dict[str, str]) -> str:
    """Return a map of strings as YAML; a JSON string is valid YAML."""
    return "".join(f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in environment.items())


def route_traffic(gcloud: Gcloud, deployment: Deployment, name: str, *flags: str) -> None:
    """Route the traffic; with --to-latest, it follows the newest revision again, after a draft or a revert."""
    gcloud.write(*service(deployment, name).command("update-traffic", *flags))
