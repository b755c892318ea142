"""The public Standard Webhooks libraries and the Action's own file sign what the function accepts."""

import time
from datetime import UTC, datetime

from standardwebhooks import Webhook

from tests.end_to_end.callouts import new_address, notice_to
from tests.end_to_end.harness import Harness
from tests.support.npm import node, npm_package

NPM_SCRIPT = """
const { Webhook } = require('standardwebhooks');
const [key, id, timestamp, body] = process.argv.slice(2);
console.log(new Webhook(key).sign(id, new Date(timestamp * 1000), body));
"""


def test_a_callout_signed_by_the_python_library_is_accepted(stage: Harness) -> None:
    sent = notice_to(new_address())
    headers = sent.headers(stage.signing_key)
    moment = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    headers["webhook-signature"] = Webhook(stage.signing_key).sign(sent.id, moment, sent.body.decode())
    assert stage.request(sent.body, headers).body["status"] == "sent"


def test_a_callout_signed_by_the_npm_library_is_accepted(stage: Harness) -> None:
    modules = npm_package("standardwebhooks", "1.0.0")
    sent, moment = notice_to(new_address()), str(int(time.time()))
    done = node(NPM_SCRIPT, stage.signing_key, sent.id, moment, sent.body.decode(), modules=modules)
    assert not done.returncode, done.stderr
    headers = {
        **sent.headers(stage.signing_key),
        "webhook-timestamp": moment,
        "webhook-signature": done.stdout.strip(),
    }
    assert stage.request(sent.body, headers).body["status"] == "sent"
