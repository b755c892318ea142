"""A flow of several Actions, written as a user would, through the real process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cloud_run.process import SOURCE
from emulator.emulator import new_signing_key
from tests.end_to_end.callouts import callout, event, new_address, notice_to
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker

# Between two runs of `moody` the test changes what `mood` says.
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
def moody(event, api):
    mood = Path(__file__).with_name("mood").read_text()
    address, key = event.user.email, event.secrets.SENDGRID_API_KEY
    if mood == "talks":
        print(address, quote(address), repr(address), key, event, event.user, event.secrets, api)
        print({"address": address, "key": str(key)}, file=sys.stderr)
        logging.getLogger("mine").error("an address: %s, upper: %s", address, address.upper())
        warnings.warn(f"beware of {address}")
        print("no end of line:", address, end="")
    if mood == "raises":
        raise RuntimeError(f"cannot tell {address} with {key}")
    if mood == "exits":
        sys.exit(f"cannot tell {address} with {key}")


on_execute_post_change_password = moody
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    (folder / "main.py").write_text(MAIN, "utf-8")
    return folder


@pytest.fixture(scope="module")
def flow(witness: LeakChecker, folder: Path) -> Iterator[Harness]:
    environment = {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    with Harness(witness, environment, source=folder / "main.py") as flow:
        yield flow


def statuses(answer_body: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {action["name"]: action["status"] for action in answer_body["actions"]}


def test_each_action_is_told_and_the_mail_speaks_for_all(flow: Harness, folder: Path) -> None:
    (folder / "mood").write_text("fine")
    answer = flow.send(notice_to(new_address()))
    assert (answer.status, answer.body["status"]) == (200, "sent")
    assert statuses(answer.body) == {"notify": "sent", "moody": "done"}


@pytest.mark.parametrize("mood", ["raises", "exits"])
def test_an_action_that_fails_unforeseen_is_internal_and_a_retry_runs_it_alone(
    flow: Harness, folder: Path, mood: str
) -> None:
    address = new_address()
    sent = notice_to(address)
    (folder / "mood").write_text(mood)
    failed = flow.send(sent)
    (folder / "mood").write_text("fine")
    again = flow.send(sent)
    assert (failed.status, failed.code) == (500, "internal")
    assert statuses(failed.body) == {"notify": "sent", "moody": "failed"}
    assert "cannot tell" not in failed.text
    assert (again.status, statuses(again.body)) == (200, {"notify": "sent", "moody": "done"})
    assert len(flow.mails(address)) == 1


def test_the_log_tells_what_was_not_foreseen_without_the_address_and_the_key(flow: Harness, folder: Path) -> None:
    sent = notice_to(new_address())
    (folder / "mood").write_text("raises")
    flow.send(sent)
    line = flow.line(
        lambda fields: fields.get("callout") == sent.id and "RuntimeError: cannot tell" in fields["message"]
    )
    assert line is not None
    assert f"cannot tell user {line.data['fields']['user']} with [secret]" in line.data["fields"]["message"]


def test_the_other_actions_run_although_one_fails(flow: Harness, folder: Path) -> None:
    (folder / "mood").write_text("fine")
    flow.sendgrid.unverify("security@example.com")
    try:
        answer = flow.send(notice_to(new_address()))
    finally:
        flow.sendgrid.verify("security@example.com")
    assert (answer.status, answer.code) == (502, "mail_rejected")
    assert statuses(answer.body) == {"notify": "failed", "moody": "done"}


ADDRESSES = [
    "talkative+reader@example.com",
    "o'talkative/reader=1@example.com",
    '"a \\"talkative\\" reader"@example.com',
    "Talkative.Reader@Example.COM",
    "sprechfreudige.größe@bücher.example",
    "話し好き読者です@example.com",
    "100%talkative&reader{}@example.com",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_an_action_prints_and_logs_has_neither_address_nor_key(flow: Harness, folder: Path, address: str) -> None:
    """The witness says so; here only that it had something to hear."""
    (folder / "mood").write_text("talks")
    sent = callout(event(address))
    flow.send(sent)
    for talk in ("no end of line:", "an address:", "beware of"):
        assert flow.line(lambda fields, talk=talk: fields.get("callout") == sent.id and talk in fields["message"])  # type: ignore[misc]


def test_the_key_of_a_rotation_is_masked_like_the_first(flow: Harness, folder: Path) -> None:
    (folder / "mood").write_text("talks")
    old = flow.sendgrid_key
    flow.put_sendgrid_key(flow.sendgrid.new_key())
    flow.put_signing_key(new_signing_key())
    flow.sendgrid.revoke(old)
    assert flow.send(notice_to(new_address())).status == 200
