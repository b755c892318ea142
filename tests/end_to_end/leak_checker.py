"""The leak checker: collects every response and log line of a test run and fails if one contains private data."""

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote


class LeakChecker:
    """Collects the output of the processes under test, and knows the secrets and addresses it must not contain."""

    def __init__(self) -> None:
        self._forbidden: dict[str, str] = {}  # lower-case encoding → what kind of value it encodes
        self._outputs: list[tuple[str, list[str]]] = []  # each process's name and lines; each list only grows
        self._responses: list[str] = []
        self._checked: dict[int, int] = {}  # index of an output (-1: the responses) → lines already checked

    def watch_output(self, name: str, lines: list[str]) -> None:
        """Check `lines`, the output of a process, and the lines appended to it later."""
        self._outputs.append((name, lines))

    def add_response(self, response: str) -> None:
        self._responses.append(response)

    def forbid_secret(self, value: str) -> None:
        """Forbid a secret, and each part of it that is long enough to be recognizable."""
        parts = [value, *re.split(r"[._]", value, maxsplit=2)] if value.startswith("SG.") else [value]
        parts.append(value.removeprefix("whsec_"))
        self._forbid("a secret", (part for part in parts if len(part) > 15))

    def forbid_address(self, address: str) -> None:
        """Forbid an email address, and its local part if that is long enough to be recognizable."""
        local = address.rpartition("@")[0]
        self._forbid("an address", [address])
        if len(local) > 5 and not re.fullmatch(r"[0-9a-f]+", local):
            self._forbid("an address's local part", [local])

    def check(self, *, everything: bool = False) -> None:
        """Raise AssertionError for a leak or malformed log line since the last check, or in the whole run."""
        lines = list(self._new_lines(everything))
        for line in lines:
            assert is_log_line(line), f"not a log line: {line[:300]}"
        responses = self._responses if everything else self._new_responses()
        text = "\n".join([*lines, *responses]).lower()
        leaked = {kind for encoding, kind in self._forbidden.items() if encoding in text}
        assert not leaked, f"the function leaked {' and '.join(sorted(leaked))}"

    def _forbid(self, kind: str, texts: Iterable[str]) -> None:
        for text in texts:
            self._forbidden.update(dict.fromkeys((encoding.lower() for encoding in encodings(text)), kind))

    def _new_lines(self, everything: bool) -> Iterable[str]:
        for number, (_, lines) in enumerate(self._outputs):
            end = len(lines)
            yield from lines[0 if everything else self._checked.get(number, 0) : end]
            self._checked[number] = end

    def _new_responses(self) -> list[str]:
        """Return only the responses since the last check; all are kept for the final check."""
        start = self._checked.get(-1, 0)
        self._checked[-1] = len(self._responses)
        return self._responses[start:]


def encodings(text: str) -> set[str]:
    """Return the forms that `text` can take in a log line, a URL, or an HTML page."""
    escaped = json.dumps(text)[1:-1]
    return {
        text,
        quote(text),
        quote(text, safe=""),
        escaped,
        json.dumps(escaped)[1:-1],
        html.escape(text),
        ascii(text)[1:-1],
    }


def is_log_line(line: str) -> bool:
    """Return whether Cloud Logging would parse the line as a structured entry."""
    try:
        fields = json.loads(line)
    except ValueError:
        return False
    return (
        isinstance(fields, dict) and isinstance(fields.get("severity"), str) and isinstance(fields.get("message"), str)
    )
