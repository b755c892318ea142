"""Check that the two secrets exist, are readable, and are well-formed. Their values are never printed."""

import base64
from collections.abc import Generator, Iterator
from pathlib import Path

import requests

from doctor.context import CheckContext
from doctor.finding import Finding
from doctor.http import request
from notice.sendgrid import KEY_PATTERN
from runtime.signature import parse_signing_key

NO_NOTICES = "without it, the function responds to every callout with 503 and sends no notices"
CHECK_NETWORK = (
    "check this machine's internet access: firewall, HTTPS_PROXY, REQUESTS_CA_BUNDLE; the stored value may be fine, so "
    "don't replace it"
)
TRY_LATER = "try again later, and don't replace the stored value: https://status.cloud.google.com"
FIXES = {
    401: "sign in: gcloud auth login",
    403: "ask for roles/secretmanager.secretAccessor on it, or ask someone who has it to run this check",
    404: "store a value: ./deploy.sh secret {name}",
    400: "enable the version (gcloud secrets versions enable), or store a new value: ./deploy.sh secret {name}",
}


def check(context: CheckContext) -> Iterator[Finding]:
    keys = yield from _read(context, "CALLOUT_SIGNING_KEY", context.settings.signing_key_secret)
    if keys:
        yield from _check_signing_keys(context, keys)
    key = yield from _read(context, "SENDGRID_API_KEY", context.settings.secrets["SENDGRID_API_KEY"])
    if key:
        yield from check_sendgrid_key(context, key)


def _read(context: CheckContext, name: str, source: str) -> Generator[Finding, None, str]:
    """Return the value without surrounding whitespace, or an empty one if it can't be read; yield what is wrong."""
    try:
        text = (_read_file(source, name) if source.startswith("/") else _access(context, source, name)).decode()
    except _ReadError as error:
        what = f"{name} can't be read from {source}: {error}"
        yield Finding("error", "secrets", what, NO_NOTICES, error.fix)
        return ""
    except UnicodeDecodeError:
        what, fix = f"the value of {name} in {source} isn't text", f"store it again: ./deploy.sh secret {name}"
        yield Finding("error", "secrets", what, NO_NOTICES, fix)
        return ""
    if text != text.strip():
        what = f"{name} is surrounded by whitespace, such as a trailing newline"
        why = "the function strips it, but other programs that read the secret may send it and fail"
        fix = f"store it without whitespace: printf %s VALUE | ./deploy.sh secret {name}"
        yield Finding("warning", "secrets", what, why, fix)
    return text.strip()


class _ReadError(Exception):
    """The value couldn't be read; `fix` says what to do. It doesn't mean that there is none."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def _read_file(path: str, name: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        fix = f"check {name}_SECRET; if Cloud Run mounts it there, run ./deploy.sh doctor, which reads Secret Manager"
        raise _ReadError(type(error).__name__, fix) from error


def _access(context: CheckContext, resource: str, name: str) -> bytes:
    version = resource if "/versions/" in resource else f"{resource}/versions/latest"
    host = f"secretmanager.{resource.split('/')[3]}.rep" if "/locations/" in resource else "secretmanager"
    endpoint = context.settings.secret_manager_endpoint or f"https://{host}.googleapis.com"
    try:
        response = request("GET", f"{endpoint}/v1/{version}:access", headers=context.google_headers)
    except requests.RequestException as error:
        raise _ReadError(f"no response ({type(error).__name__})", CHECK_NETWORK) from error
    if response.status_code != 200:
        fix = FIXES.get(response.status_code, TRY_LATER).format(name=name)
        raise _ReadError(f"{response.status_code} {_error_message(response)}", fix)
    try:
        return base64.b64decode(response.json()["payload"]["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise _ReadError("the response isn't Secret Manager's", CHECK_NETWORK) from error


def _error_message(response: requests.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.reason


def _check_signing_keys(context: CheckContext, text: str) -> Iterator[Finding]:
    valid = []
    for number, key in enumerate(text.split(), 1):
        try:
            parse_signing_key(key)
            valid.append(key)
        except ValueError as error:
            what = f"key {number} of CALLOUT_SIGNING_KEY: {error}"
            fix = "rotate it: ./deploy.sh rotate-signing-key, or store it again: ./deploy.sh secret CALLOUT_SIGNING_KEY"
            yield Finding("error", "secrets", what, "the function can't verify signatures with it", fix)
    if valid:
        context.signing_key = valid[0]
        yield Finding("ok", "secrets", f"CALLOUT_SIGNING_KEY has {len(valid)} valid key{'s' * (len(valid) > 1)}")
    if len(valid) > 1:
        what, why = "a rotation of the signing key is in progress", "the old key is still accepted"
        fix = "once the Action signs with the new key: ./deploy.sh rotate-signing-key finish"
        yield Finding("warning", "secrets", what, why, fix)


def check_sendgrid_key(context: CheckContext, text: str) -> Iterator[Finding]:
    if KEY_PATTERN.fullmatch(text):
        context.sendgrid_key = text
        yield Finding("ok", "secrets", "SENDGRID_API_KEY is well-formed")
        return
    yield Finding(
        "error",
        "secrets",
        f"SENDGRID_API_KEY is malformed: expected SG.<22 characters>.<43 characters>, got {len(text)} characters",
        "SendGrid would reject it, so the function doesn't send it",
        "copy the entire key from SendGrid, and store it: ./deploy.sh secret SENDGRID_API_KEY",
    )
