"""Tests for what is arranged before gunicorn forks its worker."""

import signal
import subprocess
import sys

from runtime import process

CODE = """
import os, signal
from runtime.process import prepare_fork

signal.signal(signal.SIGTERM, lambda *_: None)  # as gunicorn's main process has it
prepare_fork()
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_worker_that_has_just_been_forked_ends_on_sigterm() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    assert int(done.stdout) == -signal.SIGTERM


def test_a_forked_process_handles_sigterm_as_by_default() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        process._block_sigterm()
        process._reset_sigterm()
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, handler)
