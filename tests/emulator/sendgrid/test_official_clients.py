"""SendGrid's official Python and Node clients against the emulator."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sendgrid as official
from python_http_client.exceptions import (  # type: ignore[import-untyped]  # ships none
    BadRequestsError,
    ForbiddenError,
    UnauthorizedError,
)
from sendgrid.helpers.mail import (
    Attachment,
    ClickTracking,
    Content,
    CustomArg,
    From,
    Header,
    Mail,
    MailSettings,
    ReplyTo,
    SandBoxMode,
    To,
    TrackingSettings,
)

from emulator.core.journal import Journal
from emulator.sendgrid.server import FakeSendGrid
from tests.support.npm import node, npm_package

NODE_CLIENT = """
const [url, key, mail] = process.argv.slice(2);
const client = require('@sendgrid/mail');
client.setApiKey(key);
client.client.setDefaultRequest('baseUrl', url);
client.send(JSON.parse(mail)).then(
  ([response]) => console.log(JSON.stringify({status: response.statusCode, id: response.headers['x-message-id']})),
  (error) => console.log(JSON.stringify({status: error.code, body: error.response && error.response.body})),
);
"""
NODE_MAIL = {
    "to": "Ada <ada@example.org>",
    "from": {"email": "security@example.com", "name": "Acme"},
    "replyTo": "help@example.com",
    "subject": "Hello",
    "text": "Hello.",
    "html": "<p>Hello.</p>",
    "headers": {"Auto-Submitted": "auto-generated"},
    "customArgs": {"webhook_id": "msg_1"},
    "trackingSettings": {"clickTracking": {"enable": False, "enableText": False}, "openTracking": {"enable": False}},
}


@pytest.fixture
def sendgrid() -> Iterator[FakeSendGrid]:
    with FakeSendGrid(Journal(), verified=["example.com"]) as server:
        yield server


def client(sendgrid: FakeSendGrid, key: str = "") -> Any:
    return official.SendGridAPIClient(key or sendgrid.new_key(), host=sendgrid.url)


def message(**changes: Any) -> Mail:
    mail = Mail(From("security@example.com", "Acme"), To("ada@example.org", "Ada"), "Hello")
    mail.content = [Content("text/plain", "Hello."), Content("text/html", "<p>Hello.</p>")]
    for name, value in changes.items():
        setattr(mail, name, value)
    return mail


def test_the_python_client_sends(sendgrid: FakeSendGrid) -> None:
    settings = TrackingSettings(click_tracking=ClickTracking(enable=False, enable_text=False))
    mail = message(
        reply_to=ReplyTo("help@example.com"),
        header=Header("Auto-Submitted", "auto-generated"),
        custom_arg=CustomArg("webhook_id", "msg_1"),
        tracking_settings=settings,
        attachment=Attachment("YQ==", "a.txt"),
    )
    response = client(sendgrid).send(mail)
    assert (response.status_code, response.body) == (202, b"")
    [email] = sendgrid.inbox()
    assert response.headers["X-Message-Id"] == email.message_id
    assert (email.text, email.html) == ("Hello.", "<p>Hello.</p>")
    assert email.to == [{"email": "ada@example.org", "name": "Ada"}]
    assert email.headers == {"Auto-Submitted": "auto-generated"}
    assert email.custom_args == {"webhook_id": "msg_1"}


def test_the_python_client_supports_sandbox_mode(sendgrid: FakeSendGrid) -> None:
    mail = message(mail_settings=MailSettings(sandbox_mode=SandBoxMode(enable=True)))
    assert client(sendgrid).send(mail).status_code == 200
    assert sendgrid.inbox() == []


def test_the_python_client_reports_errors(sendgrid: FakeSendGrid) -> None:
    with pytest.raises(BadRequestsError) as error:
        client(sendgrid).send(message(to=[To("a..b@example.org")], subject=""))
    fields = [error["field"] for error in error.value.to_dict["errors"]]
    assert "personalizations.0.to.1.email" in fields
    with pytest.raises(UnauthorizedError):
        client(sendgrid, "SG.wrong").send(message())
    with pytest.raises(ForbiddenError) as forbidden:
        client(sendgrid).send(message(from_email=From("a@other.example")))
    assert forbidden.value.to_dict["errors"][0]["field"] == "from"


def test_the_python_client_reads_scopes(sendgrid: FakeSendGrid) -> None:
    response = client(sendgrid).client.scopes.get()
    assert json.loads(response.body)["scopes"][0] == "mail.send"


def run_node(sendgrid: FakeSendGrid, key: str = "", **changes: Any) -> Any:
    modules = npm_package("@sendgrid/mail", "8.1.6")
    mail = json.dumps(NODE_MAIL | changes)
    done = node(NODE_CLIENT, sendgrid.url, key or sendgrid.new_key(), mail, modules=modules)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_node_client_sends(sendgrid: FakeSendGrid) -> None:
    response = run_node(sendgrid)
    [email] = sendgrid.inbox()
    assert response == {"status": 202, "id": email.message_id}
    assert email.to == [{"email": "ada@example.org", "name": "Ada"}]
    assert email.reply_to == [{"email": "help@example.com"}]
    assert email.custom_args == {"webhook_id": "msg_1"}
    assert email.request["tracking_settings"]["click_tracking"] == {"enable": False, "enable_text": False}


def test_the_node_client_supports_sandbox_mode(sendgrid: FakeSendGrid) -> None:
    assert run_node(sendgrid, mailSettings={"sandboxMode": {"enable": True}})["status"] == 200
    assert sendgrid.inbox() == []


def test_the_node_client_reports_errors(sendgrid: FakeSendGrid) -> None:
    failed = run_node(sendgrid, to="not an address")
    assert failed["status"] == 400
    assert failed["body"]["errors"][0]["field"] == "personalizations.0.to.0.email"
    assert run_node(sendgrid, key=f"SG.{'x' * 22}.{'y' * 43}")["status"] == 401
    assert run_node(sendgrid, **{"from": "a@other.example"})["body"]["errors"][0]["field"] == "from"
