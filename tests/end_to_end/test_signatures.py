"""Tests that the function accepts signatures made by the public Standard Webhooks libraries."""

import time
from datetime import UTC, datetime

from standardwebhooks import Webhook

from tests.end_to_end.callouts import callout_for, new_address
from tests.end_to_end.harness import Harness
from tests.support.npm import node, npm_package

NPM_SCRIPT = """
const { Webhook } = require('standardwebhooks');
const [key, id, timestamp, body] = process.argv.slice(2);
console.log(new Webhook(key).sign(id, new Date(timestamp * 1000), body));
"""


def test_a_callout_signed_by_the_python_library_is_accepted(harness: Harness) -> None:
    callout = callout_for(new_address())
    headers = callout.headers(harness.signing_key)
    timestamp = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    headers["webhook-signature"] = Webhook(harness.signing_key).sign(callout.id, timestamp, callout.body.decode())
    assert harness.request(callout.body, headers).body["status"] == "sent"


def test_a_callout_signed_by_the_npm_library_is_accepted(harness: Harness) -> None:
    modules = npm_package("standardwebhooks", "1.0.0")
    callout, timestamp = callout_for(new_address()), str(int(time.time()))
    done = node(NPM_SCRIPT, harness.signing_key, callout.id, timestamp, callout.body.decode(), modules=modules)
    assert not done.returncode, done.stderr
    headers = {
        **callout.headers(harness.signing_key),
        "webhook-timestamp": timestamp,
        "webhook-signature": done.stdout.strip(),
    }
    assert harness.request(callout.body, headers).body["status"] == "sent"
