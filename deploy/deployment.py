"""One deployment: what env.yaml says of it, and what each part of it is called."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy import config
from deploy.errors import DeployError
from settings import SettingsError

BUILT_IN = ("CALLOUT_SIGNING_KEY", "SENDGRID_API_KEY")
NOT_COPIED = {
    *config.DEPLOYMENT_SETTINGS,
    "GOOGLE_CLOUD_PROJECT",
    "THREADS",
    "DELIVERY",
}  # set below, or deploy.sh's own


@dataclass(frozen=True)
class Deployment:
    values: Mapping[str, str]
    project: str
    file: Path

    @property
    def public(self) -> str:
        return self.get("SERVICE", config.DEFAULT_SERVICE)

    @property
    def private(self) -> str:
        """The service that sends the email in queue mode."""
        return f"{self.public}-deliver"

    @property
    def queue(self) -> str:
        return self.public

    @property
    def has_queue(self) -> bool:
        return self.get("DELIVERY", "queue") == "queue"

    @property
    def services(self) -> tuple[str, ...]:
        """The services, in the order in which they are deployed."""
        return (self.private, self.public) if self.has_queue else (self.public,)

    @property
    def region(self) -> str:
        return self.get("REGION", "europe-west1")

    @property
    def place(self) -> str:
        return f"--region={self.region}"

    @property
    def queue_path(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/queues/{self.queue}"

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(name) or default

    def sends_email(self, service: str) -> bool:
        return not self.has_queue or service == self.private

    def account(self, suffix: str = "") -> str:
        return self.account_of(f"{self.public}-{suffix}" if suffix else self.public)

    def account_of(self, account_id: str) -> str:
        """Return an account's address; those of a project example.com:name are at name.example.com."""
        domain, _, name = self.project.rpartition(":")
        return f"{account_id}@{name}{'.' if domain else ''}{domain}.iam.gserviceaccount.com"

    def secret_id(self, name: str) -> str:
        given = config.OWN_SECRET.fullmatch(self.get(f"{name}_SECRET"))
        return given["secret"] if given else config.secret_id(self.public, name)

    def secret_version(self, name: str) -> str:
        given = config.OWN_SECRET.fullmatch(self.get(f"{name}_SECRET"))
        return (given and given["version"]) or "latest"

    def secrets_of(self, service: str) -> list[str]:
        """Return the names of the secrets that a service reads."""
        if not self.sends_email(service):
            return ["CALLOUT_SIGNING_KEY"]
        declared = [name.removesuffix("_SECRET") for name in self.values if name.endswith("_SECRET")]
        return [*BUILT_IN, *sorted(name for name in declared if name not in BUILT_IN and self._is_ours(name))]

    @property
    def secrets(self) -> list[str]:
        return self.secrets_of(self.services[0])

    def mounts(self, service: str) -> str:
        return ",".join(
            f"{self.mount_path(name)}={self.secret_id(name)}:{self.secret_version(name)}"
            for name in self.secrets_of(service)
        )

    def mount_path(self, name: str) -> str:
        return f"/secrets/{self.secret_id(name)}/value"

    def secret_path(self, name: str) -> str:
        return f"projects/{self.project}/secrets/{self.secret_id(name)}/versions/{self.secret_version(name)}"

    def environment(self, service: str, deliver_url: str, *, mounted: bool) -> str:
        """Return the YAML of a service's environment: env.yaml's, without deploy.sh's own, and what only it knows."""
        sends_email = self.sends_email(service)
        given = {name: value for name, value in self.values.items() if name not in NOT_COPIED}
        entries = {name: value for name, value in sorted(given.items()) if not name.endswith("_SECRET")}
        if sends_email:
            entries |= {name: value for name, value in sorted(given.items()) if name.endswith("_SECRET")}
        place = self.mount_path if mounted else self.secret_path
        entries |= {f"{name}_SECRET": place(name) for name in self.secrets_of(service)}
        entries |= {"GOOGLE_CLOUD_PROJECT": self.project, "THREADS": self.get("THREADS", "80")}
        entries["DELIVERY"] = "direct" if sends_email else "queue"
        if not sends_email:
            entries |= {"TASKS_QUEUE": self.queue_path, "DELIVER_URL": deliver_url}
            entries["DELIVER_INVOKER"] = self.account("invoker")
        return env_yaml(entries)

    def _is_ours(self, name: str) -> bool:
        found = config.OWN_SECRET.fullmatch(self.get(f"{name}_SECRET"))
        return found is not None and found["project"] == self.project


def env_yaml(entries: Mapping[str, str]) -> str:
    """Return the YAML of a map of text; JSON's strings are YAML's."""
    return "".join(f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in entries.items() if value)


def read_values(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return env.yaml's values, of which SERVICE and REGION may come from the environment.

    Raise DeployError with everything that is wrong.
    """
    overrides = {name: environment[name] for name in ("SERVICE", "REGION") if environment.get(name)}
    try:
        values = {**config.read(file), **overrides}
        found = config.find_errors(values)
    except SettingsError as error:
        found = list(error.errors)
    if found:
        origin = [f"{' and '.join(overrides)} came from the environment"] if overrides else []
        raise DeployError(f"{file} has errors, and nothing was changed:", *map(str, found), *origin)
    return values


def check_project_of_secrets(deployment: Deployment) -> None:
    """Raise DeployError for a built-in secret of another project: deploy.sh couldn't grant access to it."""
    for name in BUILT_IN:
        given = deployment.get(f"{name}_SECRET")
        if given and not re.match(f"projects/{re.escape(deployment.project)}/", given):
            raise DeployError(f"{name}_SECRET in {deployment.file} isn't a secret of {deployment.project}")
