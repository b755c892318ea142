"""Tests of the function's process: its port, and its output."""

import itertools
import threading
from pathlib import Path

import pytest

from emulator.cloud_run import process
from emulator.cloud_run.process import FunctionProcess, free_port
from emulator.core.journal import Entry, Journal


@pytest.mark.skipif("sys.platform != 'linux'", reason="other systems can't reserve a port for another process")
def test_no_other_search_returns_the_port_of_a_function_that_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_requests", itertools.count())
    function = FunctionProcess(Journal(), {})
    monkeypatch.setattr(process, "_requests", itertools.count())  # as in a process whose search starts there too
    assert free_port() != function.port


def test_output_that_is_read_late_is_complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "OUTPUT_TIMEOUT_SECONDS", 0)
    stopped = threading.Event()

    def record_late(_: Entry) -> None:
        stopped.wait(20)

    journal = Journal(on_record=record_late)
    source = tmp_path / "main.py"
    source.write_text("print('one')\nprint('two')\ndef f(request): pass", "utf-8")
    with FunctionProcess(journal, {}, target="f", source=source) as function:
        pass
    stopped.set()
    assert journal.wait(lambda entry: entry.data["line"] == "two", timeout=20)
    assert function.output[:2] == ["one", "two"]
