"""The secrets' values: which one the function reads, and how one is entered, validated, and stored."""

import base64
import getpass
import secrets
import sys

from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.gcloud import Gcloud, base_name, text
from notice.sendgrid import KEY_PATTERN
from runtime.signature import parse_signing_key

SIGNING, SENDGRID = "CALLOUT_SIGNING_KEY", "SENDGRID_API_KEY"


def latest_version(gcloud: Gcloud, deployment: Deployment, name: str, *, can_exist: bool = True) -> str | None:
    """Return the number of the version that the function reads, or None if there is none yet.

    Raise DeployError if it's disabled or destroyed, or if a pinned version doesn't exist: a new value is no fix.
    """
    version, secret = deployment.secret_version(name), deployment.secret_id(name)
    words = ("secrets", "versions", "describe", version, f"--secret={secret}")
    found = None
    if can_exist:
        found = gcloud.read(*words, parse=lambda version: (base_name(version), text(version["state"])))
    if found is None:
        if version != "latest" and not gcloud.dry_run:
            raise DeployError(f"{name}_SECRET names version {version} of {secret}, which doesn't exist")
        return None
    number, state = found
    if state != "ENABLED":
        enable = f"gcloud secrets versions enable {number} --secret={secret} --project={gcloud.project}"
        fix = f"enable it: {enable}", f"or store a new value: ./deploy.sh secret {name}"
        raise DeployError(f"version {number} of the secret {secret} is {state}, and nothing was changed", *fix)
    return number


def store_first(gcloud: Gcloud, deployment: Deployment, name: str) -> None:
    """Store a secret's first value: a new signing key, or what the user enters."""
    if name == SIGNING:
        store(gcloud, deployment, name, new_signing_key())
    elif gcloud.dry_run:
        store(gcloud, deployment, name, "")
    elif sys.stdin.isatty():
        store(gcloud, deployment, name, read_value(name))
    else:
        fix = f"./deploy.sh secret {name}    (it asks; or: ./deploy.sh secret {name} <FILE)"
        raise DeployError(f"the secret {name} has no value yet: store it, and run this again", fix)


def store(gcloud: Gcloud, deployment: Deployment, name: str, value: str) -> None:
    """Add a version. The value goes to standard input: it's in no argument, no environment variable, and no log."""
    gcloud.write("secrets", "versions", "add", deployment.secret_id(name), "--data-file=-", value=value)


def read_value(name: str) -> str:
    """Return a valid value from the terminal or from standard input, without the line break at its end."""
    is_asked = sys.stdin.isatty()
    value = getpass.getpass(f"{name} (it isn't shown): ") if is_asked else sys.stdin.read().rstrip("\n")
    problem = _problem(name, value)
    if problem:
        raise DeployError(f"this isn't a value of {name}: {problem}", "nothing was stored")
    return value


def _problem(name: str, value: str) -> str:
    """Return what is wrong with a value, by the function's own rules; empty if nothing is."""
    if not value.strip():
        return "it's empty"
    if name == SENDGRID and not KEY_PATTERN.fullmatch(value):
        return "it has to be SG., 22 characters, a dot, and 43 characters"
    if name == SIGNING:
        try:
            for key in value.split():
                parse_signing_key(key)
        except ValueError as error:
            return str(error)
    return ""


def new_signing_key() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
