"""A run as text: what happened, when, and the mail that came of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.emulator import Run
from emulator.journal import Entry

WIDTH = 15


def timeline(run: Run) -> str:
    """A line for each step, with milliseconds since the password was changed."""
    began = run.entries[0].at if run.entries else 0.0
    rows = sorted((row for entry in run.entries for row in _rows(entry)), key=lambda row: row[0])
    began = min((at for at, *_ in rows), default=began)
    return "\n".join(f"{(at - began) * 1000:8.1f} ms  {who:<{WIDTH}} {what}" for at, who, what in rows)


def mails(run: Run) -> str:
    """The mails of the run, as they were accepted."""
    return "\n\n".join(_mail(entry.data) for entry in run.mails)


def _mail(mail: Mapping[str, Any]) -> str:
    to = ", ".join(person["email"] for person in mail["to"])
    head = [f"From: {_person(mail['from'])}", f"To: {to}", f"Subject: {mail['subject']}"]
    return "\n".join([*head, "", *str(mail["text"]).splitlines()])


def _person(person: Mapping[str, str]) -> str:
    return f"{person['name']} <{person['email']}>" if person.get("name") else person["email"]


def _rows(entry: Entry) -> Iterator[tuple[float, str, str]]:
    data = entry.data
    match entry.kind:
        case "auth0.execution":
            yield from _execution(entry)
        case "auth0.log":
            yield entry.at, "Auth0 log", str(data.get("type"))
        case "secret_manager.exchange":
            yield _start(entry), "Secret Manager", _exchange(data)
        case "sendgrid.exchange":
            yield _start(entry), "SendGrid", _exchange(data)
        case "sendgrid.mail":
            yield (
                entry.at,
                "inbox",
                f"mail {data['message_id']} to {', '.join(person['email'] for person in data['to'])}",
            )
        case "function.log":
            fields = data["fields"]
            yield (
                entry.at,
                "function log",
                f"{fields.get('severity', '')} {fields.get('message', data['line'])}".strip(),
            )


def _execution(entry: Entry) -> Iterator[tuple[float, str, str]]:
    data = entry.data
    at = entry.at - data["stats"].get("total_request_duration_ms", 0) / 1000
    yield at, "Auth0", f"{data['action']} starts"
    for fetch in data["fetches"]:
        ended = f"{fetch['status'] or fetch['error']} in {fetch['duration_ms']:.0f} ms"
        yield at + fetch.get("started_ms", 1) / 1000, "Auth0", f"{fetch['method']} {fetch['url']}, signed → {ended}"
    for line in data["logs"]:
        yield entry.at, "console", line["text"]
    error = data["error"]
    yield entry.at, "Auth0", f"{data['status']}: {error['message']}" if error else "success"


def _start(entry: Entry) -> float:
    return float(entry.at - entry.data["duration_ms"] / 1000)


def _exchange(data: Mapping[str, Any]) -> str:
    fault = f" (on purpose: {data['fault']})" if data["fault"] else ""
    reason = "" if data["status"] < 400 else f" {_short(data['response']['body'])}"
    return f"{data['method']} {data['path'].partition('?')[0]} → {data['status'] or 'no answer'}{fault}{reason}"


def _short(body: str) -> str:
    try:
        return "; ".join(str(error["message"]) for error in json.loads(body)["errors"])[:100]
    except (ValueError, KeyError, TypeError):
        return body[:100].replace("\n", " ")
