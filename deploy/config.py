"""env.yaml: read by a YAML parser, and validated by the function's own rules before anything is changed."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from notice.languages import available
from notice.sendgrid import KEY_PATTERN
from settings import PRIVATE_TARGET, PUBLIC_TARGET, SECRET_RESOURCE, SettingError, SettingsError, load

# What the function reads, and what only deploy.sh reads: the pattern, and what it has to be.
FUNCTION_NAMES = re.findall(
    r"\w+",
    "SENDER_EMAIL SENDER_NAME SUPPORT_CONTACT PRODUCT_NAME DEFAULT_LANGUAGE CONTEXT OWN_ADDRESSES ALLOWED_TENANTS "
    "SENDGRID_URL DELIVERY THREADS SECRET_MAX_AGE_SECONDS SECRET_MANAGER_ENDPOINT CLOUD_TASKS_ENDPOINT "
    "GOOGLE_CLOUD_PROJECT REQUESTS_CA_BUNDLE HTTPS_PROXY NO_PROXY https_proxy no_proxy",
)
DEPLOYMENT_SETTINGS = {
    "SERVICE": (
        "[a-z][a-z0-9-]{4,20}[a-z0-9]",
        "6 to 22 lowercase letters, digits, and hyphens, starting with a letter",
    ),
    "REGION": ("[a-z]+-[a-z]+[0-9]+", "a region that has Cloud Run and Cloud Tasks, such as europe-west1"),
    "SECRETS": ("mounted|client", "mounted or client"),
    "MIN_INSTANCES": ("[0-9]{1,3}", "a whole number from 0 to 999"),
    "MAX_INSTANCES": ("[1-9][0-9]{0,2}", "a whole number from 1 to 999"),
    "REPLICATION": ("automatic|user-managed", "automatic or user-managed"),
    "INGRESS": ("all|internal-and-cloud-load-balancing", "all or internal-and-cloud-load-balancing"),
}
DEFAULT_SERVICE = "password-notice"
SET_BY_DEPLOY = ("TASKS_QUEUE", "DELIVER_URL", "DELIVER_INVOKER", "FUNCTION_TARGET")
DEBUGGERS = ("DEBUG", "FLASK_DEBUG", "PYTHONBREAKPOINT", "PYTHONINSPECT", "PYTHONDEVMODE")
ADDRESSES = ("SENDGRID_URL", "SECRET_MANAGER_ENDPOINT", "CLOUD_TASKS_ENDPOINT")
SECRET_NAMES = ("SENDGRID_API_KEY", "CALLOUT_SIGNING_KEY")
OWN_SECRET = re.compile(r"projects/(?P<project>[^/]+)/secrets/(?P<secret>[\w-]+)(/versions/(?P<version>[\w-]+))?")


def read(path: Path) -> dict[str, str]:
    """Return the names and values of a YAML map of text; null is an empty value.

    Raise SettingsError with everything that is wrong; no value is echoed.
    """
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        fix = "copy env.yaml.example to it, and change what is yours"
        raise SettingsError([SettingError(str(path), "can't be read", fix)]) from error
    except yaml.YAMLError as error:
        raise SettingsError([_syntax_error(error)]) from None  # its text quotes the line
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise SettingsError([SettingError("line 1", "isn't a setting", 'write NAME: "value"')])
    return _values(root)


def _values(root: yaml.MappingNode) -> dict[str, str]:
    values: dict[str, str] = {}
    errors = []
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            errors.append(SettingError(f"line {line}", "isn't a name with one value", 'write NAME: "value"'))
        elif key.value in values:
            errors.append(SettingError(key.value, f"appears twice, again in line {line}", "keep one of them"))
        else:
            values[key.value] = "" if value.tag.endswith(":null") else value.value
    if errors:
        raise SettingsError(errors)
    return values


def _syntax_error(error: yaml.YAMLError) -> SettingError:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else "a character isn't allowed"
    return SettingError(
        f"line {mark.line + 1}" if mark else "the file", f"isn't YAML ({problem})", 'write NAME: "value"'
    )


def find_errors(values: Mapping[str, str]) -> list[SettingError]:
    """Return everything that would keep a deployment with these values from working, each error once."""
    found = list(_secret_values(values))  # no further check may show these values
    shown = {name: value for name, value in values.items() if name not in {error.name for error in found}}
    found += [*_names(shown), *_own(shown), *_addresses(shown), *_secrets(shown), *_instances(shown)]
    known = {error.name for error in found}
    for target in (PUBLIC_TARGET, PRIVATE_TARGET):
        try:
            load(
                _environment({name: value for name, value in values.items() if name not in known}, target),
                languages=available(),
            )
        except SettingsError as error:
            found += [each for each in error.errors if each.name not in known and each not in found]
    return found


def sending_environment(values: Mapping[str, str], project: str = "") -> dict[str, str]:
    """Return the environment of the service that sends email, with the secrets' names as deploy.sh chooses them."""
    project = project or values.get("GOOGLE_CLOUD_PROJECT") or "PROJECT"
    service = values.get("SERVICE") or DEFAULT_SERVICE
    secrets = {f"{name}_SECRET": f"projects/{project}/secrets/{secret_id(service, name)}" for name in SECRET_NAMES}
    return {**secrets, **{name: value for name, value in values.items() if value}, "FUNCTION_TARGET": PRIVATE_TARGET}


def secret_id(service: str, name: str) -> str:
    """Return a secret's name; a second service in the same project has secrets of its own."""
    own = name.lower().replace("_", "-")
    return own if service == DEFAULT_SERVICE else f"{service}-{own}"


def _environment(values: Mapping[str, str], target: str) -> dict[str, str]:
    """Return the environment of one service, with a placeholder for each name that deploy.sh sets itself."""
    own = {
        "DELIVERY": values.get("DELIVERY") or "queue",
        "TASKS_QUEUE": "projects/p/locations/l/queues/q",
        "DELIVER_URL": "https://deliver.example.com",
        "DELIVER_INVOKER": "invoker@example.com",
    }
    secrets = {f"{name}_SECRET": "projects/p/secrets/s" for name in SECRET_NAMES}
    given = {name: value for name, value in values.items() if value}
    return {**secrets, **given, **own, "FUNCTION_TARGET": target}


def _secret_values(values: Mapping[str, str]) -> Iterator[SettingError]:
    for name, value in values.items():
        if name in SECRET_NAMES or KEY_PATTERN.search(value) or "whsec_" in value:
            secret = name.removesuffix("_SECRET")
            fix = f"remove the line, and store it: ./deploy.sh secret {secret}; and replace it if others saw it"
            yield SettingError(name, "is a secret's value, which doesn't belong here", fix)


def _names(values: Mapping[str, str]) -> Iterator[SettingError]:
    known = [*FUNCTION_NAMES, *DEPLOYMENT_SETTINGS, *(f"{name}_SECRET" for name in SECRET_NAMES)]
    for name in values:
        if name in DEBUGGERS:
            yield SettingError(name, "would start a debugger in the public service", "remove it")
        elif name in SET_BY_DEPLOY:
            yield SettingError(name, "is set by deploy.sh", "remove it")
        elif name not in known and not re.fullmatch("[A-Z][A-Z0-9_]*_SECRET", name):
            nearest = get_close_matches(name, known, 1)
            fix = f"did you mean {nearest[0]}?" if nearest else "remove it; env.yaml.example lists all settings"
            yield SettingError(name, "isn't a setting", fix)


def _own(values: Mapping[str, str]) -> Iterator[SettingError]:
    for name, (pattern, expected) in DEPLOYMENT_SETTINGS.items():
        if values.get(name) and not re.fullmatch(pattern, values[name]):
            yield SettingError(name, f"is {values[name]!r}", f"use {expected}")


def _addresses(values: Mapping[str, str]) -> Iterator[SettingError]:
    """Loopback is for the emulator; a deployed function would reach nothing there."""
    for name in ADDRESSES:
        if values.get(name) and urlsplit(values[name]).scheme != "https":
            yield SettingError(name, "isn't https", "remove it, or name an https URL")


def _secrets(values: Mapping[str, str]) -> Iterator[SettingError]:
    project = values.get("GOOGLE_CLOUD_PROJECT")
    for name, value in values.items():
        if not value or not name.endswith("_SECRET"):
            continue
        found, is_own = OWN_SECRET.fullmatch(value), name.removesuffix("_SECRET") in SECRET_NAMES
        if is_own and found is None:
            yield SettingError(name, "isn't projects/P/secrets/S", "remove it: deploy.sh knows its own secret")
        elif is_own and found and project and found["project"] != project:
            yield SettingError(name, "is in another project", f"use one of {project}: deploy.sh grants access there")
        elif not SECRET_RESOURCE.fullmatch(value) and not re.fullmatch(r"/.*[^/]", value):
            fix = f"use projects/P/secrets/S; ./deploy.sh secret {name.removesuffix('_SECRET')} stores a value"
            yield SettingError(name, "isn't the name of a secret", fix)


def _instances(values: Mapping[str, str]) -> Iterator[SettingError]:
    least, most = values.get("MIN_INSTANCES") or "0", values.get("MAX_INSTANCES") or "10"
    if least.isdigit() and most.isdigit() and int(least) > int(most):
        yield SettingError("MIN_INSTANCES", f"is above MAX_INSTANCES ({most})", "lower it")
