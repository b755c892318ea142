"""env.yaml: parsed strictly, so that deploy.sh, gcloud, and the function read the same values, and validated.

The function's own settings check validates it; placeholders replace the values that only deploy.sh knows.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from notice.languages import available
from settings import PRIVATE_TARGET, PUBLIC_TARGET, SettingError, SettingsError, load

LINE = re.compile(
    r'(?P<name>[A-Z][A-Z0-9_]*):(?:[ \t]+(?:"(?P<quoted>[^"\\]*)"|(?P<bare>[\w./:+@,-]+)))?[ \t]*(?:#.*)?'
)
SECRET = re.compile(r"projects/(?P<project>[^/]+)/secrets/(?P<secret>[\w-]+)(/versions/(?P<version>[\w-]+))?")
SERVICE = re.compile(r"[a-z]([a-z0-9-]{4,20})[a-z0-9]")

# The settings that only deploy.sh reads: the pattern, and what to use.
DEPLOYMENT_SETTINGS = {
    "SERVICE": (SERVICE, "6 to 22 lowercase letters, digits, and hyphens, starting with a letter"),
    "REGION": (re.compile(r"[a-z]+-[a-z]+[0-9]+"), "a region that has Cloud Run and Cloud Tasks, such as europe-west1"),
    "SECRETS": (re.compile("mounted|client"), "mounted or client"),
    "MIN_INSTANCES": (re.compile("[0-9]{1,3}"), "a whole number from 0 to 999"),
    "MAX_INSTANCES": (re.compile("[1-9][0-9]{0,2}"), "a whole number from 1 to 999"),
}
URLS = ("SENDGRID_URL", "SECRET_MANAGER_ENDPOINT", "CLOUD_TASKS_ENDPOINT", "DELIVER_URL")


def read(path: Path) -> dict[str, str]:
    """Return the values of a file of NAME: "value" lines. Raise SettingsError, which lists every invalid line."""
    values: dict[str, str] = {}
    errors = []
    for number, line in enumerate(_read_lines(path), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            errors.append(SettingError(f"line {number}", "is malformed", 'use NAME: "value", without " or \\ inside'))
        elif match["name"] in values:
            errors.append(SettingError(match["name"], f"is set again on line {number}", "keep one of the lines"))
        else:
            values[match["name"]] = match["quoted"] or match["bare"] or ""
    if errors:
        raise SettingsError(errors)
    return values


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fix = "copy env.yaml.example to it and change the values"
        raise SettingsError([SettingError(str(path), "can't be read", fix)]) from error


def find_errors(values: Mapping[str, str]) -> list[SettingError]:
    """Return everything that would keep a deployment with these values from working, each error once."""
    errors = [*_check_deployment_settings(values), *_check_urls(values), *_check_secrets(values)]
    errors += _check_instances(values)
    for target in (PUBLIC_TARGET, PRIVATE_TARGET):
        try:
            load(_with_placeholders(values, target), languages=available())
        except SettingsError as error:
            errors += [each for each in error.errors if each not in errors]
    return errors


def sending_environment(values: Mapping[str, str], project: str = "") -> dict[str, str]:
    """Return the environment of the service that sends email, with the secrets' names as deploy.sh chooses them."""
    project = project or values.get("GOOGLE_CLOUD_PROJECT") or "PROJECT"
    prefix = f"projects/{project}/secrets/"
    if values.get("SERVICE") not in (None, "", "password-notice"):
        prefix += f"{values['SERVICE']}-"
    secrets = {
        "SENDGRID_API_KEY_SECRET": f"{prefix}sendgrid-api-key",
        "CALLOUT_SIGNING_KEY_SECRET": f"{prefix}callout-signing-key",
    }
    return {**secrets, **{name: value for name, value in values.items() if value}, "FUNCTION_TARGET": PRIVATE_TARGET}


def _with_placeholders(values: Mapping[str, str], target: str) -> dict[str, str]:
    """Return the environment of the service with this target, with a placeholder for each value that deploy.sh sets."""
    placeholders = {
        "DELIVERY": values.get("DELIVERY") or "queue",
        "TASKS_QUEUE": "projects/p/locations/l/queues/q",
        "DELIVER_URL": "https://deliver.example.com",
        "DELIVER_INVOKER": "invoker@example.com",
    }
    secrets = dict.fromkeys(("SENDGRID_API_KEY_SECRET", "CALLOUT_SIGNING_KEY_SECRET"), "projects/p/secrets/s")
    given = {name: value for name, value in values.items() if value}
    return {**secrets, **given, **placeholders, "FUNCTION_TARGET": target}


def _check_deployment_settings(values: Mapping[str, str]) -> Iterator[SettingError]:
    for name, (pattern, expected) in DEPLOYMENT_SETTINGS.items():
        if values.get(name) and not pattern.fullmatch(values[name]):
            yield SettingError(name, f"is {values[name]!r}", f"use {expected}")


def _check_urls(values: Mapping[str, str]) -> Iterator[SettingError]:
    """Plain http is for the emulator on loopback, which a deployed function can't reach."""
    for name in URLS:
        url = values.get(name, "")
        if url and urlsplit(url).scheme != "https":
            yield SettingError(name, "is not https", "omit it, or use an https URL; http works only with the emulator")


def _check_secrets(values: Mapping[str, str]) -> Iterator[SettingError]:
    for name in ("SENDGRID_API_KEY_SECRET", "CALLOUT_SIGNING_KEY_SECRET"):
        match = SECRET.fullmatch(values.get(name, ""))
        project = values.get("GOOGLE_CLOUD_PROJECT")
        if values.get(name) and match is None:
            yield SettingError(name, "is not projects/P/secrets/S", "omit it: deploy.sh sets its own secret")
        elif match is not None and project and match["project"] != project:
            fix = f"use a secret in {project}: deploy.sh can grant access only there"
            yield SettingError(name, "is in another project", fix)


def _check_instances(values: Mapping[str, str]) -> Iterator[SettingError]:
    minimum, maximum = values.get("MIN_INSTANCES") or "0", values.get("MAX_INSTANCES") or "10"
    if minimum.isdigit() and maximum.isdigit() and int(minimum) > int(maximum):
        yield SettingError("MIN_INSTANCES", f"is above MAX_INSTANCES ({maximum})", "lower it")
