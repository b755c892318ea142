"""The function's output, and its callouts when nothing reads the output."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from emulator.cloud_run.process import PROJECT_ROOT
from tests.end_to_end.callouts import callout_for, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker

# main.py in a process whose standard output and error are the file that OUTPUT names.
MAIN = """
import os
import sys

output = os.open(os.environ["OUTPUT"], os.O_WRONLY)
os.dup2(output, 1)
os.dup2(output, 2)

import main


def on_execute_post_change_password(request):
    if os.environ["NOISE"]:  # what gunicorn and an Action's threads print
        print("outside of a callout")
        print("x" * 100_000, file=sys.stderr)
    return main.on_execute_post_change_password(request)
"""


class Fifo:
    """A pipe in a file, between the function, which writes to it, and the test."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.open()

    def open(self) -> None:
        """Open the pipe for reading."""
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def close(self) -> None:
        """Close the reader's end: writing to the pipe raises an error then."""
        os.close(self._reader)

    def fill(self) -> None:
        writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n")
        os.close(writer)

    def read(self) -> list[str]:
        """Return the lines in the pipe, without empty ones."""
        text = b""
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 1 << 20):
                text += part
        return [line for line in text.decode().splitlines() if line]


def harness_writing_to(output: Path, leak_checker: LeakChecker, folder: Path, *, noise: str = "yes") -> Harness:
    source = folder / "function.py"
    source.write_text(MAIN, "utf-8")
    environment = {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return Harness(leak_checker, {**environment, "OUTPUT": str(output), "NOISE": noise}, source=source)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    fifo = Fifo(tmp_path / "output")
    yield fifo
    with suppress(OSError):  # a test that failed may have closed it
        fifo.close()


def assert_each_callout_sends_one_email(harness: Harness) -> None:
    """Send callouts concurrently, each twice."""
    addresses = [new_address() for _ in range(40)]
    callouts = [callout_for(address) for address in addresses]
    for status in ("sent", "duplicate"):
        assert {(each.status, each.body["status"]) for each in harness.send_all(callouts)} == {(200, status)}
    assert [len(harness.emails_to(address)) for address in addresses] == [1] * len(addresses)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_each_callout_sends_one_email_if_the_outputs_disk_is_full(leak_checker: LeakChecker, tmp_path: Path) -> None:
    with harness_writing_to(Path("/dev/full"), leak_checker, tmp_path) as harness:
        assert_each_callout_sends_one_email(harness)


def test_each_callout_sends_one_email_if_the_output_is_a_closed_pipe(
    leak_checker: LeakChecker, tmp_path: Path, fifo: Fifo
) -> None:
    with harness_writing_to(fifo.path, leak_checker, tmp_path) as harness:
        fifo.close()
        assert_each_callout_sends_one_email(harness)
        fifo.open()


def test_each_callout_sends_one_email_if_the_output_is_a_full_pipe_that_nobody_reads(
    leak_checker: LeakChecker, tmp_path: Path, fifo: Fifo
) -> None:
    with harness_writing_to(fifo.path, leak_checker, tmp_path) as harness:
        fifo.fill()
        assert_each_callout_sends_one_email(harness)


def test_lost_lines_are_reported_once_the_output_is_read_again(
    leak_checker: LeakChecker, tmp_path: Path, fifo: Fifo
) -> None:
    callout = callout_for(new_address())
    with harness_writing_to(fifo.path, leak_checker, tmp_path, noise="") as harness:
        harness.send(callout_for(new_address()))
        fifo.fill()
        for _ in range(3):
            assert harness.send(callout_for(new_address())).body["status"] == "sent"
        (before,) = fifo.read()
        assert harness.send(callout).body["status"] == "sent"
        report, after = fifo.read()
    leak_checker.watch_output("function.py", [before, report, after])
    lost, sent = json.loads(report), json.loads(after)
    assert (lost["severity"], lost["code"], lost["lines"]) == ("WARNING", "log_lines_lost", 3)
    assert (sent["callout"], sent["status"]) == (callout.id, "sent")


PRINTING = """
from runtime import Flow, start

flow = Flow(start())


@flow.action
def on_execute_post_change_password(event, api):
    print("one line", 1, {"message": "no field"})
    print("to ", event.user.email[:9], sep="", end="")
    print(event.user.email[9:])
"""


def test_with_execution_ids_a_printed_line_is_one_log_line_with_the_id(
    leak_checker: LeakChecker, tmp_path: Path
) -> None:
    """functions-framework itself would turn each piece into JSON, in which an address in pieces isn't recognized."""
    source = tmp_path / "function.py"
    source.write_text(PRINTING, "utf-8")
    callout = callout_for(new_address())
    with Harness(leak_checker, {"PYTHONPATH": str(PROJECT_ROOT), "LOG_EXECUTION_ID": "true"}, source=source) as harness:
        headers = {**callout.headers(harness.signing_key), "Function-Execution-Id": "abc123"}
        assert harness.request(callout.body, headers).body["status"] == "done"
        assert harness.find_log_line(lambda fields: fields.get("status") == "done")
        lines = [entry.data["fields"] for entry in harness.journal.entries(kind="function.log")]
    assert [line["message"].partition("user ")[0] for line in lines] == [
        "one line 1 {'message': 'no field'}",
        "to ",
        "on_execute_post_change_password: done",
    ]
    for line in lines:
        assert line["logging.googleapis.com/labels"] == {"execution_id": "abc123"}
        assert line["callout"] == callout.id
