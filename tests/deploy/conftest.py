"""Run deploy.sh as a process, with a fake gcloud that keeps its state in memory and a fake Resource Manager."""

import copy
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Flask, Response, request

from emulator.core.journal import Journal
from emulator.core.server import Server
from tests.deploy.fake_gcloud import Cloud, Command, Gcloud

SOURCE = Path(__file__).parents[2]
SENDGRID_KEY = f"SG.{'a' * 22}.{'b' * 43}"
ENV_YAML = 'SENDER_EMAIL: "security@example.com"\nSUPPORT_CONTACT: "help@example.com"\n'


@dataclass
class Bench:
    """deploy.sh with its env.yaml and its environment."""

    folder: Path
    gcloud: Gcloud
    permissions_url: str  # the Resource Manager's address
    missing: set[str] = field(default_factory=set)  # permissions that the account lacks
    variables: dict[str, str] = field(default_factory=dict)  # of deploy.sh's environment, in addition to the usual ones
    program: Path = SOURCE / "deploy.sh"

    def env_yaml(self, text: str) -> None:
        (self.folder / "env.yaml").write_text(text, "utf-8")

    def __call__(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run deploy.sh to completion. The caller checks the return code."""
        process = self.start(*words)
        output, errors = process.communicate(given, timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def set_up(self, *words: str) -> list[Command]:
        """Store SendGrid's key, deploy for the first time, and return all changes, which are cached."""
        before = len(self.gcloud.changes)
        key = ((self.folder / "env.yaml").read_text("utf-8"), words)
        fresh = (
            not self.gcloud.commands
            and not self.gcloud.failures
            and not self.gcloud.failures_once
            and self.cloud == Cloud()
        )
        if fresh and key in _FIRST_RUNS:
            self.gcloud.cloud, self.gcloud.commands = copy.deepcopy(_FIRST_RUNS[key])
            return self.gcloud.changes
        self.succeed("secret", "SENDGRID_API_KEY", given=f"{SENDGRID_KEY}\n")
        self.succeed(*words)
        if fresh:
            _FIRST_RUNS[key] = copy.deepcopy((self.gcloud.cloud, self.gcloud.commands))
        return self.gcloud.changes[before:]

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(self.program), "-e", str(self.folder / "env.yaml"), *words],
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that it can be killed with every process that it started
        )
        self.gcloud.victim = process.pid
        return process

    def _environment(self) -> dict[str, str]:
        foreign = ("REGION", "SERVICE", "AUTH0_DOMAIN", "AUTH0_TOKEN")
        inherited = {name: value for name, value in os.environ.items() if name not in foreign}
        return inherited | {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "PAUSE": "0",
            "GCLOUD_STAND_IN": str(self.gcloud.port),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": f"{self.permissions_url}/",
            **self.variables,
        }

    @property
    def cloud(self) -> Cloud:
        return self.gcloud.cloud

    def succeed(self, *words: str, given: str = "") -> list[Command]:
        """Run deploy.sh, and return the changes that it made."""
        before = len(self.gcloud.changes)
        done = self(*words, given=given)
        assert done.returncode == 0, done.stderr
        return self.gcloud.changes[before:]

    def fail(self, *words: str, given: str = "") -> str:
        """Run deploy.sh, check that it fails without a change, and return its output."""
        before = len(self.gcloud.changes)
        done = self(*words, given=given)
        assert done.returncode == 1, done.stderr
        assert self.gcloud.changes[before:] == []
        return done.stderr


_FIRST_RUNS: dict[tuple[str, tuple[str, ...]], tuple[Cloud, list[Command]]] = {}
NewBench = Callable[..., Bench]


@pytest.fixture
def new_bench(tmp_path: Path) -> Iterator[NewBench]:
    """Make a bench in its own folder, with a new cloud or an existing one."""
    made: list[Gcloud] = []
    missing: set[str] = set()
    with Server("resource_manager", _resource_manager(missing), Journal()) as resource_manager:

        def make(cloud: Cloud | None = None) -> Bench:
            folder = tmp_path / str(len(made))
            folder.mkdir()
            made.append(Gcloud(folder, cloud).__enter__())
            bench = Bench(folder, made[-1], resource_manager.url, missing)
            bench.env_yaml(ENV_YAML)
            return bench

        yield make
        for gcloud in made:
            gcloud.__exit__(None, None, None)


@pytest.fixture
def bench(new_bench: NewBench) -> Bench:
    return new_bench()


def _resource_manager(missing: set[str]) -> Flask:
    app = Flask("resource_manager")

    @app.post("/v1/projects/<project>:testIamPermissions")
    def _test(project: str) -> Response:
        asked = request.get_json()["permissions"]
        granted = [permission for permission in asked if permission not in missing]
        return Response(json.dumps({"permissions": granted}), content_type="application/json")

    return app
