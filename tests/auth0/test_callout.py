"""The emulator's own callouts: signed as the public library checks them, and quoted for a shell."""

import json
import shlex
import subprocess

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from auth0.callout import OutgoingCallout, build_callout
from emulator.secret_manager.key_rotation import masked, new_signing_key


def test_a_callout_is_signed_as_the_scheme_says() -> None:
    key = new_signing_key()
    callout = build_callout({"user": {"email": "a@example.com"}, "secrets": {"KEY": "hidden"}}, sandbox=True)
    verified = Webhook(key).verify(callout.body, callout.headers(key))
    assert verified["event"] == {"user": {"email": "a@example.com"}}
    assert verified["sandbox"] is True


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_the_command_brings_any_text_through_a_shell_unchanged(text: str) -> None:
    body = json.dumps({"event": {"name": text}}, ensure_ascii=False)
    words = shlex.split(OutgoingCallout(body.encode()).curl("http://127.0.0.1:1/", new_signing_key()))
    assert words[-2:] == ["--data-binary", body]


def test_a_real_shell_reads_the_command_so_too() -> None:
    body = '{"event": "O\'Neil \\"$HOME\\" `id` \\\\ \n é 👩‍💻"}'
    command = OutgoingCallout(body.encode()).curl("http://127.0.0.1:1/", new_signing_key())
    shown = subprocess.run(["sh", "-c", f"printf %s {command}"], capture_output=True, check=True)
    assert shown.stdout.decode().endswith("--data-binary" + body)


def test_a_secret_is_cut_to_what_tells_it_from_another() -> None:
    key = new_signing_key()
    assert masked(key) == key[:10] + "…"
    assert masked("short") == "…"
    assert masked("https://hooks.example.com/services/T0/B0/secret")[:5] == "http…"
    assert masked("") == "…"
