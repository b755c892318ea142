"""Run deploy.sh with the real gcloud against an emulated Google Cloud, from an empty project to production and back.

What no fake can show: that Google's build works, that IAM enforces a grant and when all of it knows a new account,
quotas, an organization's real policies, a revision that does not become healthy, `auth login`. Commands that the whole
way does not take (other settings, rejections) are held to gcloud's own check of commands and flags.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import ENV_YAML, SENDGRID_KEY, SOURCE, Bench, NewBench
from tests.deploy.fake_google import Google
from tests.support.gcloud import environment, gcloud, needs_gcloud

PUBLIC, DELIVER, INVOKER = "password-notice", "password-notice-deliver", "password-notice-invoker"
ACCESSOR = "roles/secretmanager.secretAccessor"
GRANTS = {
    ("callout-signing-key", ACCESSOR, PUBLIC),
    ("callout-signing-key", ACCESSOR, DELIVER),
    ("sendgrid-api-key", ACCESSOR, DELIVER),
    ("password-notice-invoker", "roles/iam.serviceAccountUser", PUBLIC),
    ("password-notice-deliver", "roles/run.invoker", INVOKER),
    ("demo-proj", "roles/run.builder", "password-notice-builder"),
    (PUBLIC, "roles/cloudtasks.enqueuer", PUBLIC),  # the queue of this name
    (PUBLIC, "roles/run.invoker", "allUsers"),  # the service
}


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as google:
        yield google


class Operator:
    """Runs deploy.sh with the real gcloud, and keeps its output."""

    def __init__(self, google: Google, folder: Path, env_yaml: str = ENV_YAML) -> None:
        self.google, self.output, self._settings = google, "", folder / "env.yaml"
        self._settings.write_text(env_yaml, "utf-8")
        self._environment = {**environment(folder), **google.variables, "PAUSE": "0", "TMPDIR": str(folder)}
        self._environment |= {name: os.environ[name] for name in ("CLOUDSDK_PYTHON",) if name in os.environ}

    def __call__(self, *words: str, given: str = "") -> list[str]:
        """Return the requests that changed something. Raise AssertionError if deploy.sh fails."""
        before = len(self.google.changes)
        command = [str(SOURCE / "deploy.sh"), "-e", str(self._settings), *words]
        done = subprocess.run(
            command, env=self._environment, input=given, capture_output=True, text=True, timeout=1800, check=False
        )
        self.output += done.stdout + done.stderr
        assert done.returncode == 0, done.stderr
        return self.google.changes[before:]


@pytest.mark.slow
@needs_gcloud
def test_gcloud_sets_up_deploys_and_removes_queue_mode(google: Google, tmp_path: Path) -> None:
    operator = Operator(google, tmp_path)
    operator("secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)

    operator()
    first = google.serving(PUBLIC), google.serving(DELIVER)
    assert google.grants == GRANTS
    check_public(google, first[0])
    check_deliver(google, first[1])

    assert operator("setup") == []

    operator("draft")
    assert (google.serving(PUBLIC), google.serving(DELIVER)) == first
    [draft] = [each for each in google.services[PUBLIC]["status"]["traffic"] if each.get("tag") == "draft"]
    address = variables(google, draft["revisionName"])["DELIVER_URL"]
    assert address.startswith("https://draft---password-notice-deliver-")

    operator("promote")
    second = google.serving(PUBLIC), google.serving(DELIVER)
    assert not set(second) & {*first, draft["revisionName"]}
    assert "draft---" not in variables(google, second[0])["DELIVER_URL"]

    operator("versions")
    assert f"{PUBLIC}, receiving traffic: {second[0]}" in operator.output
    operator("revert")
    assert (google.serving(PUBLIC), google.serving(DELIVER)) == first
    operator("revert", second[1])
    assert (google.serving(PUBLIC), google.serving(DELIVER)) == second

    operator("rotate-signing-key")
    operator("rotate-signing-key", "finish")
    [mail, signing] = sorted(google.secret_manager.secrets(), key=lambda secret: secret.name, reverse=True)
    assert [version.state for version in signing.versions] == ["DISABLED", "DISABLED", "ENABLED"]
    keys = b" ".join(version.data or b"" for version in (*mail.versions, *signing.versions)).decode().split()
    assert SENDGRID_KEY in keys
    assert [key for key in keys if key in operator.output] == []

    operator("remove", given="password-notice\n")
    assert (google.services, google.accounts, google.secret_manager.secrets()) == ({}, {}, [])
    assert ("demo-proj", "roles/run.builder", "password-notice-builder") not in google.grants


def check_public(google: Google, revision: str) -> None:
    settings = variables(google, revision)
    assert settings["DELIVERY"] == "queue"
    assert settings["DELIVER_URL"] == google.services[DELIVER]["status"]["url"]
    assert not [name for name in settings if "SENDGRID_API_KEY" in name]
    assert google.builds[1]["buildpackBuild"]["functionTarget"] == "on_execute_post_change_password"
    assert google.services[PUBLIC]["metadata"]["annotations"]["run.googleapis.com/ingress"] == "all"


def check_deliver(google: Google, revision: str) -> None:
    [found] = [each for each in google.revisions if each["metadata"]["name"] == revision]
    assert found["spec"]["containerConcurrency"] == int(variables(google, revision)["THREADS"]) == 80
    assert found["spec"]["serviceAccountName"] == "password-notice-deliver@demo-proj.iam.gserviceaccount.com"
    assert {volume["secret"]["secretName"] for volume in found["spec"]["volumes"]} == {
        "callout-signing-key",
        "sendgrid-api-key",
    }
    assert google.builds[0]["buildpackBuild"]["functionTarget"] == "deliver"
    assert google.services[DELIVER]["metadata"]["annotations"]["run.googleapis.com/ingress"] == "internal"


def variables(google: Google, revision: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in google.container(revision)["env"]}


@pytest.mark.slow
@needs_gcloud
def test_gcloud_sets_up_and_deploys_direct_mode(google: Google, tmp_path: Path) -> None:
    operator = Operator(google, tmp_path, ENV_YAML + "DELIVERY: direct\nSECRETS: client\n")
    operator("secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)
    operator()
    assert set(google.services) == {PUBLIC}
    expected = "projects/demo-proj/secrets/sendgrid-api-key/versions/latest"
    assert variables(google, google.serving(PUBLIC))["SENDGRID_API_KEY_SECRET"] == expected
    assert google.grants == {
        ("callout-signing-key", ACCESSOR, PUBLIC),
        ("sendgrid-api-key", ACCESSOR, PUBLIC),
        ("demo-proj", "roles/run.builder", "password-notice-builder"),
        (PUBLIC, "roles/run.invoker", "allUsers"),
    }


@pytest.mark.slow
@needs_gcloud
def test_gcloud_knows_every_command_with_its_flags(new_bench: NewBench, tmp_path: Path) -> None:
    """Every command is one that deploy.sh runs with the fake gcloud, in any mode."""
    lines = {line: None for bench in (all_of(new_bench(), "queue"), all_of(new_bench(), "direct")) for line in bench}
    listed = tmp_path / "commands.json"
    listed.write_text(json.dumps([{"command_string": line, "id": number} for number, line in enumerate(lines)]))
    done = gcloud(environment(tmp_path), "meta", "lint-gcloud-commands", f"--commands-file={listed}")
    results = json.loads(done.stdout)
    assert len(results) == len(lines) > 60
    assert [f"{each['command_string']}: {each['error_message']}" for each in results if not each["success"]] == []


def all_of(bench: Bench, delivery: str) -> list[str]:
    bench.env_yaml(ENV_YAML + f"DELIVERY: {delivery}\nSECRETS: {'client' if delivery == 'direct' else 'mounted'}\n")
    bench.cloud.policies["iam.allowedPolicyMemberDomains"] = {"allowedValues": ["C0123abc"]}
    bench.set_up()
    bench.cloud.queues.get("password-notice", {})["max-attempts"] = "100"
    bench.succeed("setup")
    for words in (["draft"], ["promote"], ["versions"], ["rotate-signing-key"], ["rotate-signing-key", "finish"]):
        bench.succeed(*words)
    bench.succeed("remove", given="password-notice\n")
    return [
        " ".join(["gcloud", *(re.sub(r"\s+", "_", word) for word in command.line)]) for command in bench.gcloud.commands
    ]
