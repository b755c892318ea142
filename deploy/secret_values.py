"""The values of secrets: what is stored, and how one is generated, or entered and validated."""

import base64
import getpass
import secrets
import sys
from typing import Any

from deploy.deployment import SENDGRID, SIGNING, Deployment
from deploy.gcloud import DeployError, Gcloud, base_name, text
from deploy.resources import version
from notice.sendgrid import KEY_PATTERN
from runtime.signature import parse_signing_key


def first_value(name: str) -> str:
    """Return a secret's first value: a new signing key, or what the user enters."""
    if name == SIGNING:
        return new_signing_key()
    if sys.stdin.isatty():
        return read_value(name)
    fix = f"./deploy.sh secret {name}    (it asks; or: ./deploy.sh secret {name} <FILE)"
    raise DeployError(f"the secret {name} has no value yet: store it, and run this again", fix)


def enabled_version(deployment: Deployment, name: str, found: Any) -> str:
    """Return a version's number. Raise DeployError if it's disabled or destroyed: a new value is no fix."""
    number, state, secret_id = base_name(found), text(found["state"]), deployment.secret_id(name)
    if state != "ENABLED":
        enable = f"gcloud secrets versions enable {number} --secret={secret_id} --project={deployment.project}"
        fix = f"enable it: {enable}", f"or store a new value: ./deploy.sh secret {name}"
        raise DeployError(f"version {number} of the secret {secret_id} is {state}, and nothing was changed", *fix)
    return number


def stored_signing_keys(gcloud: Gcloud, deployment: Deployment) -> list[str]:
    """Return the keys that the function reads, the one that Auth0 should sign with first."""

    def parse(found: Any) -> list[str]:
        keys = base64.urlsafe_b64decode(text(found["payload"]["data"])).decode().split()
        for key in keys or [""]:
            parse_signing_key(key)  # raises ValueError
        return keys

    stored = gcloud.read(*version(deployment, SIGNING).command("access"), parse=parse)
    if stored is None:
        raise DeployError(f"the secret {deployment.secret_id(SIGNING)} has no key yet: ./deploy.sh")
    return stored


def new_signing_key() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def read_value(name: str) -> str:
    """Return a valid value from the terminal or from standard input, without the line break at its end."""
    is_asked = sys.stdin.isatty()
    value = getpass.getpass(f"{name} (it isn't shown): ") if is_asked else sys.stdin.read().rstrip("\n")
    try:
        _check(name, value)
    except ValueError as error:
        raise DeployError(f"this isn't a value of {name}: {error}", "nothing was stored") from None
    return value


def _check(name: str, value: str) -> None:
    """Raise ValueError if the function would reject the value."""
    if not value.strip():
        raise ValueError("it's empty")
    if name == SENDGRID and not KEY_PATTERN.fullmatch(value):
        raise ValueError("it has to be SG., 22 characters, a dot, and 43 characters")
    if name == SIGNING:
        for key in value.split():
            parse_signing_key(key)
