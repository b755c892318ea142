"""Read env.yaml with a YAML parser, and validate it with the function's own rules."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import yaml

from deploy.deployment import DEPLOYMENT_SETTINGS, OWN_SECRET, SECRET_NAMES, Deployment
from deploy.gcloud import DeployError, Gcloud
from notice.languages import is_available
from notice.sendgrid import KEY_PATTERN
from settings import PRIVATE_TARGET, PUBLIC_TARGET, SECRET_RESOURCE, SettingError, SettingsError, load

FUNCTION_NAMES = re.findall(
    r"\w+",
    "SENDER_EMAIL SENDER_NAME SUPPORT_CONTACT PRODUCT_NAME DEFAULT_LANGUAGE CONTEXT OWN_ADDRESSES ALLOWED_TENANTS "
    "SENDGRID_URL DELIVERY THREADS SECRET_MAX_AGE_SECONDS SECRET_MANAGER_ENDPOINT CLOUD_TASKS_ENDPOINT "
    "GOOGLE_CLOUD_PROJECT REQUESTS_CA_BUNDLE HTTPS_PROXY NO_PROXY https_proxy no_proxy",
)
SET_BY_DEPLOY = ("TASKS_QUEUE", "DELIVER_URL", "DELIVER_INVOKER", "FUNCTION_TARGET")
DEBUGGERS = ("DEBUG", "FLASK_DEBUG", "PYTHONBREAKPOINT", "PYTHONINSPECT", "PYTHONDEVMODE")
PATTERNS = {
    **DEPLOYMENT_SETTINGS,
    "DELIVERY": ("queue|direct", "queue or direct"),
    "GOOGLE_CLOUD_PROJECT": (r"[^/\s]+", "a project's ID"),
}
URL_SETTINGS = ("SENDGRID_URL", "SECRET_MANAGER_ENDPOINT", "CLOUD_TASKS_ENDPOINT")
Problem = tuple[str, str] | None  # what is wrong with a setting, and the fix


def read_deployment(file: Path) -> Deployment:
    """Return the deployment that env.yaml describes; SERVICE and REGION may come from the environment.

    Raise DeployError with every error.
    """
    overrides = {name: os.environ[name] for name in ("SERVICE", "REGION") if os.environ.get(name)}
    try:
        values = {**read(file), **overrides}
        check(values)
        values["GOOGLE_CLOUD_PROJECT"] = values.get("GOOGLE_CLOUD_PROJECT") or Gcloud().read_property("project")
        check(values)  # again: secrets must be the project's
    except SettingsError as error:
        origin = [f"{name} came from the environment" for name in overrides]
        raise DeployError(f"{file} has errors, and nothing was changed:", *map(str, error.errors), *origin) from None
    if not values["GOOGLE_CLOUD_PROJECT"]:
        raise DeployError(f"no project: gcloud config set project PROJECT, or GOOGLE_CLOUD_PROJECT in {file}")
    return Deployment(values, file)


def read(path: Path) -> dict[str, str]:
    """Return the names and values of a YAML map of text; null is an empty value.

    Raise SettingsError with every error; no value is echoed.
    """
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        fix = "copy env.yaml.example to it, and edit the values"
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
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "a character isn't allowed")
    line = f"line {mark.line + 1}" if mark else "the file"
    return SettingError(line, f"isn't YAML ({problem})", 'write NAME: "value"')


def check(values: Mapping[str, str]) -> None:
    """Raise SettingsError with everything that would keep a deployment with these values from working."""
    problems = {name: _find_problem(name, value, values) for name, value in values.items()}
    errors = [SettingError(name, *problem) for name, problem in problems.items() if problem]
    deployment = Deployment({name: value for name, value in values.items() if not problems[name]})
    for service, target in ((deployment.private, PRIVATE_TARGET), (deployment.public, PUBLIC_TARGET)):
        environment = deployment.environment(service, "https://deliver.example.com", mounted=False)
        try:
            load({**environment, "FUNCTION_TARGET": target}, is_language=is_available)
        except SettingsError as error:
            errors += [each for each in error.errors if not problems.get(each.name) and each not in errors]
    if errors:
        raise SettingsError(errors)


def _find_problem(name: str, value: str, values: Mapping[str, str]) -> Problem:
    """Return what is wrong with a setting, and the fix. A secret comes first: no other problem may show it."""
    problem = _find_secret(name, value) or _find_wrong_name(name)
    if problem or not value:
        return problem
    find = _find_wrong_secret if name.endswith("_SECRET") else _find_wrong_value
    return find(name, value, values)


def _find_secret(name: str, value: str) -> Problem:
    if name not in SECRET_NAMES and not KEY_PATTERN.search(value) and "whsec_" not in value:
        return None
    store = f"./deploy.sh secret {name.removesuffix('_SECRET')}"
    fix = f"remove the line, and store it: {store}; and replace it if others saw it"
    return "is a secret's value, which doesn't belong here", fix


def _find_wrong_name(name: str) -> Problem:
    if name in DEBUGGERS:
        return "would start a debugger in the public service", "remove it"
    if name in SET_BY_DEPLOY:
        return "is set by deploy.sh", "remove it"
    known = [*FUNCTION_NAMES, *DEPLOYMENT_SETTINGS, *(f"{name}_SECRET" for name in SECRET_NAMES)]
    if name in known or re.fullmatch("[A-Z][A-Z0-9_]*_SECRET", name):
        return None
    nearest = get_close_matches(name, known, 1)
    fix = f"did you mean {nearest[0]}?" if nearest else "remove it; env.yaml.example lists all settings"
    return "isn't a setting", fix


def _find_wrong_secret(name: str, value: str, values: Mapping[str, str]) -> Problem:
    short, own, project = name.removesuffix("_SECRET"), OWN_SECRET.fullmatch(value), values.get("GOOGLE_CLOUD_PROJECT")
    if short in SECRET_NAMES and not own:
        return "isn't projects/P/secrets/S", "remove it: deploy.sh knows its own secret"
    if short in SECRET_NAMES and own and project and own["project"] != project:
        return "is in another project", f"use one of {project}: deploy.sh grants access there"
    if SECRET_RESOURCE.fullmatch(value) or re.fullmatch(r"/.*[^/]", value):
        return None
    return "isn't the name of a secret", f"use projects/P/secrets/S; ./deploy.sh secret {short} stores a value"


def _find_wrong_value(name: str, value: str, values: Mapping[str, str]) -> Problem:
    pattern, expected = PATTERNS.get(name, ("", ""))
    if pattern and not re.fullmatch(pattern, value):
        return f"is {value!r}", f"use {expected}"
    if name in URL_SETTINGS and not value.startswith("https://"):  # a deployed function would reach nothing on loopback
        return "isn't https", "remove it, or name an https URL"
    most = values.get("MAX_INSTANCES") or "10"
    if name == "MIN_INSTANCES" and most.isdigit() and int(value) > int(most):
        return f"is above MAX_INSTANCES ({most})", "lower it"
    return None
