"""The log: one JSON object a line on standard output, as Cloud Logging reads it, and the Actions' console.

What an Action prints or logs becomes lines too, as do other libraries' warnings. In every line the secrets that this
process has read and the user's address are masked.

Source of the key names: https://cloud.google.com/logging/docs/structured-logging
"""

import io
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from urllib.parse import quote

import markupsafe

Severity = Literal["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]

MAX_TEXT_CHARS = 8192  # characters of one text in one line; an entry may have 256 KB
_secrets: dict[str, tuple[str, ...]] = {}  # each with its spellings
_writing = threading.Lock()


class Scope:
    """What all lines of one callout have in common, and what is to be masked in them."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.masks: dict[str, str] = {}  # text, in any case → what stands in its place
        self.printed: dict[Severity, str] = {}  # of lines that an Action has not ended yet
        self.network_seconds = 0.0


_scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


@contextmanager
def context(**fields: Any) -> Iterator[Scope]:
    """Lines written inside carry `fields`; what is printed inside is an Action's console."""
    token = _scope.set(Scope(fields))
    try:
        yield _current()
    finally:
        _scope.reset(token)


def _current() -> Scope:
    return _scope.get() or Scope({})


def write(severity: Severity, message: str, **fields: Any) -> None:
    """One line. `fields` are JSON-ready; None is left out."""
    line = {"message": message, **_current().fields, **fields}
    cleaned = {name: _clean(value) for name, value in line.items() if value is not None}
    text = json.dumps({"severity": severity, **cleaned}, default=str)
    rest = text.encode() + b"\n"
    with _writing:  # lines of several threads never mix
        while rest:
            rest = rest[os.write(1, rest) :]


def add_network_seconds(seconds: float) -> None:
    """Count time that the current callout spent waiting for another service."""
    _current().network_seconds += seconds


def network_seconds() -> float:
    return _current().network_seconds


def bind(**fields: Any) -> None:
    """From here to the end of the scope every line carries `fields` too."""
    _current().fields.update(fields)


def redact_address(address: str | None, user: str) -> None:
    """From here to the end of the scope `address` is written as `user`, however it is spelled or escaped."""
    if address and len(address) > 2:  # a shorter one is none, and would hide half of the log
        # Beyond ASCII a letter's other case may be several letters, which no comparison that ignores case finds.
        cases = [address] if address.isascii() else [address, address.lower(), address.upper(), address.casefold()]
        for text in cases:
            _current().masks.update(dict.fromkeys(_spellings(text), user))


def redact_secret(value: str) -> None:
    """From now on `value` is written as `[secret]` in every scope, however it is spelled or escaped.

    The last 100 values are remembered.
    """
    if len(value) >= 8:  # a shorter one would hide half of the log
        _secrets[value] = tuple(dict.fromkeys(_spellings(value)))
    while len(_secrets) > 100:
        del _secrets[next(iter(_secrets))]


def _spellings(text: str) -> Iterator[str]:
    """`text` as it may stand in a line of Python, JSON, HTML (the templates', and the standard library's) or a URL."""
    escaped = str(markupsafe.escape(text))
    yield from (text, repr(text)[1:-1], json.dumps(text)[1:-1], escaped)
    yield escaped.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
    yield from (quote(text, safe=safe) for safe in ("", "/", "@"))


def redact(text: str) -> str:
    """The text without secrets and without the address of the callout's user."""
    lowered = text.lower()
    secrets = ((spelling, "[secret]") for spellings in list(_secrets.values()) for spelling in spellings)
    for hidden, shown in [*_current().masks.items(), *secrets]:
        if hidden.lower() in lowered:
            text = re.sub(re.escape(hidden), shown.replace("\\", ""), text, flags=re.IGNORECASE)
    return text


def _clean(value: Any) -> Any:
    return redact(value)[:MAX_TEXT_CHARS] if isinstance(value, str) else value


def format_error(error: BaseException) -> str:
    """An unforeseen error with its stack, for the log alone."""
    return "".join(traceback.format_exception(error))


def install() -> None:
    """Let `print` and `logging` inside a callout write lines. Once in a process; more does nothing."""
    if not isinstance(sys.stdout, _Console):
        sys.stdout, sys.stderr = _Console("INFO", sys.stdout), _Console("WARNING", sys.stderr)
        logging.basicConfig(level=logging.INFO, handlers=[_Handler()], force=True)


def flush_console() -> None:
    """Write what an Action printed last without ending the line."""
    current = _current()
    for severity, rest in current.printed.items():
        if rest:
            write(severity, rest, console=True)
    current.printed.clear()


class _Console(io.TextIOBase):
    """Standard output or error: inside a callout lines of the log; outside (the host, a thread of an Action) as it was,
    but for the secrets."""

    def __init__(self, severity: Severity, original: Any) -> None:
        self._severity, self._original = severity, original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def write(self, text: str) -> int:
        current = _scope.get()
        if current is None:
            self._original.write(redact(text))
            return len(text)
        whole = redact(current.printed.get(self._severity, "") + text)  # before it is split: an address may hold a \n
        *lines, current.printed[self._severity] = whole.split("\n")
        for line in lines:
            write(self._severity, line, console=True)
        return len(text)

    def flush(self) -> None:
        if _scope.get() is None:
            self._original.flush()


class _Handler(logging.Handler):
    """Python's logging, of an Action or of a library."""

    def emit(self, record: logging.LogRecord) -> None:
        known: dict[str, Severity] = {"DEBUG": "DEBUG", "INFO": "INFO", "ERROR": "ERROR", "CRITICAL": "CRITICAL"}
        try:
            text = logging.Formatter().format(record)
        except Exception:  # noqa: BLE001  (a faulty logging call never stops a notice)
            self.handleError(record)
        else:
            write(known.get(record.levelname, "WARNING"), text, logger=record.name)
