"""Print one line per run in the terminal, with colors if the terminal supports them."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO
from weakref import WeakKeyDictionary

from emulator.emulator import Emulator
from emulator.runs.outcome import OUTCOME_LABELS, Outcome, format_duration
from emulator.runs.run import Run
from emulator.runs.summary import Summary, summarize

POLL_SECONDS = 0.2
COLORS: dict[Outcome, str] = {"sent": "32", "retried": "33", "queued": "33", "not_sent": "36", "failed": "31"}
LABEL_WIDTH = max(map(len, OUTCOME_LABELS.values()))


def is_colored(stream: TextIO) -> bool:
    """Return whether the stream is a terminal that shows colors (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def run_line(summary: Summary, page: str, *, colored: bool = False) -> str:
    """Return the line of a run: time, outcome, recipient, duration, link, and the reason if no email was sent."""
    time = datetime.fromtimestamp(summary.time).astimezone().strftime("%H:%M:%S")
    label = f"{OUTCOME_LABELS[summary.outcome].lower():<{LABEL_WIDTH}}"
    if colored and summary.outcome in COLORS:
        label = f"\x1b[{COLORS[summary.outcome]}m{label}\x1b[0m"
    recipient, took = _printable(summary.recipient) or "(no address)", format_duration(summary.duration_ms / 1000)
    reason = "" if summary.emails else f"  {_printable(summary.title)}"
    return f"{time}  {label}  {recipient}  {took}  {page}/runs/{summary.number}{reason}"


@contextmanager
def printing_runs(emulator: Emulator, page: str, stream: TextIO) -> Iterator[None]:
    """Print a line for each run that ends while the context is active; one that stays in the queue gets two."""
    stop, colored = threading.Event(), is_colored(stream)
    printed: WeakKeyDictionary[Run, Outcome] = WeakKeyDictionary()

    def print_run(run: Run) -> None:
        summary = summarize(run)
        previous = printed.get(run)
        if _is_settled(run, summary) and (previous is None or (previous == "queued" != summary.outcome)):
            printed[run] = summary.outcome
            print(run_line(summary, page, colored=colored), file=stream, flush=True)

    def watch(after: int) -> None:
        while not stop.is_set():
            entry = emulator.journal.wait(lambda _: True, after=after, timeout=POLL_SECONDS)
            if entry is not None:
                after = entry.number
                run = emulator.run_history.owner(entry)
                if run is not None:
                    print_run(run)

    thread = threading.Thread(target=watch, args=(emulator.journal.last_number,), name="terminal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _is_settled(run: Run, summary: Summary) -> bool:
    """Return whether the outcome is worth a line: that of a task before its first attempt will soon change."""
    if summary.outcome == "queued":
        return any(entry.kind == "cloud_tasks.attempt" for entry in run.entries)
    return summary.outcome != "running"


def _printable(text: str) -> str:
    """Return the text without control characters, which could affect the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
