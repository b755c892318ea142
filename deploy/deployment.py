"""One deployment: what each part of it is called, and the environment of each service."""

import re
from collections.abc import Mapping
from pathlib import Path

# What only deploy.sh reads: the pattern, and what it has to be.
DEPLOYMENT_SETTINGS = {
    "SERVICE": (
        "[a-z][a-z0-9-]{4,20}[a-z0-9]",
        "6 to 22 lowercase letters, digits, and hyphens, starting with a letter",
    ),
    "REGION": ("[a-z]+-[a-z]+[0-9]+", "a region that has Cloud Run and Cloud Tasks, such as europe-west1"),
    "SECRETS": ("mounted|client", "mounted or client"),
    "MIN_INSTANCES": ("[0-9]{1,3}", "a whole number from 0 to 999"),
    "MAX_INSTANCES": ("[1-9][0-9]{0,2}", "a whole number from 1 to 999"),
    "REPLICATION": ("automatic|user-managed", "automatic or user-managed"),
    "INGRESS": ("all|internal-and-cloud-load-balancing", "all or internal-and-cloud-load-balancing"),
}
SIGNING, SENDGRID = SECRET_NAMES = ("CALLOUT_SIGNING_KEY", "SENDGRID_API_KEY")
DEFAULT_SERVICE = "password-notice"
OWN_SECRET = re.compile(r"projects/(?P<project>[^/]+)/secrets/(?P<secret>[\w-]+)(/versions/(?P<version>[\w-]+))?")


class Deployment:
    """What env.yaml's values mean; `file` is only for messages."""

    def __init__(self, values: Mapping[str, str], file: Path = Path("env.yaml")) -> None:
        self.values, self.file = values, file
        self.project = self.get("GOOGLE_CLOUD_PROJECT", "PROJECT")
        self.region = self.get("REGION", "europe-west1")
        self.place = f"--region={self.region}"
        self.has_queue = self.get("DELIVERY", "queue") == "queue"
        self.public = self.get("SERVICE", DEFAULT_SERVICE)  # the public service, and the queue
        self.private = f"{self.public}-deliver"  # the service that sends the email in queue mode
        self.services = (self.private, self.public) if self.has_queue else (self.public,)  # in the order of deployment
        self.queue_path = f"projects/{self.project}/locations/{self.region}/queues/{self.public}"
        given = {name: OWN_SECRET.fullmatch(value) for name, value in values.items() if name.endswith("_SECRET")}
        self._given = {name.removesuffix("_SECRET"): found for name, found in given.items() if found}
        ours = {name for name, found in self._given.items() if found["project"] == self.project}
        self.secrets = [*SECRET_NAMES, *sorted(ours - {*SECRET_NAMES})]  # the names of those that Actions may read
        self.builder, self.invoker = self.account(f"{self.public}-builder"), self.account(f"{self.public}-invoker")

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(name) or default

    def account(self, name: str) -> str:
        """Return an account's address; those of a project example.com:name are at name.example.com."""
        domain, _, project = self.project.rpartition(":")
        return f"{name}@{project}{'.' if domain else ''}{domain}.iam.gserviceaccount.com"

    def secret_id(self, name: str) -> str:
        """Return a secret's name; a second service in the same project has its own secrets."""
        own = name.lower().replace("_", "-")
        default = own if self.public == DEFAULT_SERVICE else f"{self.public}-{own}"
        return self._given[name]["secret"] if name in self._given else default

    def secret_version(self, name: str) -> str:
        return (name in self._given and self._given[name]["version"]) or "latest"

    def secret_path(self, name: str) -> str:
        project = self._given[name]["project"] if name in self._given else self.project
        return f"projects/{project}/secrets/{self.secret_id(name)}/versions/{self.secret_version(name)}"

    def mount_path(self, name: str) -> str:
        return f"/secrets/{self.secret_id(name)}/value"

    def sends_email(self, service: str) -> bool:
        return not self.has_queue or service == self.private

    def secrets_of(self, service: str) -> list[str]:
        return self.secrets if self.sends_email(service) else [SIGNING]

    def environment(self, service: str, deliver_url: str = "", *, mounted: bool) -> dict[str, str]:
        """Return a service's environment: env.yaml's settings of the function, and what only deploy.sh knows."""
        sends_email = self.sends_email(service)
        place = self.mount_path if mounted else self.secret_path
        given = {name: value for name, value in self.values.items() if value and name not in DEPLOYMENT_SETTINGS}
        environment = {name: given[name] for name in sorted(given) if sends_email or not name.endswith("_SECRET")}
        environment |= {f"{name}_SECRET": place(name) for name in self.secrets_of(service)}
        environment |= {"GOOGLE_CLOUD_PROJECT": self.project, "THREADS": self.get("THREADS", "80")}
        environment["DELIVERY"] = "direct" if sends_email else "queue"
        if not sends_email:
            environment |= {"TASKS_QUEUE": self.queue_path, "DELIVER_URL": deliver_url}
            environment["DELIVER_INVOKER"] = self.invoker
        return environment
