"""A program named gcloud that keeps its state in memory, for the tests of deploy.sh.

It knows the commands that deploy.sh uses and prints each read's JSON and each error as the real gcloud does, against
which test_real_gcloud.py checks them. The program is a few lines of bash, so that a whole deployment takes seconds; the
state is in the test.
"""

import base64
import json
import os
import re
import signal
import socketserver
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

PROJECT = "demo-proj"
PROGRAM = r"""#!/usr/bin/env bash
# Passes the arguments (and the input, if they ask for it) to the test, and prints the response.
set -euo pipefail
input=
[[ " $* " != *" --data-file=- "* ]] || { input=$(cat && echo .) && input=${input%.}; }
exec 3<>"/dev/tcp/127.0.0.1/$GCLOUD_STAND_IN"
printf '%s\n' "$#" "${#input}" >&3
printf '%s\0' "$@" >&3
printf '%s' "$input" >&3
read -r status <&3
IFS= read -rd '' output <&3 || true
if ((status)); then printf '%s' "$output" >&2; else printf '%s' "$output"; fi
exit "$status"
"""


class CommandError(Exception):
    """Makes gcloud exit with status 1 and this message."""


@dataclass
class Service:
    """A Cloud Run service: its revisions, the newest last, and the one that receives traffic."""

    revisions: list[dict[str, Any]] = field(default_factory=list)
    serving: str = ""  # a revision; empty: the newest
    tags: dict[str, str] = field(default_factory=dict)
    check_off: bool = False

    @property
    def serves(self) -> str:
        return self.serving or str(self.revisions[-1]["name"])


@dataclass
class Cloud:
    """Everything that gcloud can read and change."""

    apis: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    grants: set[tuple[str, str, str]] = field(default_factory=set)  # resource, role, member
    secrets: dict[str, list[str]] = field(default_factory=dict)  # values; a disabled one is empty
    labels: dict[str, str] = field(default_factory=dict)  # of secrets
    queues: dict[str, dict[str, str]] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)
    metrics: dict[str, Any] = field(default_factory=dict)
    alerts: dict[str, Any] = field(default_factory=dict)  # by their displayName
    policies: dict[str, Any] = field(default_factory=dict)  # constraint: what differs from a policy that allows all
    regions: tuple[str, ...] = ("europe-west1", "us-central1")
    billing: bool = True
    project: str = PROJECT  # gcloud's own
    account: str = "person@example.com"
    signed_in: bool = True


@dataclass(frozen=True)
class Command:
    words: tuple[str, ...]
    flags: dict[str, str]
    line: tuple[str, ...]
    input: str
    environment: str = ""  # what was in --env-vars-file, or in another file

    @property
    def last(self) -> str:
        return self.words[-1]


READS = {"list", "describe", "get-iam-policy", "access", "get", "print-access-token"}


class Gcloud:
    """A context manager; inside, `folder` has the program. `victim` is killed after its `deadly`th change."""

    def __init__(self, folder: Path, cloud: Cloud | None = None) -> None:
        self.cloud = cloud or Cloud()
        self.commands: list[Command] = []
        self.failures: dict[str, str] = {}  # the words of a command: why it fails
        self.failures_once: dict[str, str] = {}
        self.broken = (0, 0, "")  # the number of a read, its exit status, and what it prints instead
        self.deadly, self.victim, self.signal = 0, 0, signal.SIGKILL
        self._lock = threading.Lock()
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        program = folder / "gcloud"
        program.write_text(PROGRAM)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self.close()

    def close(self) -> None:
        self._server.server_close()

    @property
    def changes(self) -> list[Command]:
        return [command for command in self.commands if not READS & set(command.words)]

    @property
    def reads(self) -> list[Command]:
        return [command for command in self.commands if READS & set(command.words)]

    def run(self, line: list[str], given: str) -> tuple[int, str]:
        command = _command(line, given)
        with self._lock:
            self.commands.append(command)
            if READS & set(command.words) and len(self.reads) == self.broken[0]:
                return self.broken[1:]
            try:
                output = self._answer(command)
            except CommandError as error:
                return 1, f"ERROR: (gcloud.{'.'.join(command.words[:-1])}) {error}\n"
            if self.deadly and command in self.changes and len(self.changes) == self.deadly:
                os.killpg(self.victim, self.signal)
            return 0, output

    def _answer(self, command: Command) -> str:
        text = " ".join(command.words)
        why = self.failures_once.pop(text, "") or self.failures.get(text, "")
        if why:
            raise CommandError(why)
        for pattern, method in COMMANDS:
            if re.fullmatch(pattern, text):
                found = method(self.cloud, command)
                return f"{json.dumps(found)}\n" if READS & set(command.words) else ""
        raise CommandError(f"the fake does not know: {text}")


def _command(line: list[str], given: str) -> Command:
    flags = dict(word[2:].partition("=")[::2] for word in line if word.startswith("--"))
    words = tuple(word for word in line if not word.startswith("--"))
    files = (flags.get(name) for name in ("env-vars-file", "config-from-file", "policy-from-file"))
    file = next(filter(None, files), None)
    return Command(words, flags, tuple(line), given, Path(file).read_text("utf-8") if file else "")


def _handler(gcloud: Gcloud) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            count, size = int(self.rfile.readline()), int(self.rfile.readline())
            line = [self._word() for _ in range(count)]
            status, output = gcloud.run(line, self.rfile.read(size).decode())
            self.wfile.write(f"{status}\n{output}".encode())

        def _word(self) -> str:
            return b"".join(iter(lambda: self.rfile.read(1), b"\0")).decode()

    return Handler


def _need(found: bool, what: str) -> None:
    if not found:
        raise CommandError(f"NOT_FOUND: {what}")


def _new(found: bool, what: str) -> None:
    if found:
        raise CommandError(f"ALREADY_EXISTS: {what}")


# ---- project, accounts, policies ----


def _describe_project(cloud: Cloud, command: Command) -> Any:
    if command.last != PROJECT:
        raise CommandError(f"[None] does not have permission to access projects instance [{command.last}]")
    return {"projectId": PROJECT, "lifecycleState": "ACTIVE"}


def _print_token(cloud: Cloud, command: Command) -> Any:
    if not cloud.signed_in:
        raise CommandError("You do not currently have an active account selected.")
    return {"token": "a-token"}


def _enable(cloud: Cloud, command: Command) -> None:
    cloud.apis |= set(command.words[2:])


def _describe_account(cloud: Cloud, command: Command) -> Any:
    _need(command.last in cloud.accounts, f"Unknown service account {command.last}.")
    return {"name": f"projects/{PROJECT}/serviceAccounts/{command.last}", "email": command.last}


def _create_account(cloud: Cloud, command: Command) -> None:
    email = f"{command.last}@{PROJECT}.iam.gserviceaccount.com"
    _new(email in cloud.accounts, email)
    cloud.accounts.add(email)


def _delete_account(cloud: Cloud, command: Command) -> None:
    _need(command.last in cloud.accounts, command.last)
    cloud.accounts.discard(command.last)


def _resource(command: Command) -> str:
    """`secrets/NAME`, of any command that ends in `VERB NAME`."""
    return "/".join((*command.words[:-2], command.last)).replace(" ", "-")


def _get_policy(cloud: Cloud, command: Command) -> Any:
    found = sorted((role, member) for resource, role, member in cloud.grants if resource == _resource(command))
    return {"etag": "BwY=", **({"bindings": [{"role": r, "members": [m]} for r, m in found]} if found else {})}


def _grant(cloud: Cloud, command: Command) -> None:
    member = command.flags["member"]
    email = member.removeprefix("serviceAccount:")
    _need(member == "allUsers" or email in cloud.accounts, f"Service account {email} does not exist.")
    cloud.grants.add((_resource(command), command.flags["role"], member))


def _revoke(cloud: Cloud, command: Command) -> None:
    cloud.grants.remove((_resource(command), command.flags["role"], command.flags["member"]))


def _list_policy(cloud: Cloud, command: Command) -> Any:
    return {"constraint": f"constraints/{command.last}", "listPolicy": cloud.policies.get(command.last, {})}


def _managed_policy(cloud: Cloud, command: Command) -> Any:
    rule = cloud.policies.get(command.last, {"enforce": False})
    return {"name": f"projects/1/policies/{command.last}", "spec": {"rules": [rule]}}


# ---- secrets ----


def _describe_secret(cloud: Cloud, command: Command) -> Any:
    _need(command.last in cloud.secrets, f"Secret [{command.last}] not found.")
    return _named("secrets", command.last)


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"name": f"projects/1/{kind}/{name}"}


def _create_secret(cloud: Cloud, command: Command) -> None:
    _new(command.last in cloud.secrets, command.last)
    cloud.secrets[command.last] = []
    cloud.labels[command.last] = command.flags["labels"]


def _list_secrets(cloud: Cloud, command: Command) -> Any:
    label = command.flags["filter"].removeprefix("labels.")
    return [_named("secrets", name) for name in sorted(cloud.secrets) if cloud.labels[name] == label]


def _delete_secret(cloud: Cloud, command: Command) -> None:
    _need(command.last in cloud.secrets, command.last)
    del cloud.secrets[command.last]


def _add_version(cloud: Cloud, command: Command) -> None:
    _need(command.last in cloud.secrets, command.last)
    assert command.input
    cloud.secrets[command.last].append(command.input)


def _version(cloud: Cloud, secret: str, version: str) -> int:
    """Return the number of `latest`, or of a version that exists."""
    number = len(cloud.secrets.get(secret, [])) if version == "latest" else int(version)
    _need(0 < number <= len(cloud.secrets.get(secret, [])), f"Secret Version [{secret}/{version}] not found.")
    return number


def _describe_version(cloud: Cloud, command: Command) -> Any:
    secret = command.flags["secret"]
    number = _version(cloud, secret, command.last)
    state = "ENABLED" if cloud.secrets[secret][number - 1] else "DISABLED"
    return {**_named(f"secrets/{secret}/versions", str(number)), "state": state}


def _access_version(cloud: Cloud, command: Command) -> Any:
    secret = command.flags["secret"]
    value = cloud.secrets.get(secret, [])[_version(cloud, secret, command.last) - 1]
    return {"payload": {"data": base64.urlsafe_b64encode(value.encode()).decode()}}


def _list_versions(cloud: Cloud, command: Command) -> Any:
    numbers = [str(number) for number, value in enumerate(cloud.secrets[command.last], 1) if value]
    return [_named(f"secrets/{command.last}/versions", number) for number in numbers]


def _disable_version(cloud: Cloud, command: Command) -> None:
    secret = command.flags["secret"]
    cloud.secrets[secret][_version(cloud, secret, command.last) - 1] = ""


# ---- the queue ----

QUEUE = ("max-attempts", "min-backoff", "max-backoff", "max-doublings", "max-retry-duration")


def _describe_queue(cloud: Cloud, command: Command) -> Any:
    _need(command.last in cloud.queues, "Queue does not exist.")
    queue = cloud.queues[command.last]
    retry: dict[str, Any] = {re.sub("-(.)", lambda found: found[1].upper(), name): queue[name] for name in QUEUE}
    retry["maxAttempts"] = -1 if queue["max-attempts"] == "unlimited" else int(queue["max-attempts"])
    retry["maxDoublings"] = int(queue["max-doublings"])
    return {**_named("queues", command.last), "retryConfig": retry, "state": queue.get("state", "RUNNING")}


def _create_queue(cloud: Cloud, command: Command) -> None:
    _new(command.last in cloud.queues, command.last)
    cloud.queues[command.last] = {name: command.flags[name] for name in QUEUE}


def _update_queue(cloud: Cloud, command: Command) -> None:
    cloud.queues[command.last] |= {name: command.flags[name] for name in QUEUE}


def _delete_queue(cloud: Cloud, command: Command) -> None:
    del cloud.queues[command.last]


# ---- services ----


def _service(cloud: Cloud, name: str) -> Service:
    if name not in cloud.services:
        raise CommandError(f"Cannot find service [{name}]")
    return cloud.services[name]


def _deploy(cloud: Cloud, command: Command) -> None:
    name, flags = command.last, command.flags
    for mount in flags.get("set-secrets", "").split(","):
        secret = mount.partition("=")[2].partition(":")[0]
        reader = (
            f"secrets/{secret}",
            "roles/secretmanager.secretAccessor",
            f"serviceAccount:{flags['service-account']}",
        )
        _need(not secret or bool(cloud.secrets.get(secret)), f"Secret {secret}")
        _need(not secret or reader in cloud.grants, f"Permission denied on secret {secret}")
    if "no-traffic" in flags and name not in cloud.services:
        raise CommandError("--no-traffic not supported when creating a new service.")
    service = cloud.services.setdefault(name, Service())
    if "no-traffic" in flags:
        service.serving = service.serves
    labels = dict(label.split("=") for label in flags["labels"].split(","))
    _add_revision(service, name, labels, command.environment, flags)


def _add_revision(service: Service, name: str, labels: dict[str, str], environment: str, flags: dict[str, str]) -> None:
    revision = f"{name}-{len(service.revisions) + 1:05}"
    service.revisions.append({"name": revision, "labels": labels, "environment": environment, "flags": flags})
    if "tag" in flags:
        service.tags[flags["tag"]] = revision


def _update_service(cloud: Cloud, command: Command) -> None:
    service = _service(cloud, command.last)
    if "no-invoker-iam-check" in command.flags:
        service.check_off = True
        return
    newest = service.revisions[-1]
    variable, _, value = command.flags["update-env-vars"].partition("=")
    environment = re.sub(rf'(?m)^{variable}: ".*"$', f'{variable}: "{value}"', newest["environment"])
    labels = newest["labels"] | dict([command.flags["update-labels"].split("=")])
    _add_revision(service, command.last, labels, environment, {k: v for k, v in newest["flags"].items() if k != "tag"})


def _update_traffic(cloud: Cloud, command: Command) -> None:
    service, flags = _service(cloud, command.last), command.flags
    if "to-latest" in flags:
        service.serving = ""
    if "to-revisions" in flags:
        service.serving = flags["to-revisions"].removesuffix("=100")
        _need(service.serving in [revision["name"] for revision in service.revisions], service.serving)
    service.tags.pop(flags.get("remove-tags", ""), None)


def _describe_service(cloud: Cloud, command: Command) -> Any:
    name = command.last
    service = _service(cloud, name)
    annotations = {"run.googleapis.com/invoker-iam-disabled": "true"} if service.check_off else {}
    traffic = [{"revisionName": service.serves, "percent": 100}]
    traffic += [{"revisionName": revision, "tag": tag} for tag, revision in service.tags.items()]
    return {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"template": {"metadata": {"labels": service.revisions[-1]["labels"]}}},
        "status": {"url": f"https://{name}-x.a.run.app", "traffic": traffic},
    }


def _list_revisions(cloud: Cloud, command: Command) -> Any:
    service = cloud.services.get(command.flags["service"], Service())
    return [_revision(revision) for revision in service.revisions[::-1]]


def _revision(revision: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": revision["name"], "labels": revision["labels"], "creationTimestamp": "2026-11-23T10:00:00Z"}
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def _describe_revision(cloud: Cloud, command: Command) -> Any:
    found = [r for service in cloud.services.values() for r in service.revisions if r["name"] == command.last]
    if not found:
        raise CommandError(f"Cannot find revision [{command.last}]")
    return _revision(found[0])


def _delete_service(cloud: Cloud, command: Command) -> None:
    _service(cloud, command.last)
    del cloud.services[command.last]


# ---- alerts ----


def _describe_channel(cloud: Cloud, command: Command) -> Any:
    _need(command.last in cloud.channels, "NotificationChannel not found.")
    return {"name": command.last}


def _put_metric(cloud: Cloud, command: Command) -> None:
    cloud.metrics[command.last] = json.loads(command.environment)


def _put_alert(cloud: Cloud, command: Command) -> None:
    """Store an alert without zeros, which Google's JSON omits."""
    given = json.loads(command.environment, object_hook=lambda found: {k: v for k, v in found.items() if v != 0})
    cloud.alerts[given["displayName"]] = {"name": f"alertPolicies/{len(cloud.alerts)}", **given}


def _locations(cloud: Cloud, command: Command) -> Any:
    return [{**_named("locations", region), "locationId": region} for region in cloud.regions]


COMMANDS: tuple[tuple[str, Callable[[Cloud, Command], Any]], ...] = (
    ("config get project", lambda cloud, command: cloud.project or []),
    ("config get account", lambda cloud, command: cloud.account or []),
    ("auth print-access-token", _print_token),
    (r"projects describe \S+", _describe_project),
    (r"billing projects describe \S+", lambda cloud, command: {"billingEnabled": cloud.billing}),
    (r"resource-manager org-policies describe \S+", _list_policy),
    (r"org-policies describe \S+", _managed_policy),
    ("services list", lambda cloud, command: [{"config": {"name": name}} for name in sorted(cloud.apis)]),
    (r"services enable .+", _enable),
    ("run regions list|tasks locations list", _locations),
    (r"iam service-accounts describe \S+", _describe_account),
    (r"iam service-accounts create \S+", _create_account),
    (r"iam service-accounts delete \S+", _delete_account),
    (r".+ get-iam-policy \S+", _get_policy),
    (r".+ add-iam-policy-binding \S+", _grant),
    (r".+ remove-iam-policy-binding \S+", _revoke),
    (r"secrets describe \S+", _describe_secret),
    (r"secrets create \S+", _create_secret),
    ("secrets list", _list_secrets),
    (r"secrets delete \S+", _delete_secret),
    (r"secrets versions add \S+", _add_version),
    (r"secrets versions describe \S+", _describe_version),
    (r"secrets versions access \S+", _access_version),
    (r"secrets versions list \S+", _list_versions),
    (r"secrets versions disable \S+", _disable_version),
    (r"tasks queues describe \S+", _describe_queue),
    (r"tasks queues create \S+", _create_queue),
    (r"tasks queues update \S+", _update_queue),
    (r"tasks queues delete \S+", _delete_queue),
    (r"beta monitoring channels describe \S+", _describe_channel),
    ("logging metrics list", lambda cloud, command: list(cloud.metrics.values())),
    (r"logging metrics (create|update) \S+", _put_metric),
    ("alpha monitoring policies list", lambda cloud, command: list(cloud.alerts.values())),
    (r"alpha monitoring policies (create|update \S+)", _put_alert),
    ("tasks list", lambda cloud, command: [_named("tasks", name) for name in cloud.tasks]),
    (r"run deploy \S+", _deploy),
    (r"run services describe \S+", _describe_service),
    (r"run services update \S+", _update_service),
    (r"run services update-traffic \S+", _update_traffic),
    (r"run services delete \S+", _delete_service),
    ("run revisions list", _list_revisions),
    (r"run revisions describe \S+", _describe_revision),
)
