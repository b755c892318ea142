"""Outgoing callouts: their signature, verified by the Standard Webhooks library, and their curl command."""

import json
import shlex
import subprocess

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from auth0.callout import OutgoingCallout, build_callout
from emulator.secret_manager.key_rotation import mask, new_signing_key


def test_a_callout_has_a_valid_standard_webhooks_signature() -> None:
    key = new_signing_key()
    callout = build_callout({"user": {"email": "a@example.com"}, "secrets": {"KEY": "hidden"}}, sandbox=True)
    verified = Webhook(key).verify(callout.body, callout.headers(key))
    assert verified["event"] == {"user": {"email": "a@example.com"}}
    assert verified["sandbox"] is True


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_the_curl_command_quotes_any_text(text: str) -> None:
    body = json.dumps({"event": {"name": text}}, ensure_ascii=False)
    arguments = shlex.split(OutgoingCallout(body.encode()).curl("http://127.0.0.1:1/", new_signing_key()))
    assert arguments[-2:] == ["--data-binary", body]


def test_a_real_shell_parses_the_curl_command() -> None:
    body = '{"event": "O\'Neil \\"$HOME\\" `id` \\\\ \n é 👩‍💻"}'
    command = OutgoingCallout(body.encode()).curl("http://127.0.0.1:1/", new_signing_key())
    printed = subprocess.run(["sh", "-c", f"printf %s {command}"], capture_output=True, check=True)
    assert printed.stdout.decode().endswith("--data-binary" + body)


def test_a_masked_secret_keeps_only_a_short_prefix() -> None:
    key = new_signing_key()
    assert mask(key) == key[:10] + "…"
    assert mask("short") == "…"
    assert mask("https://hooks.example.com/services/T0/B0/secret")[:5] == "http…"
    assert mask("") == "…"
