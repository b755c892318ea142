import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.output import Output


class Pipe:
    """A pipe that is read only when a test calls `read`."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.output = Output(self.writer)

    def fill(self) -> None:
        os.set_blocking(self.writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"\n")
        os.set_blocking(self.writer, True)

    def read(self) -> list[str]:
        """Return the lines in the pipe, without those that filled it."""
        os.set_blocking(self.reader, False)
        text = b""
        with suppress(BlockingIOError):
            while part := os.read(self.reader, 1 << 20):
                text += part
        os.set_blocking(self.reader, True)
        return text.decode().strip("\n").splitlines()

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def report(lines: int) -> dict[str, Any]:
    message = f"lost {lines} log lines: the stream didn't accept them in time"
    return {"severity": "WARNING", "message": message, "code": "log_lines_lost", "lines": lines}


def test_text_is_written_as_it_is(pipe: Pipe) -> None:
    pipe.output.write("é \ud800\n")
    pipe.output.write("a")
    pipe.output.write("b\n")

    assert pipe.read() == ["é \\ud800", "ab"]


def test_long_lines_of_several_threads_are_complete_and_do_not_interleave(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.output.MAX_WAIT_SECONDS", 60)
    monkeypatch.setattr("runtime.output.MAX_LOCK_SECONDS", 60)
    texts = [f"{number}" * 100_000 for number in range(8)]
    with ThreadPoolExecutor(9) as pool:
        for text in texts:
            pool.submit(pipe.output.write, text + "\n")
        with os.fdopen(pipe.reader, closefd=False) as reader:
            lines = [reader.readline().rstrip("\n") for _ in texts]

    assert sorted(lines) == texts


def test_lines_that_do_not_fit_are_lost_and_reported_once_there_is_room(pipe: Pipe) -> None:
    pipe.fill()
    for _ in range(3):
        pipe.output.write("lost\n")
    assert pipe.read() == []

    pipe.output.write("one\n")
    pipe.output.write("two\n")
    first, *others = pipe.read()
    assert json.loads(first) == report(3)
    assert others == ["one", "two"]


def test_only_the_first_line_waits_for_room(pipe: Pipe) -> None:
    timeouts: list[float] = []
    pipe.output._ready = SimpleNamespace(poll=timeouts.append)  # type: ignore[assignment]
    for _ in range(3):
        pipe.output.write("lost\n")

    assert timeouts == [pytest.approx(100, abs=99), 0, 0]


def test_a_truncated_line_is_ended_before_the_next_one(pipe: Pipe) -> None:
    pipe.fill()
    os.read(pipe.reader, 4096)
    pipe.output.write("x" * 10_000 + "\n")
    assert pipe.read()[-1] == "x" * 4096

    pipe.output.write("next\n")
    lost, following = pipe.read()
    assert json.loads(lost) == report(1)
    assert following == "next"


def test_a_line_break_is_added_only_after_a_truncated_line(pipe: Pipe) -> None:
    pipe.fill()
    os.read(pipe.reader, 4096)
    pipe.output.write("x" * 10_000 + "\n")
    os.read(pipe.reader, 1 << 20)
    pipe.output.write("next\n")

    assert os.read(pipe.reader, 1 << 20).startswith(b'\n{"severity"')


def test_a_pipe_that_fills_up_again_during_the_report_loses_nothing_of_the_count(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.fill()
    pipe.output.write("lost\n")
    pipe.read()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        pipe.output.write("lost too\n")
    pipe.output.write("next\n")

    lost, following = pipe.read()
    assert json.loads(lost) == report(2)
    assert following == "next"


def fail(*_: object) -> int:
    raise OSError


def test_a_line_is_lost_rather_than_waiting_for_a_thread_that_is_stuck(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process can fill the pipe between the check for room and the write."""
    monkeypatch.setattr("runtime.output.MAX_LOCK_SECONDS", 0)
    stuck, released = threading.Event(), threading.Event()
    write = os.write

    def block(descriptor: int, data: bytes) -> int:
        stuck.set()
        assert released.wait(60)
        return write(descriptor, data)

    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as pool:
        patched.setattr(os, "write", block)
        pool.submit(pipe.output.write, "first\n")
        assert stuck.wait(60)
        pipe.output.write("second\n")
        released.set()
    pipe.output.write("third\n")

    first, lost, third = pipe.read()
    assert (first, json.loads(lost), third) == ("first", report(1), "third")


def test_text_without_a_line_break_counts_as_a_line(pipe: Pipe) -> None:
    pipe.fill()
    pipe.output.write("two\nlines\n")
    pipe.output.write("text")
    pipe.read()
    pipe.output.write("next\n")

    assert json.loads(pipe.read()[0]) == report(3)


def test_a_pipe_without_a_reader_raises_nothing(pipe: Pipe) -> None:
    os.close(pipe.reader)

    pipe.output.write("lost\n")


def test_a_closed_descriptor_raises_nothing(pipe: Pipe) -> None:
    os.close(pipe.writer)

    pipe.output.write("lost\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")  # noqa: PTH110
def test_a_full_disk_raises_nothing() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)

    Output(descriptor).write("lost\n")
    os.close(descriptor)
