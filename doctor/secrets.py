"""The two secrets: there, readable, and of the right form. Their values are looked at here and shown nowhere."""

import base64
from collections.abc import Iterator
from pathlib import Path

import requests

from doctor.context import SECONDS, CheckContext
from doctor.finding import Finding
from notice.sendgrid import KEY_PATTERN
from runtime.signature import parse_signing_key

STOPS = "without it the function answers 503 to every callout, and no notice goes out"
HINTS = {
    401: "sign in: gcloud auth login",
    403: "ask for roles/secretmanager.secretAccessor on it, or leave this to who has it",
    404: "store a value: ./deploy.sh secret {name}",
    400: "switch the version on again, gcloud secrets versions enable, or store a new value: ./deploy.sh secret {name}",
}


def check(case: CheckContext) -> Iterator[Finding]:
    text, findings = _read(case, "CALLOUT_SIGNING_KEY", case.settings.signing_key_secret)
    yield from findings
    if text:
        yield from _judge_signing_keys(case, text)
    text, findings = _read(case, "SENDGRID_API_KEY", case.settings.secrets["SENDGRID_API_KEY"])
    yield from findings
    if text:
        yield from judge_sendgrid_key(case, text)


def _read(case: CheckContext, name: str, source: str) -> tuple[str, list[Finding]]:
    """The value as it stands there; empty, with the reason, where it cannot be had."""
    try:
        text = Path(source).read_text("utf-8") if source.startswith("/") else _access(case, source)
    except _Refused as refused:
        hint = HINTS.get(refused.status, "try again later").format(name=name)
        return "", [Finding("fault", "secrets", f"{name} cannot be read at {source}: {refused}", STOPS, hint)]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = f"{name} cannot be read at {source}: {type(error).__name__}"
        return "", [Finding("fault", "secrets", why, STOPS, f"store it anew: ./deploy.sh secret {name}")]
    if text == text.strip():
        return text, []
    return text.strip(), [
        Finding(
            "warning",
            "secrets",
            f"{name} has white space around it, such as a line break at its end",
            "the function takes it off; other programs that read the secret send it along, and fail",
            f"store it anew, without: printf %s VALUE | ./deploy.sh secret {name}",
        )
    ]


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


def _access(case: CheckContext, resource: str) -> str:
    name = resource if "/versions/" in resource else f"{resource}/versions/latest"
    host = f"secretmanager.{resource.split('/')[3]}.rep" if "/locations/" in resource else "secretmanager"
    endpoint = case.settings.secret_manager_endpoint or f"https://{host}.googleapis.com"
    answer = requests.get(f"{endpoint}/v1/{name}:access", headers=case.google_headers, timeout=SECONDS)
    if answer.status_code != 200:
        raise _Refused(answer.status_code, _message(answer))
    return base64.b64decode(answer.json()["payload"]["data"]).decode()


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason


def _judge_signing_keys(case: CheckContext, text: str) -> Iterator[Finding]:
    good = []
    for number, word in enumerate(text.split(), 1):
        try:
            parse_signing_key(word)
            good.append(word)
        except ValueError as error:
            fix = "rotate it: ./deploy.sh rotate-signing-key, or store it anew: ./deploy.sh secret CALLOUT_SIGNING_KEY"
            yield Finding(
                "fault", "secrets", f"key {number} of CALLOUT_SIGNING_KEY: {error}", "it verifies nothing", fix
            )
    if good:
        case.signing_key = good[0]
        yield Finding("ok", "secrets", f"CALLOUT_SIGNING_KEY has {len(good)} good key{'s' * (len(good) > 1)}")
    if len(good) > 1:
        fix = "once the Action signs with the new one: ./deploy.sh rotate-signing-key finish"
        yield Finding(
            "warning", "secrets", "a rotation of the signing key is under way", "the old key still works", fix
        )


def judge_sendgrid_key(case: CheckContext, text: str) -> Iterator[Finding]:
    if KEY_PATTERN.fullmatch(text):
        case.sendgrid_key = text
        yield Finding("ok", "secrets", "SENDGRID_API_KEY has the form of a key")
        return
    yield Finding(
        "fault",
        "secrets",
        f"SENDGRID_API_KEY has not the form of a key, SG. + 22 + . + 43 characters (it has {len(text)} in all)",
        "SendGrid would refuse it, so the function does not even send it",
        "copy the whole key from SendGrid, and store it: ./deploy.sh secret SENDGRID_API_KEY",
    )
