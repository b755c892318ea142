"""Find the callout that a journal entry belongs to: by the webhook-id that it carries, never by its time."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.core.journal import Entry

TRACE_FIELD = "logging.googleapis.com/trace"


def callout_id(entry: Entry) -> str:
    """Return the webhook-id that the entry carries, or the trace derived from it, or an empty string."""
    return next((candidate for candidate in _candidates(entry) if candidate), "")


def _candidates(entry: Entry) -> Iterator[str]:
    data = entry.data
    match entry.kind.partition("."):
        case ("function" | "deliver", _, "callout") | ("cloud_tasks", _, "attempt" | "done"):
            yield _text(data, "webhook_id")
        case ("function" | "deliver", _, "exchange"):
            yield from _header_values(data["request"]["headers"])
        case ("function" | "deliver", _, "log"):
            # A line about a callout that isn't verified yet carries only its trace.
            yield _text(data, "fields", "callout") or _text(data, "fields", TRACE_FIELD).rpartition("/")[2]
        case ("sendgrid", _, "exchange"):
            yield _webhook_id_of_email(_parse(data["request"]["body"]))
        case ("cloud_tasks", _, "exchange"):
            headers = _field(_parse(data["request"]["body"]), "task", "httpRequest", "headers")
            yield from _header_values(headers.items() if isinstance(headers, Mapping) else ())
        case ("sendgrid", _, _):
            yield _text(data, "custom_args", "webhook_id")


def _webhook_id_of_email(body: Any) -> str:
    """Return the custom argument of a request to send an email, of the whole request or of its first recipients."""
    personalizations = _field(body, "personalizations")
    first = personalizations[0] if isinstance(personalizations, list) and personalizations else {}
    return _text(body, "custom_args", "webhook_id") or _text(first, "custom_args", "webhook_id")


def _header_values(headers: Any) -> Iterator[str]:
    return (str(value) for name, value in headers if str(name).lower() == "webhook-id")


def _parse(body: str) -> Any:
    try:
        return json.loads(body or "{}")
    except (ValueError, RecursionError):
        return {}


def _field(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(value: Any, *path: str) -> str:
    field = _field(value, *path)
    return field if isinstance(field, str) else ""
