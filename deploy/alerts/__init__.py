"""Create the metrics and alerts of this folder's files, or update those that differ."""

import json
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud, items, text
from deploy.resources import enabled_apis

METRICS, POLICIES = ("logging", "metrics"), ("alpha", "monitoring", "policies")


def alerts(gcloud: Gcloud, deployment: Deployment, options: Namespace) -> None:
    """Create or update the metrics and alerts, which go to the notification channel."""
    channels = {"notificationChannels": [_channel(gcloud, options.CHANNEL)]}
    policies = [{**policy, **channels} for policy in wanted("policies", deployment.public)]
    metrics = list(_changes(gcloud, METRICS, "name", wanted("metrics", deployment.public)))
    changes = [*metrics, *_changes(gcloud, POLICIES, "displayName", policies)]
    for words, content in changes:
        flag = "--config-from-file" if words[:2] == METRICS else "--policy-from-file"
        gcloud.write_file(*words, flag=flag, content=json.dumps(content))
    gcloud.say(f"{len(changes)} metrics and alerts were changed." if changes else "Everything is up to date.")


def _channel(gcloud: Gcloud, channel: str) -> str:
    """Return the channel's full name. If the API isn't enabled, there are no channels."""
    words = ("beta", "monitoring", "channels", "describe", channel)
    found = None
    if "monitoring" in enabled_apis(gcloud):
        found = gcloud.read(*words, parse=lambda found: text(found["name"]))
    if found is None:
        listed = f"gcloud beta monitoring channels list --project={gcloud.project}"
        raise DeployError(f"there is no notification channel {channel}", f"{listed} lists them")
    return found


def wanted(kind: str, service: str) -> list[dict[str, Any]]:
    """Return the definitions in a file, for one service."""
    content = Path(__file__).with_name(f"{kind}.yaml").read_text("utf-8")
    return list(yaml.safe_load(content.replace("SERVICE", service).replace("METRIC", service.replace("-", "_"))))


def _changes(
    gcloud: Gcloud, group: tuple[str, ...], key: str, contents: Iterable[dict[str, Any]]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the commands that create what is absent and update what differs, with what each reads."""
    existing = gcloud.read_existing(
        *group, "list", parse=lambda found: {text(each[key]): (text(each["name"]), each) for each in items(found)}
    )
    for content in contents:
        name, found = existing.get(content[key], ("", None))
        if found is None:
            yield (*group, "create", *([content["name"]] if "name" in content else [])), content
        elif not _matches(content, found):
            yield (*group, "update", name), content


def _matches(expected: Any, actual: Any) -> bool:
    """Return whether `actual` contains everything in `expected`; Google's JSON omits zeros."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(_matches(value, actual.get(key)) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(actual, list) and len(actual) == len(expected) and all(map(_matches, expected, actual))
    return bool(expected == actual or (actual is None and expected in (0, "0s")))
