"""A program named gcloud that keeps what it is told in memory, for the tests of deploy.sh.

It knows the commands that deploy.sh uses and answers each read in the very format that deploy.sh asks for; the real
gcloud, in test_real_gcloud.py, holds these formats to the truth. The program is a few lines of bash, so that a whole
deployment takes a second; the state lives in the test.
"""

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
# Hands the arguments (and, where they ask for it, the input) to the test, and prints what comes back.
set -euo pipefail
input=
[[ " $* " != *" --data-file=- "* ]] || { input=$(cat && echo .) && input=${input%.}; }
exec 3<>"/dev/tcp/127.0.0.1/$GCLOUD_STAND_IN"
printf '%s\n' "$#" "${#input}" >&3
printf '%s\0' "$@" >&3
printf '%s' "$input" >&3
read -r status <&3
IFS= read -rd '' said <&3 || true
if ((status)); then printf '%s' "$said" >&2; else printf '%s' "$said"; fi
exit "$status"
"""


class Refused(Exception):
    """gcloud ends with 1 and this message."""


@dataclass
class Service:
    """A Cloud Run service: its revisions, the newest last, and what serves."""

    revisions: list[dict[str, Any]] = field(default_factory=list)
    serving: str = ""  # a revision; empty: the newest
    tags: dict[str, str] = field(default_factory=dict)
    check_off: bool = False

    @property
    def serves(self) -> str:
        return self.serving or str(self.revisions[-1]["name"])


@dataclass
class Cloud:
    """All that gcloud can see."""

    apis: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    grants: set[tuple[str, str, str]] = field(default_factory=set)  # resource, role, member
    secrets: dict[str, list[str]] = field(default_factory=dict)  # values; a disabled one is empty
    labels: dict[str, str] = field(default_factory=dict)  # of secrets
    queues: dict[str, dict[str, str]] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)  # constraint: what a read of it prints
    regions: tuple[str, ...] = ("europe-west1", "us-central1")
    billing: str = "True"
    signed_in: bool = True


@dataclass(frozen=True)
class Command:
    words: tuple[str, ...]
    flags: dict[str, str]
    line: tuple[str, ...]
    input: str
    environment: str = ""  # what stood in --env-vars-file

    @property
    def last(self) -> str:
        return self.words[-1]


READS = {"list", "describe", "get-iam-policy", "access", "get", "print-access-token"}


class Gcloud:
    """A context manager; `folder` has the program then. `victim` is killed after its `deadly`th change."""

    def __init__(self, folder: Path, cloud: Cloud | None = None) -> None:
        self.cloud = cloud or Cloud()
        self.commands: list[Command] = []
        self.refused: dict[str, str] = {}  # the words of a command: why it fails
        self.refused_once: dict[str, str] = {}
        self.deadly, self.victim = 0, 0
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
        self._server.server_close()

    @property
    def changes(self) -> list[Command]:
        return [command for command in self.commands if not READS & set(command.words)]

    def run(self, line: list[str], given: str) -> tuple[int, str]:
        command = _command(line, given)
        with self._lock:
            self.commands.append(command)
            try:
                said = self._answer(command)
            except Refused as refused:
                return 1, f"ERROR: (gcloud) {refused}\n"
            if self.deadly and command in self.changes and len(self.changes) == self.deadly:
                os.killpg(self.victim, signal.SIGKILL)
            return 0, said

    def _answer(self, command: Command) -> str:
        text = " ".join(command.words)
        why = self.refused_once.pop(text, "") or self.refused.get(text, "")
        if why:
            raise Refused(why)
        for pattern, method in COMMANDS:
            if re.fullmatch(pattern, text):
                said = method(self.cloud, command)
                return f"{said}\n" if said else ""
        raise Refused(f"the stand-in does not know: {text}")


def _command(line: list[str], given: str) -> Command:
    flags = dict(word[2:].partition("=")[::2] for word in line if word.startswith("--"))
    words = tuple(word for word in line if not word.startswith("--"))
    file = flags.get("env-vars-file")
    return Command(words, flags, tuple(line), given, Path(file).read_text("utf-8") if file else "")


def _handler(gcloud: Gcloud) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            count, size = int(self.rfile.readline()), int(self.rfile.readline())
            line = [self._word() for _ in range(count)]
            status, said = gcloud.run(line, self.rfile.read(size).decode())
            self.wfile.write(f"{status}\n{said}".encode())

        def _word(self) -> str:
            return b"".join(iter(lambda: self.rfile.read(1), b"\0")).decode()

    return Handler


def _need(found: bool, what: str) -> None:
    if not found:
        raise Refused(f"NOT_FOUND: {what}")


def _new(found: bool, what: str) -> None:
    if found:
        raise Refused(f"ALREADY_EXISTS: {what}")


# ---- project, accounts, policies ----


def _describe_project(cloud: Cloud, command: Command) -> str:
    _need(command.last == PROJECT, "no such project, or no right to see it")
    return "ACTIVE"


def _print_token(cloud: Cloud, command: Command) -> str:
    if not cloud.signed_in:
        raise Refused("You do not currently have an active account selected.")
    return "a-token"


def _enable(cloud: Cloud, command: Command) -> None:
    cloud.apis |= set(command.words[2:])


def _describe_account(cloud: Cloud, command: Command) -> str:
    _need(command.last in cloud.accounts, command.last)
    return command.last


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


def _get_policy(cloud: Cloud, command: Command) -> str:
    """The reads ask for one binding each: --filter="bindings.role=R AND bindings.members=M"."""
    found = re.fullmatch(r"bindings\.role=(\S+) AND bindings\.members=(\S+)", command.flags["filter"])
    assert found is not None
    return found[1] if (_resource(command), found[1], found[2]) in cloud.grants else ""


def _grant(cloud: Cloud, command: Command) -> None:
    member = command.flags["member"]
    email = member.removeprefix("serviceAccount:")
    _need(member == "allUsers" or email in cloud.accounts, f"Service account {email} does not exist.")
    cloud.grants.add((_resource(command), command.flags["role"], member))


def _revoke(cloud: Cloud, command: Command) -> None:
    cloud.grants.remove((_resource(command), command.flags["role"], command.flags["member"]))


def _policy(cloud: Cloud, command: Command) -> str:
    return cloud.policies.get(command.last, "")


# ---- secrets ----


def _describe_secret(cloud: Cloud, command: Command) -> str:
    _need(command.last in cloud.secrets, command.last)
    return command.last


def _create_secret(cloud: Cloud, command: Command) -> None:
    _new(command.last in cloud.secrets, command.last)
    cloud.secrets[command.last] = []
    cloud.labels[command.last] = command.flags["labels"]


def _list_secrets(cloud: Cloud, command: Command) -> str:
    label = command.flags["filter"].removeprefix("labels.")
    return "\n".join(name for name in sorted(cloud.secrets) if cloud.labels[name] == label)


def _delete_secret(cloud: Cloud, command: Command) -> None:
    _need(command.last in cloud.secrets, command.last)
    del cloud.secrets[command.last]


def _add_version(cloud: Cloud, command: Command) -> None:
    _need(command.last in cloud.secrets, command.last)
    assert command.input
    cloud.secrets[command.last].append(command.input)


def _versions(cloud: Cloud, command: Command) -> list[str]:
    versions = cloud.secrets.get(command.flags["secret"])
    _need(bool(versions), command.flags["secret"])
    return versions or []


def _describe_version(cloud: Cloud, command: Command) -> str:
    versions = _versions(cloud, command)
    if "basename" in command.flags["format"]:
        return str(len(versions))
    return "ENABLED" if versions[-1] else "DISABLED"


def _access_version(cloud: Cloud, command: Command) -> str:
    return _versions(cloud, command)[-1]


def _list_versions(cloud: Cloud, command: Command) -> str:
    return "\n".join(str(number) for number, value in enumerate(cloud.secrets[command.last], 1) if value)


def _disable_version(cloud: Cloud, command: Command) -> None:
    _versions(cloud, command)[int(command.last) - 1] = ""


# ---- the queue ----

QUEUE = ("max-attempts", "min-backoff", "max-backoff", "max-doublings", "max-retry-duration")


def _describe_queue(cloud: Cloud, command: Command) -> str:
    _need(command.last in cloud.queues, command.last)
    queue = cloud.queues[command.last]
    values = [queue.get(name, "").replace("unlimited", "-1") for name in QUEUE]
    return ",".join([*values, queue.get("state", "RUNNING")])


def _create_queue(cloud: Cloud, command: Command) -> None:
    _new(command.last in cloud.queues, command.last)
    cloud.queues[command.last] = {name: command.flags[name] for name in QUEUE}


def _update_queue(cloud: Cloud, command: Command) -> None:
    cloud.queues[command.last] |= {name: command.flags[name] for name in QUEUE}


def _delete_queue(cloud: Cloud, command: Command) -> None:
    del cloud.queues[command.last]


# ---- services ----


def _service(cloud: Cloud, name: str) -> Service:
    _need(name in cloud.services, name)
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
        raise Refused("--no-traffic not supported when creating a new service.")
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


def _describe_service(cloud: Cloud, command: Command) -> str:
    name, wanted = command.last, command.flags["format"]
    service = _service(cloud, name)
    labels = service.revisions[-1]["labels"]
    traffic = [(service.serves, "100", ""), *((revision, "", tag) for tag, revision in service.tags.items())]
    answers = {
        "value(metadata.name)": name,
        "value(status.url)": f"https://{name}-x.a.run.app",
        "value(metadata.annotations['run.googleapis.com/invoker-iam-disabled'])": "true" if service.check_off else "",
        "csv[no-heading](status.traffic.tag,status.traffic.revisionName)": "\n".join(f"{t},{r}" for r, _, t in traffic),
        "csv[no-heading](status.traffic.percent,status.traffic.revisionName)": "\n".join(
            f"{p},{r}" for r, p, _ in traffic
        ),
        "csv[no-heading](spec.template.metadata.labels.deployment,spec.template.metadata.labels.stage)": (
            f"{labels['deployment']},{labels['stage']}"
        ),
    }
    return answers[wanted]


def _list_revisions(cloud: Cloud, command: Command) -> str:
    revisions = _service(cloud, command.flags["service"]).revisions[::-1]
    return "\n".join(f"{r['name']},{r['labels']['deployment']},{r['labels']['stage']}" for r in revisions)


def _describe_revision(cloud: Cloud, command: Command) -> str:
    found = [r for service in cloud.services.values() for r in service.revisions if r["name"] == command.last]
    _need(bool(found), command.last)
    return str(found[0]["labels"]["deployment"])


def _delete_service(cloud: Cloud, command: Command) -> None:
    _service(cloud, command.last)
    del cloud.services[command.last]


COMMANDS: tuple[tuple[str, Callable[[Cloud, Command], str | None]], ...] = (
    ("config get project", lambda cloud, command: PROJECT),
    ("config get account", lambda cloud, command: "person@example.com"),
    ("auth print-access-token", _print_token),
    (r"projects describe \S+", _describe_project),
    (r"billing projects describe \S+", lambda cloud, command: cloud.billing),
    (r"resource-manager org-policies describe \S+|org-policies describe \S+", _policy),
    ("services list", lambda cloud, command: "\n".join(sorted(cloud.apis))),
    (r"services enable .+", _enable),
    ("run regions list|tasks locations list", lambda cloud, command: "\n".join(cloud.regions)),
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
    ("tasks list", lambda cloud, command: "\n".join(cloud.tasks)),
    (r"run deploy \S+", _deploy),
    (r"run services describe \S+", _describe_service),
    (r"run services update \S+", _update_service),
    (r"run services update-traffic \S+", _update_traffic),
    (r"run services delete \S+", _delete_service),
    ("run revisions list", _list_revisions),
    (r"run revisions describe \S+", _describe_revision),
)
