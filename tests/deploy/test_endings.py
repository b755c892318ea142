"""Every command says how it ended and what to do next, and a second run completes the work."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.deploy.conftest import SENDGRID_KEY, Bench
from tests.deploy.fake_gcloud import Cloud
from tests.deploy.inside import Inside

SIGNING = "callout-signing-key"


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(tmp_path, monkeypatch, capsys)


def deployed(inside: Inside) -> Cloud:
    return inside.succeed(inside.succeed(Cloud(), "secret", "SENDGRID_API_KEY", given=SENDGRID_KEY))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["promote"], "password-notice isn't deployed: ./deploy.sh"),
        (["versions"], "password-notice-deliver isn't deployed: ./deploy.sh"),
        (["revert"], "password-notice isn't deployed: ./deploy.sh"),
        (["test"], "password-notice isn't deployed: ./deploy.sh"),
        (["draft"], "password-notice-deliver isn't deployed yet"),
        (["rotate-signing-key"], "has no key yet: ./deploy.sh"),
        (["rotate-signing-key", "finish"], "has no key yet: ./deploy.sh"),
        (["rotate-sendgrid-key", "finish"], "has no value yet: ./deploy.sh secret SENDGRID_API_KEY"),
        (["remove"], "no resources of password-notice exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_reports_that_nothing_is_deployed(inside: Inside, words: list[str], named: str) -> None:
    outcome = inside.run(Cloud(), *words)
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert named in outcome.output


def test_an_unavailable_secret_manager_leads_to_no_second_signing_key(inside: Inside) -> None:
    cloud = deployed(inside)
    words = f"secrets versions describe latest --secret={SIGNING}"
    outcome = inside.run(cloud, failures={"secrets versions describe latest": "UNAVAILABLE: 503"})
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert f"can't read the current state: gcloud {words}" in outcome.output
    assert "UNAVAILABLE: 503" in outcome.output


def test_a_key_without_read_access_is_not_taken_for_a_missing_one(inside: Inside) -> None:
    outcome = inside.run(
        deployed(inside), "rotate-signing-key", failures={"secrets versions access latest": "PERMISSION_DENIED: no"}
    )
    assert outcome.status == 1
    assert "gcloud secrets versions access latest --secret=callout-signing-key" in outcome.output
    assert "no key yet" not in outcome.output


def test_a_finish_that_failed_after_storing_is_completed(inside: Inside) -> None:
    cloud = inside.succeed(deployed(inside), "rotate-signing-key")
    failed = inside.run(
        cloud, "rotate-signing-key", "finish", failures={"secrets versions disable 1": "UNAVAILABLE: 503"}
    )
    assert failed.status == 1
    after = inside.succeed(failed.gcloud.cloud, "rotate-signing-key", "finish")
    assert [bool(value) for value in after.secrets[SIGNING]] == [False, False, True]
    assert "no rotation is in progress" in inside.run(after, "rotate-signing-key", "finish").output


def test_a_disabled_signing_key_is_not_replaced(inside: Inside) -> None:
    cloud = deployed(inside)
    cloud.secrets[SIGNING][-1] = ""
    outcome = inside.run(cloud, "setup")
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert "gcloud secrets versions enable 1 --secret=callout-signing-key" in outcome.output


def test_a_key_with_a_fixed_version_is_not_rotated(inside: Inside) -> None:
    cloud = deployed(inside)
    inside.env_yaml += 'CALLOUT_SIGNING_KEY_SECRET: "projects/demo-proj/secrets/callout-signing-key/versions/1"\n'
    outcome = inside.run(cloud, "rotate-signing-key")
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert "remove /versions/1" in outcome.output


def test_a_fixed_version_that_does_not_exist_is_found_before_anything_is_changed(inside: Inside) -> None:
    inside.env_yaml += 'CHAT_TOKEN_SECRET: "projects/demo-proj/secrets/chat-token/versions/3"\n'
    outcome = inside.run(Cloud(), "setup")
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert "names version 3 of chat-token, which doesn't exist" in outcome.output


def test_a_missing_gcloud_is_reported(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    outcome = inside.run(Cloud(), "versions")
    assert "gcloud isn't installed" in outcome.output


def test_a_missing_project_and_a_missing_sign_in_are_distinguished(inside: Inside) -> None:
    assert "no project: gcloud config set project" in inside.run(Cloud(project=""), "versions").output
    assert "not signed in: gcloud auth login" in inside.run(Cloud(signed_in=False), "versions").output


def test_output_that_is_not_read_to_the_end_is_not_an_error(bench: Bench) -> None:
    with bench.start("plan") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_an_interruption_ends_without_a_traceback_and_the_next_run_completes_it(bench: Bench) -> None:
    bench.succeed("secret", "SENDGRID_API_KEY", given=SENDGRID_KEY)
    bench.gcloud.deadly, bench.gcloud.signal = len(bench.gcloud.changes) + 4, signal.SIGINT
    done = bench("setup")
    bench.gcloud.deadly = 0
    assert done.returncode == 130
    assert "interrupted; run it again" in done.stderr
    assert "Traceback" not in done.stderr
    bench.succeed("setup")
    assert bench.succeed("setup") == []
