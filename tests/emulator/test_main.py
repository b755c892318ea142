"""The signal handlers of `python -m emulator`, and Ctrl-C while it starts."""

import subprocess
import sys

import pytest

from emulator.cloud_run.process import PROJECT_ROOT

# Raises the signal again before each line of the handler and of what it calls, as a second signal could.
INTERRUPTED = """
import os, signal, sys
from emulator.command_line import _on_stop
def interrupt(frame, event, argument):
    signal.raise_signal(signal.SIGTERM)
    return interrupt
stopped = _on_stop()
sys.settrace(interrupt)
signal.raise_signal(signal.SIGTERM)
sys.settrace(None)
os.read(stopped, 1)
"""


def test_a_signal_can_interrupt_the_handler_of_the_previous_one() -> None:
    """A handler that takes a lock would wait for itself."""
    subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=PROJECT_ROOT, timeout=30, check=True)


# Press Ctrl-C while a module is imported, or while the function starts.
DURING_IMPORT = """
class Finder:
    def find_spec(self, name, *_):
        if name == "emulator.runs":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
DURING_START = """
from emulator.cloud_run.process import FunctionProcess
FunctionProcess.start = lambda self: signal.raise_signal(signal.SIGINT)
"""
START = """
import runpy, signal, sys
{interruption}
sys.argv = ["emulator", "--check"]
runpy.run_module("emulator", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("interruption", [DURING_IMPORT, DURING_START])
def test_ctrl_c_during_the_start_prints_no_traceback(interruption: str) -> None:
    command = [sys.executable, "-c", START.format(interruption=interruption)]
    result = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")
