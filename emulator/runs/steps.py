"""The steps of a run, in order of their start, for the timeline in the terminal and on the page."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from emulator.cloud_run.service import COPY_HEADER
from emulator.core.journal import Entry
from emulator.runs.run import Run

State = Literal["ok", "info", "warn", "fail"]
Json = Mapping[str, Any]

SERVICES = {
    "function": "Function",
    "deliver": "Deliver",
    "secret_manager": "Secret Manager",
    "sendgrid": "SendGrid",
    "cloud_tasks": "Cloud Tasks",
}
TENANT_LOG = {"scp": "scp: success change password"}  # readable labels of Auth0's log codes
CLOCK_PRECISION_SECONDS = 0.002  # of the starts of fetches, in milliseconds, and of rounded durations
MAX_KEPT_CHARACTERS = 256  # of an execution's console output, in Auth0


@dataclass(frozen=True)
class Block:
    """A titled text, such as a complete request."""

    title: str
    text: str


@dataclass(frozen=True)
class Step:
    """One step: `at` is Unix time in seconds, `seconds` its duration, `fault` the name of an injected fault."""

    at: float
    who: str
    what: str
    state: State = "info"
    seconds: float = 0.0
    fault: str = ""
    blocks: tuple[Block, ...] = ()
    mail: int = 0  # the number of the email that it accepted


def steps(run: Run) -> list[Step]:
    """Return all steps of a run, sorted by time."""
    entries = run.entries
    exchanges = [entry for entry in entries if entry.kind == "function.exchange"]
    originals = sorted((entry for entry in exchanges if not _is_copy(entry)), key=_start)
    all_steps = [step for entry in entries for step in entry_steps(entry, originals)]
    if run.is_external:
        all_steps += _external_steps(run, originals)
    return sorted(all_steps, key=lambda step: step.at)


def entry_steps(entry: Entry, exchanges: Sequence[Entry] = ()) -> Iterator[Step]:
    """Yield the steps of one entry; `exchanges` are the callouts as recorded by the function's service."""
    service, _, kind = entry.kind.partition(".")
    if entry.kind == "auth0.execution":
        yield from _execution_steps(entry, exchanges)
    elif entry.kind in _STEP_OF_KIND:
        yield _STEP_OF_KIND[entry.kind](entry)
    elif kind == "log":
        yield _log_step(entry, service)
    elif kind == "exchange" and service in SERVICES and entry not in exchanges:
        yield _exchange_step(entry, SERVICES[service])


def _execution_steps(entry: Entry, exchanges: Sequence[Entry]) -> Iterator[Step]:
    data = entry.data
    email = (data["event"].get("user") or {}).get("email") if isinstance(data["event"].get("user"), dict) else None
    event = Block("event", pretty_json(data["event"]))
    yield Step(
        data["started"], "Event", f"password of {email or 'a user without an email address'} changed", blocks=(event,)
    )
    yield from _callout_steps(data, exchanges)
    remaining = MAX_KEPT_CHARACTERS
    for line in data["logs"]:
        yield _console_step(entry.at, line["text"], remaining)
        remaining -= len(line["text"]) + 1
    yield _end_step(entry)


def _external_steps(run: Run, exchanges: Sequence[Entry]) -> Iterator[Step]:
    """Yield the steps of an external callout, which didn't come from the emulated Auth0."""
    event = Block("event", pretty_json(run.event))
    yield Step(run.started, "Event", "external callout, such as a copied curl command", blocks=(event,))
    yield from _callout_steps({"started": run.started, "fetches": run.execution.fetches}, exchanges)


def _end_step(entry: Entry) -> Step:
    error, seconds = entry.data["error"], entry.at - entry.data["started"]
    blocks = [Block("durations", pretty_json(entry.data["stats"]))]
    if error is None:
        return Step(entry.at, "Auth0", f"{entry.data['action']} succeeded", "ok", seconds, blocks=tuple(blocks))
    blocks.insert(0, Block("error", error["stack"] or f"{error['name']}: {error['message']}"))
    what = f"{entry.data['status']}: {error['message']}"
    return Step(entry.at, "Auth0", what, "fail", seconds, blocks=tuple(blocks))


def _callout_steps(data: Json, exchanges: Sequence[Entry]) -> Iterator[Step]:
    """Yield a step for each attempt of the forwarder Action, with its request and response."""
    fetches = data["fetches"]
    starts = [float(fetch.get("started", data["started"])) for fetch in fetches]
    for number, (fetch, at, end) in enumerate(zip(fetches, starts, [*starts[1:], math.inf], strict=True), 1):
        # An earlier attempt's exchange can end later, so match by start; a lost attempt has none.
        arrived = (exchange for exchange in exchanges if at - CLOCK_PRECISION_SECONDS <= _start(exchange) < end)
        seconds = float(fetch.get("duration_ms", 0)) / 1000
        yield _callout_step(fetch, next(arrived, None), number, at, seconds)


def _callout_step(fetch: Json, exchange: Entry | None, number: int, at: float, seconds: float) -> Step:
    attempt = f", attempt {number}" if number > 1 else ""
    outcome = fetch["error"] or str(fetch["status"])
    blocks = [Block("request", request_text(fetch["method"], fetch["url"], fetch["headers"], fetch["body"]))]
    if exchange:
        blocks.append(Block("response", response_text(exchange.data)))
        # A fault can change the request on its way, so show it before and after.
        if _injected_fault(exchange.data):
            blocks.insert(1, Block("request as received", _request(exchange.data)))
    return Step(
        at=at,
        who="Callout",
        what=f"signed {fetch['method']} to the function{attempt} → {outcome}",
        state="ok" if fetch["status"] in (200, 202) and not fetch["error"] else "fail",
        seconds=seconds,
        fault=_injected_fault(exchange.data) if exchange else "",
        blocks=tuple(blocks),
    )


def _console_step(at: float, text: str, remaining: int) -> Step:
    truncated = text[max(remaining, 0) :]
    blocks = [Block("kept by Auth0", text[: max(remaining, 0)])]
    blocks += [Block("truncated by Auth0", truncated)] if truncated else []
    return Step(at, "Console", text, blocks=tuple(blocks))


def _tenant_log_step(entry: Entry) -> Step:
    kind = str(entry.data.get("type"))
    state: State = "ok" if kind == "scp" else "fail"
    logged = {name: value for name, value in entry.data.items() if name != "execution"}
    return Step(entry.at, "Auth0 log", TENANT_LOG.get(kind, kind), state, blocks=(Block("entry", pretty_json(logged)),))


def _email_step(entry: Entry) -> Step:
    to = ", ".join(person["email"] for person in entry.data["to"])
    return Step(entry.at, "Inbox", f"“{entry.data['subject']}” for {to}", "ok", mail=int(entry.data["number"]))


def _log_step(entry: Entry, service: str) -> Step:
    fields = entry.data["fields"]
    severity = str(fields.get("severity", ""))
    state: State = "fail" if severity in ("ERROR", "CRITICAL") else "warn" if severity == "WARNING" else "info"
    service = "deliver" if entry.data.get("side") == "deliver" else service
    who = f"{SERVICES.get(service, service)} {'console' if fields.get('console') else 'log'}"
    cause = f": {fields['cause']}" if "cause" in fields else ""
    lines = str(fields.get("message", entry.data["line"])).splitlines() or [""]
    summary = lines[-1] if lines[0].startswith("Traceback") else lines[0]  # a traceback ends with the exception
    what = f"{severity} {summary}{cause}".strip()
    return Step(entry.at, who, what, state, blocks=(_line_block(fields, entry.data["line"]),))


def _line_block(fields: Json, line: str) -> Block:
    if not fields:
        return Block("line", line)
    # Show the line breaks of a stack trace.
    return Block("line", pretty_json(fields).replace("\\n", "\n    "))


def _attempt_step(entry: Entry) -> Step:
    data = entry.data
    succeeded = 200 <= data["status"] < 300
    outcome = data["status"] or data["problem"]
    retry = f", retry in {data['next_retry_s']:.0f} s" if data["next_retry_s"] is not None else ""
    what = f"attempt {data['attempt']} → {outcome}{retry}"
    seconds = data["duration_ms"] / 1000
    return Step(entry.at - seconds, "Cloud Tasks", what, "ok" if succeeded else "fail", seconds)


def _task_end_step(entry: Entry) -> Step:
    how, attempts = entry.data["how"], entry.data["attempts"]
    return Step(entry.at, "Cloud Tasks", f"task {how} after {attempts} attempt{'s' if attempts > 1 else ''}", "ok")


def _sandbox_step(entry: Entry) -> Step:
    return Step(entry.at, "Inbox", "no email: sandbox mode", "ok")


def _uncaught_step(entry: Entry) -> Step:
    return Step(entry.at, "Auth0", f"unhandled exception: {entry.data['error']['message']}", "warn")


# Kinds of entries, other than exchanges and log lines, that become exactly one step.
_STEP_OF_KIND: Mapping[str, Callable[[Entry], Step]] = {
    "auth0.log": _tenant_log_step,
    "auth0.uncaught": _uncaught_step,
    "sendgrid.mail": _email_step,
    "sendgrid.sandbox": _sandbox_step,
    "cloud_tasks.attempt": _attempt_step,
    "cloud_tasks.done": _task_end_step,
}


def _exchange_step(entry: Entry, who: str) -> Step:
    data = entry.data
    duplicate = "duplicate: " if _is_copy(entry) else ""
    reason = f" {_error_message(data['response']['body'])}" if data["status"] >= 400 else ""
    what = f"{duplicate}{_operation(data)} → {data['status'] or 'no response'}{reason}"
    blocks = (Block("request", _request(data)), Block("response", response_text(data)))
    state: State = "ok" if 200 <= data["status"] < 400 else "fail"
    return Step(_start(entry), who, what, state, data["duration_ms"] / 1000, _injected_fault(data), blocks)


def _operation(data: Json) -> str:
    path = data["path"].partition("?")[0]
    secret = re.search(r"/secrets/([^/]+)/versions/([^/]+):access$", path)
    if secret:
        return f"read {secret[1]}, version {secret[2]}"
    queue = re.search(r"/queues/([^/]+)/tasks$", path)
    return f"create a task in {queue[1]}" if queue and data["method"] == "POST" else f"{data['method']} {path}"


def _injected_fault(data: Json) -> str:
    names = [value for name, value in data["response"]["headers"] if name == "X-Emulator-Fault"]
    return str(data["fault"] or "".join(names[:1]))


def _is_copy(entry: Entry) -> bool:
    return any(name == COPY_HEADER for name, _ in entry.data["request"]["headers"])


def _start(entry: Entry) -> float:
    return float(entry.at - entry.data["duration_ms"] / 1000)


def _request(data: Json) -> str:
    return request_text(data["method"], data["path"], data["request"]["headers"], data["request"]["body"])


def request_text(method: str, path: str, headers: Sequence[Sequence[str]], body: str) -> str:
    """Return a request as sent on the wire."""
    return "\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", body])


def response_text(data: Json) -> str:
    """Return a response as sent on the wire."""
    if not data["status"]:
        return "(none)"
    head = [f"HTTP/1.1 {data['status']}", *(f"{name}: {value}" for name, value in data["response"]["headers"])]
    return "\n".join([*head, "", data["response"]["body"]])


def pretty_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _error_message(body: str) -> str:
    """Return the error message in a response body, in Google's, SendGrid's, or the function's format."""
    try:
        parsed = json.loads(body)
        errors = parsed["errors"] if "errors" in parsed else [parsed["error"]]
        return "; ".join(str(error["message"]) for error in errors)[:100]
    except (ValueError, KeyError, TypeError):
        return body[:100].replace("\r", "").replace("\n", " ")
