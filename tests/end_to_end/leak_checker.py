"""The witness: hears all that the function says and answers in the whole run, and knows what must not be in it."""

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote


class LeakChecker:
    def __init__(self) -> None:
        self._forbidden: dict[str, str] = {}  # a lower-case spelling → what it is a spelling of, without showing it
        self._heard: list[tuple[str, list[str]]] = []  # whose, and its lines; they go on growing
        self._answers: list[str] = []
        self._read: dict[int, int] = {}

    def listen(self, name: str, lines: list[str]) -> None:
        """From now on `lines`, the output of a process, are heard as they come."""
        self._heard.append((name, lines))

    def hear(self, answer: str) -> None:
        self._answers.append(answer)

    def forbid_secret(self, value: str) -> None:
        """A key, whole or in its telling parts."""
        parts = [value, *re.split(r"[._]", value, maxsplit=2)] if value.startswith("SG.") else [value]
        parts.append(value.removeprefix("whsec_"))
        self._forbid("a secret", (part for part in parts if len(part) > 15))

    def forbid_address(self, address: str) -> None:
        """A user's address, and where it is telling the part before the @."""
        local = address.rpartition("@")[0]
        self._forbid("an address", [address])
        if len(local) > 5 and not re.fullmatch(r"[0-9a-f]+", local):
            self._forbid("an address's local part", [local])

    def check(self, *, everything: bool = False) -> None:
        """Raises AssertionError where something forbidden was heard since the last check, or a line is no log line."""
        lines = list(self._new_lines(everything))
        for line in lines:
            assert is_log_line(line), f"not a line of the log: {line[:300]}"
        answers = self._answers if everything else self._take_answers()
        text = "\n".join([*lines, *answers]).lower()
        leaked = {what for spelling, what in self._forbidden.items() if spelling in text}
        assert not leaked, f"the function told {' and '.join(sorted(leaked))}"

    def _forbid(self, what: str, texts: Iterable[str]) -> None:
        for text in texts:
            self._forbidden.update(dict.fromkeys((spelling.lower() for spelling in spellings(text)), what))

    def _new_lines(self, everything: bool) -> Iterable[str]:
        for number, (_, lines) in enumerate(self._heard):
            end = len(lines)
            yield from lines[0 if everything else self._read.get(number, 0) : end]
            self._read[number] = end

    def _take_answers(self) -> list[str]:
        """New answers alone; all of them are kept for the last check."""
        start = self._read.get(-1, 0)
        self._read[-1] = len(self._answers)
        return self._answers[start:]


def spellings(text: str) -> set[str]:
    """`text` as it may stand in a log, an address or a page."""
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
    """Whether Cloud Logging would read it as a structured entry."""
    try:
        fields = json.loads(line)
    except ValueError:
        return False
    return (
        isinstance(fields, dict) and isinstance(fields.get("severity"), str) and isinstance(fields.get("message"), str)
    )
