"""Tests of a flow with several Actions, as a user would write it, against the real process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.emulator import new_signing_key
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker

# The second Action does what the file `behavior` says; tests rewrite the file between runs.
MAIN = """
import logging
import sys
import warnings
from pathlib import Path
from urllib.parse import quote

from runtime import Flow, start
from notice.compose import password_changed
from notice.sendgrid import SendGrid

settings = start()
flow = Flow(settings)
sendgrid = SendGrid(settings)


@flow.action
def notify(event, api):
    return sendgrid.send(password_changed(event, settings), key=event.secrets.SENDGRID_API_KEY, callout=event.callout)


@flow.action
def scripted(event, api):
    behavior = Path(__file__).with_name("behavior").read_text()
    address, key = event.user.email, event.secrets.SENDGRID_API_KEY
    if behavior == "print":
        print(address, quote(address), repr(address), key, event, event.user, event.secrets, api)
        print({"address": address, "key": str(key)}, file=sys.stderr)
        logging.getLogger("test").error("an address: %s, upper: %s", address, address.upper())
        warnings.warn(f"warning about {address}")
        print("no newline:", address, end="")
    if behavior == "raise":
        raise RuntimeError(f"failed for {address} with {key}")
    if behavior == "exit":
        sys.exit(f"failed for {address} with {key}")


on_execute_post_change_password = scripted
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    (folder / "main.py").write_text(MAIN, "utf-8")
    return folder


@pytest.fixture(scope="module")
def harness(leak_checker: LeakChecker, folder: Path) -> Iterator[Harness]:
    environment = {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with Harness(leak_checker, environment, source=folder / "main.py") as harness:
        yield harness


def statuses(response_body: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {action["name"]: action["status"] for action in response_body["actions"]}


def test_each_action_is_listed_and_sent_is_the_overall_status(harness: Harness, folder: Path) -> None:
    (folder / "behavior").write_text("succeed")
    response = harness.send(callout_for(new_address()))
    assert (response.status, response.body["status"]) == (200, "sent")
    assert statuses(response.body) == {"notify": "sent", "scripted": "done"}


@pytest.mark.parametrize("behavior", ["raise", "exit"])
def test_an_unexpected_failure_returns_500_and_a_retry_runs_only_that_action(
    harness: Harness, folder: Path, behavior: str
) -> None:
    address = new_address()
    callout = callout_for(address)
    (folder / "behavior").write_text(behavior)
    failed = harness.send(callout)
    (folder / "behavior").write_text("succeed")
    retry = harness.send(callout)
    assert (failed.status, failed.code) == (500, "internal")
    assert statuses(failed.body) == {"notify": "sent", "scripted": "failed"}
    assert "failed for" not in failed.text
    assert (retry.status, statuses(retry.body)) == (200, {"notify": "sent", "scripted": "done"})
    assert len(harness.emails_to(address)) == 1


def test_the_traceback_of_an_unexpected_failure_is_logged_redacted(harness: Harness, folder: Path) -> None:
    callout = callout_for(new_address())
    (folder / "behavior").write_text("raise")
    harness.send(callout)
    line = harness.find_log_line(
        lambda fields: fields.get("callout") == callout.id and "RuntimeError: failed for" in fields["message"]
    )
    assert line is not None
    assert f"failed for user {line.data['fields']['user']} with [secret]" in line.data["fields"]["message"]


def test_a_failing_action_does_not_stop_the_others(harness: Harness, folder: Path) -> None:
    (folder / "behavior").write_text("succeed")
    harness.sendgrid.unverify("security@example.com")
    try:
        response = harness.send(callout_for(new_address()))
    finally:
        harness.sendgrid.verify("security@example.com")
    assert (response.status, response.code) == (502, "mail_rejected")
    assert statuses(response.body) == {"notify": "failed", "scripted": "done"}


ADDRESSES = [
    "verbose+reader@example.com",
    "o'verbose/reader=1@example.com",
    '"a \\"verbose\\" reader"@example.com',
    "Verbose.Reader@Example.COM",
    "sprechfreudige.größe@bücher.example",
    "話し好き読者です@example.com",
    "100%verbose&reader{}@example.com",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_actions_output_is_logged_without_address_and_key(harness: Harness, folder: Path, address: str) -> None:
    """The leak checker asserts it; this test only asserts that there was output to check."""
    (folder / "behavior").write_text("print")
    callout = make_callout(make_event(address))
    harness.send(callout)
    for text in ("no newline:", "an address:", "warning about"):
        assert harness.find_log_line(
            lambda fields, text=text: fields.get("callout") == callout.id and text in fields["message"]  # type: ignore[misc]
        )


def test_a_rotated_key_is_redacted_like_the_first(harness: Harness, folder: Path) -> None:
    (folder / "behavior").write_text("print")
    old = harness.sendgrid_key
    harness.set_sendgrid_key(harness.sendgrid.new_key())
    harness.set_signing_keys(new_signing_key())
    harness.sendgrid.revoke(old)
    assert harness.send(callout_for(new_address())).status == 200
