"""The signal handlers of `python -m emulator`."""

import subprocess
import sys

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
