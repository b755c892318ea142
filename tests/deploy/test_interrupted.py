"""Killed after any of its steps, the next run ends in the same state."""

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import SENDGRID_KEY, SOURCE, Bench, NewBench
from tests.deploy.fake_gcloud import Cloud

STEPS_OF_KEY, STEPS_OF_SETUP, STEPS_OF_DEPLOY, STEPS_OF_PROMOTE = 3, 13, 6, 3
SOME = (9, 16)  # in the setup, with half of its grants; between the deployments of the two services


def state(cloud: Cloud) -> dict[str, Any]:
    """Return everything except what can't be the same: random keys, times, and the number of deployments."""
    return {
        "apis": cloud.apis,
        "accounts": cloud.accounts,
        "grants": cloud.grants,
        "secrets": {
            name: [re.sub(r"whsec_\S+", "whsec", value) for value in cloud.secrets[name]] for name in cloud.secrets
        },
        "queues": cloud.queues,
        "services": {name: _serving(cloud, name) for name in cloud.services},
    }


def _serving(cloud: Cloud, name: str) -> tuple[object, ...]:
    service = cloud.services[name]
    [revision] = [each for each in service.revisions if each["name"] == service.serves]
    fixed = {flag: value for flag, value in revision["flags"].items() if flag not in ("env-vars-file", "labels")}
    fixed.pop("no-allow-unauthenticated", None)  # of a first deployment only
    return fixed, revision["environment"], service.serving == "", service.tags, service.check_off


def kill(bench: Bench, step: int, *words: str, given: str = "") -> None:
    """Run deploy.sh, and kill it and everything it started after this number of changes."""
    bench.gcloud.deadly = len(bench.gcloud.changes) + step
    process = bench.start(*words)
    process.communicate(given, timeout=60)
    bench.gcloud.deadly = 0
    assert process.returncode == -signal.SIGKILL


def with_key(bench: Bench) -> Bench:
    bench.succeed("secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)
    return bench


@pytest.mark.slow
def test_a_setup_that_is_killed_after_each_step_is_completed(new_bench: NewBench) -> None:
    """Every run completes one more step, and is killed after it."""
    whole, broken = with_key(new_bench()), with_key(new_bench())
    steps = len(whole.succeed("setup"))
    for _ in range(steps):
        kill(broken, 1, "setup")
    assert broken.succeed("setup") == []
    assert state(broken.cloud) == state(whole.cloud)


@pytest.mark.slow
def test_a_deployment_that_is_killed_after_any_step_is_completed_by_the_next(new_bench: NewBench) -> None:
    whole = with_key(new_bench())
    whole.succeed("setup")
    steps = len(whole.succeed("deploy"))
    broken = with_key(new_bench())
    broken.succeed("setup")
    assert steps == STEPS_OF_DEPLOY
    for step in (1, 2, 3, 3, 4):  # an existing service takes two fewer steps
        kill(broken, step, "deploy")
    broken.succeed("deploy")
    assert state(broken.cloud) == state(whole.cloud)


def test_a_promotion_that_is_killed_after_any_step_is_completed_by_the_next(new_bench: NewBench) -> None:
    whole, broken = new_bench(), new_bench()
    for bench in (whole, broken):
        bench.set_up()
        bench.succeed("draft")
    assert len(whole.succeed("promote")) == STEPS_OF_PROMOTE
    for step in (1, 2):
        kill(broken, step, "promote")
    broken.succeed("promote")
    assert state(broken.cloud) == state(whole.cloud)


def test_a_removal_that_is_killed_after_each_step_is_completed(bench: Bench) -> None:
    bench.set_up()
    left = (
        len(bench.cloud.services) + len(bench.cloud.queues) + len(bench.cloud.secrets) + len(bench.cloud.accounts) + 1
    )
    for _ in range(left - 1):
        kill(bench, 1, "remove", given="password-notice\n")
    bench.succeed("remove", given="password-notice\n")
    assert (bench.cloud.services, bench.cloud.secrets, bench.cloud.accounts) == ({}, {}, set())


def test_a_rotation_that_is_killed_after_its_step_continues(bench: Bench) -> None:
    bench.set_up()
    kill(bench, 1, "rotate-signing-key")
    assert bench.succeed("rotate-signing-key") == []
    kill(bench, 1, "rotate-signing-key", "finish")
    old, both, new = bench.cloud.secrets["callout-signing-key"]
    assert both == f"{new}\n{old}"


def test_a_deploy_sh_that_is_edited_while_it_runs_finishes(bench: Bench, tmp_path: Path) -> None:
    """By a pull, for example: bash reads a script while it runs it."""
    copy, python = tmp_path / "deploy.sh", tmp_path / ".venv" / "bin" / "python"
    shutil.copy(SOURCE / "deploy.sh", copy)
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "echo read on" >>"{copy}"\n')
    python.chmod(0o755)
    bench.program = copy
    done = bench("versions")
    assert done.returncode == 0, done.stderr
    assert "read on" in copy.read_text("utf-8")
    assert "read on" not in done.stdout


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=() if step in SOME else pytest.mark.slow)
        for step in range(1, STEPS_OF_SETUP + STEPS_OF_DEPLOY + 1)
    ],
)
def test_a_first_run_that_is_killed_after_any_step_is_completed_by_the_next(new_bench: NewBench, step: int) -> None:
    whole, broken = new_bench(), with_key(new_bench())
    assert len(whole.set_up()) == STEPS_OF_KEY + STEPS_OF_SETUP + STEPS_OF_DEPLOY
    kill(broken, step)
    broken.succeed()
    assert state(broken.cloud) == state(whole.cloud)
