"""Tests of what the function needs from its host: functions-framework and the locked version of gunicorn."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from emulator.cloud_run.process import PROJECT_ROOT, free_port
from tests.end_to_end.callouts import callout_for, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker
from tests.end_to_end.test_start import VALID

UNAUTHORIZED = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n%s\r\n{}"
UNSENT_BODY = b"%s / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n"
SIGNALED_AT_FORK = '''
"""main.py on a machine that starts the worker so slowly that SIGTERM arrives before the worker's handlers are set."""

import os
import signal
import time

from main import deliver, on_execute_post_change_password


def stop_the_main_process():
    """Send SIGTERM to the main process, wait until its own SIGTERM has arrived, and then unblock it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(os.getppid(), signal.SIGTERM)
    while signal.SIGTERM not in signal.sigpending():
        time.sleep(0.01)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    print("the worker ignored SIGTERM", flush=True)
    os._exit(1)


os.register_at_fork(after_in_child=stop_the_main_process)
'''


@contextmanager
def clients(harness: Harness, request: bytes, *, count: int) -> Iterator[list[bytes]]:
    """Send the request from `count` clients that keep their connections open, and yield the status lines."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", harness.function.port), 30))
            for _ in range(count)
        ]
        for each in sockets:
            each.sendall(request)
        yield [each.recv(4096).partition(b"\r\n")[0] for each in sockets]


@pytest.fixture(scope="module")
def small(leak_checker: LeakChecker) -> Iterator[Harness]:
    """Start the function with four threads, functions-framework's default on one CPU."""
    with Harness(leak_checker, {"THREADS": "4"}) as harness:
        yield harness


def test_clients_that_ask_to_close_and_keep_their_connections_open_delay_no_callout(small: Harness) -> None:
    with clients(small, UNAUTHORIZED % b"Connection: close\r\n", count=8) as statuses:
        assert small.send(callout_for(new_address())).body["status"] == "sent"
    assert set(statuses) == {b"HTTP/1.1 401 UNAUTHORIZED"}


@pytest.mark.parametrize("method", [b"POST", b"GET"])
def test_clients_that_never_send_the_rest_of_their_body_delay_no_callout(small: Harness, method: bytes) -> None:
    with clients(small, UNSENT_BODY % method, count=8) as statuses:
        assert small.send(callout_for(new_address())).body["status"] == "sent"
    assert len(set(statuses)) == 1


def test_sigterm_before_the_workers_handlers_are_set_ends_the_function_silently(tmp_path: Path) -> None:
    source = tmp_path / "main_signaled.py"
    source.write_text(SIGNALED_AT_FORK, "utf-8")
    command = [str(Path(sys.executable).with_name("functions-framework")), "--target=on_execute_post_change_password"]
    environment = {**os.environ, **VALID, "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run(
        [*command, f"--source={source}", f"--port={free_port()}"], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
