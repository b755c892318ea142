"""Tests for what happens before gunicorn forks its worker."""

import signal
import subprocess
import sys
import threading

import pytest

from runtime import process

CODE = """
import os, signal
from runtime.process import prepare

signal.signal(signal.SIGTERM, lambda *_: None)  # as gunicorn's main process has it
prepare()
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_worker_that_has_just_been_forked_ends_on_sigterm_like_one_that_has_finished() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    assert done.stdout == "0\n"


def test_sigterm_during_the_fork_is_delivered_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[int] = []
    monkeypatch.setattr("os._exit", statuses.append)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        process._block_sigterm()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # not to a thread that another test left running
        process._end_on_sigterm()
        assert statuses == [0]
    finally:
        signal.signal(signal.SIGTERM, handler)
