"""Run deploy.sh's package inside the test's process with the fake gcloud: a deployment takes milliseconds."""

import copy
import io
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from deploy import gcloud, programs, releases
from deploy.__main__ import main
from tests.deploy.conftest import ENV_YAML
from tests.deploy.fake_gcloud import Cloud, Command, Gcloud


@dataclass
class Outcome:
    status: int
    output: str
    gcloud: Gcloud

    def changes_after(self, number: int) -> list[Command]:
        """Return the changes that followed the read with this number."""
        read = self.gcloud.reads[number - 1]
        [at] = [at for at, command in enumerate(self.gcloud.commands) if command is read]
        return [command for command in self.gcloud.commands[at:] if command in self.gcloud.changes]


class Inside:
    """Runs a command on a copy of a cloud, and returns the changed copy."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.env_yaml, self._folder, self._capsys = ENV_YAML, folder, capsys
        self.missing, self.missing_in_project = set[str](), set[str]()
        self.granted: set[str] | None = None  # in the project; None: all except the missing ones
        self._patch, self._times = patch, count(1)
        self.http: Any = self._permissions
        patch.setenv("PAUSE", "0")
        patch.setattr(shutil, "which", lambda name: name)
        patch.setattr(releases, "_now", lambda: f"20260101-{next(self._times):06}")
        patch.setattr(programs, "subprocess", SimpleNamespace(run=lambda *a, **k: SimpleNamespace(returncode=0)))
        patch.setattr(requests, "post", self._post)

    def run(
        self,
        cloud: Cloud,
        *words: str,
        given: str = "",
        broken: tuple[int, int, str] = (0, 0, ""),
        failures: dict[str, str] | None = None,
        failures_once: dict[str, str] | None = None,
    ) -> Outcome:
        fake = Gcloud(self._folder, copy.deepcopy(cloud))
        fake.close()  # no process connects to it
        fake.broken, fake.failures, fake.failures_once = broken, failures or {}, failures_once or {}
        self._patch.setattr(gcloud, "_run_read", lambda words: _read(fake, words))
        self._patch.setattr(gcloud, "_run_write", lambda words, value: _write(fake, words, value))
        self._patch.setattr(sys, "stdin", io.StringIO(given))
        file = self._folder / "env.yaml"
        file.write_text(self.env_yaml, "utf-8")
        status = main(["-e", str(file), *words])
        captured = self._capsys.readouterr()
        return Outcome(status, captured.out + captured.err, fake)

    def succeed(self, cloud: Cloud, *words: str, given: str = "") -> Cloud:
        outcome = self.run(cloud, *words, given=given)
        assert outcome.status == 0, outcome.output
        return outcome.gcloud.cloud

    def _post(self, url: str, **given: Any) -> Any:
        return self.http(url, **given)

    def _permissions(self, url: str, json: Any, **_given: Any) -> Any:
        missing = self.missing | (self.missing_in_project if "/serviceAccounts/" not in url else set())
        if self.granted is not None:
            missing = set(json["permissions"]) - self.granted
        granted = [each for each in json["permissions"] if each not in missing]
        return SimpleNamespace(status_code=200, json=lambda: {"permissions": granted})


def _read(fake: Gcloud, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    status, output = fake.run([*words, "--format=json"], "")
    return subprocess.CompletedProcess(words, status, "" if status else output, output if status else "")


def _write(fake: Gcloud, words: tuple[str, ...], value: str | None) -> subprocess.CompletedProcess[str]:
    status, output = fake.run(list(words), value or "")
    return subprocess.CompletedProcess(words, status, "", output)
