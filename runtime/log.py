"""The log: one JSON object per line on standard output, as Cloud Logging reads it, and the Actions' console.

What an Action prints or logs becomes log lines too, as do other libraries' warnings. In every line, the secrets that
this process has read and the user's address are redacted.

Reference for the field names: https://cloud.google.com/logging/docs/structured-logging
"""

import io
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from urllib.parse import quote

import markupsafe

from runtime.address import ascii_domain
from runtime.output import STDERR, STDOUT, Output

Severity = Literal["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]

MAX_TEXT_CHARS = 8192  # per field; the middle of a longer text is omitted; Cloud Logging accepts 256 KB per entry
MIN_SECRET_CHARS = 8  # redacting shorter ones would make the log unreadable
MAX_SECRETS = 100
_secrets: dict[str, tuple[str, ...]] = {}  # a secret's value → its encodings


class Context:
    """The fields that all log lines of one callout share, and the texts to redact in them."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.redactions: dict[str, str] = {}  # text (case-insensitive) → its replacement
        self.unfinished: dict[Severity, str] = {}  # the console line that has no line break yet, per stream
        self.network_seconds = 0.0


_context: ContextVar[Context | None] = ContextVar("context", default=None)


@contextmanager
def context(**fields: Any) -> Iterator[Context]:
    """Add `fields` to every line written inside; what is printed inside is an Action's console."""
    token = _context.set(Context(fields))
    try:
        yield _current()
    finally:
        _context.reset(token)


def _current() -> Context:
    return _context.get() or Context({})


def write(severity: Severity, message: str, **fields: Any) -> None:
    """Write one log line. `fields` must be JSON-serializable; None values are omitted."""
    line = {"message": message, **_current().fields, **fields}
    redacted = {name: _redact_value(value) for name, value in line.items() if value is not None}
    STDOUT.write(json.dumps({"severity": severity, **redacted}, default=str) + "\n")


def add_network_seconds(seconds: float) -> None:
    """Count time that the current callout spent waiting for another service."""
    _current().network_seconds += seconds


def network_seconds() -> float:
    return _current().network_seconds


def bind(**fields: Any) -> None:
    """Add `fields` to every further line of the current context."""
    _current().fields.update(fields)


def redact_address(address: str | None, user: str) -> None:
    """Replace `address`, as received or as sent, with `user` in every further line of the current context."""
    if address and len(address) > 2:  # a shorter one isn't valid, and redacting it would make the log unreadable
        # Outside ASCII, changing a letter's case can yield several letters, which re.IGNORECASE doesn't match.
        cases = [] if address.isascii() else [address.lower(), address.upper(), address.casefold()]
        for text in dict.fromkeys((address, ascii_domain(address), *cases)):
            _current().redactions.update(dict.fromkeys(_encodings(text), user))


def redact_secret(value: str) -> None:
    """Replace `value`, with or without its prefix, with `[secret]` in every further line of any context.

    Only the last MAX_SECRETS values are remembered.
    """
    bare = value.removeprefix("SG.").removeprefix("whsec_")
    texts = [text for text in (value, bare) if len(text) >= MIN_SECRET_CHARS]  # the longer one first
    if texts:
        _secrets[value] = tuple(dict.fromkeys(encoding for text in texts for encoding in _encodings(text)))
    while len(_secrets) > MAX_SECRETS:
        del _secrets[next(iter(_secrets))]


def _encodings(text: str) -> Iterator[str]:
    """Yield `text` as Python, JSON, HTML (from Jinja and from the standard library), and URLs encode it.

    The HTML forms are also yielded as JSON encodes them, because the email's HTML is sent in a JSON string.
    """
    escaped = str(markupsafe.escape(text))
    for form in dict.fromkeys((text, escaped, escaped.replace("&#34;", "&quot;").replace("&#39;", "&#x27;"))):
        yield from (form, json.dumps(form)[1:-1])
    yield repr(text)[1:-1]
    yield from (quote(text, safe=safe) for safe in ("", "/", "@"))


def redact(text: str) -> str:
    """Return the text without secrets and without the address of the callout's user."""
    lowered = text.lower()
    secrets = ((encoding, "[secret]") for encodings in list(_secrets.values()) for encoding in encodings)
    for hidden, replacement in [*_current().redactions.items(), *secrets]:
        if hidden.lower() in lowered:
            text = re.sub(re.escape(hidden), replacement.replace("\\", ""), text, flags=re.IGNORECASE)
    return text


def _redact_value(value: Any) -> Any:
    return _shorten(redact(value), MAX_TEXT_CHARS // 2, MAX_TEXT_CHARS // 2) if isinstance(value, str) else value


def _shorten(text: str, head: int, tail: int) -> str:
    """Return the first `head` and the last `tail` characters, and the number of characters omitted between them."""
    omitted = len(text) - head - tail
    return text if omitted <= 0 else f"{text[:head]}[… {omitted} characters omitted …]{text[len(text) - tail :]}"


def format_error(error: BaseException | None) -> str:
    """Return an unexpected error with its traceback, for the log only, short enough that its type isn't omitted."""
    error_only = "".join(traceback.format_exception_only(error))
    trace = "".join(traceback.format_exception(error)).removesuffix(error_only)
    text = _shorten(redact(trace), 0, MAX_TEXT_CHARS // 2) + _shorten(redact(error_only), MAX_TEXT_CHARS // 4, 0)
    return text.rstrip("\n")


def install() -> None:
    """Make `print` and `logging` inside a callout write log lines. Calling it again has no effect."""
    if not isinstance(sys.stdout, _Console):
        sys.stdout = _Console("INFO", STDOUT, sys.stdout)
        sys.stderr = _Console("WARNING", STDERR, sys.stderr)
        logging.basicConfig(level=logging.INFO, handlers=[_Handler()], force=True)


def flush_console() -> None:
    """Write what an Action printed after its last line break."""
    current = _current()
    for severity, rest in current.unfinished.items():
        if rest:
            write(severity, rest, console=True)
    current.unfinished.clear()


class _Console(io.TextIOBase):
    """Replaces `original`, standard output or error. Inside a callout, it writes log lines; outside (in
    functions-framework, or in a thread that an Action starts), it writes the text itself, with secrets redacted.
    """

    def __init__(self, severity: Severity, output: Output, original: Any) -> None:
        self._severity, self._output, self._original = severity, output, original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def write(self, text: str) -> int:
        current = _context.get()
        if current is None:
            self._output.write(redact(text))
            return len(text)
        # Redacted before it is split into lines: an address can contain a line break.
        printed = redact(current.unfinished.get(self._severity, "") + text)
        *lines, current.unfinished[self._severity] = printed.split("\n")
        for line in lines:
            write(self._severity, line, console=True)
        return len(text)


class _Handler(logging.Handler):
    """The handler for Python's logging, for Actions and libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        severities: dict[str, Severity] = {"DEBUG": "DEBUG", "INFO": "INFO", "ERROR": "ERROR", "CRITICAL": "CRITICAL"}
        try:
            error = format_error(record.exc_info[1]) if record.exc_info else ""
            text = "\n".join(filter(None, (record.getMessage(), error, record.stack_info)))
        except Exception:  # noqa: BLE001  (a malformed logging call must not stop a notice)
            self.handleError(record)
        else:
            write(severities.get(record.levelname, "WARNING"), text, logger=record.name)
