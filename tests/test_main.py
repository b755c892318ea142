"""Tests for main.py, the Action that users edit, as functions-framework loads it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import functions_framework
import pytest
import responses

from runtime.clock import CLOCK
from tests.conftest import SIGNING_KEY, Console, Lines, Sign

MAIN = Path(__file__).parents[1] / "main.py"
SEND = "https://api.sendgrid.com/v3/mail/send"
ACTION = "on_execute_post_change_password"
KEY = f"SG.{'k' * 22}.{'v' * 43}"
EVENT = {"user": {"email": "ada@example.com"}, "connection": {"name": "Users"}}
Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def sendgrid() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as sendgrid:
        yield sendgrid


@pytest.fixture
def call(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: Sign, console: Console
) -> Call:
    """Return a function that sends a signed callout to `deliver` for this Action, and returns status and body."""
    for secret, value in {"SENDGRID_API_KEY": KEY, "CALLOUT_SIGNING_KEY": SIGNING_KEY}.items():
        (tmp_path / secret).write_text(value)
        environment[f"{secret}_SECRET"] = str(tmp_path / secret)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    create_app: Any = functions_framework.create_app

    def call(event: object, target: str = "deliver", path: str = f"/{ACTION}") -> tuple[int, Any]:
        body = json.dumps({"event": event}).encode()
        headers = sign(body, timestamp=int(CLOCK.now()))
        monkeypatch.setenv("FUNCTION_TARGET", target)
        with console():
            client = create_app(target, str(MAIN)).test_client()
            response = client.post(path, data=body, content_type="application/json", headers=headers)
        return response.status_code, response.get_json()

    return call


def test_the_user_is_emailed(call: Call, sendgrid: responses.RequestsMock) -> None:
    sendgrid.post(SEND, status=202, headers={"X-Message-Id": "m1"})

    status, body = call(EVENT)

    assert (status, body["status"], body["message_id"]) == (200, "sent", "m1")
    text = json.loads(sendgrid.calls[0].request.body or b"")["content"][0]["value"]
    assert "The password for your Users account ada@example.com was recently changed." in text.splitlines()


def test_a_user_without_an_address_is_skipped(call: Call, sendgrid: responses.RequestsMock) -> None:
    status, body = call({"user": {}})

    assert (status, body["status"], body["reason"]) == (200, "skipped", "no_email")


@pytest.mark.parametrize("path", ["/robots.txt", "/favicon.ico"])
def test_the_paths_that_functions_framework_reserves_are_handled_too(call: Call, path: str) -> None:
    status, body = call({"user": {}}, ACTION, path)

    assert (status, body["status"]) == (200, "skipped")


def test_a_failure_is_printed_without_the_address_and_raised(
    call: Call, sendgrid: responses.RequestsMock, lines: Lines
) -> None:
    sendgrid.post(SEND, status=400, json={"errors": [{"message": "no", "field": "subject"}]})

    status, body = call(EVENT)

    assert (status, body["error"]["code"]) == (502, "mail_rejected")
    printed = next(line["message"] for line in lines() if line.get("console"))
    assert printed.startswith("Error sending email to user ")
    assert "SendGrid rejected the email (400: no [subject])" in printed


def test_a_callout_runs_the_action_even_if_there_are_others(call: Call, sendgrid: responses.RequestsMock) -> None:
    sendgrid.post(SEND, status=202)

    _, body = call(EVENT, ACTION, "/")

    assert [action["status"] for action in body["actions"] if action["name"] == ACTION] == ["sent"]
    assert [request.url for request, _ in sendgrid.calls].count(SEND) == 1
