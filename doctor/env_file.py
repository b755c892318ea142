"""env.yaml: read strictly, so that deploy.sh, gcloud and the function see the same, and checked before it is deployed.

The product's own settings check judges it; what only a deployment knows is filled in first.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from settings import SettingError, SettingsError, load

LINE = re.compile(
    r'(?P<name>[A-Z][A-Z0-9_]*):(?:[ \t]+(?:"(?P<quoted>[^"\\]*)"|(?P<bare>[\w./:+@,-]+)))?[ \t]*(?:#.*)?'
)
SECRET = re.compile(r"projects/(?P<project>[^/]+)/secrets/(?P<secret>[\w-]+)(/versions/(?P<version>[\w-]+))?")
SERVICE = re.compile(r"[a-z]([a-z0-9-]{4,20})[a-z0-9]")

# What stands in env.yaml for deploy.sh alone: the pattern, and what it has to be.
OWN = {
    "SERVICE": (SERVICE, "6 to 22 small letters, digits and hyphens, beginning with a letter"),
    "REGION": (re.compile(r"[a-z]+-[a-z]+[0-9]+"), "a region of Cloud Run and Cloud Tasks, such as europe-west1"),
    "SECRETS": (re.compile("mounted|client"), "mounted or client"),
    "MIN_INSTANCES": (re.compile("[0-9]{1,3}"), "a whole number from 0 to 999"),
    "MAX_INSTANCES": (re.compile("[1-9][0-9]{0,2}"), "a whole number from 1 to 999"),
}
ADDRESSES = ("SENDGRID_URL", "SECRET_MANAGER_ENDPOINT", "CLOUD_TASKS_ENDPOINT", "DELIVER_URL")


def read(path: Path) -> dict[str, str]:
    """The names and values of a file of NAME: "value" lines. Raises SettingsError with every line that is none."""
    values: dict[str, str] = {}
    faults = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if found is None:
            faults.append(
                SettingError(f"line {number}", "is not understood", 'write NAME: "value", without " or \\ inside')
            )
        elif found["name"] in values:
            faults.append(SettingError(found["name"], f"stands twice, again in line {number}", "keep one of them"))
        else:
            values[found["name"]] = found["quoted"] or found["bare"] or ""
    if faults:
        raise SettingsError(faults)
    return values


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fix = "copy env.yaml.example to it and change what is yours"
        raise SettingsError([SettingError(str(path), "cannot be read", fix)]) from error


def faults(values: Mapping[str, str]) -> list[SettingError]:
    """Everything that would keep a deployment with these values from working, each fault once."""
    found = [*_own(values), *_addresses(values), *_secrets(values), *_instances(values)]
    for side in ("on_execute_post_change_password", "deliver"):
        try:
            load(_filled(values, side))
        except SettingsError as error:
            found += [fault for fault in error.errors if fault not in found]
    return found


def mailing(values: Mapping[str, str], project: str = "") -> dict[str, str]:
    """The environment of the side that sends mail; its secrets are where deploy.sh puts them."""
    project = project or values.get("GOOGLE_CLOUD_PROJECT") or "PROJECT"
    prefix = f"projects/{project}/secrets/"
    if values.get("SERVICE") not in (None, "", "password-notice"):
        prefix += f"{values['SERVICE']}-"
    own = {
        "SENDGRID_API_KEY_SECRET": f"{prefix}sendgrid-api-key",
        "CALLOUT_SIGNING_KEY_SECRET": f"{prefix}callout-signing-key",
    }
    return {**own, **{name: value for name, value in values.items() if value}, "FUNCTION_TARGET": "deliver"}


def _filled(values: Mapping[str, str], side: str) -> dict[str, str]:
    """The environment of one side, with a stand-in for each name that deploy.sh sets itself."""
    own = {
        "DELIVERY": values.get("DELIVERY") or "queue",
        "TASKS_QUEUE": "projects/p/locations/l/queues/q",
        "DELIVER_URL": "https://deliver.example.com",
        "DELIVER_INVOKER": "invoker@example.com",
    }
    secrets = dict.fromkeys(("SENDGRID_API_KEY_SECRET", "CALLOUT_SIGNING_KEY_SECRET"), "projects/p/secrets/s")
    given = {name: value for name, value in values.items() if value}
    return {**secrets, **given, **own, "FUNCTION_TARGET": side}


def _own(values: Mapping[str, str]) -> Iterator[SettingError]:
    for name, (pattern, expected) in OWN.items():
        if values.get(name) and not pattern.fullmatch(values[name]):
            yield SettingError(name, f"is {values[name]!r}", f"use {expected}")


def _addresses(values: Mapping[str, str]) -> Iterator[SettingError]:
    """Loopback serves the emulator; a deployed function would find nobody there."""
    for name in ADDRESSES:
        address = values.get(name, "")
        if address and urlsplit(address).scheme != "https":
            yield SettingError(
                name, "is not https", "leave it out, or name an https address: nothing is deployed otherwise"
            )


def _secrets(values: Mapping[str, str]) -> Iterator[SettingError]:
    for name in ("SENDGRID_API_KEY_SECRET", "CALLOUT_SIGNING_KEY_SECRET"):
        found = SECRET.fullmatch(values.get(name, ""))
        project = values.get("GOOGLE_CLOUD_PROJECT")
        if values.get(name) and found is None:
            yield SettingError(name, "is not projects/P/secrets/S", "leave it out: deploy.sh knows its own secret")
        elif found is not None and project and found["project"] != project:
            yield SettingError(name, "is in another project", f"use one of {project}, whose access deploy.sh can grant")


def _instances(values: Mapping[str, str]) -> Iterator[SettingError]:
    least, most = values.get("MIN_INSTANCES") or "0", values.get("MAX_INSTANCES") or "10"
    if least.isdigit() and most.isdigit() and int(least) > int(most):
        yield SettingError("MIN_INSTANCES", f"is above MAX_INSTANCES ({most})", "lower it")
