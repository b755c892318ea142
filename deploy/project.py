"""The project and the signed-in account, checked before anything is changed."""

from functools import cache
from typing import Any

from deploy.errors import DeployError, UnknownError
from deploy.gcloud import Gcloud, read_local, text

CONSOLE = "https://console.cloud.google.com/billing/linkedaccount?project="


def default_project() -> str:
    """Return the project that gcloud is configured to use; empty if there is none."""
    return read_local("config", "get", "project", parse=_property)


@cache
def account() -> str:
    """Return the signed-in account's address; empty if gcloud has only a token."""
    return read_local("config", "get", "account", parse=_property)


def member(account: str) -> str:
    """Return the account as IAM names it."""
    kind = "serviceAccount" if account.endswith("gserviceaccount.com") else "user"
    return f"{kind}:{account or 'ACCOUNT'}"


@cache
def access_token() -> str:
    """Return a token of the signed-in account."""
    try:
        return read_local("auth", "print-access-token", parse=lambda found: text(found["token"]))
    except UnknownError as error:
        if "does not have any valid credentials" in error.cause or "active account" in error.cause:
            raise DeployError("not signed in: gcloud auth login", error.cause) from None
        raise


def check(gcloud: Gcloud, account: str) -> None:
    """Raise DeployError if the project isn't visible, is being deleted, or has no billing."""
    state = _lifecycle(gcloud, account)
    if state != "ACTIVE":
        raise DeployError(f"the project {gcloud.project} isn't active: its state is {state}")
    try:
        words = ("billing", "projects", "describe", gcloud.project)
        has_billing = gcloud.read_existing(*words, parse=lambda found: bool(found["billingEnabled"]))
    except UnknownError as error:
        if not error.is_denied:
            raise
        gcloud.say("the project's billing can't be read, so it isn't checked:", f"  {error.cause}")
        return
    if not has_billing:
        raise DeployError(f"the project {gcloud.project} has no billing: {CONSOLE}{gcloud.project}")


def _lifecycle(gcloud: Gcloud, account: str) -> str:
    try:
        words = ("projects", "describe", gcloud.project)
        state = gcloud.read(*words, parse=lambda found: text(found["lifecycleState"]))
    except UnknownError as error:
        if not error.is_denied:
            raise
        raise _not_visible(gcloud, account, error.cause) from None
    if state is None:
        raise _not_visible(gcloud, account, "gcloud reports that it doesn't exist")
    return state


def _not_visible(gcloud: Gcloud, account: str, cause: str) -> DeployError:
    return DeployError(
        f"the account {account or 'of this access token'} can't see the project {gcloud.project}: "
        f"gcloud config set account ACCOUNT, or gcloud config set project PROJECT",
        f"gcloud projects describe {gcloud.project}: {cause}",
    )


def _property(found: Any) -> str:
    """Return a property's value; gcloud prints an empty list for one that isn't set."""
    return "" if found == [] else text(found)
