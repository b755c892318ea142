"""Tests of the function's process: its port."""

import itertools

import pytest

from emulator.cloud_run import process
from emulator.cloud_run.process import FunctionProcess, free_port
from emulator.core.journal import Journal


@pytest.mark.skipif("sys.platform != 'linux'", reason="other systems can't reserve a port for another process")
def test_no_other_search_returns_the_port_of_a_function_that_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_requests", itertools.count())
    function = FunctionProcess(Journal(), {})
    monkeypatch.setattr(process, "_requests", itertools.count())  # as in a process whose search starts there too
    assert free_port() != function.port
