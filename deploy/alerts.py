"""Create the metrics and alerts of the files in alerts/, or update those that differ."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.gcloud import Gcloud, items, text
from deploy.resources import enabled_apis

FILES = Path(__file__).with_suffix("")
POLICIES = ("alpha", "monitoring", "policies")
Step = tuple[tuple[str, ...], str, dict[str, Any]]  # a command, its flag for a file, and what is in the file


def alerts(gcloud: Gcloud, deployment: Deployment, channel: str) -> None:
    """Create or update everything; the alerts go to the notification channel."""
    name = _channel(gcloud, channel)
    metrics = gcloud.read_existing("logging", "metrics", "list", parse=lambda found: _by(items(found), "name"))
    policies = gcloud.read_existing(*POLICIES, "list", parse=lambda found: _by(items(found), "displayName"))
    steps = [*_metrics(deployment, metrics), *_policies(deployment, policies, name)]
    for command, flag, content in steps:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, "alert.json")
            file.write_text(json.dumps(content), "utf-8")
            gcloud.write(*command, f"{flag}={file}")
    gcloud.say(f"{len(steps)} metrics and alerts were changed." if steps else "All metrics and alerts are up to date.")


def _channel(gcloud: Gcloud, channel: str) -> str:
    """Return the channel's full name. Without the API there can't be one."""
    words = ("beta", "monitoring", "channels", "describe", channel)
    found = None
    if "monitoring.googleapis.com" in enabled_apis(gcloud):
        found = gcloud.read(*words, parse=lambda found: text(found["name"]))
    if found is None:
        listed = f"gcloud beta monitoring channels list --project={gcloud.project}"
        raise DeployError(f"there is no notification channel {channel}", f"{listed} lists them")
    return found


def _metrics(deployment: Deployment, existing: dict[str, Any]) -> Iterator[Step]:
    for metric in wanted("metrics", deployment.public):
        found = existing.get(metric["name"])
        if not _matches(metric, found):
            verb = "update" if found else "create"
            yield ("logging", "metrics", verb, metric["name"]), "--config-from-file", metric


def _policies(deployment: Deployment, existing: dict[str, Any], channel: str) -> Iterator[Step]:
    for policy in wanted("policies", deployment.public):
        content = {**policy, "notificationChannels": [channel]}
        found = existing.get(policy["displayName"])
        if not _matches(content, found):
            command = ("update", text(found["name"])) if found else ("create",)
            yield (*POLICIES, *command), "--policy-from-file", content


def wanted(kind: str, service: str) -> list[dict[str, Any]]:
    """Return the content of a file for one service."""
    content = (FILES / f"{kind}.yaml").read_text("utf-8")
    found = yaml.safe_load(content.replace("SERVICE", service).replace("METRIC", service.replace("-", "_")))
    return list(found)


def _by(found: list[Any], key: str) -> dict[str, Any]:
    return {text(each[key]): each for each in found}


def _matches(wanted: Any, found: Any) -> bool:
    """Return whether everything that is wanted was found; Google's JSON omits zeros."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_matches(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_matches, wanted, found))
    return bool(wanted == found or (found is None and wanted in (0, "0s")))
