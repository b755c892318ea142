"""The steps of a run, in the order in which they began: what a timeline shows, as text or as a page."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from emulator.cloud_run.service import COPY
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
TENANT_LOG = {"scp": "scp: success change password"}  # Auth0's codes, where they are no words
MAX_KEPT_CHARACTERS = 256  # characters of an execution's console that Auth0 keeps


@dataclass(frozen=True)
class Block:
    """Something to read whole, such as the bytes of a request."""

    title: str
    text: str


@dataclass(frozen=True)
class Step:
    """`at` is unix seconds, `seconds` how long it took; `on_purpose` names the switch that made it go wrong."""

    at: float
    who: str
    what: str
    state: State = "info"
    seconds: float = 0.0
    on_purpose: str = ""
    blocks: tuple[Block, ...] = ()
    mail: int = 0  # the number of the mail that it brought


def steps(run: Run) -> list[Step]:
    entries = run.entries
    exchanges = [entry for entry in entries if entry.kind == "function.exchange"]
    first_sent = [entry for entry in exchanges if not _is_copy(entry)]
    found = [step for entry in entries for step in entry_steps(entry, first_sent)]
    return sorted(found, key=lambda step: step.at)


def entry_steps(entry: Entry, exchanges: Sequence[Entry] = ()) -> Iterator[Step]:
    """`exchanges` are those of the callouts, as the function's side saw them."""
    service, _, kind = entry.kind.partition(".")
    if entry.kind == "auth0.execution":
        yield from _execution(entry, exchanges)
    elif entry.kind in _SINGLE:
        yield _SINGLE[entry.kind](entry)
    elif kind == "log":
        yield _log(entry, service)
    elif kind == "exchange" and service in SERVICES and entry not in exchanges:
        yield _exchange(entry, SERVICES[service])


def _execution(entry: Entry, exchanges: Sequence[Entry]) -> Iterator[Step]:
    data = entry.data
    email = (data["event"].get("user") or {}).get("email") if isinstance(data["event"].get("user"), dict) else None
    event = Block("event", pretty_json(data["event"]))
    yield Step(data["started"], "Event", f"password of {email or 'a user without an address'} changed", blocks=(event,))
    yield from _callouts(data, exchanges)
    kept = MAX_KEPT_CHARACTERS
    for line in data["logs"]:
        yield _console(entry.at, line["text"], kept)
        kept -= len(line["text"]) + 1
    yield _ending(entry)


def _ending(entry: Entry) -> Step:
    error, seconds = entry.data["error"], entry.at - entry.data["started"]
    blocks = [Block("durations", pretty_json(entry.data["stats"]))]
    if error is None:
        return Step(entry.at, "Auth0", f"{entry.data['action']} succeeded", "ok", seconds, blocks=tuple(blocks))
    blocks.insert(0, Block("error", error["stack"] or f"{error['name']}: {error['message']}"))
    what = f"{entry.data['status']}: {error['message']}"
    return Step(entry.at, "Auth0", what, "fail", seconds, blocks=tuple(blocks))


def _callouts(data: Json, exchanges: Sequence[Entry]) -> Iterator[Step]:
    """A step for each attempt of the Action: what it sent, and what the function's side answered."""
    at = float(data["started"])
    for number, fetch in enumerate(data["fetches"], 1):
        exchange = exchanges[number - 1] if number <= len(exchanges) else None
        at = _start(exchange) if exchange else at
        seconds = float(fetch.get("duration_ms", 0)) / 1000
        yield _callout(fetch, exchange, number, at, seconds)
        at += seconds


def _callout(fetch: Json, exchange: Entry | None, number: int, at: float, seconds: float) -> Step:
    again = f", attempt {number}" if number > 1 else ""
    outcome = fetch["error"] or str(fetch["status"])
    blocks = [Block("request", request_text(fetch["method"], fetch["url"], fetch["headers"], fetch["body"]))]
    if exchange:
        blocks.append(Block("answer", response_text(exchange.data)))
        # Where what arrived is not what was sent, both are to be seen.
        if _on_purpose(exchange.data):
            blocks.insert(1, Block("as it arrived", _request(exchange.data)))
    return Step(
        at=at,
        who="Callout",
        what=f"signed {fetch['method']} to the function{again} → {outcome}",
        state="ok" if fetch["status"] in (200, 202) and not fetch["error"] else "fail",
        seconds=seconds,
        on_purpose=_on_purpose(exchange.data) if exchange else "",
        blocks=tuple(blocks),
    )


def _console(at: float, text: str, kept: int) -> Step:
    cut = text[max(kept, 0) :]
    blocks = [Block("kept by Auth0", text[: max(kept, 0)]), *([Block("cut by Auth0", cut)] if cut else [])]
    return Step(at, "Console", text, blocks=tuple(blocks))


def _tenant_log(entry: Entry) -> Step:
    kind = str(entry.data.get("type"))
    state: State = "ok" if kind == "scp" else "fail"
    return Step(
        entry.at, "Auth0 log", TENANT_LOG.get(kind, kind), state, blocks=(Block("entry", pretty_json(entry.data)),)
    )


def _mail(entry: Entry) -> Step:
    to = ", ".join(person["email"] for person in entry.data["to"])
    return Step(entry.at, "Inbox", f"“{entry.data['subject']}” for {to}", "ok", mail=int(entry.data["id"]))


def _log(entry: Entry, service: str) -> Step:
    fields = entry.data["fields"]
    severity = str(fields.get("severity", ""))
    bad: State = "fail" if severity in ("ERROR", "CRITICAL") else "warn" if severity == "WARNING" else "info"
    side = "deliver" if entry.data.get("side") == "deliver" else service
    who = f"{SERVICES.get(side, side)} {'console' if fields.get('console') else 'log'}"
    cause = f": {fields['cause']}" if "cause" in fields else ""
    said = str(fields.get("message", entry.data["line"])).splitlines() or [""]
    first = said[-1] if said[0].startswith("Traceback") else said[0]  # of a traceback, what it came to
    what = f"{severity} {first}{cause}".strip()
    return Step(entry.at, who, what, bad, blocks=(_line(fields, entry.data["line"]),))


def _line(fields: Json, line: str) -> Block:
    if not fields:
        return Block("line", line)
    # A stack is read line by line.
    return Block("line", pretty_json(fields).replace("\\n", "\n    "))


def _attempt(entry: Entry) -> Step:
    data = entry.data
    done = 200 <= data["status"] < 300
    outcome = data["status"] or data["problem"]
    later = f", again in {data['next_retry_s']:.0f} s" if data["next_retry_s"] is not None else ""
    what = f"attempt {data['attempt']} → {outcome}{later}"
    seconds = data["duration_ms"] / 1000
    return Step(entry.at - seconds, "Cloud Tasks", what, "ok" if done else "fail", seconds)


def _task_done(entry: Entry) -> Step:
    how, attempts = entry.data["how"], entry.data["attempts"]
    return Step(entry.at, "Cloud Tasks", f"task {how} after {attempts} attempt{'s' if attempts > 1 else ''}", "ok")


def _sandboxed(entry: Entry) -> Step:
    return Step(entry.at, "Inbox", "nothing: sandbox mode", "ok")


def _uncaught(entry: Entry) -> Step:
    return Step(entry.at, "Auth0", f"thrown where nobody waits: {entry.data['error']['message']}", "warn")


# The kinds of entries that are one step each, beside exchanges and log lines.
_SINGLE: Mapping[str, Callable[[Entry], Step]] = {
    "auth0.log": _tenant_log,
    "auth0.uncaught": _uncaught,
    "sendgrid.mail": _mail,
    "sendgrid.sandbox": _sandboxed,
    "cloud_tasks.attempt": _attempt,
    "cloud_tasks.done": _task_done,
}


def _exchange(entry: Entry, who: str) -> Step:
    data = entry.data
    again = "the same again: " if _is_copy(entry) else ""
    reason = f" {_short(data['response']['body'])}" if data["status"] >= 400 else ""
    what = f"{again}{_asked(data)} → {data['status'] or 'no answer'}{reason}"
    blocks = (Block("request", _request(data)), Block("answer", response_text(data)))
    state: State = "ok" if 200 <= data["status"] < 400 else "fail"
    return Step(_start(entry), who, what, state, data["duration_ms"] / 1000, _on_purpose(data), blocks)


def _asked(data: Json) -> str:
    path = data["path"].partition("?")[0]
    secret = re.search(r"/secrets/([^/]+)/versions/([^/]+):access$", path)
    if secret:
        return f"read {secret[1]}, version {secret[2]}"
    queue = re.search(r"/queues/([^/]+)/tasks$", path)
    return f"create a task in {queue[1]}" if queue and data["method"] == "POST" else f"{data['method']} {path}"


def _on_purpose(data: Json) -> str:
    tricks = [value for name, value in data["response"]["headers"] if name == "X-Emulator-Fault"]
    return str(data["fault"] or "".join(tricks[:1]))


def _is_copy(entry: Entry) -> bool:
    return any(name == COPY for name, _ in entry.data["request"]["headers"])


def _start(entry: Entry) -> float:
    return float(entry.at - entry.data["duration_ms"] / 1000)


def _request(data: Json) -> str:
    return request_text(data["method"], data["path"], data["request"]["headers"], data["request"]["body"])


def request_text(method: str, path: str, headers: Sequence[Sequence[str]], body: str) -> str:
    """A request as it stands on the wire."""
    return "\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", body])


def response_text(data: Json) -> str:
    if not data["status"]:
        return "(none)"
    head = [f"HTTP/1.1 {data['status']}", *(f"{name}: {value}" for name, value in data["response"]["headers"])]
    return "\n".join([*head, "", data["response"]["body"]])


def pretty_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _short(body: str) -> str:
    """An error's own words, whoever says them."""
    try:
        said = json.loads(body)
        errors = said["errors"] if "errors" in said else [said["error"]]
        return "; ".join(str(error["message"]) for error in errors)[:100]
    except (ValueError, KeyError, TypeError):
        return body[:100].replace("\r", "").replace("\n", " ")
