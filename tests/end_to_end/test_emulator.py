"""`python -m emulator`, as a person runs it and as a pipeline does."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Self, cast
from urllib.parse import urlsplit

import pytest

from emulator.cloud_run.process import SOURCE, free_port

SENTENCE = "The password for your Username-Password-Authentication account j+smith@example.com was recently changed."


def run(*command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=SOURCE, env=everything, capture_output=True, text=True, timeout=60, check=False)


def check(environment: Mapping[str, str] | None = None, *options: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "emulator", "--check", *options, environment=environment)


def test_check_ends_well_and_shows_the_mail() -> None:
    done = check()
    assert done.returncode == 0, done.stderr
    assert SENTENCE in done.stdout.replace("\n", " ")
    assert done.stderr == ""


def test_check_fails_where_no_mail_arrives() -> None:
    done = check({"ALLOWED_TENANTS": "somebody-else"})
    assert done.returncode == 1
    assert "No mail was sent." in done.stdout
    assert "Error sending email to j+smith@example.com: 401 invalid_signature" in done.stdout


def test_check_fails_where_the_function_does_not_start() -> None:
    done = check({"SENDER_EMAIL": "security@example.com", "SUPPORT_CONTACT": "nobody"})
    assert done.returncode == 1
    assert "SUPPORT_CONTACT" in done.stderr


@pytest.mark.parametrize(("environment", "options"), [({}, ["--delivery", "queue"]), ({"DELIVERY": "queue"}, [])])
def test_the_check_goes_through_the_queue_where_asked(environment: dict[str, str], options: list[str]) -> None:
    done = check(environment, *options)
    assert done.returncode == 0, done.stderr
    assert "Cloud Tasks      task delivered after 1 attempt" in done.stdout
    assert "recently changed." in done.stdout


def test_a_delivery_that_is_none_is_told_with_its_fix() -> None:
    done = check({"DELIVERY": "pigeon"})
    assert done.returncode == 1
    assert "use direct or queue" in done.stderr


class Running:
    """The emulator as a terminal runs it, in a process group of its own; a context manager."""

    def __init__(self) -> None:
        self.port, self.printed = free_port(), ""

    def __enter__(self) -> Self:
        """Return when it has printed how to send another event."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emulator", "--port", str(self.port)],
            cwd=SOURCE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = cast(IO[str], self.process.stdout)
        stuck = threading.Timer(60, self.process.kill)
        stuck.start()
        for line in self.output:
            self.printed += line
            if " -m emulator --send " in line:
                break
        stuck.cancel()
        self.processes = [self.process.pid, *descendants(self.process.pid)]
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.left():
            os.kill(process, signal.SIGKILL)
        self.process.wait()
        self.output.close()

    @property
    def command(self) -> str:
        return self.printed.splitlines()[-1].strip()

    @property
    def addresses(self) -> list[str]:
        return re.findall(r"^  \w.*\s(http://\S+)$", self.printed, re.MULTILINE)

    def stop(self, how: signal.Signals) -> int:
        """As a terminal does on Ctrl-C: the signal goes to the whole group."""
        os.killpg(self.process.pid, how)
        return self.process.wait(30)

    def left(self) -> list[int]:
        return [process for process in self.processes if Path(f"/proc/{process}").exists()]


def descendants(process: int) -> list[int]:
    """As Linux's /proc tells them; elsewhere none."""
    children = [int(file.parent.name) for file in Path("/proc").glob("[0-9]*/stat") if _parent(file) == process]
    return [*children, *(below for child in children for below in descendants(child))]


def _parent(file: Path) -> int:
    try:
        return int(file.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with Running() as running:
        yield running


def test_it_starts_with_a_mail_and_listens_where_it_says(running: Running) -> None:
    assert SENTENCE in running.printed.replace("\n", " ")
    assert len(running.addresses) == 4
    assert running.addresses[-1] == f"http://127.0.0.1:{running.port}"
    for address in running.addresses:
        url = urlsplit(address)
        socket.create_connection((url.hostname or "", url.port or 0), 5).close()


def test_the_printed_command_sends_another_event(running: Running) -> None:
    done = run("sh", "-c", running.command)
    assert done.returncode == 0, done.stderr
    assert "ada@example.com" in done.stdout


def test_an_event_that_is_no_json_is_told(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text("{", "utf-8")
    done = run(sys.executable, "-m", "emulator", "--send", str(file), "--port", str(running.port))
    assert done.returncode == 1
    assert "the event is not JSON" in done.stderr


def test_without_an_emulator_sending_says_how_to_start_one() -> None:
    done = run(
        sys.executable, "-m", "emulator", "--send", "emulator/auth0/samples/full.json", "--port", str(free_port())
    )
    assert done.returncode == 1
    assert "make run" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by Linux's /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_all(how: signal.Signals) -> None:
    with Running() as running:
        assert len(running.left()) >= 4  # itself, the function's two, Node
        assert running.stop(how) == 0
        assert not running.left()
