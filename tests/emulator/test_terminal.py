"""The terminal's line per run."""

import io
import re
from collections.abc import Callable

import pytest

from auth0.callout import build_callout
from emulator.core.journal import Entry
from emulator.emulator import example
from emulator.runs.summary import summarize
from emulator.terminal import is_colored, printing_runs, run_line
from tests.emulator.browser_page import WebHarness
from tests.emulator.client import request

TIMEOUT_SECONDS = 20
PAGE = "http://127.0.0.1:8765"


class Terminal(io.StringIO):
    """Text that claims to be a terminal, and calls `on_write` with each text."""

    def __init__(self, on_write: Callable[[str], object] = lambda _: None) -> None:
        super().__init__()
        self._on_write = on_write

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._on_write(text)
        return super().write(text)


def printed_lines(harness: WebHarness, *actions: Callable[[], object]) -> list[str]:
    """Return the lines that are printed for `actions`, without colors."""
    printed = Terminal(lambda text: harness.emulator.journal.record("test.printed", text=text))
    with printing_runs(harness.emulator, PAGE, printed):
        for action in actions:
            after = harness.emulator.journal.last_number
            action()
            harness.emulator.journal.wait(is_run_line, after=after, timeout=TIMEOUT_SECONDS)
    return re.sub(r"\x1b\[\d*m", "", printed.getvalue()).splitlines()


def is_run_line(entry: Entry) -> bool:
    return entry.kind == "test.printed" and PAGE in entry.data["text"]


def test_each_run_prints_one_line_with_its_outcome_and_link(web_harness: WebHarness) -> None:
    emulator = web_harness.emulator

    def fail() -> None:
        emulator.fault_toggles.turn_on("Callout", "bad signature")
        emulator.run(example())

    sent, failed, skipped = printed_lines(
        web_harness, lambda: emulator.run(example()), fail, lambda: emulator.run(example("no-email"))
    )
    assert re.fullmatch(r"\d\d:\d\d:\d\d  sent +j\+smith@example.com  [\d.]+ m?s  http://127.0.0.1:8765/runs/2", sent)
    assert re.search(r"failed +j\+smith@example.com .*/runs/3  No notice sent: invalid signature$", failed)
    assert re.search(r"not sent +\(no address\) .*/runs/4  No notice sent: the user has no email address$", skipped)


def test_a_delivered_task_prints_one_line(queue_web_harness: WebHarness) -> None:
    lines = printed_lines(queue_web_harness, lambda: queue_web_harness.emulator.run(example()))
    assert [line.split("  ")[1] for line in lines] == ["sent"]


def test_an_external_callout_prints_a_line(web_harness: WebHarness) -> None:
    def send() -> None:
        callout = build_callout(example("full"))
        headers = callout.headers(web_harness.emulator.keys.signing_key)
        request("POST", web_harness.emulator.function.url, body=callout.body, headers=headers)

    [line] = printed_lines(web_harness, send)
    assert "ada@example.com" in line


def test_a_recipient_cannot_control_the_terminal(web_harness: WebHarness) -> None:
    event = example()
    event["user"]["email"] = "a\x1b[2J\n@example.com"
    line = run_line(summarize(web_harness.emulator.run(event)), PAGE)
    assert "\x1b" not in line
    assert "\n" not in line


def test_lines_are_colored_only_on_a_terminal_that_shows_colors(
    web_harness: WebHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert (is_colored(Terminal()), is_colored(io.StringIO())) == (True, False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_colored(Terminal())
    summary = summarize(web_harness.emulator.runs[0])
    assert "\x1b[32msent" in run_line(summary, PAGE, colored=True)
