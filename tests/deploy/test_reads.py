"""Every read of every command, as it runs: if its result isn't known, nothing more is changed."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from deploy import checks, gcloud
from tests.deploy.conftest import ENV_YAML, SENDGRID_KEY
from tests.deploy.fake_gcloud import PROJECT, Cloud, Command
from tests.deploy.inside import Inside

CHANNEL = f"projects/{PROJECT}/notificationChannels/7"
UNAVAILABLE = "ERROR: (gcloud.any) HttpError accessing <https://x>: response: <503>, content <UNAVAILABLE>\n"
DENIED = "ERROR: (gcloud.any) PERMISSION_DENIED: Permission 'x.y' denied on resource\n"
FAILURES = {
    "unavailable": (1, UNAVAILABLE),
    "permission denied": (1, DENIED),
    "another thing isn't found": (1, "ERROR: (gcloud.any) Projects instance [demo-proj] not found: no such method\n"),
    "nothing": (0, ""),
    "garbage": (0, "<html>502</html>\n"),
    "a number": (0, "7\n"),
    "an empty object": (0, "{}\n"),
    "null": (0, "null\n"),
}
# Policies and billing may be closed to a deployer: that is reported, and the change itself shows what they forbid.
REPORTED = ("org-policies", "billing")


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(tmp_path, monkeypatch, capsys)


def new(inside: Inside) -> Cloud:
    return Cloud()


def with_key(inside: Inside) -> Cloud:
    return inside.succeed(Cloud(), "secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)


def set_up(inside: Inside) -> Cloud:
    return inside.succeed(with_key(inside), "setup")


def deployed(inside: Inside) -> Cloud:
    return inside.succeed(set_up(inside), "deploy")


def deployed_twice(inside: Inside) -> Cloud:
    return inside.succeed(deployed(inside), "deploy")


def with_draft(inside: Inside) -> Cloud:
    return inside.succeed(deployed(inside), "draft")


def rotating(inside: Inside) -> Cloud:
    return inside.succeed(deployed(inside), "rotate-signing-key")


def with_two_sendgrid_keys(inside: Inside) -> Cloud:
    return inside.succeed(deployed(inside), "secret", "SENDGRID_API_KEY", given=SENDGRID_KEY.replace("a", "c"))


def with_channel(inside: Inside) -> Cloud:
    cloud = deployed(inside)
    cloud.apis.add("monitoring.googleapis.com")
    cloud.channels.add(CHANNEL)
    return cloud


def limited(inside: Inside) -> Cloud:
    cloud = with_key(inside)
    cloud.policies["iam.managed.allowedPolicyMembers"] = {"enforce": True}
    return cloud


CASES: list[tuple[str, Callable[[Inside], Cloud], list[str], str]] = [
    ("queue", with_key, [], ""),
    ("direct", with_key, [], ""),
    ("queue", limited, [], ""),
    ("queue", deployed, [], ""),
    ("queue", with_key, ["setup"], ""),
    ("queue", deployed, ["setup"], ""),
    ("queue", set_up, ["deploy"], ""),
    ("direct", deployed, ["deploy"], ""),
    ("queue", deployed, ["draft"], ""),
    ("direct", deployed, ["draft"], ""),
    ("queue", with_draft, ["promote"], ""),
    ("direct", with_draft, ["promote"], ""),
    ("queue", deployed, ["versions"], ""),
    ("queue", deployed_twice, ["revert"], ""),
    ("queue", deployed_twice, ["revert", "password-notice-00001"], ""),
    ("queue", new, ["secret", "SENDGRID_API_KEY"], SENDGRID_KEY),
    ("queue", deployed, ["secret", "SENDGRID_API_KEY"], SENDGRID_KEY),
    ("queue", deployed, ["rotate-signing-key"], ""),
    ("queue", rotating, ["rotate-signing-key", "finish"], ""),
    ("queue", deployed, ["rotate-sendgrid-key"], SENDGRID_KEY),
    ("queue", with_two_sendgrid_keys, ["rotate-sendgrid-key", "finish"], ""),
    ("queue", deployed, ["test"], ""),
    ("queue", with_draft, ["doctor"], ""),
    ("queue", deployed, ["audit", "--send"], ""),
    ("queue", with_channel, ["alerts", CHANNEL], ""),
    ("queue", deployed, ["remove"], "password-notice\n"),
]


@pytest.mark.parametrize(
    ("delivery", "state", "words", "given"),
    CASES,
    ids=[f"{' '.join(w) or 'all'}-{s.__name__}-{d}" for d, s, w, _ in CASES],
)
def test_a_read_without_a_known_result_stops_the_command(
    inside: Inside, delivery: str, state: Callable[[Inside], Cloud], words: list[str], given: str
) -> None:
    inside.env_yaml = f"{ENV_YAML}DELIVERY: {delivery}\n"
    cloud = state(inside)
    reads = inside.run(cloud, *words, given=given).gcloud.reads
    assert len(reads) >= 5
    wrong = []
    for number, read in enumerate(reads, 1):
        for failure, answer in FAILURES.items():
            outcome = inside.run(cloud, *words, given=given, broken=(number, *answer))
            goes_on = failure == "permission denied" and any(word in read.words for word in REPORTED)
            named = (read.last if goes_on else " ".join(read.words)) in outcome.output
            stopped = outcome.status == (2 if "audit" in words else 1) and not outcome.changes_after(number)
            if not named or stopped == goes_on:
                wrong.append(f"{failure}: {' '.join(read.line)}: {outcome.status} {outcome.output[-400:]}")
    assert wrong == []


def response(status: int, text: str) -> Any:
    return SimpleNamespace(status_code=status, json=lambda: json.loads(text))


def unreachable(url: str, **given: Any) -> Any:
    raise requests.ConnectionError(url)


@pytest.mark.parametrize(
    "answer",
    [
        unreachable,
        lambda url, **given: response(503, '{"error": {"message": "UNAVAILABLE"}}'),
        lambda url, **given: response(403, '{"error": {"message": "PERMISSION_DENIED"}}'),
        lambda url, **given: response(200, ""),
        lambda url, **given: response(200, "<html>"),
        lambda url, **given: response(200, "7"),
    ],
)
@pytest.mark.parametrize("words", [[], ["setup"], ["deploy"], ["draft"]], ids=" ".join)
def test_permissions_that_are_not_known_stop_the_command(inside: Inside, words: list[str], answer: Any) -> None:
    cloud = deployed(inside)
    inside.http = answer
    outcome = inside.run(cloud, *words)
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert (
        f"POST https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}:testIamPermissions" in outcome.output
    )


def test_permissions_that_are_read_too_slowly_stop_the_command(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, is_over = deployed(inside), threading.Event()
    monkeypatch.setattr(checks, "TIMEOUT_SECONDS", 0.1)
    inside.http = lambda url, **given: is_over.wait(60)
    outcome = inside.run(cloud, "deploy")
    is_over.set()
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert ":testIamPermissions" in outcome.output


def test_a_gcloud_that_hangs_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gcloud"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(gcloud, "READ_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(gcloud.UnknownError, match=r"gcloud services list.*\n.*didn't end within 0.1 s"):
        gcloud.Gcloud(PROJECT).read_list("services", "list", parse=gcloud.text)


def test_no_read_changes_anything_and_no_change_is_a_read(inside: Inside) -> None:
    """So what counts as a change above is complete."""
    commands: list[Command] = []
    for _, state, words, given in CASES:
        commands += inside.run(state(inside), *words, given=given).gcloud.commands
    verbs = {word for command in commands if "--format=json" not in command.line for word in command.words[1:]}
    assert not verbs & {"list", "describe", "get-iam-policy", "access"}
    assert {"--quiet" in command.line for command in commands if command.words[0] not in ("config", "auth")} == {True}
